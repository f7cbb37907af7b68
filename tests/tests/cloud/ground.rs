//! What launches stand on: an account with a deployment in it, and a job.

use std::process::Command;
use std::rc::Rc;

use dayfly_shared::deployment::{Deployment, key};
use dayfly_shared::job::Location;
use dayfly_shared::launch::Launch;
use dayfly_shared::records::to_json;
use dayfly_shared::store::{Attributes, Condition, StoreExt};
use dayfly_tests::aws::{Aws, Machine, Set};
use dayfly_tests::program::Ended;
use dayfly_tests::{Job, Layout, Program, World, world};

use crate::court::{Court, Crew, in_court};

/// Two types that the stand-in has, for flags.
pub const TYPES: &str = "m5.large,c5.large";

const NAME: &str = "test";

/// A world with a deployment and a job.
pub struct Ground<'c, 'w> {
    pub court: &'c Court<'w>,
    pub world: &'w World,
    pub aws: &'c Aws,
    pub job: Job<'w>,
    crew: Rc<Crew<'w>>,
}

/// Runs a test on it, and judges every call.
pub fn on_ground(body: impl AsyncFn(&mut Ground<'_, '_>)) {
    on_ground_with(|_| {}, body);
}

/// The same, after this was done to the account while it was empty.
pub fn on_ground_with(before: impl Fn(&Aws), body: impl AsyncFn(&mut Ground<'_, '_>)) {
    in_court(async |court| {
        let (world, aws) = (court.world, &court.aws);
        before(aws);
        aws.add_dayfly_image(env!("CARGO_PKG_VERSION"));
        let place = format!("s3://{}", world::BUCKET);
        let options = ["--name", NAME, "--fleet-shut-off", "--ssm"];
        let crew = court.crew(&place, &options).await;
        crew.sets(&[&["setup", &place][..], &options].concat()).await.expect(0, &["made      role"]);
        let job = Layout::new(4).unwatched().lay_out(world).await;
        body(&mut Ground { court, world, aws, job, crew }).await;
    });
}

impl Ground<'_, '_> {
    /// The record that setup wrote.
    pub async fn deployment(&self) -> Deployment {
        let store = self.world.server().store(world::BUCKET).await;
        let place = Location::new(world::BUCKET, "").expect("a place");
        let (_, bytes) = store.read(&key(&place)).await.expect("a read").expect("the record");
        serde_json::from_slice(&bytes).expect("the record of a deployment")
    }

    /// Writes it.
    pub async fn deploy(&self, deployment: &Deployment) {
        let store = self.world.server().store(world::BUCKET).await;
        let body = to_json(deployment).into();
        let key = key(&deployment.place);
        store.put(&key, body, &Attributes::json(), &Condition::Overwrite).await.expect("the record is written");
    }

    /// Starts `dayfly`, as the operator.
    pub fn start(&self, words: &[&str]) -> Program {
        self.crew.start_run(words)
    }

    /// The same, with changes to its environment.
    pub fn start_with(&self, words: &[&str], change: impl FnOnce(&mut Command)) -> Program {
        self.crew.start_run_with(words, change)
    }

    /// Starts `dayfly launch` with these flags.
    pub fn start_launch(&self, flags: &str) -> Program {
        let url = self.job.url();
        let words = ["launch", &url].into_iter().chain(flags.split_whitespace()).collect::<Vec<_>>();
        self.start(&words)
    }

    /// The same to its end.
    pub async fn launch(&self, flags: &str) -> Ended {
        self.start_launch(flags).ended().await
    }

    /// Runs any command of dayfly's on the job.
    pub async fn dayfly(&self, verb: &str, flags: &str) -> Ended {
        let url = self.job.url();
        let words = [verb, &url].into_iter().chain(flags.split_whitespace()).collect::<Vec<_>>();
        self.start(&words).ended().await
    }

    /// The machines that run.
    pub fn up(&self) -> Vec<Machine> {
        self.aws.machines().into_iter().filter(Machine::runs).collect()
    }

    /// The records of the job's launches.
    pub async fn launches(&self) -> Vec<Launch> {
        let store = self.job.bucket.store();
        let mut all = Vec::new();
        for entry in store.list_all(&self.job.bucket.keys.launches()).await.expect("a listing") {
            let (_, bytes) = store.read(&entry.key).await.expect("a read").expect("a record");
            all.push(serde_json::from_slice(&bytes).expect("the record of a launch"));
        }
        all
    }

    /// The tokens that CreateFleet was called with, each once, in order.
    pub fn tokens(&self) -> Vec<String> {
        let mut tokens: Vec<String> =
            self.aws.calls_of("ec2", "CreateFleet").into_iter().filter_map(|call| call.token).collect();
        tokens.dedup();
        tokens
    }

    /// Starts a launch, kills it where the fault holds it, and takes the fault back.
    pub async fn cut_off(&self, flags: &str, held: Set) {
        let mut launch = self.start_launch(flags);
        self.world
            .until("the launch is held", async || {
                assert!(launch.runs() || held.held() > 0, "it ended:\n{}", launch.said());
                held.held() > 0
            })
            .await;
        launch.kill();
        held.take_back();
    }
}

//! What launches stand on: an account with a deployment in it, and a job.

use dayfly_shared::deployment::{Deployment, Resource, Subnet, key};
use dayfly_shared::job::Location;
use dayfly_shared::launch::Launch;
use dayfly_shared::records::to_json;
use dayfly_shared::store::{Attributes, Condition, StoreExt};
use dayfly_tests::aws::{ACCOUNT, Account, Aws, Machine, Set};
use dayfly_tests::program::Ended;
use dayfly_tests::server::REGION;
use dayfly_tests::{Job, Kind, Layout, Program, World, run, world};

/// Two types that the stand-in has, for flags.
pub const TYPES: &str = "m5.large,c5.large";

/// A world with a deployment and a job.
pub struct Ground<'w> {
    pub world: &'w World,
    pub aws: Aws,
    pub account: Account,
    pub job: Job<'w>,
}

/// Runs a test on it.
pub fn on_ground(body: impl AsyncFn(&mut Ground<'_>)) {
    on_ground_with(|_| {}, body);
}

/// The same, after this was done to the account while it was empty.
pub fn on_ground_with(before: impl Fn(&Aws), body: impl AsyncFn(&mut Ground<'_>)) {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        before(&aws);
        let account = Account::make(&aws);
        let job = Layout::new(4).unwatched().lay_out(world).await;
        let mut ground = Ground { world, aws, account, job };
        ground.deploy(&ground.deployment()).await;
        body(&mut ground).await;
    });
}

impl Ground<'_> {
    /// The record that setup writes.
    pub fn deployment(&self) -> Deployment {
        let made = |name: &str, id: &str| Resource { name: name.to_owned(), id: id.to_owned(), made: true };
        let account = &self.account;
        Deployment {
            schema: 1,
            name: "test".to_owned(),
            place: Location::new(world::BUCKET, "").expect("a place"),
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            by: "a test".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: Default::default(),
            role: made(&account.role, &account.role),
            instance_profile: made(&account.profile, &account.profile),
            launch_template: made("dayfly-test", &account.template),
            vpc: "vpc-1".to_owned(),
            subnets: account
                .subnets
                .iter()
                .take(3)
                .map(|(id, zone)| Subnet { id: id.clone(), zone: zone.clone(), public: true })
                .collect(),
            security_groups: vec![made("dayfly-test", &account.group)],
            made_bucket: false,
            kms_key: None,
            ssm: false,
            fleet_shut_off: true,
            log_group: None,
            ecr_repository: None,
            agents: Vec::new(),
            isolate: false,
            keep_logs_days: None,
            ecr_push: false,
            owner: "somebody".to_owned(),
            project: "tests".to_owned(),
        }
    }

    /// Writes it.
    pub async fn deploy(&self, deployment: &Deployment) {
        let store = self.world.server().store(world::BUCKET).await;
        let body = to_json(deployment).into();
        let key = key(&deployment.place);
        store.put(&key, body, &Attributes::json(), &Condition::Overwrite).await.expect("the record is written");
    }

    /// Starts `dayfly launch` with these flags.
    pub fn start_launch(&self, flags: &str) -> Program {
        let url = self.job.url();
        let words = ["launch", &url].into_iter().chain(flags.split_whitespace()).collect::<Vec<_>>();
        self.world.start_dayfly(&words)
    }

    /// The same to its end.
    pub async fn launch(&self, flags: &str) -> Ended {
        self.start_launch(flags).ended().await
    }

    /// Runs any command of dayfly's on the job.
    pub async fn dayfly(&self, verb: &str, flags: &str) -> Ended {
        let url = self.job.url();
        let words = [verb, &url].into_iter().chain(flags.split_whitespace()).collect::<Vec<_>>();
        self.world.dayfly(&words).await
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

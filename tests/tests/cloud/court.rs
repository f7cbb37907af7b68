//! Who calls AWS in these tests, and the judgement at a test's end: every call was allowed by what `dayfly setup --print`
//! has for its caller, denials included, nobody else called, and what the test says it shows used was used.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::rc::Rc;

use dayfly_tests::aws::{ACCOUNT, Aws, Call, OPERATOR};
use dayfly_tests::metadata::key_of;
use dayfly_tests::policy::{Judge, Principal};
use dayfly_tests::program::Ended;
use dayfly_tests::{Kind, Program, World, run};
use serde_json::Value;

use crate::ledger::{Page, Whom};

/// One test's world with all of AWS, and everybody in it who has policies.
pub struct Court<'w> {
    pub world: &'w World,
    pub aws: Aws,
    crews: RefCell<Vec<Rc<Crew<'w>>>>,
    pages: RefCell<Vec<Page>>,
    guests: RefCell<Vec<(String, Value)>>,
}

/// The people and agents of one deployment: who sets up and who runs jobs have an access key each.
pub struct Crew<'w> {
    world: &'w World,
    setter: String,
    runner: String,
    /// What setup prints, for the place and options that it is told.
    pub policies: Value,
    /// The agents' role.
    pub role: String,
    isolated: bool,
}

/// Runs a test, and judges it.
pub fn in_court(body: impl AsyncFn(&Court<'_>)) {
    run(Kind::Aws, async |world: &World| {
        let court = Court {
            world,
            aws: world.aws(),
            crews: RefCell::default(),
            pages: RefCell::default(),
            guests: RefCell::default(),
        };
        body(&court).await;
        court.judge();
    });
}

/// What `dayfly setup` prints for a place and options, asked without a look at the account.
pub async fn printed(world: &World, place: &str, options: &[&str]) -> Value {
    let words = [&["setup", place][..], options, &["--print", "--account", ACCOUNT]].concat();
    let ended = world.dayfly(&words).await;
    ended.expect(0, &[]);
    serde_json::from_str(&ended.said).unwrap_or_else(|e| panic!("{e}: {}", ended.said))
}

impl<'w> Court<'w> {
    /// The crew of a deployment that is to be, with the rights that these options bring.
    pub async fn crew(&self, place: &str, options: &[&str]) -> Rc<Crew<'w>> {
        let mut printed = printed(self.world, place, options).await;
        let nth = self.crews.borrow().len();
        let crew = Rc::new(Crew {
            world: self.world,
            setter: format!("THEADMINISTRATOR{nth}"),
            runner: format!("THEOPERATOR{nth}"),
            role: printed["resources"]["role"].as_str().expect("a role").to_owned(),
            policies: printed["policies"].take(),
            isolated: options.contains(&"--isolate"),
        });
        self.crews.borrow_mut().push(Rc::clone(&crew));
        crew
    }

    /// This test shows what the page of the ledger lists.
    pub fn shows(&self, page: Page) {
        self.pages.borrow_mut().push(page);
    }

    /// Somebody with an access key and a policy of their own.
    pub fn admit(&self, key: &str, policy: Value) {
        self.guests.borrow_mut().push((key.to_owned(), policy));
    }

    fn judge(&self) {
        let calls = self.aws.calls();
        // A role that teardown removed was in its profile, which has its name.
        let machines = self.aws.machines().into_iter();
        let agents: BTreeMap<String, String> =
            machines.filter_map(|machine| Some((key_of(&machine.id), machine.profile?))).collect();
        let mut used: BTreeSet<(Whom, String)> = BTreeSet::new();
        let mut judged = BTreeSet::new();
        for crew in self.crews.borrow().iter() {
            let own = |key: &str| agents.get(key).is_some_and(|role| *role == crew.role);
            for whom in Whom::ALL {
                let by = |key: &str| match whom {
                    Whom::Role => own(key) && !crew.isolated,
                    Whom::IsolatedRole => own(key) && crew.isolated,
                    Whom::Run => key == crew.runner,
                    Whom::Setup => key == crew.setter,
                };
                let of = |call: &&Call| call.key.as_deref().is_some_and(by);
                let theirs: Vec<Call> = calls.iter().filter(of).cloned().collect();
                judged.extend(theirs.iter().filter_map(|call| call.key.clone()));
                let judge = crew.judge(whom);
                assert_eq!(judge.refused(&theirs), Vec::<String>::new(), "calls of {whom:?} at {}", crew.role);
                // A right shows its use where the call came through.
                let done: Vec<Call> = theirs.into_iter().filter(|call| call.status.is_some_and(|s| s < 400)).collect();
                used.extend(judge.used(&done).into_iter().map(|permission| (whom, plain(&permission))));
            }
        }
        for (key, policy) in self.guests.borrow().iter() {
            let judge = Judge::of(Principal::user("guest")).identity("guest", policy);
            assert_eq!(judge.refused(&self.aws.calls_by(key)), Vec::<String>::new(), "calls of {key}");
            judged.insert(key.clone());
        }
        let strangers: BTreeSet<String> = calls.iter().filter(|call| !is_known(call, &judged)).map(told).collect();
        assert_eq!(strangers, BTreeSet::new(), "calls of nobody whose policies are known");
        let pages = self.pages.borrow();
        let claimed = pages.iter().flat_map(|page| page.entries());
        let not: Vec<_> =
            claimed.filter(|(whom, permission)| !used.contains(&(*whom, (*permission).to_owned()))).collect();
        assert!(not.is_empty(), "this test is to show these used, and does not: {not:#?}\n{used:#?}");
    }
}

/// Who is judged; besides, the test itself lays out buckets and objects, in its world's name or in none.
fn is_known(call: &Call, judged: &BTreeSet<String>) -> bool {
    match call.key.as_deref() {
        Some(OPERATOR) => call.service == "s3",
        Some(key) => judged.contains(key),
        None => call.action == "CreateBucket",
    }
}

fn told(call: &Call) -> String {
    format!("{:?}: {}:{} {}", call.key, call.service, call.action, call.request)
}

/// A permission without the name of its policy.
pub fn plain(permission: &str) -> String {
    permission.split_once('/').map_or(permission, |(_, of)| of).to_owned()
}

impl Crew<'_> {
    /// The access key of who sets up.
    pub fn setter(&self) -> &str {
        &self.setter
    }

    /// The policies of one of them, the bucket's included, whatever else it has.
    pub fn judge(&self, whom: Whom) -> Judge {
        let principal = match whom {
            Whom::Role | Whom::IsolatedRole => Principal::role(&self.role),
            Whom::Run | Whom::Setup => Principal::user("somebody"),
        };
        let policy = whom.policy();
        Judge::of(principal).identity(policy, &self.policies[policy]).resource("bucket", &self.policies["bucket"])
    }

    fn start(&self, key: &str, words: &[&str], change: impl FnOnce(&mut Command)) -> Program {
        self.world.start_dayfly_with(words, |command| {
            command.env("AWS_ACCESS_KEY_ID", key);
            change(command);
        })
    }

    /// Starts `dayfly` as who runs jobs, with changes to its environment.
    pub fn start_run_with(&self, words: &[&str], change: impl FnOnce(&mut Command)) -> Program {
        self.start(&self.runner, words, change)
    }

    /// The same without.
    pub fn start_run(&self, words: &[&str]) -> Program {
        self.start_run_with(words, |_| {})
    }

    /// The same to its end.
    pub async fn runs(&self, words: &[&str]) -> Ended {
        self.start_run(words).ended().await
    }

    /// Runs `dayfly` as who sets up.
    pub async fn sets(&self, words: &[&str]) -> Ended {
        self.start(&self.setter, words, |_| {}).ended().await
    }
}

//! The whole of it, as a person does it: setup, seed, launch; a notice, a death; the end, the cost, teardown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dayfly_tests::aws::{Aws, Machine, Trouble};
use dayfly_tests::metadata::key_of;
use dayfly_tests::{Instances, Job, World};
use serde_json::Value;

use crate::court::in_court;
use crate::forbidden;
use crate::ledger::{Page, Whom};

/// The deployment's place, in a bucket that is not there yet, and a job below it.
const PLACE: &str = "s3://made-by-setup/jobs";
const JOB: &str = "s3://made-by-setup/jobs/one/";
const ROLE: &str = "dayfly-made-by-setup-jobs-us-east-1";
const TASKS: usize = 14;
/// How long before its end a spot machine is told here; EC2 says two minutes. Its agent keeps 40 s for its uploads.
const NOTICE: Duration = Duration::from_secs(48);

/// The words of a command line.
fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn inputs(world: &World) -> PathBuf {
    let folder = world.folder().join("inputs");
    std::fs::create_dir(&folder).expect("a folder");
    for n in 0..TASKS {
        let bytes: Vec<u8> = (0..5000 + n).map(|at| (at * 31 + n) as u8).collect();
        std::fs::write(folder.join(format!("in{n}.dat")), bytes).expect("an input");
    }
    std::fs::write(world.folder().join("kernel.dat"), [7, 11, 13, 17, 19, 23, 29]).expect("a kernel");
    folder
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Holds every such call that the machine's agent makes: its task is in hand for as long as that.
fn hold(aws: &Aws, machine: &Machine, action: &str, key: &str) -> dayfly_tests::aws::Set {
    aws.set(Trouble::with("s3", action).signed_by(&key_of(&machine.id)).containing(key).held())
}

#[test]
fn a_fleet_comes_works_is_struck_and_leaves_nothing() {
    in_court(async |court| {
        court.shows(Page::Life);
        let (world, aws) = (court.world, &court.aws);
        let crew = court.crew(PLACE, &[]).await;
        aws.add_dayfly_image(env!("CARGO_PKG_VERSION"));
        crew.sets(&["setup", PLACE]).await.expect(0, &["made      bucket"]);
        let folder = inputs(world);
        let kernel = shown(&world.folder().join("kernel.dat"));
        let seed = format!("seed {JOB} --inputs {} --kernel {kernel} --agents 5 --lease-ttl 6s", shown(&folder));
        crew.runs(&words(&seed)).await.expect(0, &[]);
        let mut job = Job::seeded(world, world.job_bucket("made-by-setup", "jobs/one").await).await;
        let launch = format!("launch {JOB} -n 5 --slots 1 --spot --on-demand-base 1 --instance-type m5.large,c5.large");
        // Two of three zones have no spot machines of one type: others come in their place.
        aws.set(Trouble::with_launches().of_type("m5.large").on_market("spot").no_capacity());
        let dry = crew.runs(&words(&format!("{launch} --dry-run"))).await;
        dry.expect(0, &["5 machines: 4 spot, 1 on demand"]);
        assert_eq!(aws.machines().len(), 0, "a rehearsal starts nothing");
        crew.runs(&words(&launch)).await.expect(0, &["5 machines started", "expected: $"]);

        let all = aws.machines_of(job.location());
        let spot: Vec<&Machine> = all.iter().filter(|machine| machine.market == "spot").collect();
        assert_eq!((all.len(), spot.len()), (5, 4), "{all:#?}");
        let (struck, told) = (spot[0], spot[1]);
        let hold_struck = hold(aws, struck, "PutObject", "/out");
        let hold_told = hold(aws, told, "GetObject", "/in");
        let mut machines = Instances::new(aws, job.location(), world.folder());
        machines.until("both have a task in hand", async |_| hold_struck.held() > 0 && hold_told.held() > 0).await;
        machines.kill(&struck.id);
        machines.get(&told.id).metadata.notice("terminate", NOTICE);
        let ended = machines.get(&told.id).agent.ended().await;
        ended.expect(4, &[]);
        let reasons = machines.get(&told.id).power_offs();
        assert!(matches!(&reasons[..], [reason] if reason.contains("spot")), "{reasons:?}");
        drop((hold_struck, hold_told));

        machines.until("every task is done", async |_| job.bucket.summary().await.is_ok_and(|s| s.is_some())).await;
        machines.gone().await;
        for machine in aws.machines_of(job.location()) {
            let power_offs = machines.get(&machine.id).power_offs().len();
            assert_eq!(power_offs, usize::from(machine.id != struck.id), "{} powered off", machine.id);
        }
        let results = job.bucket.results().await.expect("results");
        let ends: Vec<String> =
            results.iter().flat_map(|r| &r.tenures).map(|tenure| format!("{:?}", tenure.end)).collect();
        assert!(ends.iter().any(|end| end == "Released"), "the told one gave its task back: {ends:?}");
        assert!(ends.iter().any(|end| end == "Expired"), "the struck one's lease expired: {ends:?}");
        job.finish(&[]).await;

        let cost = crew.runs(&["cost", JOB, "--json"]).await;
        cost.expect(0, &[]);
        let bill: Value = serde_json::from_str(cost.said.trim()).unwrap_or_else(|e| panic!("{e}: {}", cost.said));
        let lines = bill["machines"].as_array().expect("machines");
        assert_eq!(lines.len(), 5, "{bill:#}");
        assert!(lines.iter().all(|line| line["dollars"].as_f64().is_some_and(|d| d > 0.0)), "{bill:#}");
        let summary = job.bucket.summary().await.expect("a read").expect("a summary");
        let noted = summary.cost.expect("its cost");
        assert!(noted.dollars > 0.0 && noted.machine_count == 5, "{noted:?}");
        for command in ["ps", "reap"] {
            crew.runs(&[command, JOB]).await.expect(0, &[]);
        }

        // What stands in the account is what was printed, and what all calls are held against.
        assert_eq!(aws.role_policies(ROLE), [("dayfly".to_owned(), crew.policies["role"].clone())]);
        assert_eq!(aws.bucket_policy("made-by-setup").as_ref(), Some(&crew.policies["bucket"]));
        crew.sets(&["teardown", PLACE, "--yes"]).await.expect(0, &["kept", "bucket"]);
        assert_eq!(aws.query("iam", "GetRole", &[("RoleName", ROLE)]).status, 404);
        assert_eq!(job.output("in3.dat").await.map(|output| output.len()), Some(5003), "the bucket stays");

        let agents = all.iter().flat_map(|machine| aws.calls_by(&key_of(&machine.id))).count();
        assert!(agents > 100, "{agents} calls of agents were judged");
        forbidden::to_agents(&crew, Whom::Role, "made-by-setup", "jobs/one/", &["elsewhere/", "jobs", ""]);
        forbidden::to_people(&crew, "made-by-setup");
    });
}

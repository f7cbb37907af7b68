//! The report says what the bucket says.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::records::{AttemptEnd, TaskOutcome, TenureEnd};
use dayfly_tests::browser::Browser;
use dayfly_tests::{Kind, Layout, Rule, World, fabric, run};
use hyper::Method;
use serde_json::Value;

/// What a page has to say, read from the bucket's objects one by one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Truth {
    done: u64,
    failed: u64,
    attempts: u64,
    preempted: u64,
    takeovers: u64,
    bytes: u64,
    agents: BTreeSet<String>,
    gets: u64,
}

impl Truth {
    async fn of(job: &JobBucket) -> Self {
        let mut truth = Truth::default();
        for result in job.results().await.expect("the results") {
            truth.takeovers += result.tenures.iter().filter(|t| t.end == TenureEnd::Expired).count() as u64;
            for task in &result.tasks {
                truth.attempts += task.attempts.len() as u64;
                truth.preempted += task.attempts.iter().filter(|a| a.end == AttemptEnd::Preempted).count() as u64;
                match task.outcome {
                    TaskOutcome::Done { bytes, .. } => (truth.done += 1, truth.bytes += bytes).0,
                    TaskOutcome::Failed { .. } => truth.failed += 1,
                }
            }
        }
        for agent in job.agents().await.expect("the agents") {
            truth.gets += agent.requests.get;
            truth.agents.insert(agent.agent.to_string());
        }
        truth
    }

    /// Holds a report's data against it.
    fn check(&self, report: &Value) {
        let told = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64);
        for (pointer, wanted) in [
            ("/tasks/done", self.done),
            ("/tasks/failed", self.failed),
            ("/attempts/total", self.attempts),
            ("/attempts/preempted", self.preempted),
            ("/attempts/takeovers", self.takeovers),
            ("/output_bytes", self.bytes),
            ("/requests/get", self.gets),
        ] {
            assert_eq!(told(pointer), Some(wanted), "{pointer}");
        }
        let rows = report["timeline"]["rows"].as_array().expect("rows");
        let agents: BTreeSet<String> = rows.iter().filter_map(|row| row["agent"].as_str().map(str::to_owned)).collect();
        assert_eq!((rows.len(), &agents), (self.agents.len(), &self.agents));
        // Every attempt is in one bar, and every task that was done in one bin of each figure.
        let runs = rows.iter().flat_map(|row| row["bars"].as_array().expect("bars")).filter_map(|bar| bar[4].as_u64());
        assert_eq!(runs.sum::<u64>(), self.attempts, "attempts in bars");
        for bins in ["/throughput/done", "/durations/counts"] {
            let bins = report.pointer(bins).and_then(Value::as_array).expect("bins");
            assert_eq!(bins.iter().filter_map(Value::as_u64).sum::<u64>(), self.done);
        }
    }

    /// Holds what a browser showed against it.
    fn check_page(&self, seen: &Value) {
        assert_eq!(seen["errors"], Value::Array(Vec::new()), "the console is quiet");
        let requests = seen["requests"].as_array().expect("requests");
        let outside = requests.iter().filter_map(Value::as_str).filter(|url| url.starts_with("http")).count();
        assert_eq!(outside, 0, "no network: {requests:?}");
        for look in ["first", "other"] {
            let page = &seen[look];
            let figure = |name: &str| page["figures"][name].as_str().unwrap_or_default().replace(',', "");
            let total = self.done + self.failed;
            assert_eq!(figure("done"), format!("{} of {total}", self.done));
            assert_eq!(figure("given-up"), self.failed.to_string());
            assert_eq!(figure("agents"), self.agents.len().to_string());
            assert_eq!(figure("attempts"), self.attempts.to_string());
            assert_eq!(figure("preempted"), self.preempted.to_string());
            assert_eq!(figure("takeovers"), self.takeovers.to_string());
            assert_eq!(page["requests"]["get"].as_str().unwrap_or_default().replace(',', ""), self.gets.to_string());
            assert_eq!(page["rows"].as_u64(), Some(self.agents.len() as u64), "timeline rows");
            assert!(
                page["drawn"].as_u64() > Some(0) && page["colours"].as_u64() > Some(3),
                "something is drawn: {page}"
            );
            assert_eq!(page["sideways"], Value::Bool(false), "nothing is cut off at the side");
        }
        assert_ne!(seen["first"]["background"], seen["other"]["background"], "light and dark differ");
        assert!(seen["zoomed"]["drawn"].as_u64() < seen["first"]["drawn"].as_u64(), "a drag zooms: {}", seen["zoomed"]);
        let tip = seen["tip"].as_str().unwrap_or_default();
        assert!(self.agents.iter().any(|agent| tip.starts_with(agent.as_str())), "a row says whose it is: {tip}");
    }
}

/// Where pictures for the documentation go, if they are wanted: `DAYFLY_PICTURES=docs`.
fn picture(name: &str) -> Option<String> {
    std::env::var("DAYFLY_PICTURES").ok().map(|folder| {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        root.join(folder).join(name).display().to_string()
    })
}

/// The report as data; by way of a file, as it may be large.
async fn json(world: &World, place: &[&str]) -> Value {
    let file = world.folder().join("report.json");
    let out = file.display().to_string();
    let line = [&["report"], place, &["--format", "json", "-o", &out]].concat();
    world.dayfly(&line).await.expect(0, &["report.json"]);
    serde_json::from_slice(&std::fs::read(file).expect("the report")).expect("JSON")
}

/// Made-up jobs of some sizes: data, page, picture and table say what the bucket says.
async fn made_up(world: &World, tasks: usize, agents: usize) {
    let job = world.job_bucket("dayfly", "").await;
    fabric::lay_out(&job, tasks, agents).await;
    let truth = Truth::of(&job).await;
    assert_eq!((truth.done + truth.failed, truth.agents.len()), (tasks as u64, agents));
    let root = world.server().root().display().to_string();
    let file = |name: &str| world.folder().join(name).display().to_string();
    let report = json(world, &["--local", &root]).await;
    truth.check(&report);

    let (page, svg, csv) = (file("page.html"), file("timeline.svg"), file("table.csv"));
    world
        .dayfly(&["report", "--local", &root, "-o", &page, "--timeline", &svg])
        .await
        .expect(0, &["page.html", "over"]);
    world.dayfly(&["report", "--local", &root, "--format", "csv", "-o", &csv]).await.expect(0, &[]);
    let svg = std::fs::read_to_string(svg).expect("the picture");
    assert_eq!(svg.matches("<g class=\"agent\">").count(), agents, "the picture has a row for each agent");
    let csv = std::fs::read_to_string(csv).expect("the table");
    assert_eq!(csv.lines().count() as u64, truth.attempts + 1, "a line for each attempt");

    let Some(browser) = Browser::find() else { return };
    let url = format!("file://{page}");
    let shot = picture(&format!("report-{tasks}.png"));
    let options: Vec<&str> = shot.as_deref().map(|shot| vec!["--screenshot", shot]).unwrap_or_default();
    let seen = browser.look(&url, &options).await;
    truth.check_page(&seen);
    if let Some(shot) = picture(&format!("report-{tasks}-dark.png")) {
        truth.check_page(&browser.look(&url, &["--dark", "--screenshot", &shot]).await);
    }
    let bytes = std::fs::metadata(&page).expect("the page").len();
    println!("{tasks} tasks, {agents} agents: {bytes} bytes, drawn {} ms after the page was asked for", seen["ready"]);
    // What a log says is shown as it is, and is no part of the page.
    for failure in seen["first"]["failures"].as_array().expect("failures").iter().take(50) {
        assert!(failure.as_str().is_some_and(|f| f.contains("<b>the disk of scan-")), "{failure}");
    }
    assert_eq!(seen["first"]["failures"].as_array().map(Vec::len), Some((truth.failed as usize).min(200)));
}

#[test]
fn ten_tasks() {
    run(Kind::Folder, async |world: &World| made_up(world, 10, 3).await);
}

#[test]
fn a_thousand_tasks_on_thirty_agents() {
    run(Kind::Folder, async |world: &World| made_up(world, 2000, 30).await);
}

#[test]
fn a_hundred_thousand_tasks_on_two_hundred_agents() {
    run(Kind::Folder, async |world: &World| made_up(world, 100_000, 200).await);
}

/// A real job, while it runs and after: an agent is killed with a task in hand.
#[test]
fn a_job_that_runs() {
    run(Kind::Endpoint, async |world: &World| {
        let mut job = Layout::new(12).lay_out(world).await;
        let page = world.folder().join("page.html").display().to_string();
        world.dayfly(&["report", &job.url(), "-o", &page]).await.expect(0, &["12 tasks", "idle"]);
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in1.dat"));
        let mut first = job.agent("first").through(&proxy).start();
        world.held(&mut first, &gate).await;
        job.until_announced("in1.dat").await;
        let report = json(world, &[&job.url()]).await;
        assert_eq!((&report["attempts"]["running"], &report["over"]), (&Value::from(1), &Value::from(false)));
        first.kill();
        job.agent("second").start().ended().await.expect(0, &[]);
        let truth = Truth::of(&job.bucket).await;
        assert_eq!((truth.done, truth.takeovers, truth.agents.len()), (12, 1, 2));
        truth.check(&json(world, &[&job.url()]).await);
        world.dayfly(&["report", &job.url(), "-o", &page]).await.expect(0, &["over"]);
        if let Some(browser) = Browser::find() {
            truth.check_page(&browser.look(&format!("file://{page}"), &["--dark"]).await);
        }
        world.dayfly(&["report", "s3://test-bucket/jbo"]).await.expect(1, &["no job at s3://test-bucket/jbo/"]);
        world
            .dayfly(&["report", &job.url(), "-o", "/no/such/folder/x"])
            .await
            .expect(1, &["/no/such/folder/x", "check the path"]);
        job.finish(&[]).await;
    });
}

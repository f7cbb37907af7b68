//! Dollars are the same wherever they are said: in the report, on its page, in status and in what watch shows.

use dayfly_tests::Instances;
use dayfly_tests::aws::Trouble;
use dayfly_tests::browser::Browser;
use dayfly_tests::program::Ended;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::ground::{Ground, on_ground};

/// What a job costs goes on while it is asked about: ten hours of two machines are more than a dollar, and a minute of them
/// is less than a cent.
const TEN_HOURS: u64 = 36_000;
const MEANWHILE: f64 = 0.01;

fn json(ended: &Ended) -> Value {
    ended.expect(0, &[]);
    serde_json::from_str(&ended.said).unwrap_or_else(|e| panic!("{e}: {}", ended.said))
}

fn near(said: &Value, wanted: f64, of: &str) {
    let said = said.as_f64().unwrap_or_else(|| panic!("{of}: {said} is no amount"));
    assert!((said - wanted).abs() < MEANWHILE, "{of} says {said}, and dayfly cost {wanted}");
}

/// The sum of a bill, with its requests; and its machines by type and market.
fn sum(bill: &Value) -> (f64, Vec<(Value, Value, u64, f64)>) {
    let mut pools: Vec<(Value, Value, u64, f64)> = Vec::new();
    for line in bill["machines"].as_array().expect("machines") {
        let (kind, market) = (line["instance_type"].clone(), line["market"].clone());
        let dollars = line["dollars"].as_f64().expect("dollars");
        match pools.iter_mut().find(|pool| (&pool.0, &pool.1) == (&kind, &market)) {
            Some(pool) => (pool.2, pool.3) = (pool.2 + 1, pool.3 + dollars),
            None => pools.push((kind, market, 1, dollars)),
        }
    }
    let machines: f64 = pools.iter().map(|pool| pool.3).sum();
    (machines + bill["requests_charge"]["dollars"].as_f64().expect("of requests"), pools)
}

/// Holds everything that says dollars against `dayfly cost`, and gives what it has cost.
async fn agree(ground: &Ground<'_, '_>) -> f64 {
    let bill = json(&ground.dayfly("cost", "--json").await);
    let (dollars, pools) = sum(&bill);
    near(&json(&ground.dayfly("status", "--cost --json").await)["spent"]["dollars"], dollars, "status");
    ground.dayfly("status", "--cost").await.expect(0, &[&format!("cost     ${dollars:.1}")]);

    let report = json(&ground.dayfly("report", "--json").await);
    near(&report["spent"]["dollars"], dollars, "the report");
    let told = report["spent"]["pools"].as_array().expect("pools");
    assert_eq!(told.len(), pools.len(), "{report:#}");
    for (kind, market, machines, cost) in &pools {
        let pool = told.iter().find(|pool| (&pool["instance_type"], &pool["market"]) == (kind, market));
        let pool = pool.unwrap_or_else(|| panic!("{kind} {market}: {:#}", report["spent"]));
        assert_eq!(pool["machines"], json!(machines), "{pool}");
        near(&pool["dollars"], *cost, "the report's pool");
    }
    let page = ground.world.folder().join("page.html").display().to_string();
    ground.dayfly("report", &format!("-o {page}")).await.expect(0, &[]);
    if let Some(browser) = Browser::find() {
        let seen = browser.look(&format!("file://{page}"), &[]).await;
        assert_eq!(seen["errors"], json!([]));
        let amount = |text: &Value| text.as_str().and_then(|text| text.strip_prefix('$')?.parse::<f64>().ok());
        near(&json!(amount(&seen["first"]["figures"]["cost"])), dollars, "the page");
        let rows = seen["first"]["spent"].as_array().expect("rows");
        let all = rows.iter().find(|row| row[0] == "in all").expect("a sum");
        near(&json!(amount(&all[4])), dollars, "the page's table");
        for (kind, market, _, cost) in &pools {
            let row = rows.iter().find(|row| (&row[0], &row[1]) == (kind, market)).expect("a row");
            near(&json!(amount(&row[4])), *cost, "the page's row");
        }
    }
    dollars
}

#[test]
fn whatever_says_dollars_says_those_of_the_bill() {
    on_ground(async |ground| {
        let held = ground.aws.set(Trouble::with("s3", "GetObject").containing("/in").held());
        let flags = "-n 2 --slots 1 --spot --on-demand-base 1 --instance-type m5.large";
        ground.launch(flags).await.expect(0, &["2 machines started"]);
        let mut machines = Instances::new(ground.aws, ground.job.location(), ground.world.folder());
        machines.until("each has a task in hand", async |_| held.held() == 2).await;
        for machine in ground.up() {
            ground.aws.age(&machine.id, TEN_HOURS);
        }
        let dollars = agree(ground).await;
        assert!(dollars > 0.9, "ten hours of a machine on demand are in it: {dollars}");

        // While it runs: an event for programs, a line for logs.
        let url = ground.job.url();
        let mut events = ground.start(&["watch", &url, "--json"]);
        let mut lines = ground.start(&["watch", &url]);
        let status = |said: String| {
            let event =
                |line: &str| serde_json::from_str::<Value>(line).ok().filter(|event| event["event"] == "status");
            said.lines().find_map(event)
        };
        ground.world.until("an event", async || status(events.said()).is_some()).await;
        near(&status(events.said()).expect("an event")["dollars"], dollars, "the event");
        ground.world.until("a line", async || lines.said().contains("so far")).await;
        let said = lines.said();
        let amount = said.split('$').nth(1).and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
        near(&json!(amount), dollars, "the line");
        for watch in [&mut events, &mut lines] {
            watch.signal(Signal::INT);
            watch.ended().await.expect(4, &[]);
        }

        held.take_back();
        machines.gone().await;
        let dollars = agree(ground).await;
        // Once it is over the bucket knows it too, and watch says it at its end.
        let noted = json(&ground.dayfly("status", "--json").await);
        near(&noted["spent"]["dollars"], dollars, "status from the bucket");
        ground.dayfly("status", "").await.expect(0, &["cost     $", "by dayfly cost"]);
        ground.dayfly("watch", "").await.expect(0, &["state    over", "cost     $"]);
        ground.job.finish(&[]).await;
    });
}

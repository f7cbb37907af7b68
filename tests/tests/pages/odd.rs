//! Reports of jobs that did not go as jobs go: nothing ran, it was cancelled, all of it failed; and what programs used.

use dayfly_tests::browser::Browser;
use dayfly_tests::programs::{JOB, inputs, seed};
use dayfly_tests::{Kind, World, run};
use serde_json::{Value, json};

/// The report as data.
async fn told(world: &World) -> Value {
    let ended = world.dayfly(&["report", JOB, "--json"]).await;
    ended.expect(0, &[]);
    serde_json::from_str(&ended.said).unwrap_or_else(|e| panic!("{e}: {}", ended.said))
}

/// What a browser shows of the page, whose console has to be quiet; none where there is no browser.
async fn seen(world: &World) -> Option<Value> {
    let (page, svg) = (world.folder().join("page.html"), world.folder().join("page.svg"));
    let line = ["report", JOB, "-o", &page.display().to_string(), "--timeline", &svg.display().to_string()];
    world.dayfly(&line).await.expect(0, &["page.html", "page.svg"]);
    let svg = std::fs::read_to_string(svg).expect("the picture");
    assert!(svg.contains("</svg>") && !svg.contains("NaN"), "{svg}");
    let seen = Browser::find()?.look(&format!("file://{}", page.display()), &[]).await;
    assert_eq!(seen["errors"], json!([]), "the console is quiet");
    for figure in seen["first"]["figures"].as_object().expect("figures").values() {
        assert!(!figure.to_string().contains("NaN"), "{}", seen["first"]["figures"]);
    }
    Some(seen["first"].clone())
}

async fn rows(world: &World) -> usize {
    let ended = world.dayfly(&["report", JOB, "--format", "csv"]).await;
    ended.expect(0, &["task,name,attempt,"]);
    // An error's text may take several lines.
    ended.said.lines().filter(|line| line.starts_with("000")).count()
}

async fn agent(world: &World, code: i32) {
    let location = JOB.parse().expect("a location");
    world.agent(&location, "one").start().ended().await.expect(code, &[]);
}

#[test]
fn a_job_that_nothing_has_run_of() {
    run(Kind::Endpoint, async |world: &World| {
        let folder = inputs(world, &[("a", "1"), ("b", "2")]);
        seed(world, &["--inputs", &folder, "cat {input}"]).await;
        let report = told(world).await;
        assert_eq!((&report["tasks"]["total"], &report["attempts"]["total"]), (&json!(2), &json!(0)), "{report:#}");
        assert_eq!((&report["first"], &report["usage"], &report["over"]), (&Value::Null, &Value::Null, &json!(false)));
        assert!(report["state"].as_str().is_some_and(|state| state.contains("idle")), "{}", report["state"]);
        assert_eq!(rows(world).await, 0);
        if let Some(page) = seen(world).await {
            let figures = &page["figures"];
            assert_eq!((&figures["done"], &figures["took"]), (&json!("0 of 2"), &json!("-")), "{figures}");
            assert_eq!((&page["rows"], &page["hungriest"]), (&json!(0), &json!([])), "{page}");
        }
    });
}

#[test]
fn a_job_that_was_cancelled() {
    run(Kind::Endpoint, async |world: &World| {
        let folder = inputs(world, &[("a", "1"), ("b", "2")]);
        seed(world, &["--inputs", &folder, "--glob", "a", "cat {input}"]).await;
        agent(world, 0).await;
        seed(world, &["--inputs", &folder, "cat {input}"]).await;
        world.dayfly(&["cancel", JOB, "--why", "it was for nothing"]).await.expect(0, &[]);
        agent(world, 5).await;
        let report = told(world).await;
        assert_eq!((&report["tasks"]["total"], &report["tasks"]["done"]), (&json!(2), &json!(1)), "{report:#}");
        assert_eq!((&report["attempts"]["total"], &report["over"]), (&json!(1), &json!(false)));
        let state = report["state"].as_str().unwrap_or_default();
        assert!(state.contains("cancelled: it was for nothing") && state.contains("dayfly resume"), "{state}");
        assert_eq!(rows(world).await, 1);
        if let Some(page) = seen(world).await {
            assert_eq!(page["figures"]["done"], "1 of 2");
            assert!(page["state"].as_str().is_some_and(|state| state.contains("it was for nothing")), "{page}");
        }
    });
}

#[test]
fn a_job_of_which_all_failed() {
    run(Kind::Endpoint, async |world: &World| {
        let folder = inputs(world, &[("a", "1"), ("b", "2")]);
        // In two ways: one and the same from the first on would suspend the job.
        let program = "echo no luck >&2; test {name} = a && exit 3; exit 4";
        let line = ["--inputs", &folder, "--max-attempts", "2", "--shell", program];
        seed(world, &line).await;
        agent(world, 0).await;
        let report = told(world).await;
        assert_eq!((&report["tasks"]["failed"], &report["tasks"]["done"]), (&json!(2), &json!(0)), "{report:#}");
        assert_eq!((&report["attempts"]["failed"], &report["attempts"]["retried"]), (&json!(4), &json!(2)));
        assert_eq!((&report["slowest"], &report["durations"]["median"]), (&json!([]), &Value::Null));
        assert_eq!(report["failures"].as_array().map(Vec::len), Some(2));
        // What failed attempts used is worth most.
        assert_eq!(report["hungriest"].as_array().map(Vec::len), Some(4), "{report:#}");
        assert!(report["hungriest"].as_array().expect("rows").iter().all(|one| one["end"] == "failed"), "{report:#}");
        assert_eq!(rows(world).await, 4);
        if let Some(page) = seen(world).await {
            assert_eq!((&page["figures"]["done"], &page["figures"]["given-up"]), (&json!("0 of 2"), &json!("2")));
            assert_eq!(page["failures"].as_array().map(Vec::len), Some(2));
        }
    });
}

/// One task takes memory and time, the other none: figures, tables, and the history of the task say which.
#[test]
fn what_programs_used() {
    run(Kind::Endpoint, async |world: &World| {
        let folder = inputs(world, &[("idle", "1"), ("large", "2")]);
        // Some 80 MB that are touched, and some hundredths of a second of work.
        let large = "head -c 80000000 /dev/zero | tr '\\0' x > $TMPDIR/x; x=$(cat $TMPDIR/x); test ${{#x}} = 80000000";
        let program = format!("test {{name}} = idle || {{{{ {large}; }}; cat {{input}}");
        seed(world, &["--inputs", &folder, "--shell", &program]).await;
        agent(world, 0).await;
        let report = told(world).await;
        let hungriest = report["hungriest"].as_array().expect("rows");
        let names: Vec<_> = hungriest.iter().filter_map(|one| one["name"].as_str()).collect();
        assert_eq!(names, ["large", "idle"], "{report:#}");
        let (memory, cpu) =
            (&hungriest[0]["peak_memory_bytes"], hungriest[0]["cpu_seconds"].as_f64().unwrap_or_default());
        assert!(memory.as_u64() > Some(80_000_000) && cpu > 0.01, "{report:#}");
        assert_eq!((&report["usage"]["attempts"], &report["usage"]["peak_memory_bytes"]), (&json!(2), memory));
        assert!(
            report["slowest"].as_array().expect("rows").iter().all(|slow| slow["cpu_seconds"].is_number()),
            "{report:#}"
        );

        let csv = world.dayfly(&["report", JOB, "--format", "csv"]).await.said;
        let columns = |line: &str| line.trim().split(',').map(str::to_owned).collect::<Vec<_>>();
        let head = columns(csv.lines().next().expect("a head"));
        let at = |name: &str| head.iter().position(|column| column == name).expect("a column");
        let line = columns(csv.lines().find(|line| line.contains(",large,")).expect("a line"));
        assert_eq!(line.len(), head.len(), "{csv}");
        assert_eq!(line[at("peak_memory_bytes")], memory.to_string());
        assert_eq!(line[at("cpu_seconds")].parse::<f64>().ok(), Some(cpu));

        let described = world.dayfly(&["describe", JOB, "large"]).await;
        described.expect(0, &["of memory at most", "of CPU"]);
        let json = world.dayfly(&["describe", JOB, "large", "--json"]).await.said;
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(&json["chapters"][0]["attempts"][0]["usage"]["peak_memory_bytes"], memory, "{json:#}");

        if let Some(page) = seen(world).await {
            let mb = format!("{:.1} MB", memory.as_f64().unwrap_or_default() / 1e6);
            assert_eq!(page["figures"]["memory"], json!(mb), "{page}");
            let rows = page["hungriest"].as_array().expect("rows");
            assert_eq!((rows.len(), &rows[0][0], &rows[0][1]), (2, &json!("large"), &json!(mb)), "{page}");
        }
    });
}

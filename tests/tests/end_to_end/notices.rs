//! Telling that a job is over: once, by whoever is there.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use dayfly_shared::bucket::JobBucket;
use dayfly_tests::listener::{Asked, Said, listen};
use dayfly_tests::programs::{JOB, file, inputs};
use dayfly_tests::{World, on_endpoint, world};
use serde_json::Value;

/// The hook's path, which is its secret.
const PATH: &str = "/services/a-secret-of-this-hook";

/// What a webhook was sent.
#[derive(Clone, Default)]
struct Hook(Arc<Mutex<Vec<Asked>>>);

impl Hook {
    /// Its URL; the answer to each by its number.
    fn open(&self, answer: impl Fn(usize) -> Said + Send + Sync + 'static) -> String {
        let all = Arc::clone(&self.0);
        let url = listen(move |asked| {
            // Whoever asked for something at this port before it was this hook's is not heard.
            if asked.path != PATH {
                return Said::new(404, "");
            }
            let nth = {
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(asked.clone());
                all.len()
            };
            answer(nth)
        });
        format!("{url}{PATH}")
    }

    fn told(&self) -> Vec<Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Seeds one task, with this hook.
async fn seed(world: &World, options: &[&str]) -> JobBucket {
    let folder = inputs(world, &[("a", "1"), ("b", "2")]);
    let line = ["seed", JOB, "--inputs", &folder, "--lease-ttl", "5s", "--max-attempts", "1", "--shell"];
    let command = "grep -q 1 {input} && echo done";
    world.dayfly(&[&line[..], &[command], options].concat()).await.expect(0, &[]);
    world.job_bucket(world::BUCKET, "job").await
}

/// The record of the only end there was: one of the two tasks is given up.
async fn record(job: &JobBucket) -> Option<Value> {
    let end = job.summary().await.expect("a read")?;
    assert_eq!(job.keys.notice(&end), "job/notified/0001-0000001.json");
    let (record, _) = job.notice(&end).await.expect("a read")?;
    serde_json::to_value(record).ok()
}

/// Makes an object look this old: the endpoint's times are those of its files.
fn age(world: &World, key: &str, by: Duration) {
    let found = find(world.folder().to_owned(), key).unwrap_or_else(|| panic!("no file for {key}"));
    let file = std::fs::File::options().write(true).open(found).expect("the object's file");
    let now = file.metadata().and_then(|meta| meta.modified()).expect("its time");
    file.set_modified(now - by).expect("its time is set");
}

fn find(folder: PathBuf, end: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => find(path, end),
            false => path.ends_with(end).then_some(path),
        }
    })
}

on_endpoint! {
    /// The record of it lies in the bucket, and its age is what counts: one server whose times a test can set.
    async fn a_webhook_is_told_once(world: &World) {
        let hook = Hook::default();
        // Busy at first.
        let url = hook.open(|nth| Said::new(if nth == 1 { 503 } else { 200 }, "ok"));
        let job = seed(world, &["--notify", &url]).await;
        let agent = |name: &str| world.agent(&job.location, name).start();
        let mut agents = ["one", "two", "three"].map(agent);
        for agent in &mut agents {
            agent.ended().await.expect(0, &[]);
        }
        agent("late").ended().await.expect(0, &[]);
        world.dayfly(&["status", JOB]).await.expect(0, &["1 of 2 done, 1 given up"]);
        world.dayfly(&["clean", JOB, "--yes"]).await.expect(0, &[]);
        let told = hook.told();
        assert_eq!(told.len(), 2, "refused once, told once: {told:#?}");
        assert_eq!(told[1].method, "POST");
        assert_eq!(told[1].headers.get("content-type").map(String::as_str), Some("application/json"));
        let notice: Value = serde_json::from_str(&told[1].body).expect("JSON");
        let text = notice["text"].as_str().expect("a text");
        assert!(text.contains("s3://test-bucket/job/ is over: 1 done, 1 given up"), "{text}");
        assert_eq!((&notice["done"], &notice["failed"], &notice["job"]), (&1.into(), &1.into(), &"s3://test-bucket/job/".into()));
        // This store is not AWS's, and has no page in its console.
        assert!(notice.get("console").is_none() && !text.contains("console"), "{notice}");
        let record = record(&job).await.expect("a record");
        assert_eq!((&record["state"], &record["told"][0]["to"]), (&"sent".into(), &"http://127.0.0.1/…".into()), "{record}");
        assert!(!record.to_string().contains("secret"), "{record}");

        // More lines are another end.
        world.dayfly(&["retry", JOB, "--all"]).await.expect(0, &[]);
        agent("again").ended().await.expect(0, &[]);
        assert_eq!(hook.told().len(), 3);
        assert!(job.store().head("job/notified/0002-0000001.json").await.expect("a head").is_some());
    }

    /// Who told died before it could write that down: an agent that is there takes over, once that is sure.
    async fn a_dead_teller_is_stood_in_for_by_an_agent(world: &World) {
        let hook = Hook::default();
        // The first gets no answer as long as the test keeps its end of this.
        let (kept, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let url = hook.open(move |nth| {
            if nth == 1 {
                let _ = held.lock().unwrap_or_else(PoisonError::into_inner).recv();
            }
            Said::new(200, "ok")
        });
        let job = seed(world, &["--notify", &url]).await;
        let mut one = world.agent(&job.location, "one").start();
        world.until("it tells", async || hook.told().len() == 1).await;
        one.kill();
        drop(kept);
        assert_eq!(record(&job).await.expect("a record")["state"], "sending");
        // It may be alive: nobody tells a second time yet, and no agent goes.
        let mut two = world.agent(&job.location, "two").start();
        world.until("the other is there", async || job.agents().await.is_ok_and(|all| all.len() == 2)).await;
        world.dayfly(&["status", JOB]).await.expect(0, &[]);
        assert!(two.runs(), "it does not go: {}", two.said());
        assert_eq!(hook.told().len(), 1, "{:#?}", hook.told());
        age(world, "job/notified/0001-0000001.json", Duration::from_secs(150));
        two.ended().await.expect(0, &[]);
        assert_eq!(hook.told().len(), 2);
        let record = record(&job).await.expect("a record");
        assert!(record["state"] == "sent" && record["by"].as_str().is_some_and(|by| by.starts_with("two-")), "{record}");
        world.dayfly(&["status", JOB]).await.expect(0, &[]);
        assert_eq!(hook.told().len(), 2);
    }

    /// No agent is left: the next command that looks at the job does.
    async fn a_dead_teller_is_stood_in_for_by_a_command(world: &World) {
        let hook = Hook::default();
        let url = hook.open(|_| Said::new(200, "ok"));
        let job = seed(world, &["--notify", &url]).await;
        world.agent(&job.location, "one").start().ended().await.expect(0, &[]);
        assert_eq!(hook.told().len(), 1);
        // As if it had died after the summary.
        let key = "job/notified/0001-0000001.json";
        job.store().delete(key, None).await.expect("a delete");
        world.dayfly(&["watch", JOB]).await.expect(3, &[]);
        assert_eq!(hook.told().len(), 1, "the end was just now");
        age(world, "job/summary.json", Duration::from_secs(90));
        world.dayfly(&["watch", JOB]).await.expect(3, &["told that the job is over, as nobody had: http://127.0.0.1/"]);
        world.dayfly(&["watch", JOB]).await.expect(3, &[]);
        assert_eq!(hook.told().len(), 2);
    }

    /// A hook that is not there keeps no machine, and is not passed over in silence.
    async fn a_webhook_that_refuses_is_said(world: &World) {
        let hook = Hook::default();
        let url = hook.open(|_| Said::new(404, "no_such_hook"));
        let job = seed(world, &["--notify", &url]).await;
        world.agent(&job.location, "one").start().ended().await.expect(0, &[]);
        assert_eq!(hook.told().len(), 1, "no use in trying again");
        let record = record(&job).await.expect("a record");
        assert!(record["told"][0]["error"].as_str().is_some_and(|why| why.contains("HTTP 404 no_such_hook")), "{record}");
        let status = world.dayfly(&["status", JOB]).await;
        status.expect(0, &["warning: it could not be told that the job is over, to http://127.0.0.1/…: HTTP 404"]);
        assert!(!status.said.contains("a-secret-of-this-hook"), "{}", status.said);
        for (wrong, why) in [
            ("http://hooks.example/a-secret", "only https:// is taken"),
            ("jobs", "is nobody who can be told"),
            ("arn:aws:sqs:us-east-1:123456789012:q", "no topic of SNS"),
            ("ssm:", "names no secret"),
        ] {
            let ended = world.dayfly(&["seed", JOB, "--demo", "--notify", wrong]).await;
            ended.expect(2, &[why]);
        }
    }

    /// By a certificate of the test's own authority.
    async fn a_webhook_is_told_over_tls(world: &World) {
        let (key, certificate) = (world.folder().join("key.pem"), world.folder().join("certificate.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=hook"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout").arg(&key).arg("-out").arg(&certificate)
            .output();
        if !made.is_ok_and(|made| made.status.success()) {
            println!("SKIPPED: there is no openssl");
            return;
        }
        let server = file(world, "hook.py", HOOK);
        let mut command = Command::new("python3");
        command.arg(server).args([&key, &certificate]).current_dir(world.folder());
        let mut server = dayfly_tests::Program::start("the hook", &mut command, &world.folder().join("hook.log"));
        world.until("it listens", async || server.said().contains("port ")).await;
        let port = server.said().lines().find_map(|line| line.strip_prefix("port ").map(str::to_owned)).expect("a port");
        let url = format!("https://127.0.0.1:{port}/hook");
        let job = seed(world, &["--notify", &url]).await;
        let trusting = world.agent(&job.location, "one").env("SSL_CERT_FILE", &certificate.display().to_string());
        trusting.start().ended().await.expect(0, &[]);
        world.until("it was told", async || server.said().contains("is over")).await;
        assert_eq!(record(&job).await.expect("a record")["told"][0].get("error"), None);
        server.end();
    }
}

/// A hook with TLS, which writes what it is told.
const HOOK: &str = r#"
import http.server, ssl, sys

class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["content-length"])).decode(), flush=True)
        self.send_response(204)
        self.end_headers()

server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[1])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("port", server.server_address[1], flush=True)
server.serve_forever()
"#;

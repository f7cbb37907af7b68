//! Telling that a job is over: once, by whoever is there.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// The files of a folder that hold this text, but those whose names end so.
fn holding(folder: &Path, text: &str, but: &[&str]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found = Vec::new();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            found.extend(holding(&path, text, but));
        } else if !but.iter().any(|end| name.ends_with(end)) {
            let bytes = std::fs::read(&path).unwrap_or_default();
            found.extend(bytes.windows(text.len()).any(|window| window == text.as_bytes()).then_some(path.clone()));
        }
    }
    found
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

    /// Of two webhooks one is not there: whoever looks tries that one, and leaves the other alone.
    async fn who_was_told_is_not_told_again(world: &World) {
        let (good, bad) = (Hook::default(), Hook::default());
        let urls = [good.open(|_| Said::new(200, "ok")), bad.open(|_| Said::new(404, ""))];
        let job = seed(world, &["--notify", &urls[0], "--notify", &urls[1]]).await;
        world.agent(&job.location, "one").start().ended().await.expect(0, &[]);
        // As if it had died after the summary.
        let key = "job/notified/0001-0000001.json";
        job.store().delete(key, None).await.expect("a delete");
        age(world, "job/summary.json", Duration::from_secs(90));
        for looks in 1..=3 {
            world.dayfly(&["status", JOB]).await.expect(0, &["it could not be told that the job is over"]);
            assert_eq!((good.told().len(), bad.told().len()), (2, 1 + looks), "{looks}");
            age(world, key, Duration::from_secs(150));
        }
    }

    /// Whoever can write to a bucket elsewhere does not choose what this machine posts to its own services. The bucket is
    /// elsewhere by its name alone: connections to that address come here.
    async fn a_command_tells_no_webhook_of_its_own_machine_of_a_job_elsewhere(world: &World) {
        let hook = Hook::default();
        let url = hook.open(|_| Said::new(200, "ok"));
        let job = seed(world, &["--notify", &url]).await;
        world.agent(&job.location, "one").start().ended().await.expect(0, &[]);
        let key = "job/notified/0001-0000001.json";
        job.store().delete(key, None).await.expect("a delete");
        age(world, "job/summary.json", Duration::from_secs(90));
        let elsewhere = world.server().url().replace("127.0.0.1", "0.0.0.0");
        let status = world.start_dayfly_with(&["status", JOB], |command| {
            command.env("AWS_ENDPOINT_URL", &elsewhere);
        });
        let said = "to http://127.0.0.1/…: a command tells a webhook on its own machine only of jobs";
        { status }.ended().await.expect(0, &["1 of 2 done, 1 given up", said]);
        assert_eq!(hook.told().len(), 1);
        age(world, key, Duration::from_secs(150));
        world.dayfly(&["status", JOB]).await.expect(0, &["told that the job is over"]);
        assert_eq!(hook.told().len(), 2);
    }

    /// A hook that is not there keeps no machine, and is not passed over in silence.
    async fn a_webhook_that_refuses_is_said(world: &World) {
        let hook = Hook::default();
        let url = hook.open(|_| Said::new(404, format!("<pre>Cannot POST {PATH}</pre>")));
        let job = seed(world, &["--notify", &url]).await;
        world.agent(&job.location, "one").start().ended().await.expect(0, &[]);
        assert_eq!(hook.told().len(), 1, "no use in trying again");
        let record = record(&job).await.expect("a record");
        assert!(record["told"][0]["error"].as_str().is_some_and(|why| why.contains("HTTP 404: nothing takes notices")), "{record}");
        assert!(!record.to_string().contains("a-secret"), "{record}");
        assert_eq!(holding(world.folder(), "a-secret-of-this-hook", &["job.json", "0001.json"]), Vec::<PathBuf>::new());
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

    /// A key that was forgotten, a token that is no URL, a hook that repeats what it was asked for.
    async fn nothing_of_a_secret_gets_out(world: &World) {
        let hook = Hook::default();
        let url = hook.open(|_| Said::new(404, format!("<pre>Cannot POST {PATH}</pre>")));
        let vault = listen(move |asked| {
            let asked: Value = serde_json::from_str(&asked.body).unwrap_or_default();
            let held = match asked["SecretId"].as_str().or_else(|| asked["Name"].as_str()).unwrap_or_default() {
                "object" => r#"{"password":"hunter-a-secret","url":"https://a-secret.example/a-secret"}"#,
                "/token" => "xoxb-a-secret://a-secret-host?a-secret",
                _ => url.as_str(),
            };
            Said::new(200, serde_json::json!({ "SecretString": held, "Parameter": { "Value": held } }).to_string())
        });
        let notify = ["--notify", "secretsmanager:object", "--notify", "ssm:/token", "--notify", "ssm:/hook"];
        let job = seed(world, &notify).await;
        let agent = world.agent(&job.location, "one").env("AWS_ENDPOINT_URL_SSM", &vault);
        let ended = agent.env("AWS_ENDPOINT_URL_SECRETS_MANAGER", &vault).start().ended().await;
        ended.expect(0, &["the secret ssm:/token holds no https:// URL"]);
        assert_eq!(hook.told().len(), 1);
        let record = record(&job).await.expect("a record").to_string();
        for words in ["if it is a JSON object, name the key that has the URL: secretsmanager:object#KEY", "HTTP 404"] {
            assert!(record.contains(words), "{record}");
        }
        world.dayfly(&["status", JOB]).await.expect(0, &["to ssm:/token: the secret ssm:/token holds no"]);
        assert_eq!(holding(world.folder(), "a-secret", &[]), Vec::<PathBuf>::new());
    }

    /// It was told: what else the webhook has to say is its own affair.
    async fn an_answer_without_an_end_is_an_answer(world: &World) {
        let told = Arc::new(AtomicUsize::new(0));
        let all = Arc::clone(&told);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of this machine");
        let url = format!("http://{}{PATH}", listener.local_addr().expect("a port"));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                all.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    // Nobody answers what was not asked.
                    let _ = stream.read(&mut [0; 1024]);
                    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";
                    let mut went = stream.write_all(head);
                    while went.is_ok() {
                        went = stream.write_all(&[b'x'; 65536]);
                    }
                });
            }
        });
        let job = seed(world, &["--notify", &url]).await;
        world.agent(&job.location, "one").start().ended().await.expect(0, &[]);
        let record = record(&job).await.expect("a record");
        assert_eq!((record["told"][0].get("error"), told.load(Ordering::SeqCst)), (None, 1), "{record}");
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

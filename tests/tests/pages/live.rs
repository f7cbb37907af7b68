//! `dayfly watch --web`: the report as it grows.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use dayfly_shared::job::JobSettings;
use dayfly_tests::browser::Browser;
use dayfly_tests::{Kind, Layout, Rule, World, run};
use hyper::Method;
use rustix::process::Signal;
use serde_json::Value;

/// Asks as any program on this machine can; the head and the body.
fn get(address: &str, path: &str, host: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

#[test]
fn the_report_as_it_grows() {
    run(Kind::Endpoint, async |world: &World| {
        let mut job = Layout::new(12).lay_out(world).await;
        world.dayfly(&["watch", "s3://test-bucket/jbo", "--web"]).await.expect(1, &["no job at"]);
        let mut server = world.start_dayfly(&["watch", &job.url(), "--web"]);
        world.until("its address", async || server.said().contains("http://127.0.0.1:")).await;
        let said = server.said();
        let url = said.lines().find(|line| line.starts_with("http://")).expect("an address").to_owned();
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let (head, body) = get(&address, "/data.json", &address);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let data: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((&data["tasks"]["done"], &data["tasks"]["total"]), (&Value::from(0), &Value::from(12)));
        // A page of another name, although it leads here, reads nothing.
        assert!(get(&address, "/data.json", "evil.example").0.starts_with("HTTP/1.1 403"));
        assert!(get(&address, "/etc/passwd", &address).0.starts_with("HTTP/1.1 404"));

        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends(".dat").and(|asked| asked.key.contains("/in")).after(5));
        let mut agent = job.agent("one").through(&proxy).start();
        world.held(&mut agent, &gate).await;
        let Some(browser) = Browser::find() else {
            gate.open();
            agent.ended().await.expect(0, &[]);
            return;
        };
        let shows = |text: &str| format!("document.querySelector('#figure-done b')?.textContent === '{text}'");
        let (middle, end) = (shows("5 of 12"), shows("12 of 12"));
        let (seen, ()) = futures::future::join(browser.look(&url, &["--until", &end]), async {
            // The page is open, and asks for more; in the middle it says so, and then the job goes on to its end.
            let half = browser.look(&url, &["--until", &middle]).await;
            assert_eq!(half["errors"], Value::Array(Vec::new()));
            assert_eq!(
                (&half["first"]["figures"]["done"], &half["first"]["rows"]),
                (&Value::from("5 of 12"), &Value::from(1))
            );
            gate.open();
            agent.ended().await.expect(0, &[]);
        })
        .await;
        assert_eq!(seen["errors"], Value::Array(Vec::new()), "the console is quiet");
        assert_eq!(
            (&seen["first"]["figures"]["done"], &seen["first"]["rows"]),
            (&Value::from("12 of 12"), &Value::from(1))
        );
        let asked = seen["requests"].as_array().expect("requests").iter().filter_map(Value::as_str);
        let outside: Vec<&str> = asked.filter(|asked| asked.starts_with("http") && !asked.starts_with(&url)).collect();
        assert_eq!(outside, Vec::<&str>::new(), "nothing but this machine was asked");
        server.signal(Signal::INT);
        server.ended().await.expect(0, &[]);
        job.finish(&[]).await;
    });
}

/// Agents write their records seldom, at first once: what they have been there for is known all the same, and before that
/// it is not said to be none.
#[test]
fn machine_time_as_soon_as_it_is_known() {
    run(Kind::Endpoint, async |world: &World| {
        let settings = JobSettings { lease_ttl_seconds: 3600, ..JobSettings::default() };
        let job = Layout::new(2).settings(Some(settings)).unwatched().lay_out(world).await;
        let mut server = world.start_dayfly(&["watch", &job.url(), "--web"]);
        world.until("its address", async || server.said().contains("http://127.0.0.1:")).await;
        let said = server.said();
        let url = said.lines().find(|line| line.starts_with("http://")).expect("an address").to_owned();
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let spent = || {
            let data: Value = serde_json::from_str(&get(&address, "/data.json", &address).1).expect("JSON");
            data["spent"].clone()
        };
        let first = spent();
        assert!(first.as_object().is_some_and(|spent| spent.get("seconds") == Some(&Value::Null)), "{first}");
        world
            .dayfly(&["status", &job.url(), "--cost"])
            .await
            .expect(0, &["machines their time is not known yet: no agent has reported"]);
        if let Some(browser) = Browser::find() {
            let seen = browser.look(&url, &[]).await;
            assert_eq!(seen["first"]["figures"]["machine-time"], "-", "{}", seen["first"]["figures"]);
        }
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends(".dat").and(|asked| asked.key.contains("/in")).times(1));
        let mut agent = job.agent("one").through(&proxy).start();
        world.held(&mut agent, &gate).await;
        // Its first record is all that there is of it for as long as a lease is not to be renewed.
        world
            .until("a second of its time", async || {
                spent()["seconds"].as_f64() >= Some(1.0) && spent()["pools"][0]["seconds"].as_f64() >= Some(1.0)
            })
            .await;
        let ended = world.dayfly(&["status", &job.url(), "--cost"]).await;
        ended.expect(0, &["machines ", "cost     nothing on EC2"]);
        assert!(!ended.said.contains("not known"), "{}", ended.said);
        gate.open();
        agent.ended().await.expect(0, &[]);
        server.signal(Signal::INT);
        server.ended().await.expect(0, &[]);
    });
}

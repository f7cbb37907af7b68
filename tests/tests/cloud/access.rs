//! Commands without credentials, without a region, with credentials that have expired, with nobody at the endpoint: what is
//! said, and that it is said at once.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Command;

use dayfly_tests::aws::{Account, Aws, Trouble};
use dayfly_tests::program::Ended;
use dayfly_tests::{Kind, Layout, World, run};

const ONE: &str = "i-0123456789abcdef0";
const PLACE: &str = "s3://test-bucket/jobs";

/// Every command that speaks to the account, on a job that is there.
fn commands(job: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["setup", PLACE],
        vec!["teardown", PLACE, "--yes"],
        vec!["launch", job, "--spot"],
        vec!["run", job, "--spot"],
        vec!["ps"],
        vec!["ps", job],
        vec!["stop", "--yes", "-i", ONE],
        vec!["start", "--yes", "-i", ONE],
        vec!["terminate", job, "--yes"],
        vec!["reap"],
        vec!["cost", job],
        vec!["exec", "-i", ONE, "--", "true"],
    ]
}

async fn each(world: &World, change: impl Fn(&mut Command), judge: impl Fn(&[&str], &Ended)) {
    let job = Layout::new(1).unwatched().lay_out(world).await.url();
    let lines = commands(&job);
    let mut running: Vec<_> = lines.iter().map(|line| (line, world.start_dayfly_with(line, &change))).collect();
    for (line, program) in &mut running {
        judge(line, &program.ended().await);
    }
}

/// The line with the error.
fn error(ended: &Ended) -> &str {
    ended.said.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("no error:\n{}", ended.said))
}

#[test]
fn without_credentials_the_fix_is_said_at_once() {
    run(Kind::Aws, async |world: &World| {
        let without = |command: &mut Command| {
            command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        };
        each(world, without, |line, ended| {
            let said = error(ended);
            assert_eq!(ended.code, Some(1), "{line:?}: {said}");
            assert!(said.contains("no AWS credentials for "), "{line:?}: {said}");
            for way in ["none in the environment", "aws sso login", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "a role"] {
                assert!(said.contains(way), "{line:?}: {said}");
            }
            // Some lines of a terminal: what the library's providers say of themselves takes ten.
            assert!(said.len() < 450, "{line:?}: {} bytes: {said}", said.len());
        })
        .await;
    });
}

/// A profile that is named is meant, whatever keys stand in the environment, and a login that is missing is named.
#[test]
fn a_profile_that_gives_no_credentials_is_said() {
    run(Kind::Aws, async |world: &World| {
        let config = "[profile work]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = dev\n\
            [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n\
            [profile broken]\ncredential_process = /bin/false\n\
            [profile good]\ncredential_process = /bin/echo '{\"Version\":1,\"AccessKeyId\":\"OF-THE-PROFILE\",\"SecretAccessKey\":\"s\"}'\n";
        let folder = world.folder().join("home/.aws");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("config"), config).expect("a file");
        for (profile, words) in [
            ("work", &["do not hold", "nobody is logged in", "aws sso login --profile work"][..]),
            ("wrok", &["profile `wrok` was not defined", "aws configure list-profiles"]),
            ("broken", &["exited with code", "aws configure list --profile broken"]),
        ] {
            let lines = commands("s3://test-bucket/job");
            let named = lines.iter().map(|line| [&["--profile", profile][..], line].concat());
            let mut running: Vec<_> = named.map(|line| world.start_dayfly(&line)).collect();
            for program in &mut running {
                let ended = program.ended().await;
                ended.expect(1, words);
                assert!(error(&ended).len() < 450, "{}", error(&ended));
            }
        }
        world.dayfly(&["ps", "--profile", "good"]).await.expect(0, &[]);
        assert!(!world.aws().calls_by("OF-THE-PROFILE").is_empty(), "its keys were used");
        // Once somebody has logged in, the portal hands keys out for the token that lies there.
        let cache = folder.join("sso/cache");
        std::fs::create_dir_all(&cache).expect("a folder");
        let token = r#"{"accessToken":"a-token","expiresAt":"2090-01-01T00:00:00Z","region":"eu-west-1","startUrl":"https://x"}"#;
        // The SHA-1 of the session's name.
        std::fs::write(cache.join("ee0bfd2552fbd840c02cc48b6e823320543c450f.json"), token).expect("a file");
        let url = portal();
        let logged_in = |command: &mut Command| _ = command.env("AWS_ENDPOINT_URL_SSO", url);
        world.start_dayfly_with(&["ps", "--profile", "work"], logged_in).ended().await.expect(0, &[]);
        assert!(!world.aws().calls_by("OF-THE-LOGIN").is_empty(), "the login's keys were used");
    });
}

/// An SSO portal that hands out keys for one request; its address.
fn portal() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let mut asked = String::new();
        for line in BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            asked += &line;
        }
        let good = asked.contains("/federation/credentials?") && asked.contains("a-token");
        let keys = r#"{"roleCredentials":{"accessKeyId":"OF-THE-LOGIN","secretAccessKey":"s","sessionToken":"t","expiration":4102444800000}}"#;
        let (status, body) = if good { ("200 OK", keys) } else { ("401 Unauthorized", "{}") };
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
        stream.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).expect("an answer");
    });
    url
}

#[test]
fn without_a_region_the_fix_is_said() {
    run(Kind::Aws, async |world: &World| {
        let without = |command: &mut Command| {
            command.env_remove("AWS_REGION");
        };
        let job = Layout::new(1).unwatched().lay_out(world).await.url();
        // The others find the region in the deployment's record, or need none.
        for line in
            [vec!["setup", PLACE], vec!["ps"], vec!["ps", &job], vec!["reap"], vec!["exec", "-i", ONE, "--", "true"]]
        {
            let ended = world.start_dayfly_with(&line, without).ended().await;
            ended.expect(2, &["error: no region is configured; pass --region, set AWS_REGION"]);
        }
    });
}

#[test]
fn expired_credentials_are_said() {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        // Each service has words of its own for it.
        let expire = |service: &str, action: &str, code: &str| {
            aws.set(Trouble::with(service, action).signed_by("OLD").refused(code, "The security token has expired"))
        };
        expire("sts", "GetCallerIdentity", "ExpiredToken");
        expire("ssm", "SendCommand", "ExpiredTokenException");
        expire("ec2", "DescribeInstances", "RequestExpired");
        for action in ["GetObject", "HeadObject", "ListBucket"] {
            expire("s3", action, "ExpiredToken");
        }
        let old = |command: &mut Command| {
            command.env("AWS_ACCESS_KEY_ID", "OLD");
        };
        each(world, old, |line, ended| {
            assert_eq!(ended.code, Some(1), "{line:?}: {}", ended.said);
            assert!(error(ended).contains("log in again (aws sso login"), "{line:?}: {}", error(ended));
        })
        .await;
    });
}

#[test]
fn an_endpoint_that_nobody_answers_at_is_said() {
    run(Kind::Aws, async |world: &World| {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let nowhere = |command: &mut Command| {
            command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"));
        };
        each(world, nowhere, |line, ended| {
            let said = error(ended);
            assert_eq!(ended.code, Some(1), "{line:?}: {said}");
            assert!(said.contains("check the network") || said.contains("check the endpoint"), "{line:?}: {said}");
        })
        .await;
    });
}

/// A command that was sent, and not answered, is not sent again: it would run twice.
#[test]
fn a_command_without_an_answer_is_not_sent_twice() {
    run(Kind::Aws, async |world: &World| {
        let aws: Aws = world.aws();
        let account = Account::make(&aws);
        assert_eq!(account.launch(&aws, &account.request("t", 1)).status, 200);
        let id = aws.machines().pop().expect("a machine").id;
        aws.register_with_ssm(&id);
        let lost = aws.set(Trouble::with("ssm", "SendCommand").lost());
        world.dayfly(&["exec", "-i", &id, "--", "true"]).await.expect(1, &["may be running", "list-commands"]);
        assert_eq!(lost.hits(), 1);
        assert_eq!(aws.calls_of("ssm", "SendCommand").len(), 1);
    });
}

//! Logging in to ECR: a stand-in for ECR's API, and one for the engine, which shows what it was given.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use dayfly_tests::listener::{Asked, Said, listen};
use dayfly_tests::{Agent, World, on_endpoint};

use super::{JOB, fetch, file, inputs, is_untouched, read, seed};

const IMAGE: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/tools:1";
/// AWS:password, in base64.
const TOKEN: &str = "QVdTOnBhc3N3b3Jk";

/// An engine that notes its command lines, and the login that it finds.
fn engine(world: &World) -> String {
    let notes = world.folder().join("notes").display().to_string();
    let script = format!(
        "#!/bin/sh\nshift 2\necho \"$*\" >> {notes}\n[ -z \"$REGISTRY_AUTH_FILE\" ] || cat \"$REGISTRY_AUTH_FILE\" >> {notes}\n\
         env | grep -c AWS_SECRET >> {notes}.secrets\n\
         case $1 in\nrun) echo hello ;;\nimage) echo 'abc ' ;;\n\
         container) echo '{{\"StartedAt\":\"2026-01-01T00:00:00Z\",\"ExitCode\":0}}' ;;\n\
         build) while [ $1 != --iidfile ]; do shift; done; echo sha256:abc > $2 ;;\n\
         save) while [ $1 != -o ]; do shift; done; echo archive > $2 ;;\nesac\n"
    );
    let path = file(world, "engines/podman", &script);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    path
}

fn agent(world: &World, ecr: &str, engine: &str) -> Agent {
    let job = JOB.parse().expect("a place");
    world.agent(&job, "one").env("AWS_ENDPOINT_URL_ECR", ecr).arg("--container-engine").arg(engine)
}

fn notes(world: &World) -> String {
    read(world.folder(), "notes")
}

/// ECR's API, which gives the token to whoever asks as it should, and keeps what it was asked.
fn ecr() -> (String, Arc<Mutex<Vec<Asked>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let url = listen(move |request| {
        noted.lock().expect("the notes").push(request.clone());
        Said::new(200, format!("{{\"authorizationData\":[{{\"authorizationToken\":\"{TOKEN}\"}}]}}"))
    });
    (url, asked)
}

on_endpoint! {
    async fn an_image_of_ecrs_is_pulled_with_a_token(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let (url, asked) = ecr();
        seed(world, &["--inputs", &folder, "--image", IMAGE, "x"]).await;
        agent(world, &url, &engine(world)).start().ended().await.expect(0, &[]);
        assert_eq!(read(&fetch(world).await, "out/a"), "hello\n");
        let asked = asked.lock().expect("the notes");
        let [request] = &asked[..] else { panic!("{} requests", asked.len()) };
        let target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
        assert_eq!(request.headers.get("x-amz-target").map(String::as_str), Some(target));
        let signature = &request.headers["authorization"];
        // The registry's region, whatever the bucket's.
        assert!(signature.contains("/eu-west-1/ecr/aws4_request"), "{signature}");
        let notes = notes(world);
        let login = format!("{{\"auths\":{{\"123456789012.dkr.ecr.eu-west-1.amazonaws.com\":{{\"auth\":\"{TOKEN}\"}}}}}}");
        assert!(notes.contains(&format!("pull --quiet {IMAGE}\n{login}")), "{notes}");
        assert_eq!(notes.matches(TOKEN).count(), 1, "no other command sees it: {notes}");
        let secrets = read(world.folder(), "notes.secrets");
        assert!(secrets.lines().all(|line| line == "0"), "the engine has the agent's credentials");
        let left = std::process::Command::new("grep").args(["-rl", TOKEN]).arg(world.folder().join("programs")).output();
        assert_eq!(String::from_utf8_lossy(&left.expect("grep").stdout), "", "the login stays nowhere");
    }

    async fn a_role_that_may_not_log_in_is_said(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let url = listen(|_| Said::new(400, "{\"__type\":\"AccessDeniedException\",\"message\":\"not you\"}"));
        let job = seed(world, &["--inputs", &folder, "--image", IMAGE, "x"]).await;
        let ended = agent(world, &url, &engine(world)).start().ended().await;
        ended.expect(1, &["cannot log in to 123456789012", "AccessDeniedException", "ecr:GetAuthorizationToken", "dayfly setup"]);
        is_untouched(&job).await;
    }

    /// Base images of ECR's, and the repository that the image is pushed to.
    async fn a_build_logs_in_to_what_it_needs(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let (url, asked) = ecr();
        let dockerfile = file(world, "context/Dockerfile", &format!("FROM {IMAGE}\n"));
        let context = std::path::Path::new(&dockerfile).parent().expect("a folder").display().to_string();
        let to = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/built";
        let job = seed(world, &["--inputs", &folder, "--build", &context, "--push", to, "x"]).await;
        agent(world, &url, &engine(world)).start().ended().await.expect(0, &["pushed the image"]);
        assert_eq!(asked.lock().expect("the notes").len(), 2);
        let (notes, images) = (notes(world), job.store());
        let images = dayfly_shared::store::StoreExt::list_all(&**images, &job.location.key("images/")).await.expect("a listing");
        let [image] = &images[..] else { panic!("{images:?}") };
        let name = image.key.rsplit('/').next().expect("a name").trim_end_matches(".tar");
        assert!(notes.contains(&format!("tag sha256:abc {to}:{name}\n")), "{notes}");
        assert!(notes.contains(&format!("push --quiet {to}:{name}\n{{\"auths\"")), "{notes}");
    }
}

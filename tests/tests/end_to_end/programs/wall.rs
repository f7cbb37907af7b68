//! The wall between programs and the instance's metadata service: a routing rule by user, in a network namespace in which
//! the service has its own address.

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use dayfly_shared::keys::View;
use dayfly_tests::{Kind, Machine, Metadata, World, run};

use super::{fetch, file, lines, read, seed};

/// Set where the test runs itself in a namespace of its own.
const INSIDE: &str = "DAYFLY_TEST_NAMESPACE";
const ADDRESS: &str = "169.254.169.254:80";
const NAME: &str = "programs::wall::programs_are_cut_off_from_the_metadata_service";

/// The rule of addresses that are this machine's own comes after those by user, as it does for a service beyond a network card.
const NAMESPACE: &str = "ip link set lo up && ip addr add 169.254.169.254/32 dev lo && ip rule add pref 200 lookup local \
                         && ip rule del pref 0 && exec \"$0\" --exact \"$1\" --nocapture";

#[test]
fn programs_are_cut_off_from_the_metadata_service() {
    if std::env::var_os(INSIDE).is_some() {
        return run(Kind::Endpoint, body);
    }
    if !rustix::process::geteuid().is_root() {
        return println!("SKIPPED: only root has namespaces, and can run programs as somebody else");
    }
    let me = std::env::current_exe().expect("this program");
    let inside = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-c"]).args(words).env(INSIDE, "1");
        command.output().expect("unshare (util-linux)")
    };
    let probe = inside(&["ip rule show && ip link set lo up"]);
    if !probe.status.success() {
        return println!("SKIPPED: no network namespace: {}", String::from_utf8_lossy(&probe.stderr));
    }
    let output = inside(&[NAMESPACE, &me.display().to_string(), NAME]);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Passes on what comes to the service's own address.
fn forward(to: &str) {
    let listener = TcpListener::bind(ADDRESS).expect("the service's address");
    let to = to.trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for from in listener.incoming().flatten() {
            let Ok(service) = TcpStream::connect(&to) else { return };
            for (mut from, mut to) in [(from.try_clone(), service.try_clone()), (service.try_clone(), from.try_clone())]
                .map(|(from, to)| (from.expect("a socket"), to.expect("a socket")))
            {
                std::thread::spawn(move || {
                    let _ = copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
}

async fn body(world: &World) {
    let metadata = Metadata::serve(Machine {
        id: "i-0123456789abcdef0".to_owned(),
        instance_type: "c7i.large".to_owned(),
        ..Machine::default()
    });
    metadata.set("user-data", None);
    forward(metadata.url());
    std::fs::set_permissions(world.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let list = file(world, "list.txt", "x\n");
    let command = "bash -c 'exec 3<>/dev/tcp/169.254.169.254/80' 2>/dev/null && echo reached || echo cut off; \
                   echo ${AWS_ACCESS_KEY_ID-none}";
    let job = seed(world, &["--tasks", &list, "--shell", command]).await;
    let agent = |name: &str| {
        let agent = world.agent(&job.location, name).arg("--metadata").without("AWS_EC2_METADATA_DISABLED");
        agent.arg("--run-as").arg("nobody")
    };
    // No rule yet: whoever wrote the program would have the machine's rights.
    agent("open").start().ended().await.expect(1, &["reach the metadata service", "ip rule add"]);
    assert_eq!(lines(&job, View::Tasklist).await, ["x"], "nothing was burnt");

    let wall = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ami/lib/wall");
    for _ in 0..2 {
        assert!(Command::new(&wall).arg("nobody").status().expect("a shell").success());
    }
    let rules = Command::new("ip").args(["rule", "show"]).output().expect("ip");
    assert_eq!(String::from_utf8_lossy(&rules.stdout).matches("prohibit").count(), 1, "{rules:?}");
    let asked = metadata.asked().len();
    agent("closed").start().ended().await.expect(0, &[]);
    assert!(metadata.asked()[asked..].iter().any(|asked| asked.contains("instance-id")), "the agent asks as before");
    assert_eq!(read(&fetch(world).await, "out/x"), "cut off\nnone\n");
}

//! Python projects.

use dayfly_shared::store::StoreExt;
use dayfly_tests::{World, on_endpoint};

use super::{JOB, fetch, file, inputs, read, seed, work};

/// A project whose script takes `-i` and `-o`, and needs a package of a package index.
fn project(world: &World, requirements: &str) -> String {
    let folder = world.folder().join("project");
    std::fs::create_dir_all(folder.join("sums")).expect("a folder");
    file(world, "project/requirements.txt", requirements);
    file(world, "project/sums/__init__.py", "def total(path):\n    return sum(int(line) for line in open(path))\n");
    file(world, "project/unit.txt", "apples");
    file(
        world,
        "project/main.py",
        "
import argparse, pathlib, six
from sums import total
p = argparse.ArgumentParser()
p.add_argument('-i'); p.add_argument('-o'); p.add_argument('--times', type=int, default=1)
a = p.parse_args()
for path in sorted(pathlib.Path(a.i).iterdir()):
    n = total(path) * a.times
    pathlib.Path(a.o, path.stem + '.sum').write_text(six.ensure_text(f'{n} ' + open('unit.txt').read()))
",
    );
    folder.display().to_string()
}

on_endpoint! {
    /// The second agent finds the wheels that the first one kept.
    async fn a_project_runs_in_an_environment_of_its_own(world: &World) {
        let folder = inputs(world, &[("a.txt", "1\n2\n"), ("b.txt", "3\n4\n")]);
        let project = project(world, "six==1.17.0\n");
        let job = seed(world, &["--inputs", &folder, "--project", &project, "main.py --times 2"]).await;
        let first = work(world, &job, "first").await;
        first.expect(0, &["the virtual environment is ready"]);
        let results = fetch(world).await;
        assert_eq!(read(&results, "out/a.txt/a.sum"), "6 apples");
        assert_eq!(read(&results, "out/b.txt/b.sum"), "14 apples");
        let wheels = job.store().list_all(&job.location.key("wheels/")).await.expect("a listing");
        assert_eq!(wheels.len(), 1, "{wheels:?}");
        file(world, "inputs/c.txt", "5\n");
        // The same project is the same archive: it can be seeded again.
        world.dayfly(&["seed", JOB, "--inputs", &folder, "--project", &project, "main.py --times 2"]).await.expect(0, &[]);
        let second = world.agent(&job.location, "second").env("PIP_INDEX_URL", "http://127.0.0.1:9/").start().ended().await;
        second.expect(0, &["the virtual environment is ready"]);
        assert_eq!(read(&fetch(world).await, "out/c.txt/c.sum"), "10 apples");
    }

    /// Programs run as another user, and the agent's files are its own by its umask, as in its unit: the project, the
    /// environment and shared files are readable all the same.
    async fn another_user_reads_the_project_and_its_environment(world: &World) {
        if !rustix::process::geteuid().is_root() {
            return println!("SKIPPED: only root can run programs as somebody else");
        }
        // Not one in somebody's home.
        let system = "/usr/bin:/bin";
        let asked = std::process::Command::new("/usr/bin/python3").args(["-c", "import ensurepip, venv"]).status();
        if !asked.is_ok_and(|status| status.success()) {
            return println!("SKIPPED: the system's own Python makes no virtual environments");
        }
        let folder = inputs(world, &[("a.txt", "1\n2\n")]);
        let project = world.folder().join("plain");
        std::fs::create_dir_all(project.join("parts")).expect("a folder");
        file(world, "plain/parts/__init__.py", "WORD = 'fine'\n");
        file(world, "plain/main.py", "import os, parts, sys\nfrom pip import __version__\n\
            print(parts.WORD, os.getuid() != 0, sys.prefix != sys.base_prefix, file=open(sys.argv[4] + '/said', 'w'))\n");
        let project = project.display().to_string();
        let job = seed(world, &["--inputs", &folder, "--project", &project, "main.py"]).await;
        std::fs::set_permissions(world.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let mut agent = world.agent(&job.location, "one").arg("--run-as").arg("nobody").env("PATH", system).start();
        rustix::process::umask(before);
        agent.ended().await.expect(0, &[]);
        assert_eq!(read(&fetch(world).await, "out/a.txt/said"), "fine True True\n");
    }

    /// What cannot be installed stops the agent before its first claim.
    async fn a_requirement_that_does_not_resolve_burns_nothing(world: &World) {
        let folder = inputs(world, &[("a.txt", "1\n")]);
        let project = project(world, "six==0.0.0.1\n");
        let job = seed(world, &["--inputs", &folder, "--project", &project, "main.py"]).await;
        work(world, &job, "one").await.expect(1, &["requirements.txt", "six==0.0.0.1"]);
        assert_eq!(job.store().list_all(&job.keys.semaphores()).await.expect("a listing"), []);
        assert_eq!(job.store().list_all(&job.keys.dead_letters()).await.expect("a listing"), []);
    }
}

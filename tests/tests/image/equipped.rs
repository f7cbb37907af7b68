//! The container flavour: what Python and podman do on it, each as a task's program.

use dayfly_shared::job::JobSettings;
use dayfly_shared::store::StoreExt;
use dayfly_shared::work::{InputKind, OutputKind, ProcessorSettings, ProgramSettings};
use dayfly_tests::{Kind, Layout, World, run};

use crate::guest::{Boot, expect, image};

/// A virtual environment; and an image that has the agent's own static program in it and nothing else, run without and with a
/// network.
const COMMAND: &str = "set -e; cd {scratch}; case {name} in \
    python) python3 -m venv --without-pip venv; python3 -c 'import ensurepip'; \
        venv/bin/python -c 'import sys; print(sys.prefix != sys.base_prefix, 6 * 7)' ;; \
    podman) mkdir root; cp /usr/local/bin/dayfly-agent root/; tar -C root -cf image.tar .; podman import -q image.tar tool >&2; \
        podman save -q -o saved.tar tool; podman rmi -a -f >&2; podman load -q -i saved.tar >&2; \
        podman run --rm --network none --memory 64m tool /dayfly-agent --version; \
        podman run --rm --read-only tool /dayfly-agent --version ;; \
    esac";

#[test]
#[ignore = "boots the container flavour; run by scripts/test-ami container"]
fn python_and_containers() {
    assert_eq!(image().1["flavour"], "container", "DAYFLY_IMAGE names another; scripts/test-ami container builds it");
    run(Kind::Endpoint, async |world: &World| {
        let program =
            ProgramSettings { input: InputKind::Line, output: OutputKind::Stdout, ..ProgramSettings::default() };
        let processor = ProcessorSettings::Command { argv: vec![COMMAND.to_owned()], shell: true };
        let settings = JobSettings { processor, program, max_attempts: 1, ..JobSettings::default() };
        let job = Layout::of([]).settings(Some(settings)).list("python\npodman\n").unwatched().lay_out(world).await;
        let said = Boot::new(world, "equipped").memory(1024).on(&job).start().powered_off().await;
        expect(&said, &["powering off: the job is over"]);
        let store = job.bucket.store();
        let output = async |name: &str| {
            let read = store.read(&job.bucket.location.key(&format!("out/{name}"))).await.expect("a read");
            String::from_utf8_lossy(&read.unwrap_or_else(|| panic!("{name} left nothing:\n{said}")).1).into_owned()
        };
        assert_eq!(output("python").await, "True 42\n");
        assert_eq!(output("podman").await.matches("dayfly-agent ").count(), 2);
    });
}

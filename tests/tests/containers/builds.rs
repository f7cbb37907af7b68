//! Images that are built from a folder: once, whoever dies.

use std::fs;

use dayfly_shared::store::StoreExt;

use super::podman::Podman;
use super::{fetch, file, in_containers, inputs, is_untouched, read, seed};

const BUILDING: &str = "building the job's image";
const LOADED: &str = "loaded the image that was built for the job";

/// A folder with a Dockerfile that needs no registry: the root of the test's image, and these lines.
fn folder(podman: &Podman<'_>, dockerfile: &str) -> String {
    let root = podman.root("context-root", &[]);
    let folder = podman.world.folder().join("context");
    fs::create_dir_all(&folder).expect("a folder");
    fs::copy(root, folder.join("root.tar")).expect("a root");
    file(podman.world, "context/Dockerfile", &format!("FROM scratch\nADD root.tar /\n{dockerfile}\n"));
    file(podman.world, "context/.dockerignore", "secret\n");
    file(podman.world, "context/secret", "not for the image");
    folder.display().to_string()
}

in_containers! {
    /// Two agents start together: one builds, the other waits and loads what was built; so does one that comes later.
    async fn an_image_is_built_once(podman: &Podman<'_>) {
        let data = inputs(podman.world, &[("a", "1"), ("b", "2"), ("c", "3")]);
        let context = folder(podman, "COPY . /context\nRUN [\"/bin/sh\", \"-c\", \"echo built > /made; sleep 5\"]");
        let command = "/bin/sh -c 'cat $0 /made; ls /context' {input}";
        let job = seed(podman.world, &["--inputs", &data, "--build", &context, command]).await;
        let mut agents = ["first", "second"].map(|name| podman.agent(name).start());
        let mut said = String::new();
        for agent in &mut agents {
            let ended = agent.ended().await;
            ended.expect(0, &["the image is ready"]);
            said += &ended.said;
        }
        assert_eq!((said.matches(BUILDING).count(), said.matches(LOADED).count()), (1, 1), "{said}");
        assert_eq!(read(&fetch(podman.world).await, "out/a"), "1built\nDockerfile\nroot.tar\n");
        let images = job.store().list_all(&job.location.key("images/")).await.expect("a listing");
        assert_eq!(images.len(), 1, "{images:?}");
        let left = job.store().list_all(&job.keys.semaphores()).await.expect("a listing");
        assert_eq!(left, [], "the semaphore goes with the build");
        inputs(podman.world, &[("d", "4")]);
        seed(podman.world, &["--inputs", &data, "--build", &context, command]).await;
        podman.run(&["rmi", "-f", "-a"]);
        podman.work("third").await.expect(0, &[LOADED]);
    }

    /// The builder is killed: its semaphore expires, and the other one builds.
    async fn a_killed_builder_is_taken_over(podman: &Podman<'_>) {
        let data = inputs(podman.world, &[("a", "1")]);
        let context = folder(podman, "RUN [\"/bin/sh\", \"-c\", \"sleep 12; echo built > /made\"]");
        let job = seed(podman.world, &["--inputs", &data, "--build", &context, "/bin/cat {input} /made"]).await;
        let mut first = podman.agent("first").start();
        let semaphore = async || job.store().list_all(&job.keys.semaphores()).await.expect("a listing").len();
        podman.world.until("the first one builds", async || semaphore().await == 1).await;
        let mut second = podman.agent("second").start();
        podman.world.until("the second one runs", async || second.said().contains("asking").max(second.runs())).await;
        first.kill();
        let ended = second.ended().await;
        ended.expect(0, &[BUILDING, "taken_over=true"]);
        assert_eq!(read(&fetch(podman.world).await, "out/a"), "1built\n");
    }

    /// One agent finds out that the folder cannot be built; the others learn it from there.
    async fn a_folder_that_cannot_be_built_burns_nothing(podman: &Podman<'_>) {
        let data = inputs(podman.world, &[("a", "1")]);
        let context = folder(podman, "RUN [\"/bin/sh\", \"-c\", \"echo the reason >&2; exit 9\"]");
        let job = seed(podman.world, &["--inputs", &data, "--build", &context, "/bin/cat {input}"]).await;
        podman.work("one").await.expect(1, &["building the job's image failed", "the reason"]);
        is_untouched(&job).await;
        podman.work("two").await.expect(1, &["another agent could not build the job's image", "the reason"]);
        is_untouched(&job).await;
        let images = job.store().list_all(&job.location.key("images/")).await.expect("a listing");
        assert_eq!(images, []);
    }

    async fn a_folder_without_a_dockerfile_is_no_job(podman: &Podman<'_>) {
        let data = inputs(podman.world, &[("a", "1")]);
        let line = ["seed", super::JOB, "--inputs", &data, "--build", &data, "x"];
        podman.world.dayfly(&line).await.expect(1, &["there is no Dockerfile in", "nothing was written"]);
    }
}

//! How images get onto the machine, and what happens if they do not: nothing is claimed.

use dayfly_shared::store::{Attributes, Condition};

use super::podman::{Podman, TOOLS};
use super::{fetch, file, in_containers, inputs, is_untouched, read, seed};

in_containers! {
    async fn an_image_that_is_not_there_burns_nothing(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1"), ("b", "2")]);
        let job = seed(podman.world, &["--inputs", &folder, "--image", "localhost/none:1", "x"]).await;
        podman.work("one").await.expect(1, &["localhost/none:1 is not on this machine", "--image-archive"]);
        is_untouched(&job).await;
    }

    /// Nobody listens at that registry; what is on the machine under that name serves.
    async fn a_registry_that_does_not_answer_is_said(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        let job = seed(podman.world, &["--inputs", &folder, "--image", "127.0.0.1:9/me/tools:1", "/bin/cat {input}"]).await;
        podman.work("one").await.expect(1, &["127.0.0.1:9/me/tools:1 cannot be had", "check its name"]);
        is_untouched(&job).await;
        podman.run(&["tag", TOOLS, "127.0.0.1:9/me/tools:1"]);
        podman.work("two").await.expect(0, &["the image on this machine is taken"]);
        assert_eq!(read(&fetch(podman.world).await, "out/a"), "1");
    }

    async fn an_archive_travels_with_the_job(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        let archive = podman.mark("tools.tar");
        podman.run(&["save", "--quiet", "-o", &archive, TOOLS]);
        podman.run(&["rmi", TOOLS]);
        let job = seed(podman.world, &["--inputs", &folder, "--image-archive", &archive, "/bin/cat {input}"]).await;
        podman.work("one").await.expect(0, &["the image is ready"]);
        assert_eq!(read(&fetch(podman.world).await, "out/a"), "1");
        // The same archive is the same job.
        seed(podman.world, &["--inputs", &folder, "--image-archive", &archive, "/bin/cat {input}"]).await;
        drop(job);
    }

    async fn an_archive_that_was_changed_is_not_run(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        let archive = podman.mark("tools.tar");
        podman.run(&["save", "--quiet", "-o", &archive, TOOLS]);
        let job = seed(podman.world, &["--inputs", &folder, "--image-archive", &archive, "/bin/cat {input}"]).await;
        let mut body = std::fs::read(&archive).expect("an archive");
        body.reverse();
        let key = job.keys.shared_file("container/image.tar");
        job.store().put(&key, body.into(), &Attributes::default(), &Condition::Overwrite).await.expect("a put");
        podman.work("one").await.expect(1, &["container/image.tar is not the file that the job was seeded with"]);
        is_untouched(&job).await;
    }

    async fn an_archive_that_is_none_is_said(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        let archive = file(podman.world, "none.tar", "not an archive");
        let job = seed(podman.world, &["--inputs", &folder, "--image-archive", &archive, "/bin/cat {input}"]).await;
        podman.work("one").await.expect(1, &["loading the job's image failed"]);
        is_untouched(&job).await;
    }
}

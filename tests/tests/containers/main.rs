//! Jobs whose tasks run in containers, by a real podman: its storage in the test's folder, its images made of busybox there,
//! no registry anywhere.
//!
//! `scripts/test containers` installs podman and runs these; by themselves they are ignored. Logging in to ECR is shown with
//! a stand-in for the engine, and needs nothing.

mod builds;
mod ecr;
mod endings;
mod images;
mod podman;
mod runs;
mod stops;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::store::StoreExt;
use dayfly_tests::programs::{JOB, dead_letter, fetch, file, inputs, lines, read, seed};

/// Defines one test with an engine; ignored by itself.
#[macro_export]
macro_rules! in_containers {
    ($($(#[$meta:meta])* async fn $name:ident($podman:ident: $type:ty) $body:block)*) => {$(
        $(#[$meta])*
        #[test]
        #[ignore = "needs podman: scripts/test containers"]
        fn $name() {
            async fn body(world: &dayfly_tests::World) {
                async fn inner($podman: $type) $body
                inner(&$crate::podman::Podman::new(world)).await;
            }
            dayfly_tests::run(dayfly_tests::Kind::Endpoint, body);
        }
    )*};
}

/// Nothing was claimed, and nothing given up.
async fn is_untouched(job: &JobBucket) {
    let listed = async |prefix: &str| job.store().list_all(prefix).await.expect("a listing").len();
    assert_eq!((listed(&job.keys.results()).await, listed(&job.keys.dead_letters()).await), (0, 0));
    let claims = job.semaphores().await.expect("a listing");
    assert!(claims.is_empty(), "{claims:?}");
}

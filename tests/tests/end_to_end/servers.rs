//! What the other tests stand on: each server keeps the rules that a job relies on.

use dayfly_shared::rng::StdDice;
use dayfly_shared::store::conformance::{self, Scope};
use dayfly_tests::{World, everywhere, world};

everywhere! {
    async fn a_server_keeps_the_rules(world: &World) {
        let store = world.server().store(world::BUCKET).await;
        let findings = conformance::check(&*store, &StdDice::from_os(), &Scope::default()).await;
        let (passed_over, broken): (Vec<_>, Vec<_>) =
            findings.iter().filter(|finding| !finding.verdict.holds()).partition(|finding| !finding.needed());
        for finding in passed_over {
            println!("passed over: {finding}");
        }
        assert!(broken.is_empty(), "{broken:#?}");
        assert!(findings.iter().any(|finding| finding.name.starts_with("races/")), "races were run: {findings:?}");
    }
}

//! Jobs in which nothing goes wrong.

use dayfly_tests::{Layout, World, everywhere};

everywhere! {
    /// Inputs, a kernel and a list, and no settings: a job as a person lays it out with `aws s3 cp`.
    async fn a_bucket_laid_out_by_hand(world: &World) {
        let mut job = Layout::new(10).settings(None).lay_out(world).await;
        let mut agents: Vec<_> = ["one", "two", "three"].map(|name| job.agent(name).start()).into();
        for agent in &mut agents {
            agent.ended().await.expect(0, &[]);
        }
        job.finish(&[]).await;
    }

    /// Agents with several slots, more of them than tasks.
    async fn agents_with_many_slots(world: &World) {
        let mut job = Layout::new(12).lay_out(world).await;
        let mut agents: Vec<_> =
            ["one", "two", "three"].map(|name| job.agent(name).arg("--slots").arg("8").start()).into();
        for agent in &mut agents {
            agent.ended().await.expect(0, &[]);
        }
        job.finish(&[]).await;
    }
}

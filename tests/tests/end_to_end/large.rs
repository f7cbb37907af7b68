//! Large lists, large objects.

use dayfly_shared::job::JobSettings;
use dayfly_shared::keys::View;
use dayfly_shared::plan::join_lines;
use dayfly_tests::proxy::Seen;
use dayfly_tests::{Layout, Rule, World, content, everywhere, on_endpoint, short_lease};
use hyper::Method;

/// Of an object of so many bytes, what was asked for.
fn range_of(seen: &Seen, bytes: usize) -> (usize, usize) {
    let Some(range) = seen.asked.headers.get("range") else { return (0, bytes) };
    let range = range.to_str().ok().and_then(|text| text.strip_prefix("bytes=")).and_then(|text| text.split_once('-'));
    let (from, to) = range.expect("a range of bytes");
    (from.parse().expect("a number"), to.parse::<usize>().expect("a number") + 1)
}

everywhere! {
    /// Objects of many parts, by several agents at once.
    async fn large_objects(world: &World) {
        let inputs = [("in0.dat", 40 << 20), ("in1.dat", 8 << 20), ("in2.dat", (8 << 20) + 1), ("in3.dat", 17 << 20)];
        let mut job =
            Layout::of(inputs.map(|(name, bytes)| (name.to_owned(), content::of(name, bytes)))).lay_out(world).await;
        let mut agents = [job.agent("one").start(), job.agent("two").arg("--slots").arg("2").start()];
        for agent in &mut agents {
            agent.ended().await.expect(0, &[]);
        }
        job.finish(&[]).await;
    }

    /// No byte of a large object is asked for twice: its size is asked for first, then ranges that meet.
    async fn a_large_object_is_read_once(world: &World) {
        let bytes = 40 << 20;
        let mut job = Layout::of([("in0.dat".to_owned(), content::of("in0.dat", bytes))]).lay_out(world).await;
        let proxy = world.proxy(1).await;
        job.agent("one").through(&proxy).start().ended().await.expect(0, &[]);
        let gets = proxy.seen_of(&Method::GET, "/in0.dat");
        let mut ranges: Vec<(usize, usize)> = gets.iter().map(|seen| range_of(seen, bytes)).collect();
        ranges.sort_unstable();
        let mut end = 0;
        for (from, to) in &ranges {
            assert_eq!(*from, end, "{ranges:?}");
            end = *to;
        }
        assert_eq!(end, bytes, "{ranges:?}");
        assert_eq!(proxy.seen_of(&Method::HEAD, "/in0.dat").len(), 1);
        job.finish(&[]).await;
    }

    /// A list of a million lines is planned, taken up and told of.
    async fn a_million_lines(world: &World) {
        let list: String = (0..1_000_000).map(|n| format!("in{n}.dat\n")).collect();
        let settings = JobSettings { agents: 1000, lease_ttl_seconds: 60, ..short_lease() };
        let job = Layout::of([]).settings(Some(settings)).list(list).unwatched().lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).and(|asked| asked.key.contains("/in")));
        let mut agent = job.agent("one").arg("--slots").arg("4").through(&proxy).start();
        world.held(&mut agent, &gate).await;
        job.until("four chunks are claimed", async |job| {
            job.bucket.semaphores().await.expect("a listing").len() == 4
        })
        .await;
        let segments = job.bucket.segments_after(0).await.expect("the plan");
        assert_eq!((segments.len(), segments[0].tasks), (1, 1_000_000));
        assert!((8_000..12_000).contains(&segments[0].chunk_count()), "{}", segments[0].chunk_count());
        let status = world.dayfly(&["status", &job.url()]).await;
        status.expect(0, &["running", "0 of 1,000,000 done"]);
        agent.kill();
    }
}

on_endpoint! {
    // More than 10,000 tasks, so that chunks are of many; moto would take minutes.
    async fn chunks_of_many_tasks(world: &World) {
        let names = content::names(10_200);
        let folder = world.server().folder("test-bucket").join("job");
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut job = Layout::of([]).list(join_lines(&names)).unwatched().lay_out(world).await;
        for name in &names {
            let bytes = content::of(name, 40 + name.len());
            std::fs::write(folder.join(name), &bytes).expect("a file");
            job.inputs.insert(name.clone(), bytes);
        }
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).and(|asked| asked.key.contains("/in")).after(210));
        let mut first = job.agent("first").through(&proxy).start();
        world.held(&mut first, &gate).await;
        job.until("a heartbeat that tells of the task", async |job| {
            let held = job.bucket.held().await.expect("the semaphores");
            held.iter().any(|(_, semaphore)| semaphore.running.is_some())
        })
        .await;
        first.kill();
        let mut agents = [job.agent("second").arg("--slots").arg("4").start(), job.agent("third").start()];
        for agent in &mut agents {
            agent.ended().await.expect(0, &[]);
        }
        assert_eq!(job.lines(View::Completed).await.len(), 10_200);
        let results = job.bucket.results().await.expect("the results");
        let took_over = results.iter().filter(|result| result.tenures.len() > 1).count();
        assert_eq!(took_over, 1, "one chunk was taken over");
        job.finish(&[]).await;
    }
}

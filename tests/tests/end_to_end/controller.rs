//! `dayfly` beside the agents: it seeds, launches, watches, fetches; and the agents do not need it.

use std::collections::BTreeMap;
use std::path::Path;

use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::keys::{View, output_name};
use dayfly_shared::records::AgentState;
use dayfly_tests::{Job, Layout, Rule, World, content, everywhere, on_endpoint, orphans};
use hyper::Method;

/// Short leases, as flags of `dayfly seed`.
const SHORT: [&str; 2] = ["--lease-ttl", "2s"];

/// The files of a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).expect("a file")))
        .collect()
}

on_endpoint! {
    // The other server plays some of AWS's services.
    /// A store that is not Amazon's has no machines beside it, and its requests have no price that AWS would tell.
    async fn what_only_aws_could_tell(world: &World) {
        let mut job = Layout::new(2).lay_out(world).await;
        job.agent("one").start().ended().await.expect(0, &[]);
        for command in ["ps", "reap", "terminate"] {
            let said = ["ec2:DescribeInstances", "no such service of AWS", "AWS_ENDPOINT_URL_S3", "dayfly launch --here"];
            world.dayfly(&[command, &job.url()]).await.expect(1, &said);
        }
        let ended = world.dayfly(&["cost", &job.url()]).await;
        ended.expect(0, &["no machine of EC2 worked on it that is known", "requests to the store\n"]);
        assert_eq!(ended.said.matches("no such service of AWS").count(), 1, "once: {}", ended.said);
        assert!(!ended.said.contains("$0.0000"), "what is unknown is not nothing: {}", ended.said);
        let ended = world.dayfly(&["status", &job.url()]).await;
        ended.expect(0, &["by dayfly cost; not in it: the price of S3 requests is unknown"]);
        assert!(!ended.said.contains("machines"), "{}", ended.said);
        let note = "the job is over: that holds for what is added to it";
        world.dayfly(&["pause", &job.url()]).await.expect(0, &["is paused", note]);
        job.finish(&[]).await;
    }
}

everywhere! {
    /// The demonstration: ten inputs, three of them done, three agents, and the outputs fetched.
    async fn the_demo(world: &World) {
        let url = "s3://test-bucket/demo/";
        let seed = world.dayfly(&["seed", url, "--demo", "--agents", "3", SHORT[0], SHORT[1]]).await;
        seed.expect(0, &["7 lines in tasklist.txt"]);
        let mut job = Job::seeded(world, world.job_bucket("test-bucket", "demo").await).await;
        assert_eq!((job.inputs.len(), job.done_before.len()), (10, 3));
        let mut agents: Vec<_> = ["one", "two", "three"].map(|name| job.agent(name).start()).into();
        for agent in &mut agents {
            agent.ended().await.expect(0, &[]);
        }
        world.dayfly(&["status", url]).await.expect(0, &["over", "10 of 10 done"]);
        let results = world.folder().join("results");
        world.dayfly(&["fetch", url, &results.display().to_string()]).await.expect(0, &[]);
        let wanted: BTreeMap<String, Vec<u8>> =
            job.inputs.iter().map(|(name, input)| (output_name(name), content::xored(input, &job.kernel))).collect();
        assert!(files(&results) == wanted, "what was fetched is what the outputs must be");
        job.finish(&[]).await;
    }

    /// Two people seed the same job at once, both watch it, and five agents come.
    async fn two_controllers_and_five_agents(world: &World) {
        let folder = world.folder().join("data");
        std::fs::create_dir(&folder).expect("a folder");
        for (n, name) in content::names(30).iter().enumerate() {
            std::fs::write(folder.join(name), content::of(name, content::size(n))).expect("a file");
        }
        std::fs::write(folder.join("kernel.dat"), content::KERNEL).expect("a file");
        let (url, data) = ("s3://test-bucket/both/", folder.display().to_string());
        let seed = ["seed", url, "--inputs", &data, "--agents", "5", SHORT[0], SHORT[1]];
        let mut seeds = [world.start_dayfly(&seed), world.start_dayfly(&seed)];
        for seed in &mut seeds {
            seed.ended().await.expect(0, &[]);
        }
        let mut job = Job::seeded(world, world.job_bucket("test-bucket", "both").await).await;
        assert_eq!(job.lines(View::Tasklist).await.len(), 30);
        let mut watches = [world.start_dayfly(&["watch", url]), world.start_dayfly(&["watch", url, "--json"])];
        let mut agents: Vec<_> = (0..5).map(|n| job.agent(&format!("agent{n}")).start()).collect();
        for agent in &mut agents {
            agent.ended().await.expect(0, &[]);
        }
        for watch in &mut watches {
            watch.ended().await.expect(0, &["30"]);
        }
        job.finish(&[]).await;
    }

    /// The controller is killed while its agents work: they do not notice.
    async fn a_killed_controller_is_not_missed(world: &World) {
        let mut job = Layout::new(12).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in5.dat"));
        let proxy_url = proxy.url();
        let mut controller = world.start_dayfly_with(&["launch", &job.url(), "-n", "2", "--wait"], |command| {
            command.env("AWS_ENDPOINT_URL", &proxy_url);
        });
        world.held(&mut controller, &gate).await;
        controller.kill();
        gate.open();
        job.until("the agents have ended", async |job| {
            let agents = job.bucket.agents().await.expect("the agents' records");
            agents.len() == 2 && agents.iter().all(|agent| agent.state == AgentState::Ended)
        })
        .await;
        world.until("their processes are gone", async || orphans::running(world.folder()).is_empty()).await;
        job.finish(&[]).await;
    }

    /// Inputs in one bucket, outputs in another, the job in a third.
    async fn inputs_and_outputs_elsewhere(world: &World) {
        for bucket in ["the-inputs", "the-outputs"] {
            world.server().create_bucket(bucket).await;
        }
        let place = |text: &str| Some(text.parse::<Location>().expect("a location"));
        let settings = JobSettings {
            inputs: place("s3://the-inputs/2026/"),
            outputs: place("s3://the-outputs/run 1/"),
            ..dayfly_tests::short_lease()
        };
        // Names that would be refused beside the job's own objects.
        let names = ["in0.dat", "tasklist.txt", "kernel.dat", "out7.dat", "plan/0001.txt", "deep/er.bin"];
        let inputs = names.iter().enumerate().map(|(n, name)| ((*name).to_owned(), content::of(name, content::size(n))));
        let mut job = Layout::of(inputs).settings(Some(settings)).lay_out(world).await;
        let mut agents = [job.agent("one").start(), job.agent("two").start()];
        for agent in &mut agents {
            agent.ended().await.expect(0, &[]);
        }
        job.finish(&[]).await;
    }

    /// What the controller is told wrong, it says; by exit code, and in words that name the thing and the fix.
    async fn a_controller_that_cannot(world: &World) {
        let job = Layout::new(2).unwatched().lay_out(world).await;
        world.dayfly(&["status", "s3://no-such-bucket/job"]).await.expect(1, &["error:", "no-such-bucket"]);
        let ended = world.dayfly(&["run", "s3://no-such-bucket/job", "--demo"]).await;
        ended.expect(1, &["create it (aws s3 mb s3://no-such-bucket)"]);
        assert!(!ended.said.contains("--here"), "it would be no help: {}", ended.said);
        for command in ["status", "watch", "launch", "pause", "cancel", "clean"] {
            let ended = world.dayfly(&[command, "s3://test-bucket/jbo"]).await;
            ended.expect(1, &["error:", "s3://test-bucket/jbo/", "no job"]);
        }
        let left = dayfly_shared::store::StoreExt::list_all(&**job.bucket.store(), "jbo/").await.expect("a listing");
        assert_eq!(left, [], "nothing was written there");
        world.dayfly(&["status", "test-bucket/job"]).await.expect(2, &["s3://BUCKET/PREFIX"]);
        world.dayfly(&["status"]).await.expect(2, &["DAYFLY_JOB"]);
        let mut without = world.start_dayfly_with(&["status", &job.url()], |command| {
            command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        });
        without.ended().await.expect(1, &["error:", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"]);
    }

    /// Records of agents are seldom written; what they have done stands in the results, what they do in the semaphores.
    async fn an_agent_is_shown_as_it_is_now(world: &World) {
        let settings = JobSettings { lease_ttl_seconds: 3600, ..JobSettings::default() };
        let mut job = Layout::new(6).settings(Some(settings)).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends(".dat").and(|asked| asked.key.contains("/in")).after(3));
        let mut agent = job.agent("one").through(&proxy).start();
        world.held(&mut agent, &gate).await;
        world.until("three are done", async || {
            let status = world.dayfly(&["status", &job.url()]).await;
            status.said.contains("3 of 6 done, 1 running") && status.said.contains("working, 3 done, 1 of 1 slot running")
        })
        .await;
        gate.open();
        agent.ended().await.expect(0, &[]);
        job.finish(&[]).await;
    }

    /// Seeding without a kernel, with an empty one, from a folder that is not there: nothing is begun.
    async fn a_seed_that_cannot(world: &World) {
        let folder = world.folder().join("data");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("in0.dat"), b"input").expect("a file");
        let (url, data) = ("s3://test-bucket/new/", folder.display().to_string());
        world.dayfly(&["seed", url, "--inputs", &data]).await.expect(1, &["error:", "kernel", "--kernel"]);
        std::fs::write(folder.join("kernel.dat"), b"").expect("a file");
        world.dayfly(&["seed", url, "--inputs", &data]).await.expect(1, &["error:", "kernel.dat", "empty"]);
        let none = world.folder().join("none").display().to_string();
        world.dayfly(&["seed", url, "--inputs", &none]).await.expect(1, &["error:", &none]);
        let bucket = world.job_bucket("test-bucket", "new").await;
        let left = dayfly_shared::store::StoreExt::list_all(&**bucket.store(), "new/").await.expect("a listing");
        assert!(left.iter().all(|entry| !entry.key.ends_with("tasklist.txt")), "agents see no job: {left:?}");
    }
}

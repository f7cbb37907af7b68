//! What programs get and leave.

use dayfly_shared::keys::View;
use dayfly_shared::manifest::Manifest;
use dayfly_shared::store::StoreExt;
use dayfly_tests::{Rule, World, everywhere, on_endpoint};
use hyper::Method;

use super::{JOB, dead_letter_with_log, fetch, file, inputs, lines, read, seed, work};

everywhere! {
    async fn a_command_makes_one_file_of_each(world: &World) {
        let folder = inputs(world, &[("a.txt", "b\na\n"), ("sub/it's a b.txt", "2\n1\n"), ("empty", "")]);
        let job = seed(world, &["--inputs", &folder, "sort -o {output} {input}"]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let results = fetch(world).await;
        assert_eq!(read(&results, "out/a.txt"), "a\nb\n");
        assert_eq!(read(&results, "out/sub/it's a b.txt"), "1\n2\n");
        assert_eq!(read(&results, "out/empty"), "");
        assert_eq!(lines(&job, View::Tasklist).await, Vec::<String>::new());
    }

    async fn a_folder_of_outputs_stands_with_its_manifest(world: &World) {
        let folder = inputs(world, &[("a", "1"), ("b", "2")]);
        let command = "mkdir {output_dir}/sub; cp {input} {output_dir}/copy; echo {name} > '{output_dir}/sub/n m'";
        let job = seed(world, &["--inputs", &folder, "--expect", "copy", "--expect", "sub/n m", "--shell", command]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let results = fetch(world).await;
        assert_eq!((read(&results, "out/a/copy"), read(&results, "out/b/sub/n m")), ("1".to_owned(), "b\n".to_owned()));
        let key = job.location.key("out/a/manifest.json");
        let (meta, body) = job.store().read(&key).await.expect("a read").expect("a manifest");
        let manifest: Manifest = serde_json::from_slice(&body).expect("a manifest");
        let files: Vec<(&str, u64)> = manifest.files.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
        assert_eq!(files, [("copy", 1), ("sub/n m", 2)]);
        assert_eq!(meta.metadata.get("dayfly-bytes").map(String::as_str), Some("3"));
    }

    /// The zombie's manifest comes when another attempt's stands: the outputs are all of that one.
    async fn a_folder_is_never_a_mix_of_two_attempts(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let command = "for n in 1 2 3; do echo {attempt} > {output_dir}/$n; done";
        let job = seed(world, &["--inputs", &folder, "--shell", command]).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(dayfly_tests::Rule::on(hyper::Method::PUT).key_ends("/out/a/manifest.json"));
        let mut zombie = world.agent(&job.location, "zombie").through(&proxy).start();
        world.held(&mut zombie, &gate).await;
        zombie.signal(rustix::process::Signal::STOP);
        work(world, &job, "second").await.expect(0, &[]);
        let before = fetch(world).await;
        let attempt = read(&before, "out/a/1");
        zombie.signal(rustix::process::Signal::CONT);
        gate.open();
        zombie.ended().await.expect(0, &[]);
        let objects = job.store().list_all(&job.location.key("out/a/")).await.expect("a listing");
        assert_eq!(objects.len(), 7, "two attempts' files and one manifest: {objects:?}");
        std::fs::remove_dir_all(&before).expect("removed");
        let after = fetch(world).await;
        for n in ["1", "2", "3"] {
            assert_eq!(read(&after, &format!("out/a/{n}")), attempt, "file {n}");
        }
        world.dayfly(&["clean", JOB, "--yes"]).await.expect(0, &[]);
        let objects = job.store().list_all(&job.location.key("out/a/")).await.expect("a listing");
        assert_eq!(objects.len(), 4, "one attempt's files and the manifest: {objects:?}");
        std::fs::remove_dir_all(&after).expect("removed");
        assert_eq!(read(&fetch(world).await, "out/a/2"), attempt, "what was committed is whole");
    }
}

on_endpoint! {
    /// What placeholders, shared files and the environment are does not hang on the store.
    async fn tasks_may_be_lines(world: &World) {
        let list = file(world, "parameters.txt", "--rate 0.1 --size 5\n--rate 0.2 --size 7\nin.dat\n");
        let script = file(world, "run.sh", "echo \"$*|$DAYFLY_TASK_NAME|$GREETING|${AWS_SECRET_ACCESS_KEY-none}\"\n");
        let job = seed(world, &[
            "--tasks", &list, "--env", "GREETING=hello world", "--shell", "sh {file:run.sh} {name}", "--files", &script,
        ]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let results = fetch(world).await;
        let said = read(&results, "out/--rate 0.1 --size 5");
        assert_eq!(said, "--rate 0.1 --size 5|--rate 0.1 --size 5|hello world|none\n");
        assert_eq!(lines(&job, View::Completed).await.len(), 3);
    }

    async fn credentials_are_handed_on_only_on_request(world: &World) {
        let list = file(world, "list.txt", "x\n");
        let job = seed(world, &["--tasks", &list, "--with-credentials", "--shell", "echo ${AWS_ACCESS_KEY_ID:+there}"]).await;
        work(world, &job, "one").await.expect(0, &[]);
        assert_eq!(read(&fetch(world).await, "out/x"), "there\n");
    }

    async fn a_script_is_submitted_with_its_files(world: &World) {
        let script = file(world, "job.py", "import data.numbers as n\nopen('sum.txt', 'w').write(str(sum(n.ALL)))\n");
        std::fs::create_dir(world.folder().join("data")).expect("a folder");
        file(world, "data/numbers.py", "ALL = [1, 2, 3]\n");
        let data = world.folder().join("data").display().to_string();
        // The copies of the files are where it starts; Python looks beside the script.
        let job = seed(world, &["--submit", &script, "--env", "PYTHONPATH=.", "--env", "PYTHONDONTWRITEBYTECODE=1", "--files", &data]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let results = fetch(world).await;
        assert_eq!(read(&results, "out/job.py/sum.txt"), "6");
        let left: Vec<_> = std::fs::read_dir(results.join("out/job.py")).expect("a folder").collect();
        assert_eq!(left.len(), 1, "what was sent is no output: {left:?}");
    }

    async fn the_kernel_and_binary_content_reach_a_program(world: &World) {
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let folder = world.folder().join("inputs");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("in1.dat"), &bytes).expect("an input");
        let kernel = file(world, "k.dat", "kernel");
        let folder = folder.display().to_string();
        let job = seed(world, &["--inputs", &folder, "--kernel", &kernel, "--shell", "cat {kernel} {input} > {output}"]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let wanted: Vec<u8> = b"kernel".iter().copied().chain(bytes).collect();
        assert_eq!(std::fs::read(fetch(world).await.join("out1.dat")).expect("an output"), wanted);
    }

    async fn an_output_that_is_expected_and_missing_is_named(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let command = "echo > {output_dir}/other.csv";
        let job = seed(world, &["--inputs", &folder, "--max-attempts", "1", "--expect", "table.csv", "--shell", command]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let (letter, _) = dead_letter_with_log(&job).await;
        assert!(letter.error.contains("table.csv") && letter.error.contains("other.csv"), "{}", letter.error);
    }

    async fn a_link_is_no_output(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let command = "ln -s /etc/passwd {output_dir}/x";
        let job = seed(world, &["--inputs", &folder, "--max-attempts", "1", "--shell", command]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let (letter, _) = dead_letter_with_log(&job).await;
        assert!(letter.error.contains("is a link"), "{}", letter.error);
    }

    /// Many large files at once take no more memory than a few of their parts.
    async fn a_folder_of_large_files_goes_up_in_little_memory(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let command = "for n in 1 2 3 4 5 6 7 8; do head -c 60000000 /dev/zero > {output_dir}/$n; done";
        let job = seed(world, &["--inputs", &folder, "--shell", command]).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::PUT).key_has("/results/"));
        let mut agent = world.agent(&job.location, "one").through(&proxy).start();
        world.held(&mut agent, &gate).await;
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("the agent's status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        let peak = peak.expect("the most memory that it had") >> 10;
        println!("the agent had {peak} MiB at most");
        // 64 MiB for parts, and as much again for the buffers of files and connections; with room for chance.
        assert!(peak < 260, "{peak} MiB");
        gate.open();
        agent.ended().await.expect(0, &[]);
    }

    /// What is wrong with a command shows where it was typed, and nothing is written.
    async fn a_wrong_command_is_refused_at_once(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        for (words, said) in [
            (vec!["cp {inptu} {output}"], "{inptu}"),
            (vec!["cp {input} {output} {output_dir}"], "both"),
            (vec!["cp 'x {input}"], "quote"),
            (vec!["--shell", "cp", "{input}"], "one text"),
            (vec!["--expect", "x", "cp {input} {output}"], "{output_dir}"),
            (vec!["sh {file:run.sh} {input}"], "run.sh"),
            (vec!["cat {kernel}"], "--kernel"),
            (vec!["--task-memory", "5"], "none is named"),
        ] {
            let line: Vec<&str> = ["seed", JOB, "--inputs", &folder].iter().chain(&words).copied().collect();
            world.dayfly(&line).await.expect(2, &["error:", said]);
        }
        let bucket = world.job_bucket("test-bucket", "job").await;
        assert_eq!(bucket.store().list_all("").await.expect("a listing"), [], "nothing was written");
    }
}

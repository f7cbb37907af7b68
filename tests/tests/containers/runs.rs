//! What containers get, and what they leave.

use std::path::{Path, PathBuf};

use dayfly_shared::store::StoreExt;
use dayfly_tests::listener::{Said, listen};
use serde_json::json;

use super::podman::{Podman, TOOLS};
use super::{fetch, file, in_containers, inputs, read, seed};

/// The file of this name, below a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        // What the engine stores is not looked through.
        match entry.file_type().ok()?.is_dir() && !path.ends_with("podman") {
            true => find(&path, name),
            false => path.ends_with(name).then_some(path),
        }
    })
}

in_containers! {
    /// Whatever the inputs are called; one of them is called as its output is.
    async fn a_file_becomes_its_output(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("in7.dat", "seven"), ("sub/it's a, b:\"c\".txt", "x"), ("plain.txt", "")]);
        let command = "/bin/sh -c 'tr a-z A-Z < \"$0\" > \"$1\"' {input} {output}";
        seed(podman.world, &["--inputs", &folder, "--image", TOOLS, command]).await;
        podman.work("one").await.expect(0, &["the image is ready"]);
        let results = fetch(podman.world).await;
        assert_eq!(read(&results, "out7.dat"), "SEVEN");
        assert_eq!(read(&results, "out/sub/it's a, b:\"c\".txt"), "X");
        assert_eq!(read(&results, "out/plain.txt"), "");
        assert_eq!(podman.containers(), Vec::<String>::new());
    }

    /// The seed's: the container gets the name of its data file, finds it and the kernel in /data, and leaves the result
    /// there; its image says what runs.
    async fn a_container_may_know_its_way_in_data(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("in0.dat", "zero "), ("in1.dat", "one ")]);
        let kernel = file(podman.world, "kernel", "kernel");
        let process = "n=${1#in}; cat /data/$1 /data/kernel.dat > /data/out$n";
        podman.import("localhost/seeds:1", &[("process", process)], &["ENTRYPOINT [\"/process\"]"]);
        seed(podman.world, &[
            "--inputs", &folder, "--kernel", &kernel, "--image", "localhost/seeds:1", "--output-as", "file", "{name}",
        ]).await;
        podman.work("one").await.expect(0, &[]);
        let results = fetch(podman.world).await;
        assert_eq!((read(&results, "out0.dat"), read(&results, "out1.dat")), ("zero kernel".into(), "one kernel".into()));
    }

    /// Seen from inside: no rights, no network, nothing of the machine's, and nothing to be changed but its own folders.
    async fn a_container_has_its_folders_and_nothing_else(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        let extra = file(podman.world, "extra/b.txt", "2");
        let script = "
            grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/self/status > rights; ls /sys/class/net > net
            env > env; echo $$ > pid; cat /dayfly/files/extra/b.txt extra/b.txt a > files
            for to in /x /bin/x /etc/x /dayfly/x /dayfly/in/a /dayfly/in/x /dayfly/files/x a extra/b.txt /proc/sys/kernel/hostname; do
                (echo no > $to) 2>/dev/null && echo $to >> written
            done
            rm -f /dayfly/in/a 2>/dev/null; cat /dayfly/in/a >> files
            (mount -t tmpfs none /bin) 2>/dev/null && echo mounted >> written
            ls -l /dev | grep '^b' > disks
            echo yes > /tmp/x && echo yes > /dayfly/checkpoint/x && cat /tmp/x /dayfly/checkpoint/x > own
        ";
        // The program starts where the image says: at /.
        let script = format!("cd /data; {script}");
        let folder_of_files = std::path::Path::new(&extra).parent().expect("a folder").display().to_string();
        let job = seed(podman.world, &[
            "--inputs", &folder, "--files", &folder_of_files, "--image", TOOLS, "--env", "GREETING=hello world",
            "--output-as", "folder", "--", "/bin/sh", "-c", &script,
        ]).await;
        podman.work("one").await.expect(0, &[]);
        let results = fetch(podman.world).await;
        let of = |name: &str| read(&results, &format!("out/a/{name}"));
        let rights = of("rights");
        let held: Vec<&str> = rights.lines().filter(|line| line.starts_with("Cap")).collect();
        assert!(held.len() == 3 && held.iter().all(|line| line.ends_with("0000000000000000")), "{rights}");
        assert!(rights.contains("NoNewPrivs:\t1") && rights.contains("Seccomp:\t2"), "{rights}");
        assert_eq!((of("net"), of("pid"), of("own"), of("files")), ("lo\n".into(), "1\n".into(), "yes\nyes\n".into(), "2211".into()));
        assert!(!results.join("out/a/written").exists(), "{}", of("written"));
        assert_eq!(of("disks"), "");
        let env = of("env");
        assert!(env.contains("GREETING=hello world\n") && env.contains("DAYFLY_TASK_NAME=a\n"), "{env}");
        assert!(!env.contains("AWS_SECRET") && !env.contains("DAYFLY_JOB"), "{env}");
        // What the container found there is no output of its.
        let listed = job.store().list_all(&job.location.key("out/")).await.expect("a listing");
        assert!(!listed.iter().any(|entry| entry.key.ends_with("/b.txt") || entry.key.ends_with("/a")), "{listed:?}");
    }

    async fn a_network_and_credentials_are_there_on_request(podman: &Podman<'_>) {
        let list = file(podman.world, "list.txt", "x\n");
        seed(podman.world, &[
            "--tasks", &list, "--image", TOOLS, "--network", "bridge", "--with-credentials", "--task-cpus", "1.5",
            "/bin/sh -c 'ls /sys/class/net; echo ${AWS_ACCESS_KEY_ID:+key}; echo $0' {name}",
        ]).await;
        let mut agent = podman.agent("one").start();
        agent.ended().await.expect(0, &[]);
        assert_eq!(read(&fetch(podman.world).await, "out/x"), "eth0\nlo\nkey\nx\n");
    }

    /// A secret of several lines is in the container's environment, and on no command line of the machine meanwhile.
    async fn a_secret_is_on_no_command_line(podman: &Podman<'_>) {
        let list = file(podman.world, "list.txt", "x\n");
        let ssm = listen(|asked| {
            let parameter = json!({ "Parameter": { "Value": "hush line one\nhush line two\n" } });
            let is_right = asked.headers.get("x-amz-target").is_some_and(|target| target == "AmazonSSM.GetParameter")
                && asked.body.contains("/dayfly/key");
            if is_right { Said::new(200, parameter.to_string()) } else { Said::new(500, "") }
        });
        let script = "touch $0/waits; while [ ! -e $0/go ]; do sleep 0.1; done; echo \"$KEY\"; echo \"$KEY\" > $0/key; env | grep -c ^AWS > $0/n";
        let job = seed(podman.world, &[
            "--tasks", &list, "--image", TOOLS, "--secret", "KEY=ssm:/dayfly/key", "--", "/bin/sh", "-c", script, "{output_dir}",
        ]).await;
        let mut agent = podman.agent("one").env("AWS_ENDPOINT_URL_SSM", &ssm).start();
        let waits = || find(podman.world.folder(), "waits");
        podman.world.until("the container runs", async || {
            assert!(agent.runs(), "{}", agent.said());
            waits().is_some()
        })
        .await;
        let lines = std::fs::read_dir("/proc").expect("/proc").flatten();
        let lines = lines.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        let told: Vec<String> = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect();
        assert!(told.iter().any(|line| line.contains("--env KEY ")), "the client hands it on by name: {told:#?}");
        assert!(!told.iter().any(|line| line.contains("hush line")), "{told:#?}");
        std::fs::write(waits().expect("its folder").with_file_name("go"), "").expect("a file");
        agent.ended().await.expect(0, &[]);
        let results = fetch(podman.world).await;
        assert_eq!(read(&results, "out/x/key"), "hush line one\nhush line two\n\n");
        // The container has no credentials but that one secret.
        assert_eq!(read(&results, "out/x/n"), "1\n", "AWS_EC2_METADATA_DISABLED alone");
        for entry in job.store().list_all(&job.location.key("logs/")).await.expect("a listing") {
            let (_, log) = job.store().read(&entry.key).await.expect("a read").expect("a log");
            let log = String::from_utf8_lossy(&log);
            assert!(!log.contains("hush") && (!entry.key.ends_with(".log") || log.contains("***")), "{}: {log}", entry.key);
        }
    }

    async fn a_folder_of_outputs_has_what_is_expected(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        let command = "/bin/sh -c 'mkdir $0/sub; cp $1 $0/copy; echo $2 > $0/sub/n' {output_dir} {input} {stem}";
        seed(podman.world, &["--inputs", &folder, "--image", TOOLS, "--expect", "copy", "--expect", "sub/n", command]).await;
        podman.work("one").await.expect(0, &[]);
        let results = fetch(podman.world).await;
        assert_eq!((read(&results, "out/a/copy"), read(&results, "out/a/sub/n")), ("1".to_owned(), "a\n".to_owned()));
    }

    /// The image says who it runs as; its folders are that user's. The agent's own word goes before.
    async fn a_container_runs_as_its_user(podman: &Podman<'_>) {
        if !rustix::process::geteuid().is_root() {
            return println!("SKIPPED: only root can run programs as somebody else");
        }
        podman.import("localhost/workers:1", &[], &["USER worker"]);
        let folder = inputs(podman.world, &[("a", "1")]);
        let command = "/bin/sh -c 'id -u > $0; id -g >> $0; cat $1 >> $0' {output} {input}";
        seed(podman.world, &["--inputs", &folder, "--image", "localhost/workers:1", command]).await;
        podman.work("one").await.expect(0, &[]);
        assert_eq!(read(&fetch(podman.world).await, "out/a"), "1234\n1235\n1");
        assert_eq!(podman.containers(), Vec::<String>::new());
        inputs(podman.world, &[("b", "2")]);
        seed(podman.world, &["--inputs", &folder, "--image", "localhost/workers:1", command]).await;
        podman.agent("two").arg("--run-as").arg("nobody").start().ended().await.expect(0, &[]);
        assert_eq!(read(&fetch(podman.world).await, "out/b"), "65534\n65534\n2");
    }
}

//! The container flavour: tasks in containers, and Python projects.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use dayfly_shared::work::ContentHash;
use dayfly_tests::programs::{JOB, fetch, file, inputs, read};
use dayfly_tests::{Job, Kind, World, run};
use serde_json::json;

use crate::guest::{Boot, expect, image};

fn tar(folder: &Path, archive: &Path) {
    let made = Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(archive).arg(".").status();
    assert!(made.expect("tar runs").success());
}

/// An image as `docker save` makes it (Docker Image Specification v1.2): one layer, with busybox in it and nothing else.
fn busybox(world: &World) -> String {
    let at = |name: &str| -> PathBuf { world.folder().join(name) };
    fs::create_dir_all(at("root/bin")).expect("a folder");
    fs::create_dir_all(at("image")).expect("a folder");
    fs::copy("/bin/busybox", at("root/bin/busybox")).expect("busybox-static is installed");
    for applet in ["sh", "cat", "id", "ls", "echo"] {
        symlink("busybox", at("root/bin").join(applet)).expect("a link");
    }
    tar(&at("root"), &at("image/layer.tar"));
    let mut sum = ContentHash::default();
    sum.update(&fs::read(at("image/layer.tar")).expect("a layer"));
    let layer = format!("sha256:{}", sum.finish());
    let config = json!({ "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer] } });
    let manifest = json!([{ "Config": "config.json", "RepoTags": ["localhost/tools:1"], "Layers": ["layer.tar"] }]);
    fs::write(at("image/config.json"), config.to_string()).expect("a file");
    fs::write(at("image/manifest.json"), manifest.to_string()).expect("a file");
    tar(&at("image"), &at("image.tar"));
    at("image.tar").display().to_string()
}

/// Seeds the job, and has one machine do it.
async fn work(world: &World, words: &[&str]) -> String {
    assert_eq!(image().1["flavour"], "container", "DAYFLY_IMAGE names another; scripts/test-ami container builds it");
    let line: Vec<&str> = ["seed", JOB].iter().chain(words).copied().collect();
    world.dayfly(&line).await.expect(0, &[]);
    let job = world.job_bucket("test-bucket", "job").await;
    let settings = job.job_settings().await.expect("settings").expect("job.json");
    let job = Job::open(world, job, settings).await;
    let said = Boot::new(world, "equipped").memory(1024).on(&job).start().powered_off().await;
    expect(&said, &["powering off: the job is over"]);
    said
}

#[test]
#[ignore = "boots the container flavour; run by scripts/test-ami container"]
fn a_task_in_a_container() {
    run(Kind::Endpoint, async |world: &World| {
        let (folder, archive) = (inputs(world, &[("a", "one\n")]), busybox(world));
        let command = "/bin/sh -c 'cat {input}; echo user $(id -u); echo network $(ls /sys/class/net)'";
        let said =
            work(world, &["--inputs", &folder, "--image-archive", &archive, "--task-memory", "64", command]).await;
        expect(&said, &["the image is ready"]);
        let output = read(&fetch(world).await, "out/a");
        let lines: Vec<&str> = output.lines().collect();
        assert!(lines[0] == "one" && lines[2] == "network lo", "{output}");
        assert!(lines[1].starts_with("user ") && lines[1] != "user 0", "it is nobody's root: {output}");
    });
}

#[test]
#[ignore = "boots the container flavour; run by scripts/test-ami container"]
fn a_python_project() {
    run(Kind::Endpoint, async |world: &World| {
        let folder = inputs(world, &[("a.csv", "1\n41\n")]);
        let script = "import os, sys\n\
            given = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n\
            total = sum(int(line) for line in open(os.path.join(given['-i'], 'a.csv')))\n\
            print(total, sys.prefix != sys.base_prefix, os.getuid() != 0,\n\
                  file=open(os.path.join(given['-o'], 'sum.txt'), 'w'))\n";
        file(world, "project/main.py", script);
        let project = world.folder().join("project").display().to_string();
        work(world, &["--inputs", &folder, "--project", &project, "--expect", "sum.txt", "main.py"]).await;
        assert_eq!(read(&fetch(world).await, "out/a.csv/sum.txt"), "42 True True\n");
    });
}

//! `dayfly seed`.

use std::fs;

use super::rig::{Rig, files};

fn lines(from: u32, to: u32) -> String {
    (from..=to).map(|n| format!("in{n}.dat\n")).collect()
}

#[test]
fn the_demo_is_ten_inputs_three_of_them_done() {
    let demo = || {
        let rig = Rig::new();
        rig.dayfly(&["seed", "--demo", "--demo-seed", "1"]).ok();
        rig
    };
    let rig = demo();
    assert_eq!((rig.read("completed.txt"), rig.read("tasklist.txt")), (lines(0, 2), lines(3, 9)));
    let (kernel, input, output) = (
        fs::read(rig.at("kernel.dat")).unwrap(),
        fs::read(rig.at("in2.dat")).unwrap(),
        fs::read(rig.at("out2.dat")).unwrap(),
    );
    assert_eq!((kernel.len(), input.len()), (1000, 2_000_000));
    let expected: Vec<u8> = input.iter().enumerate().map(|(n, byte)| byte ^ kernel[n % 1000]).collect();
    assert!(output == expected);
    assert!(!rig.at("out3.dat").exists());
    // The same again, elsewhere; and with nothing said, what is there stays.
    assert_eq!(fs::read(demo().at("in9.dat")).unwrap(), fs::read(rig.at("in9.dat")).unwrap());
    let again = rig.dayfly(&["seed", "--demo", "--json"]).ok().json();
    assert_eq!((&again["sent"], &again["list"]["written"]), (&0.into(), &false.into()));
}

#[test]
fn seeding_again_goes_on_and_keeps_what_people_wrote() {
    let rig = Rig::seeded();
    fs::write(rig.at("out5.dat"), "an output").unwrap();
    fs::write(rig.at("tasklist.txt"), "in8.dat\r\nby-hand.dat\nin8.dat\n").unwrap();
    let report = rig.dayfly(&["seed", "--json"]).ok().json();
    assert_eq!((&report["done"], &report["to_do"]), (&4.into(), &6.into()));
    assert_eq!((&report["list"]["kept"], &report["list"]["added"]), (&2.into(), &5.into()));
    assert_eq!(report["list"]["repeated"], 1);
    assert_eq!(rig.read("tasklist.txt"), "in8.dat\nby-hand.dat\nin3.dat\nin4.dat\nin6.dat\nin7.dat\nin9.dat\n");
    assert_eq!(rig.read("completed.txt"), "in0.dat\nin1.dat\nin2.dat\nin5.dat\n");
}

#[test]
fn a_job_where_all_is_done_says_so() {
    let rig = Rig::seeded();
    (3..10).for_each(|n| fs::write(rig.at(&format!("out{n}.dat")), "x").unwrap());
    fs::write(rig.at("tasklist.txt"), "").unwrap();
    let ran = rig.dayfly(&["seed"]).ok();
    assert!(ran.stdout.contains("Nothing is left to do"), "{}", ran.stdout);
    assert_eq!(rig.read("tasklist.txt"), "");
}

#[test]
fn files_of_a_folder_go_up_once_with_any_name_that_can_be_a_key() {
    let rig = Rig::new();
    let deep = format!("{0}/{0}/{0}/{0}", "n".repeat(240));
    for name in ["in1.dat", "a b+c%.txt", "ü/é.bin", "sub/in1.dat", &deep] {
        rig.file(&format!("data/{name}"), name);
    }
    rig.file("data/kernel.dat", "k");
    rig.file("data/.hidden", "");
    let first = rig.dayfly(&["seed", "--inputs", "data", "--json"]).ok().json();
    assert_eq!((&first["inputs"], &first["sent"], &first["hidden"]), (&5.into(), &5.into(), &1.into()));
    assert_eq!(rig.read("tasklist.txt").lines().count(), 5);
    assert_eq!((rig.read("kernel.dat").as_str(), rig.read("ü/é.bin").as_str()), ("k", "ü/é.bin"));
    let second = rig.dayfly(&["seed", "--inputs", "data", "--json"]).ok().json();
    assert_eq!((&second["sent"], &second["to_do"]), (&0.into(), &5.into()));
    let chosen = rig.dayfly(&["seed", "--inputs", "data", "--glob", "**/in*.dat", "--json"]).ok().json();
    assert_eq!(chosen["inputs"], 2);
}

#[test]
fn a_changed_input_is_replaced_only_when_told_and_its_output_is_called_old() {
    let rig = Rig::new();
    rig.file("data/in1.dat", "one");
    rig.file("k", "k");
    rig.dayfly(&["seed", "--inputs", "data", "--kernel", "k"]).ok();
    fs::write(rig.at("out1.dat"), "made of one").unwrap();
    rig.file("data/in1.dat", "two");
    rig.dayfly(&["seed", "--inputs", "data"]).failed(2, &["in1.dat", "Replace it?", "nothing was changed", "--yes"]);
    assert_eq!(rig.read("in1.dat"), "one");
    let report = rig.dayfly(&["seed", "--inputs", "data", "--yes", "--json"]).ok().json();
    assert_eq!((&report["sent"], &report["stale"][0]), (&1.into(), &"in1.dat".into()));
    assert_eq!((rig.read("in1.dat").as_str(), rig.read("out1.dat").as_str()), ("two", "made of one"));
}

#[test]
fn inputs_may_be_objects_elsewhere_and_outputs_go_elsewhere() {
    let rig = Rig::seeded();
    fs::create_dir_all(rig.folder().join("archive/2026/sub")).unwrap();
    fs::create_dir_all(rig.folder().join("results")).unwrap();
    for name in ["2026/in1.dat", "2026/in2.dat", "2026/sub/in3.dat", "2026/readme"] {
        fs::write(rig.folder().join("archive").join(name), name).unwrap();
    }
    fs::write(rig.folder().join("results/out2.dat"), "done").unwrap();
    let args = [
        "seed",
        "s3://dayfly/two",
        "--inputs",
        "s3://archive/2026",
        "--glob",
        "in*.dat",
        "--outputs",
        "s3://results",
        "--kernel",
        "s3://dayfly/kernel.dat",
        "--agents",
        "9",
        "--lease-ttl",
        "2m",
    ];
    rig.dayfly(&args).ok();
    assert_eq!(rig.read("two/tasklist.txt"), "in1.dat\n");
    assert_eq!(rig.read("two/completed.txt"), "in2.dat\n");
    let settings: serde_json::Value = serde_json::from_str(&rig.read("two/job.json")).unwrap();
    assert_eq!((&settings["inputs"], &settings["agents"]), (&"s3://archive/2026/".into(), &9.into()));
    assert_eq!((&settings["outputs"], &settings["lease_ttl_seconds"]), (&"s3://results/".into(), &120.into()));
    assert_eq!(fs::read(rig.at("two/kernel.dat")).unwrap(), fs::read(rig.at("kernel.dat")).unwrap());
    // The inputs were not copied.
    assert!(!files(&rig.at("two")).iter().any(|name| name.contains("in1.dat")));
}

#[test]
fn settings_that_differ_are_named_and_nothing_changes() {
    let rig = Rig::seeded();
    let before = rig.read("job.json");
    rig.dayfly(&["seed", "--agents", "5", "--max-attempts", "3"]).failed(1, &["agents: 1 / 5", "new prefix"]);
    assert_eq!(rig.read("job.json"), before);
    fs::write(rig.at("job.json"), r#"{"schema": 1, "colour": "red"}"#).unwrap();
    rig.dayfly(&["seed"]).failed(1, &["job.json", "colour"]);
    fs::write(rig.at("job.json"), r#"{"schema": 2}"#).unwrap();
    rig.dayfly(&["seed"]).failed(1, &["schema 2", "newer dayfly"]);
}

#[test]
fn names_that_cannot_be_tasks_are_refused_before_anything_is_written() {
    let rig = Rig::new();
    for name in ["out7.dat", "in1.dat", "tasklist.txt"] {
        rig.file(&format!("data/{name}"), "x");
    }
    rig.file("k", "k");
    let words = ["2 input names", "\"out7.dat\"", "\"tasklist.txt\"", "nothing was written", "--glob"];
    rig.dayfly(&["seed", "--inputs", "data", "--kernel", "k"]).failed(1, &words);
    assert_eq!(files(&rig.folder()), Vec::<String>::new());
}

#[test]
fn what_is_missing_is_named() {
    let rig = Rig::new();
    rig.dayfly(&["seed", "--inputs", "nowhere"]).failed(1, &["nowhere", "check the path"]);
    fs::create_dir(rig.beside("empty")).unwrap();
    rig.dayfly(&["seed", "--inputs", "empty"]).failed(1, &["no files in empty"]);
    rig.file("data/in1.dat", "x");
    rig.dayfly(&["seed", "--inputs", "data"]).failed(1, &["no kernel", "--kernel FILE"]);
    rig.file("none", "");
    rig.dayfly(&["seed", "--inputs", "data", "--kernel", "none"]).failed(1, &["kernel none is empty"]);
    rig.dayfly(&["seed", "--inputs", "data", "--kernel", "gone"]).failed(1, &["kernel gone"]);
    rig.file("k", "k");
    rig.dayfly(&["seed", "--inputs", "data", "--kernel", "k", "--glob", "*.txt"]).failed(1, &["match '*.txt'", "data"]);
    rig.dayfly(&["seed", "--kernel", "k"]).failed(1, &["no inputs", "--inputs DIR"]);
    assert_eq!(files(&rig.folder()), Vec::<String>::new());
}

#[test]
fn a_kernel_that_made_outputs_is_not_replaced() {
    let rig = Rig::seeded();
    let before = fs::read(rig.at("kernel.dat")).unwrap();
    rig.file("k", "another");
    rig.dayfly(&["seed", "--kernel", "k"]).failed(1, &["another kernel", "new prefix"]);
    assert_eq!(fs::read(rig.at("kernel.dat")).unwrap(), before);
}

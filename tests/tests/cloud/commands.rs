//! Every command that speaks to the account keeps what all of them have to keep (`src/commands.rs`).

use std::collections::BTreeSet;

use dayfly_tests::commands::{Mode, ON_EC2, tried};
use dayfly_tests::{Kind, Layout, World, run};

#[test]
fn every_command_of_an_account_prints_what_it_was_told_to() {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        aws.add_dayfly_image(env!("CARGO_PKG_VERSION"));
        let mut disk = vec![0; 1 << 20];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        std::fs::write(world.folder().join("disk.raw"), disk).expect("a disk");
        for mode in Mode::ALL {
            let bucket = format!("test-{mode:?}").to_lowercase();
            aws.make_bucket(&bucket, None);
            let job = Layout::new(2).bucket(&bucket).unwatched().lay_out(world).await.url();
            let place = format!("s3://{bucket}/");
            let mut tried_here = BTreeSet::new();
            let lines = [
                "setup PLACE --ssm --print",
                "setup PLACE --ssm",
                "image publish --print-policy",
                "image publish disk.raw --dry-run",
                "image publish disk.raw --name MODE",
                "image list",
                "image prune --keep 9 --dry-run",
                "ps JOB",
                "stop JOB --yes",
                "start JOB --yes",
                "exec -i ID -- true",
                "cost JOB",
                "status JOB --cost",
                "report JOB",
                "reap JOB --dry-run",
                "terminate JOB --yes",
                "teardown PLACE --yes",
            ];
            let launch = ["launch", &job, "-n", "1", "--instance-type", "m5.large"];
            for line in lines {
                if line == "ps JOB" {
                    let told = tried(world, mode, &launch, 0).await;
                    assert!(!told.is_empty(), "{mode:?}");
                    for machine in aws.machines() {
                        aws.register_with_ssm(&machine.id);
                    }
                }
                let id = aws.machines().into_iter().rfind(|machine| machine.runs()).map(|machine| machine.id);
                let put = |word: &str| match word {
                    "PLACE" => place.clone(),
                    "JOB" => job.clone(),
                    "ID" => id.clone().expect("a machine"),
                    "MODE" => format!("{mode:?}"),
                    word => word.to_owned(),
                };
                let words: Vec<String> = line.split(' ').map(put).collect();
                tried(world, mode, &words.iter().map(String::as_str).collect::<Vec<_>>(), 0).await;
                tried_here.extend(ON_EC2.iter().filter(|name| line.starts_with(&format!("{name} ")) || line == **name));
            }
            assert_eq!(tried_here, ON_EC2.iter().collect(), "{mode:?}");
        }
    });
}

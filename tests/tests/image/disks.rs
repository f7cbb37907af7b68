//! Disks: a volume larger than the image, and an instance store.

use dayfly_tests::{Kind, Rule, World, run};
use hyper::Method;

use crate::claims::dataset;
use crate::guest::{Boot, expect};

const GIB: u64 = 1 << 30;

/// The root file system grows to its volume, while the agent works.
#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn the_root_grows_to_the_volume() {
    run(Kind::Endpoint, async |world: &World| {
        let mut job = dataset(1).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_has("/in"));
        let looker = "until [ \"$(systemctl show -P ActiveState dayfly-grow)\" = active ]; do sleep 1; done\n\
                      echo \"the root has $(($(stat -f -c '%b * %S' /) >> 20)) MiB\"\n";
        let boot = Boot::new(world, "grown").through(&job, &proxy, |_| {}).root_bytes(5 * GIB);
        let mut guest = boot.beside_the_agent("looker", looker).start();
        guest.until_said(" MiB").await;
        gate.open();
        let said = guest.powered_off().await;
        let mib = said.split_once("the root has ").and_then(|(_, rest)| rest.split_once(" MiB"));
        let mib: u64 = mib.and_then(|(mib, _)| mib.parse().ok()).expect("a size");
        // ext4 keeps a few percent for itself.
        assert!(mib > 4700, "{mib} MiB:\n{said}");
        job.finish(&[]).await;
    });
}

/// An instance store is found, formatted and used. QEMU's drives cannot be given EC2's model, so the test's own folder
/// stands in for /sys/block; the drive, its file system and its mount are real.
#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn an_instance_store_becomes_the_agents_folder() {
    run(Kind::Endpoint, async |world: &World| {
        let mut job = dataset(1).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_has("/in"));
        let model = "[Service]\nEnvironment=DAYFLY_SYS=/run/dayfly-sys\nExecStartPre=/bin/bash -c 'cd /sys/block && \
                     for disk in nvme*; do mkdir -p /run/dayfly-sys/$disk/device && cp $disk/size /run/dayfly-sys/$disk/ \
                     && cp $disk/device/model /run/dayfly-sys/$disk/device/ && ! grep -q second $disk/device/serial || \
                     echo Amazon EC2 NVMe Instance Storage >/run/dayfly-sys/$disk/device/model; done'\n";
        let looker = "until [ \"$(systemctl is-active dayfly-agent)\" = active ]; do sleep 1; done\n\
                      until ls /var/lib/dayfly/work/* >/dev/null 2>&1; do sleep 1; done\n\
                      echo \"the agent works on $(findmnt -no SOURCE,FSTYPE --target /var/lib/dayfly/work)\"\n\
                      echo \"owned by $(stat -c %U:%a /var/lib/dayfly), looked\"\n";
        let boot = Boot::new(world, "storing").through(&job, &proxy, |_| {}).second_disk(GIB);
        let boot = boot.file("/etc/systemd/system/dayfly-scratch.service.d/model.conf", model);
        let mut guest = boot.beside_the_agent("looker", looker).start();
        guest.until_said(", looked").await;
        gate.open();
        let said = guest.powered_off().await;
        expect(
            &said,
            &["dayfly: scratch files go to /dev/nvme", "the agent works on /dev/nvme", "ext4", "owned by dayfly:711"],
        );
        let root =
            said.contains("the agent works on /dev/nvme0n1p3") || said.contains("the agent works on /dev/nvme1n1p3");
        assert!(!root, "{said}");
        job.finish(&[]).await;
    });
}

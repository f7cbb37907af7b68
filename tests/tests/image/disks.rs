//! Disks: a volume larger than the image, and an instance store.

use std::process::Command;

use dayfly_tests::{Kind, Rule, World, run};
use hyper::Method;

use crate::claims::dataset;
use crate::guest::{Boot, expect, image, take_out};

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

/// What no machine here can have is at least in the image: the drivers of EC2's network interfaces, found by the devices that
/// they are for, and Xen's disk in the initial file system that a Xen machine gets.
#[test]
#[ignore = "looks into the image; run by scripts/test-ami"]
fn drivers_for_what_is_not_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, manifest) = image();
    let packages = manifest["packages"].as_object().expect("packages");
    let kernel = packages.keys().find_map(|name| name.strip_prefix("linux-image-6")).expect("a kernel");
    let modules = format!("/usr/lib/modules/6{kernel}");
    let aliases = folder.path().join("aliases");
    take_out(&format!("{modules}/modules.alias"), &aliases);
    let aliases = std::fs::read_to_string(aliases).expect("the aliases");
    // Amazon's vendor id with ENA's device id; Intel's with that of the 82599's virtual function, which is c4's.
    for (device, module, file) in [
        ("pci:v00001D0Fd0000EC20", "ena", "net/ethernet/amazon/ena/ena.ko"),
        ("pci:v00008086d000010ED", "ixgbevf", "net/ethernet/intel/ixgbevf/ixgbevf.ko"),
        ("xen:vif", "xen_netfront", "net/xen-netfront.ko"),
        ("xen:vbd", "xen_blkfront", "block/xen-blkfront.ko"),
    ] {
        let found = |line: &str| line.starts_with(&format!("alias {device}")) && line.ends_with(&format!(" {module}"));
        assert!(aliases.lines().any(found), "no module for {device}");
        take_out(&format!("{modules}/kernel/drivers/{file}"), &folder.path().join(module));
    }
    let initrd = folder.path().join("initrd");
    take_out("/boot/initrd", &initrd);
    let list = Command::new("sh").args(["-c", "gzip -dc \"$0\" | cpio -t 2>/dev/null"]).arg(&initrd).output();
    let list = String::from_utf8_lossy(&list.expect("cpio").stdout).into_owned();
    for file in ["./init", "./modules/xen-blkfront.ko", "./sbin/insmod", "./sbin/switch_root"] {
        assert!(
            list.lines().any(|line| line == file || line == &file[2..]),
            "no {file} in the initial file system:\n{list}"
        );
    }
}

//! What it takes, printed. Times are those of the kernel's clock, from its start, so that firmware and boot loader are not
//! in them; a busy machine stretches all of them, which is why the base is taken beside each.

use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::job::SCHEMA;
use dayfly_shared::records::to_json;
use dayfly_shared::store::StoreCheck;
use dayfly_tests::{Job, Kind, Rule, World, run};
use hyper::Method;

use crate::claims::dataset;
use crate::guest::{Boot, Firmware, HOST};

/// So often, as neighbours come and go.
const RUNS: usize = 3;

/// The smallest program that powers the machine off, as an ELF file for x86-64.
fn empty_init() -> Vec<u8> {
    // reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF), system call 169.
    let code: [u8; 22] = [
        0xb8, 0xa9, 0, 0, 0, 0xbf, 0xad, 0xde, 0xe1, 0xfe, 0xbe, 0x69, 0x19, 0x12, 0x28, 0xba, 0xdc, 0xfe, 0x21, 0x43,
        0x0f, 0x05,
    ];
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // An executable for x86-64; its entry is after the headers; one program header; no sections.
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    file.extend(0x40_0078_u64.to_le_bytes());
    file.extend(64_u64.to_le_bytes());
    file.extend([0; 12]);
    file.extend([64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // All of the file is loaded, to be read and run.
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for value in [0, 0x40_0000, 0x40_0000, 0x78 + 22, 0x78 + 22, 0x1000_u64] {
        file.extend(value.to_le_bytes());
    }
    file.extend(code);
    file
}

/// The kernel's time in front of the first line with these words: `[   12.345678] …`.
fn at(said: &str, words: &str) -> f64 {
    let line = said.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("not said: '{words}':\n{said}"));
    let time = line.rsplit_once("] ").map_or(line, |_| line).split(']').next().unwrap_or_default();
    time.rsplit('[').next().unwrap_or_default().trim().parse().unwrap_or_else(|_| panic!("no time: {line}"))
}

/// As seeding leaves it where agents and people know the store by one address, as on AWS: tried, so that no agent tries it.
async fn store_was_tried(world: &World, job: &Job<'_>) {
    let endpoint = format!("http://{HOST}:{}", world.server().port());
    let check = StoreCheck { schema: SCHEMA, endpoint, at: SystemClock.now().wall, ok: true };
    job.put("store.json", to_json(&check)).await;
}

#[test]
#[ignore = "boots machines; run by scripts/test-ami"]
fn times() {
    run(Kind::Endpoint, async |world: &World| {
        println!("seconds from the kernel's start:   empty init, off   first claim   ratio   off again");
        let mut ratios = Vec::new();
        for n in 0..RUNS {
            let boot = Boot::new(world, &format!("empty{n}")).user_data("").file("/usr/sbin/empty-init", empty_init());
            let said = boot.by(Firmware::Kernel("init=/usr/sbin/empty-init")).start().powered_off().await;
            let base = at(&said, "reboot: Power down");
            let job = dataset(3).prefix(&format!("job{n}")).unwatched().lay_out(world).await;
            store_was_tried(world, &job).await;
            let boot = Boot::new(world, &format!("first{n}")).on(&job).by(Firmware::Kernel(""));
            let said = boot.start().powered_off().await;
            let (claim, off) = (at(&said, "task begins"), at(&said, "reboot: Power down"));
            println!("{:>51.2}   {claim:>11.2}   {:>5.1}   {off:>9.2}", base, claim / base);
            ratios.push(claim / base);
        }
        ratios.sort_by(f64::total_cmp);
        println!("first claim: {:.1} times the empty init's life (median of {RUNS}; the goal is 2)", ratios[RUNS / 2]);
    });
}

/// Where the time goes, memory at rest, and what systemd thinks of the agent's sandbox.
#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn inside() {
    run(Kind::Endpoint, async |world: &World| {
        let mut job = dataset(3).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_has("/in"));
        // Long enough for the first claim on a busy machine; a process that looks would be in the figures.
        let report = "sleep 45\necho \"agent started: $(systemctl show -P ExecMainStartTimestampMonotonic dayfly-agent) us\"\n\
                      while read -r name kb _; do case $name in Mem*) echo \"$name $kb kB\" ;; esac; done </proc/meminfo\n\
                      echo \"agent: $(systemctl show -P MemoryCurrent dayfly-agent) bytes\"\n\
                      systemd-analyze time --no-pager\nsystemd-analyze blame --no-pager\n\
                      systemd-analyze critical-chain --no-pager dayfly-agent.service\n\
                      systemd-analyze security --no-pager dayfly-agent.service\necho the report is complete\n";
        let boot = Boot::new(world, "inside").through(&job, &proxy, |_| {}).by(Firmware::Kernel(""));
        let mut guest = boot.beside_the_agent("report", report).start();
        guest.until_said("the report is complete").await;
        gate.open();
        let said = guest.powered_off().await;
        for line in said.lines().filter(|line| line.contains(" bash[") || line.contains(" systemd-analyze[")) {
            println!("{}", line.split_once("]: ").map_or(line, |(_, text)| text));
        }
        job.finish(&[]).await;
    });
}

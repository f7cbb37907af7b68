//! One machine in QEMU.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::instance::InstanceSettings;
use dayfly_tests::server::{REGION, program, sources};
use dayfly_tests::world::{PATIENCE, POLL};
use dayfly_tests::{Job, Machine, Metadata, Program, Proxy, World};
use serde_json::{Value, json};

/// The host as guests see it: in the net of the link-local addresses, so that 169.254.169.254 can be in it, too.
pub const HOST: &str = "169.254.10.2";
/// The role of the instance.
const ROLE: &str = "the-role";
/// Debian's ovmf.
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const FIRMWARE_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// How a machine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
    /// QEMU loads the kernel, with this at the end of its command line: where the boot loader is not what is looked at.
    Kernel(&'static str),
}

/// A machine to be booted.
pub struct Boot<'w> {
    world: &'w World,
    name: String,
    firmware: Firmware,
    user_data: Option<String>,
    files: Vec<(String, Vec<u8>)>,
    without: Vec<String>,
    arguments: Vec<String>,
    root_bytes: Option<u64>,
    memory_mib: u32,
}

/// A machine that was booted.
pub struct Guest {
    /// QEMU.
    pub machine: Program,
    /// Its metadata service.
    pub metadata: Metadata,
    console: PathBuf,
}

/// The image under test, and its manifest.
pub fn image() -> (PathBuf, Value) {
    let path = std::env::var_os("DAYFLY_IMAGE")
        .map_or_else(|| sources().join("target/image/dayfly-minimal.raw"), PathBuf::from);
    let manifest = fs::read(path.with_extension("json"))
        .unwrap_or_else(|e| panic!("{} has no manifest beside it ({e}); scripts/test-ami builds it", path.display()));
    (path, serde_json::from_slice(&manifest).expect("a manifest"))
}

/// Runs debugfs on a disk's root file system.
fn debugfs(disk: &Path, commands: &str) -> String {
    let at = image().1["root"]["offset"].as_u64().expect("where the root partition is");
    let mut child = Command::new("/usr/sbin/debugfs")
        .args(["-w", "-f", "-"])
        .arg(format!("{}?offset={at}", disk.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("debugfs (e2fsprogs)");
    child.stdin.take().expect("a pipe").write_all(commands.as_bytes()).expect("debugfs takes commands");
    let output = child.wait_with_output().expect("debugfs ends");
    assert!(output.status.success(), "debugfs: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Copies a file out of the image.
pub fn take_out(path: &str, to: &Path) {
    debugfs(&image().0, &format!("dump {path} {}\n", to.display()));
    assert!(fs::metadata(to).is_ok_and(|file| file.len() > 0), "{path} is not in the image");
}

impl<'w> Boot<'w> {
    /// The image as it is; its user data are `settings`, with the bucket at `port` of the host.
    pub fn new(world: &'w World, name: &str) -> Self {
        Self {
            world,
            name: name.to_owned(),
            firmware: Firmware::Bios,
            user_data: None,
            files: Vec::new(),
            without: Vec::new(),
            arguments: Vec::new(),
            root_bytes: None,
            memory_mib: 512,
        }
    }

    /// Started by this.
    pub fn by(mut self, firmware: Firmware) -> Self {
        self.firmware = firmware;
        self
    }

    /// Works on this job, its requests straight to the bucket's server.
    pub fn on(self, job: &Job<'_>) -> Self {
        let port = self.world.server().port();
        self.at_port(job, port, |_| {})
    }

    /// Works on this job, its requests through the proxy; with changes to its settings.
    pub fn through(self, job: &Job<'_>, proxy: &Proxy, change: impl FnOnce(&mut InstanceSettings)) -> Self {
        let port = proxy.url().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        self.at_port(job, port, change)
    }

    fn at_port(self, job: &Job<'_>, port: u16, change: impl FnOnce(&mut InstanceSettings)) -> Self {
        let mut settings = InstanceSettings {
            job: Some(job.location().clone()),
            name: Some(self.name.clone()),
            endpoint_url: Some(format!("http://{HOST}:{port}")),
            region: Some(REGION.to_owned()),
            max_lifetime_seconds: Some(1800),
            ..InstanceSettings::default()
        };
        change(&mut settings);
        let text = serde_json::to_string(&settings).expect("settings");
        self.user_data(&text)
    }

    /// With these user data.
    pub fn user_data(mut self, text: &str) -> Self {
        self.user_data = Some(text.to_owned());
        self
    }

    /// With one more file, which is of the test and not of the image.
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), content.into()));
        self
    }

    /// With a unit that runs this in a shell once the agent was started; what it says is on the console.
    pub fn beside_the_agent(self, name: &str, script: &str) -> Self {
        let unit = format!(
            "[Unit]\nAfter=dayfly-agent.service\n[Service]\nType=exec\nExecStart=/bin/bash /etc/{name}.sh\n\
             StandardOutput=journal+console\nStandardError=journal+console\n"
        );
        self.file(&format!("/etc/{name}.sh"), script).file(&format!("/etc/systemd/system/{name}.service"), unit).file(
            &format!("/etc/systemd/system/dayfly-agent.service.d/{name}.conf"),
            format!("[Unit]\nWants={name}.service\n"),
        )
    }

    /// Without this file or folder of the image.
    pub fn without(mut self, path: &str) -> Self {
        self.without.push(path.to_owned());
        self
    }

    /// On a volume of this size.
    pub fn root_bytes(mut self, bytes: u64) -> Self {
        self.root_bytes = Some(bytes);
        self
    }

    /// With so much memory.
    pub fn memory(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// With one more empty disk on NVMe.
    pub fn second_disk(mut self, bytes: u64) -> Self {
        let path = self.world.folder().join(format!("{}-second.raw", self.name));
        fs::File::create(&path).and_then(|file| file.set_len(bytes)).expect("a disk");
        for argument in ["-drive".to_owned(), drive("second", &path), "-device".to_owned()] {
            self.arguments.push(argument);
        }
        self.arguments.push("nvme,serial=second,drive=second".to_owned());
        self
    }

    /// Its disk: a copy of the image, with the test's own files in it.
    fn disk(&self) -> PathBuf {
        let disk = self.world.folder().join(format!("{}.raw", self.name));
        let copied = Command::new("cp").arg("--sparse=always").arg(image().0).arg(&disk).status();
        assert!(copied.is_ok_and(|status| status.success()), "the image is copied");
        if let Some(bytes) = self.root_bytes {
            let file = fs::File::options().write(true).open(&disk).expect("the disk");
            file.set_len(bytes).expect("a larger disk");
        }
        let mut commands = String::new();
        for path in &self.without {
            commands += &format!("unlink {path}\n");
        }
        for (n, (path, content)) in self.files.iter().enumerate() {
            let source = self.world.folder().join(format!("{}-file-{n}", self.name));
            fs::write(&source, content).expect("a file");
            for (at, _) in path.match_indices('/').skip(1) {
                commands += &format!("mkdir {}\n", &path[..at]);
            }
            let mode = if path.starts_with("/usr/sbin/") { "0100755" } else { "0100644" };
            commands += &format!(
                "write {} {path}\nset_inode_field {path} mode {mode}\nset_inode_field {path} uid 0\n\
                 set_inode_field {path} gid 0\n",
                source.display()
            );
        }
        if !commands.is_empty() {
            debugfs(&disk, &commands);
        }
        disk
    }

    fn metadata(&self) -> Metadata {
        let machine = Machine {
            id: format!("i-{:0>17}", self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "0")),
            region: REGION.to_owned(),
            zone: format!("{REGION}a"),
            instance_type: "c7i.large".to_owned(),
            image: "ami-0123456789abcdef0".to_owned(),
            market: "spot".to_owned(),
            role: Some(ROLE.to_owned()),
            user_data: self.user_data.clone(),
            ..Machine::default()
        };
        let metadata = Metadata::serve(machine);
        let server = self.world.server();
        let credentials = json!({
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
            "Expiration": "2099-01-01T00:00:00Z", "AccessKeyId": server.keys().access,
            "SecretAccessKey": server.keys().secret, "Token": "a session token of these tests",
        });
        let path = format!("meta-data/iam/security-credentials/{ROLE}");
        metadata.set(&path, Some(&credentials.to_string()));
        metadata
    }

    /// Boots it.
    pub fn start(self) -> Guest {
        let metadata = self.metadata();
        let port = metadata.url().rsplit(':').next().expect("a port").to_owned();
        let folder = self.world.folder();
        let console = folder.join(format!("{}.console", self.name));
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-accel", "tcg,thread=multi", "-machine", "q35", "-smp", "2", "-m", &self.memory_mib.to_string()])
            // Every processor of EC2's x86-64 machines has RDRAND. Without it the kernel gathers randomness for a second
            // or two before the first connection.
            .args(["-cpu", "qemu64,+rdrand"])
            .args(["-nodefaults", "-display", "none", "-no-reboot", "-serial"])
            .arg(format!("file:{}", console.display()))
            .arg("-drive")
            .arg(drive("root", &self.disk()))
            .args(["-device", "nvme,serial=root,drive=root,bootindex=0", "-netdev"])
            .arg(format!(
                "user,id=net,net=169.254.0.0/16,host={HOST},dhcpstart=169.254.10.15,\
                 guestfwd=tcp:169.254.169.254:80-cmd:{} {port}",
                program("dayfly-test-relay").display()
            ))
            .args(["-device", "virtio-net-pci,netdev=net,romfile="])
            .args(&self.arguments);
        match self.firmware {
            Firmware::Bios => {}
            Firmware::Uefi => {
                let variables = folder.join(format!("{}.variables", self.name));
                fs::copy(FIRMWARE_VARIABLES, &variables).expect("the firmware (package ovmf)");
                command.args(["-drive", &format!("if=pflash,format=raw,readonly=on,file={FIRMWARE}")]);
                command.args(["-drive", &format!("if=pflash,format=raw,file={}", variables.display())]);
            }
            Firmware::Kernel(more) => {
                let kernel = folder.join("vmlinuz");
                take_out("/boot/vmlinuz", &kernel);
                let options = image().1["kernel_options"].as_str().expect("the kernel's options").to_owned();
                command.arg("-kernel").arg(kernel).args(["-append", &format!("{options} {more}")]);
            }
        }
        let machine = Program::start(
            &format!("machine {}", self.name),
            &mut command,
            &folder.join("programs").join(format!("{}-qemu.log", self.name)),
        );
        Guest { machine, metadata, console }
    }
}

/// What it writes is for this run: nothing is flushed.
fn drive(id: &str, file: &Path) -> String {
    format!("if=none,id={id},file={},format=raw,cache=unsafe", file.display())
}

impl Guest {
    /// What its console says so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// Waits until its console says these words.
    ///
    /// # Panics
    /// If it powers off before, or never does.
    pub async fn until_said(&mut self, words: &str) {
        let begun = SystemClock.now().at;
        while !self.said().contains(words) {
            let waited = SystemClock.now().at.since(begun);
            assert!(
                self.machine.runs() && waited < PATIENCE,
                "{} has not said '{words}' after {} s, but:\n{}",
                self.machine.name(),
                waited.as_secs(),
                self.said()
            );
            SystemClock.sleep(POLL).await;
        }
    }

    /// Waits until it has powered itself off, and returns what its console said.
    ///
    /// # Panics
    /// If it does not, or QEMU ended otherwise.
    pub async fn powered_off(mut self) -> String {
        let begun = SystemClock.now().at;
        while self.machine.runs() {
            let waited = SystemClock.now().at.since(begun);
            assert!(waited < PATIENCE, "{} does not power off:\n{}", self.machine.name(), self.said());
            SystemClock.sleep(Duration::from_millis(200)).await;
        }
        let said = self.said();
        assert_eq!(self.machine.code(), Some(0), "{}: {}", self.machine.name(), self.machine.said());
        // The kernel's last word; a panic would have ended QEMU, too.
        assert!(said.contains("reboot: Power down"), "{} ended otherwise:\n{said}", self.machine.name());
        said
    }
}

/// Asserts that all of these words were said.
pub fn expect(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "not said: '{word}', but:\n{said}");
    }
}

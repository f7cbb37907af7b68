//! The command line of `dayfly image`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Architecture, local_path};

const DISK: &str = "What the image is";

/// `dayfly image`.
#[derive(Clone, Debug, Args)]
pub struct ImageArgs {
    /// What to do with images.
    #[command(subcommand)]
    pub command: ImageCommand,
}

/// What to do with images.
#[derive(Clone, Debug, Subcommand)]
pub enum ImageCommand {
    /// Upload a raw disk image and register it; prints its id
    Publish(Box<PublishArgs>),
    /// List the account's images with an agent in them, and uploads that were not finished
    List,
    /// Remove old images with their snapshots; never one in use
    Prune(PruneArgs),
}

/// How EC2 boots an image, as EC2 says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BootMode {
    /// By UEFI where the instance type has it, else by BIOS
    UefiPreferred,
    /// By UEFI alone
    Uefi,
    /// By BIOS alone
    LegacyBios,
}

impl BootMode {
    /// As EC2 says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UefiPreferred => "uefi-preferred",
            Self::Uefi => "uefi",
            Self::LegacyBios => "legacy-bios",
        }
    }
}

/// `dayfly image publish`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    dayfly image publish dayfly.raw --dry-run                  how much there is to send, and what it costs a month\n  \
    dayfly image publish dayfly.raw --flavour container\n  \
    dayfly image publish --print-policy --region eu-west-1     what rights it needs\n\n\
    A publish that was cut off goes on when the same is run again, from any machine.")]
pub struct PublishArgs {
    /// The raw disk image
    #[arg(required_unless_present = "print_policy", value_parser = local_path)]
    pub file: Option<PathBuf>,
    /// The image's name (else dayfly-VERSION-FLAVOUR-DATE)
    #[arg(long, value_parser = name)]
    pub name: Option<String>,
    /// Which kind of image it is: prune counts by it
    #[arg(long, default_value = "minimal", value_parser = flavour, help_heading = DISK)]
    pub flavour: String,
    /// The version of the agent in it (else this program's)
    #[arg(long, value_name = "VERSION", default_value = env!("CARGO_PKG_VERSION"), help_heading = DISK)]
    pub agent_version: String,
    /// The processors that it is for
    #[arg(long, value_enum, default_value = "x86_64", help_heading = DISK)]
    pub arch: Architecture,
    /// How EC2 boots it
    #[arg(long, value_enum, default_value = "uefi-preferred", help_heading = DISK)]
    pub boot_mode: BootMode,
    /// The name of its root volume
    #[arg(long, value_name = "DEVICE", default_value = "/dev/xvda", value_parser = ["/dev/xvda", "/dev/sda1"], help_heading = DISK)]
    pub root_device: String,
    /// The size of its root volume in GiB (else the file's, rounded up)
    #[arg(long, value_name = "GIB", value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = DISK)]
    pub size: Option<u32>,
    /// Encrypt its snapshot with the account's default key
    #[arg(long, help_heading = DISK)]
    pub encrypt: bool,
    /// Encrypt its snapshot with this key
    #[arg(long, value_name = "ARN", value_parser = key_arn, help_heading = DISK)]
    pub kms_key: Option<String>,
    /// Say what would be uploaded and what it costs, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Show the policy that publish, list and prune need, and do nothing; needs no credentials
    #[arg(long)]
    pub print_policy: bool,
}

/// `dayfly image prune`.
#[derive(Clone, Debug, Args)]
pub struct PruneArgs {
    /// How many images of each flavour and architecture to keep, the newest
    #[arg(long, value_name = "N")]
    pub keep: u32,
    /// Only images of this flavour
    #[arg(long, value_parser = flavour)]
    pub flavour: Option<String>,
    /// Say what would be removed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Amazon EC2 API reference, RegisterImage: 3 to 128 letters, digits, and ()[]./-'@_ or a space.
fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || " ()[]./-'@_".contains(c);
    if (3..=128).contains(&text.len()) && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err("an image's name has 3 to 128 letters, digits, spaces and ()[]./-'@_".to_owned())
}

/// It stands in the default name, beside version and date.
fn flavour(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err("a flavour has 1 to 64 letters, digits, and ._-".to_owned())
}

/// EBS direct APIs, StartSnapshot: a key is named by its ARN alone.
fn key_arn(text: &str) -> Result<String, String> {
    if text.starts_with("arn:aws") && text.contains(":kms:") && text.contains(":key/") {
        return Ok(text.to_owned());
    }
    Err("a key is named by its ARN here: arn:aws:kms:REGION:ACCOUNT:key/ID".to_owned())
}

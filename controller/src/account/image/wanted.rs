//! The image that a publish is to make, and what tells it from others.

use dayfly_shared::clock::Timestamp;
use dayfly_shared::launch::tags;
use sha2::{Digest as _, Sha256};

use super::disk::{Disk, hex};
use crate::cli::PublishArgs;
use crate::failure::{Failure, Result};

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name, where one was given.
    pub named: Option<String>,
    /// `minimal`, `container`, or one's own.
    pub flavour: String,
    /// The version of the agent in it.
    pub agent: String,
    /// `x86_64`.
    pub architecture: &'static str,
    /// `uefi-preferred`.
    pub boot_mode: &'static str,
    /// `/dev/xvda`.
    pub root_device: String,
    /// The root volume's size.
    pub gib: u32,
    /// Whether the snapshot is encrypted.
    pub encrypted: bool,
    /// By which key; none: the account's default.
    pub key: Option<String>,
    /// What it is made from: the disk, and everything above but the name.
    pub source: String,
}

impl Wanted {
    /// By the command line.
    ///
    /// # Errors
    /// A volume that is too small.
    pub fn new(args: &PublishArgs, disk: &Disk) -> Result<Self> {
        let gib = args.size.unwrap_or(disk.gib());
        if gib < disk.gib() {
            return Err(Failure::usage(format!("--size {gib} is too small for {}", disk.path().display()))
                .fix(format!("the least is {}", disk.gib())));
        }
        let mut wanted = Self {
            named: args.name.clone(),
            flavour: args.flavour.clone(),
            agent: args.agent_version.clone(),
            architecture: args.arch.name(),
            boot_mode: args.boot_mode.name(),
            root_device: args.root_device.clone(),
            gib,
            encrypted: args.encrypt || args.kms_key.is_some(),
            key: args.kms_key.clone(),
            source: String::new(),
        };
        wanted.source = wanted.digest(&disk.fingerprint());
        Ok(wanted)
    }

    fn digest(&self, disk: &str) -> String {
        let mut all = Sha256::new();
        let gib = self.gib.to_string();
        let encrypted = if self.encrypted { self.key.as_deref().unwrap_or("default") } else { "no" };
        for part in
            [disk, &self.flavour, &self.agent, self.architecture, self.boot_mode, &self.root_device, &gib, encrypted]
        {
            all.update(part);
            // No part holds a line's end, so none runs into the next.
            all.update("\n");
        }
        hex(&all.finalize())
    }

    /// The name: the one given, or the `nth` of a day.
    pub fn name(&self, now: Timestamp, nth: u32) -> String {
        if let Some(name) = &self.named {
            return name.clone();
        }
        let day = now.to_string();
        let day = day.split('T').next().unwrap_or_default();
        let base = format!("dayfly-{}-{}-{day}", self.agent, self.flavour);
        if nth > 1 { format!("{base}-{nth}") } else { base }
    }

    /// Tags of the snapshot, from its birth on.
    pub fn snapshot_tags(&self) -> Vec<(&'static str, String)> {
        vec![
            (tags::NAME, format!("dayfly {} {}", self.agent, self.flavour)),
            (tags::IMAGE, self.flavour.clone()),
            (tags::SOURCE, self.source.clone()),
        ]
    }

    /// Tags of the image: by the agent's version `dayfly launch` finds it.
    pub fn image_tags(&self, name: &str) -> Vec<(&'static str, String)> {
        vec![
            (tags::NAME, name.to_owned()),
            (tags::AGENT, self.agent.clone()),
            (tags::IMAGE, self.flavour.clone()),
            (tags::SOURCE, self.source.clone()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        let mut wanted = Wanted {
            named: None,
            flavour: "minimal".to_owned(),
            agent: "0.1.0".to_owned(),
            architecture: "x86_64",
            boot_mode: "uefi-preferred",
            root_device: "/dev/xvda".to_owned(),
            gib: 1,
            encrypted: false,
            key: None,
            source: String::new(),
        };
        wanted.source = wanted.digest("disk");
        wanted
    }

    #[test]
    fn names_are_made_of_version_flavour_and_day() {
        let noon: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(wanted().name(noon, 1), "dayfly-0.1.0-minimal-2026-01-31");
        assert_eq!(wanted().name(noon, 2), "dayfly-0.1.0-minimal-2026-01-31-2");
        assert_eq!(Wanted { named: Some("mine".to_owned()), ..wanted() }.name(noon, 1), "mine");
    }

    #[test]
    fn everything_but_the_name_is_in_the_source() {
        let same = Wanted { named: Some("other".to_owned()), ..wanted() };
        assert_eq!(same.digest("disk"), wanted().source);
        for other in [
            Wanted { flavour: "container".to_owned(), ..wanted() },
            Wanted { agent: "0.2.0".to_owned(), ..wanted() },
            Wanted { architecture: "arm64", ..wanted() },
            Wanted { boot_mode: "uefi", ..wanted() },
            Wanted { root_device: "/dev/sda1".to_owned(), ..wanted() },
            Wanted { gib: 2, ..wanted() },
            Wanted { encrypted: true, ..wanted() },
        ] {
            assert_ne!(other.digest("disk"), wanted().source, "{other:?}");
        }
        assert_ne!(wanted().digest("another disk"), wanted().source);
    }
}

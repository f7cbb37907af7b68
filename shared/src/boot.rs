//! The user data of stock images: `ami/boot.sh`, filled in, with the units of `ami/` in it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::instance::InstanceSettings;

/// EC2 takes user data of up to 16 KB, before base64 (EC2 user guide, "Instance user data").
pub const USER_DATA_BYTES: usize = 16 * 1024;

/// How long an instance lives if nobody says: 12 hours, as in `ami/units/dayfly-lifetime.timer`.
pub const DEFAULT_LIFETIME_SECONDS: u64 = 12 * 3600;

const SCRIPT: &str = include_str!("../../ami/boot.sh");

/// Where each file goes, its mode, its content.
const FILES: [(&str, &str, &str); 11] = [
    ("/usr/local/lib/dayfly/power-off", "755", include_str!("../../ami/lib/power-off")),
    ("/usr/local/lib/dayfly/lifetime", "755", include_str!("../../ami/lib/lifetime")),
    ("/usr/local/lib/dayfly/scratch", "755", include_str!("../../ami/lib/scratch")),
    ("/usr/local/lib/dayfly/wall", "755", include_str!("../../ami/lib/wall")),
    ("/usr/lib/sysusers.d/dayfly.conf", "644", include_str!("../../ami/units/dayfly.conf")),
    ("/etc/systemd/system/dayfly-agent.service", "644", include_str!("../../ami/units/dayfly-agent.service")),
    ("/etc/systemd/system/dayfly-poweroff.service", "644", include_str!("../../ami/units/dayfly-poweroff.service")),
    ("/etc/systemd/system/dayfly-poweroff.path", "644", include_str!("../../ami/units/dayfly-poweroff.path")),
    ("/etc/systemd/system/dayfly-lifetime.timer", "644", include_str!("../../ami/units/dayfly-lifetime.timer")),
    ("/etc/systemd/system/dayfly-lifetime.service", "644", include_str!("../../ami/units/dayfly-lifetime.service")),
    ("/etc/systemd/system/dayfly-scratch.service", "644", include_str!("../../ami/units/dayfly-scratch.service")),
];

/// What RFC 3986 leaves as it is, and the slashes of a key.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Where the agent for a stock image is, and what it is to do.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// S3, such as `https://s3.eu-west-1.amazonaws.com`: the bucket goes into the path, so that its dots do no harm.
    pub endpoint: &'a str,
    /// The bucket.
    pub bucket: &'a str,
    /// The agent's key in it.
    pub key: &'a str,
    /// The agent's SHA-256, in hexadecimal.
    pub sha256: &'a str,
    /// The bucket's region.
    pub region: &'a str,
    /// What the agent is to do.
    pub settings: &'a InstanceSettings,
}

impl Boot<'_> {
    /// The script. At most [`USER_DATA_BYTES`] are taken by EC2; whoever launches compares.
    pub fn user_data(&self) -> String {
        let url =
            format!("{}/{}/{}", self.endpoint.trim_end_matches('/'), self.bucket, utf8_percent_encode(self.key, PATH));
        let lifetime = self.settings.max_lifetime_seconds.unwrap_or(DEFAULT_LIFETIME_SECONDS);
        // Plain data with text keys: serialising it cannot fail.
        let settings = serde_json::to_string(self.settings).unwrap_or_default();
        let files: String = FILES
            .iter()
            .map(|(path, mode, content)| format!("put {path} {mode} <<'DAYFLY-END'\n{}DAYFLY-END\n", brief(content)))
            .collect();
        brief(SCRIPT)
            .replace("#@FILES@\n", &files)
            .replace("@LIFETIME@", &lifetime.to_string())
            .replace("@URL@", &url)
            .replace("@SHA256@", self.sha256)
            .replace("@REGION@", self.region)
            .replace("@SETTINGS@", &settings)
    }
}

/// Without the lines that are comments: there are 16 KB.
fn brief(text: &str) -> String {
    let kept = |line: &&str| !line.trim_start().starts_with('#') || line.starts_with("#!") || line.starts_with("#@");
    text.lines().filter(kept).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script() -> String {
        let settings = InstanceSettings {
            job: Some("s3://bucket/it's a job".parse().unwrap()),
            max_lifetime_seconds: Some(3600),
            ..InstanceSettings::default()
        };
        let (key, sha256) = ("a prefix/dayfly/agents/0.1.0/x86_64/dayfly-agent", "00ff");
        Boot {
            endpoint: "https://s3.example/",
            bucket: "bucket",
            key,
            sha256,
            region: "eu-west-1",
            settings: &settings,
        }
        .user_data()
    }

    #[test]
    fn nothing_is_left_to_fill_in_and_it_fits() {
        let script = script();
        assert!(script.starts_with("#!/bin/sh\n"));
        assert!(!script.contains("@FILES@") && !script.contains("@URL@") && !script.contains("@SETTINGS@"), "{script}");
        assert!(script.contains("'https://s3.example/bucket/a%20prefix/dayfly/agents/0.1.0/x86_64/dayfly-agent'"));
        assert!(script.contains("--on-active=3600s"));
        // Settings, and a bucket's longest key, take less than the rest.
        assert!(script.len() < USER_DATA_BYTES - 3000, "{} bytes", script.len());
    }

    #[test]
    fn every_file_is_in_it() {
        let script = script();
        for (path, _, content) in FILES {
            assert!(script.contains(&format!("put {path} ")) && script.contains(&brief(content)), "{path}");
        }
    }
}

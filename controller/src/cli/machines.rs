//! The options that say which machines are launched on EC2.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::human::parse_duration;

const MACHINES: &str = "Machines (on EC2)";

/// A processor architecture, as EC2 says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    /// Intel and AMD.
    #[value(name = "x86_64", alias = "amd64")]
    X86,
    /// Graviton.
    #[value(name = "arm64", alias = "aarch64")]
    Arm,
}

impl Architecture {
    /// As EC2 says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "arm64",
        }
    }
}

/// Which machines, and where.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct MachinesArgs {
    /// Start the agents on this machine, though the job could have machines of its own
    #[arg(long, help_heading = MACHINES)]
    pub here: bool,
    /// Instance types, the preferred one first: several find capacity where one does not
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',', conflicts_with_all = ["vcpus", "memory", "gpus"], help_heading = MACHINES)]
    pub instance_type: Vec<String>,
    /// Any type with so many virtual CPUs or more; EC2 chooses
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = MACHINES)]
    pub vcpus: Option<u32>,
    /// Any type with so much memory or more, in GiB
    #[arg(long, value_name = "GIB", value_parser = clap::value_parser!(u32).range(1..=24_576), help_heading = MACHINES)]
    pub memory: Option<u32>,
    /// Any type with so many GPUs or more
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = MACHINES)]
    pub gpus: Option<u32>,
    /// The processors' architecture (else the instance types', else x86_64)
    #[arg(long, value_enum, help_heading = MACHINES)]
    pub arch: Option<Architecture>,
    /// Take spot machines, and on-demand ones for those that spot has no capacity for
    #[arg(long, help_heading = MACHINES)]
    pub spot: bool,
    /// Of the machines, so many on demand whatever happens
    #[arg(long, value_name = "N", requires = "spot", help_heading = MACHINES)]
    pub on_demand_base: Option<u32>,
    /// The most to pay for a spot machine, dollars an hour; then nothing is taken on demand instead
    #[arg(long, value_name = "DOLLARS", requires = "spot", value_parser = dollars, help_heading = MACHINES)]
    pub max_price: Option<String>,
    /// Replace machines that spot takes back, until an agent finds nothing more to do
    #[arg(long, help_heading = MACHINES)]
    pub maintain: bool,
    /// The machine's image: ami-…, a name, al2023 or ubuntu (else the newest one of your own that has the agent in it, else
    /// al2023)
    #[arg(id = "ami", long = "ami", value_name = "IMAGE", help_heading = MACHINES)]
    pub image: Option<String>,
    /// The newest image of this flavour (else what the job needs: one that is not minimal for Python and containers)
    #[arg(long, value_name = "FLAVOUR", help_heading = MACHINES)]
    pub flavour: Option<String>,
    /// The root volume's size in GiB (else the image's)
    #[arg(long, value_name = "GIB", value_parser = clap::value_parser!(u32).range(1..=16_384), help_heading = MACHINES)]
    pub disk: Option<u32>,
    /// A machine powers off after this long, whatever it does (else 12h)
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = MACHINES)]
    pub max_lifetime: Option<Duration>,
    /// An agent that is done waits before its machine powers off, for somebody who looks (without TIME: 5m)
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "5m", value_parser = parse_duration, help_heading = MACHINES)]
    pub observe: Option<Duration>,
    /// Let the job drain when it has cost so much
    #[arg(long, value_name = "DOLLARS", value_parser = dollars, help_heading = MACHINES)]
    pub max_cost: Option<String>,
    /// Launch into these subnets, not the deployment's
    #[arg(long, value_name = "SUBNET", value_delimiter = ',', help_heading = MACHINES)]
    pub subnet: Vec<String>,
    /// Check everything and show the plan; start and write nothing
    #[arg(long, conflicts_with = "here", help_heading = MACHINES)]
    pub dry_run: bool,
}

impl MachinesArgs {
    /// Whether anything of it makes sense on EC2 alone.
    pub fn any(&self) -> bool {
        Self { here: false, ..self.clone() } != Self::default()
    }
}

/// Reads an amount above zero, as a plain decimal: so it goes to EC2.
fn dollars(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix('$').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match digits.parse::<f64>() {
        Ok(amount) if plain && amount > 0.0 => Ok(digits.to_owned()),
        _ => Err(format!("'{text}' is not an amount in dollars; write it as 0.25")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_plain_and_above_zero() {
        assert_eq!(dollars("0.25").as_deref(), Ok("0.25"));
        assert_eq!(dollars("$10").as_deref(), Ok("10"));
        for text in ["", "0", "-1", "1e3", "inf", "NaN", "1 USD", "."] {
            assert!(dollars(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_is_for_ec2_calls_for_ec2() {
        assert!(!MachinesArgs { here: true, ..MachinesArgs::default() }.any());
        assert!(MachinesArgs { spot: true, ..MachinesArgs::default() }.any());
    }
}

//! The options of jobs whose tasks run in containers.

use std::path::PathBuf;

use super::local_path;
use clap::{Args, ValueEnum};
use dayfly_shared::work::{Network, OutputKind};

const CONTAINER: &str = "The container (COMMAND is its arguments, as docker run takes them)";

/// What a container reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkArg {
    /// Nothing
    None,
    /// What the machine reaches, through the engine's bridge
    Bridge,
}

impl From<NetworkArg> for Network {
    fn from(network: NetworkArg) -> Self {
        match network {
            NetworkArg::None => Self::None,
            NetworkArg::Bridge => Self::Bridge,
        }
    }
}

/// What a task leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputArg {
    /// One file in /data, called as the output's object is: out3.dat for in3.dat
    File,
    /// What it writes to its standard output
    Stdout,
    /// All that it leaves in /data
    Folder,
}

impl From<OutputArg> for OutputKind {
    fn from(leaves: OutputArg) -> Self {
        match leaves {
            OutputArg::File => Self::File,
            OutputArg::Stdout => Self::Stdout,
            OutputArg::Folder => Self::Folder,
        }
    }
}

/// The container of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct ContainerArgs {
    /// Run each task in a container of this image, from its registry
    #[arg(long, value_name = "NAME", conflicts_with_all = ["submit", "project", "shell"], help_heading = CONTAINER)]
    pub image: Option<String>,
    /// Run each task in a container of the image in this archive, which docker save or podman save made
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image", "submit", "project", "shell"], help_heading = CONTAINER, value_parser = local_path)]
    pub image_archive: Option<PathBuf>,
    /// Run each task in a container of the image that this folder's Dockerfile makes: one machine builds it for all
    #[arg(long, value_name = "DIR", conflicts_with_all = ["image", "image_archive", "submit", "project", "shell"], help_heading = CONTAINER, value_parser = local_path)]
    pub build: Option<PathBuf>,
    /// Push the image that is built to this repository as well
    #[arg(long, value_name = "REPOSITORY", requires = "build", help_heading = CONTAINER)]
    pub push: Option<String>,
    /// What the container reaches (else nothing)
    #[arg(long, value_enum, help_heading = CONTAINER)]
    pub network: Option<NetworkArg>,
    /// The processor time that a container may use, in cores, such as 1.5 (else all there is)
    #[arg(long, value_name = "CORES", value_parser = milli_cpus, help_heading = CONTAINER)]
    pub task_cpus: Option<u32>,
    /// The GPUs that a container may use: all, or how many (else none; all where --gpus asks for machines with some)
    #[arg(long, value_name = "all|N", help_heading = CONTAINER)]
    pub task_gpus: Option<String>,
    /// What a task leaves (else by the placeholders: {output} a file, {output_dir} a folder, neither its standard output)
    #[arg(long, value_enum, help_heading = CONTAINER)]
    pub output_as: Option<OutputArg>,
}

impl ContainerArgs {
    /// Whether an image is named, in whatever way.
    pub fn has_image(&self) -> bool {
        self.image.is_some() || self.image_archive.is_some() || self.build.is_some()
    }
}

/// Reads a number of cores, in thousandths.
fn milli_cpus(text: &str) -> Result<u32, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let number = (digits(whole) && digits(part) && part.len() <= 3 && !text.is_empty() && text != ".").then(|| {
        let whole = if whole.is_empty() { "0" } else { whole };
        whole.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(format!("{part:0<3}").parse().ok()?)
    });
    number.flatten().filter(|n| *n > 0).ok_or_else(|| format!("'{text}' is no number of cores; write it as 2 or 1.5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_have_up_to_three_decimals() {
        for (text, milli) in [("2", 2000), ("1.5", 1500), (".25", 250), ("0.001", 1)] {
            assert_eq!(milli_cpus(text), Ok(milli), "{text}");
        }
        for text in ["", ".", "0", "-1", "1e3", "1.0001", "a"] {
            assert!(milli_cpus(text).is_err(), "{text}");
        }
    }
}

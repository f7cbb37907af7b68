//! Containers as a job's processor: the image, and what a container may use.

use serde::{Deserialize, Serialize};

use super::{SharedFile, is_default};

/// A container of an image, one a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerSettings {
    /// The image.
    pub image: ImageSource,
    /// The arguments, with placeholders ([`super::Placeholder`]), as `docker run IMAGE` takes them: the image's own entry
    /// point stays. Empty: the image's own command.
    #[serde(default, skip_serializing_if = "is_default")]
    pub argv: Vec<String>,
    /// What it may reach.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network: Network,
    /// The processor time that it may use, in thousandths of a core.
    #[serde(default, skip_serializing_if = "is_default")]
    pub milli_cpus: Option<u32>,
    /// The GPUs that it may use: `all`, or how many.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gpus: Option<String>,
}

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ImageSource {
    /// A registry, by the image's name.
    Name(String),
    /// An archive as `docker save` makes it, that came with the job.
    Archive(SharedFile),
    /// A folder with a Dockerfile, that came with the job as an archive: built by one agent, for all of its kind of machine.
    Build {
        /// The folder.
        context: SharedFile,
        /// The repository that the image is pushed to as well.
        #[serde(default, skip_serializing_if = "is_default")]
        push: Option<String>,
    },
}

impl ImageSource {
    /// The file that came with the job for it.
    pub fn file(&self) -> Option<&SharedFile> {
        match self {
            Self::Name(_) => None,
            Self::Archive(file) | Self::Build { context: file, .. } => Some(file),
        }
    }
}

/// What a container may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nothing.
    #[default]
    None,
    /// What the machine reaches, through a bridge of the engine's.
    Bridge,
}

impl Network {
    /// As engines call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bridge => "bridge",
        }
    }
}

impl ContainerSettings {
    /// What is wrong with it by itself, in words.
    ///
    /// # Errors
    /// A name that is none, an amount that is none.
    pub fn check(&self) -> Result<(), String> {
        let names = match &self.image {
            ImageSource::Name(name) => Some(name),
            ImageSource::Archive(_) => None,
            ImageSource::Build { push, .. } => push.as_ref(),
        };
        if let Some(name) = names.filter(|name| !is_image_name(name)) {
            return Err(format!("'{name}' cannot be the name of an image"));
        }
        if self.milli_cpus == Some(0) {
            return Err("a container that may use no processor time does nothing".to_owned());
        }
        match self.gpus.as_deref() {
            Some(gpus) if gpus != "all" && !gpus.parse::<u32>().is_ok_and(|n| n > 0) => {
                Err(format!("'{gpus}' is no number of GPUs; it is all, or how many"))
            }
            _ => Ok(()),
        }
    }
}

/// Letters, digits and what names of images have between them: nothing that an engine takes for an option.
fn is_image_name(name: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plainest_container_is_its_image() {
        let json = r#"{"image":{"name":"busybox"}}"#;
        let plain: ContainerSettings = serde_json::from_str(json).unwrap();
        assert_eq!((plain.network, plain.check()), (Network::None, Ok(())));
        assert_eq!(serde_json::to_string(&plain).unwrap(), json);
    }

    #[test]
    fn what_is_no_image_and_no_amount_is_said() {
        let of = |name: &str| ContainerSettings {
            image: ImageSource::Name(name.to_owned()),
            argv: Vec::new(),
            network: Network::None,
            milli_cpus: None,
            gpus: None,
        };
        for good in ["busybox", "docker.io/library/python:3-slim", "1.dkr.ecr.us-east-1.amazonaws.com/a@sha256:0f"] {
            assert_eq!(of(good).check(), Ok(()), "{good}");
        }
        for bad in ["", "--privileged", "a b", "$(x)"] {
            assert!(of(bad).check().is_err(), "{bad}");
        }
        assert!(ContainerSettings { gpus: Some("some".to_owned()), ..of("a") }.check().unwrap_err().contains("some"));
        assert!(ContainerSettings { milli_cpus: Some(0), ..of("a") }.check().is_err());
    }
}

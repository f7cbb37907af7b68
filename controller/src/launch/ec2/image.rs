//! The image that machines are launched from: one's own with the agent in it, or a stock one that fetches it.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, Image as Described};
use dayfly_shared::deployment::{AgentProgram, Deployment};
use dayfly_shared::launch::tags;
use dayfly_shared::work::ProcessorSettings;

use crate::cloud::{Cloud, explain};
use crate::failure::{Failure, Result};

/// Which version of controller and agent belong together: this one's, up to the minor number.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An image, and how the agent comes onto it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `ami-…`.
    pub id: String,
    /// Its name, or the stock image's.
    pub name: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// The root volume's device.
    pub root_device: String,
    /// The root volume's size in GiB, as the image has it.
    pub disk_gib: Option<u32>,
    /// Whether it has drivers for GPUs.
    pub gpu: bool,
    /// Where its agent comes from.
    pub agent: Agent,
}

/// Where the agent on an image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agent {
    /// It is there, in this version.
    Inside(String),
    /// The boot script fetches it from the bucket.
    Fetched(AgentProgram),
}

/// The flavour with nothing but the agent, and the one with Python and podman besides (ami/README.md). Others are of
/// people's own: what is on them is theirs to know.
const MINIMAL: &str = "minimal";
const CONTAINER: &str = "container";

/// Which of one's own images, where none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// This one.
    Named(String),
    /// For what needs nothing but the agent: not the larger one, if there is another.
    Plain,
    /// For what needs Python or containers: not the minimal one.
    Equipped,
}

impl Flavour {
    /// The one that a job needs.
    pub fn of(processor: &ProcessorSettings) -> Self {
        // Whatever else there is needs more than the agent.
        match matches!(processor, ProcessorSettings::Xor { .. } | ProcessorSettings::Command { .. }) {
            true => Self::Plain,
            false => Self::Equipped,
        }
    }

    /// Whether an image of this flavour will do; none: its owner gave it none.
    fn fits(&self, flavour: Option<&str>) -> bool {
        match self {
            Self::Named(name) => flavour == Some(name),
            Self::Plain => true,
            Self::Equipped => flavour != Some(MINIMAL),
        }
    }

    /// What counts before the age.
    fn prefers(&self, flavour: Option<&str>) -> bool {
        *self != Self::Plain || flavour != Some(CONTAINER)
    }

    /// One to build, where there is none.
    fn to_build(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::Plain => MINIMAL,
            Self::Equipped => CONTAINER,
        }
    }
}

/// Finds the image: the one named; else the newest of one's own that will do; else Amazon Linux with the agent from the
/// bucket.
///
/// # Errors
/// None there, one that fits no agent, an agent of another version.
pub async fn find(
    cloud: &Cloud,
    deployment: &Deployment,
    named: Option<&str>,
    flavour: &Flavour,
    architecture: &str,
) -> Result<Image> {
    let image = match named {
        Some(stock @ ("al2023" | "ubuntu")) => stock_image(cloud, deployment, stock, architecture).await?,
        Some(id) if id.starts_with("ami-") => by_id(cloud, deployment, id).await?,
        Some(name) => by_name(cloud, deployment, name).await?,
        None => match own(cloud, deployment, flavour, architecture).await? {
            Own::Image(image) => *image,
            Own::None if program(deployment, architecture).is_some() && !matches!(flavour, Flavour::Named(_)) => {
                stock_image(cloud, deployment, "al2023", architecture).await?
            }
            Own::None if *flavour == Flavour::Plain => return Err(none_for(deployment, architecture)),
            Own::None => return Err(none_of(deployment, flavour, architecture, &[])),
            Own::Others(others) => return Err(none_of(deployment, flavour, architecture, &others)),
        },
    };
    check_version(&image)?;
    Ok(image)
}

fn none_of(deployment: &Deployment, flavour: &Flavour, architecture: &str, others: &[String]) -> Failure {
    let why = match flavour {
        Flavour::Named(name) => format!("of the flavour {name}"),
        Flavour::Plain | Flavour::Equipped => "with Python and podman, which this job needs".to_owned(),
    };
    let there = match others.is_empty() {
        true => "none at all".to_owned(),
        false => format!("only {}", others.join(", ")),
    };
    let build = flavour.to_build();
    let made = match build {
        MINIMAL | CONTAINER => format!(
            "make one: ami/build {build}, then dayfly image publish target/image/dayfly-{build}.raw --flavour {build}"
        ),
        _ => format!("make one, and publish it: dayfly image publish FILE --flavour {build}"),
    };
    Failure::new(format!(
        "there is no image for {architecture} {why}: of your own with an agent in them there are {there} in {}",
        deployment.region
    ))
    .left("nothing was started")
    .fix(format!("{made}; or name an image that will do"))
}

fn none_for(deployment: &Deployment, architecture: &str) -> Failure {
    let place = &deployment.place;
    let others: Vec<&str> = deployment.agents.iter().map(|a| a.architecture.as_str()).collect();
    let failure = Failure::new(format!(
        "there is no image for {architecture}: none of your own in {} has the tag {}, and no agent program for \
         {architecture} was put into {place}",
        deployment.region,
        tags::AGENT,
    ));
    let failure = match others.first() {
        Some(other) => failure.left(format!("nothing was started; there is an agent program for {other}")),
        None => failure.left("nothing was started"),
    };
    failure.fix(format!(
        "build an image (ami/README.md), or put an agent program there: dayfly setup {place} --agent FILE; or choose \
         another --arch"
    ))
}

fn program<'a>(deployment: &'a Deployment, architecture: &str) -> Option<&'a AgentProgram> {
    // The last one put there is the newest.
    deployment.agents.iter().rev().find(|agent| agent.architecture == architecture)
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// What there is of one's own.
enum Own {
    Image(Box<Image>),
    /// None that will do; the flavours of those that there are.
    Others(Vec<String>),
    None,
}

/// The newest image of the account that has an agent in it and will do.
async fn own(cloud: &Cloud, deployment: &Deployment, flavour: &Flavour, architecture: &str) -> Result<Own> {
    let call = cloud.ec2().describe_images().owners("self").set_filters(Some(vec![
        filter("tag-key", tags::AGENT),
        filter("state", "available"),
        filter("architecture", architecture),
    ]));
    let found = call.send().await.map_err(|e| explain("ec2:DescribeImages", "your own images", &e))?;
    let fitting = found.images().iter().filter(|image| flavour.fits(tag(image, tags::IMAGE)));
    let newest = fitting
        .max_by_key(|image| (flavour.prefers(tag(image, tags::IMAGE)), image.creation_date().map(str::to_owned)));
    if let Some(newest) = newest {
        return Ok(Own::Image(Box::new(of(newest, deployment, newest.name().unwrap_or_default())?)));
    }
    let others: BTreeSet<&str> = found.images().iter().filter_map(|image| tag(image, tags::IMAGE)).collect();
    Ok(match found.images().is_empty() {
        true => Own::None,
        false => Own::Others(others.into_iter().map(str::to_owned).collect()),
    })
}

fn tag<'a>(image: &'a Described, key: &str) -> Option<&'a str> {
    image.tags().iter().find(|t| t.key() == Some(key)).and_then(|t| t.value())
}

async fn by_name(cloud: &Cloud, deployment: &Deployment, name: &str) -> Result<Image> {
    let call = cloud.ec2().describe_images().owners("self").filters(filter("name", name));
    let found = call.send().await.map_err(|e| explain("ec2:DescribeImages", &format!("'{name}'"), &e))?;
    let newest = found.images().iter().max_by_key(|image| image.creation_date().map(str::to_owned));
    match newest {
        Some(image) => of(image, deployment, name),
        None => Err(Failure::usage(format!("there is no image '{name}' of your own in {}", cloud.region()))
            .left("nothing was started")
            .fix("correct --ami: an ami-… id, the name of an image of this account, al2023 or ubuntu")),
    }
}

async fn by_id(cloud: &Cloud, deployment: &Deployment, id: &str) -> Result<Image> {
    let found = cloud.ec2().describe_images().image_ids(id).send().await;
    let found = found.map_err(|e| explain("ec2:DescribeImages", id, &e).left("nothing was started"))?;
    match found.images().first() {
        Some(image) => of(image, deployment, image.name().unwrap_or(id)),
        None => Err(Failure::usage(format!("there is no image {id} in {}", cloud.region()))
            .left("nothing was started")
            .fix("correct --ami; images belong to one region")),
    }
}

/// The newest stock image, by the parameter that its maker publishes (EC2 user guide, "Reference AMIs using Systems
/// Manager parameters"; Ubuntu on AWS, "Find Ubuntu images with SSM").
async fn stock_image(cloud: &Cloud, deployment: &Deployment, stock: &str, architecture: &str) -> Result<Image> {
    if program(deployment, architecture).is_none() {
        return Err(none_for(deployment, architecture));
    }
    let parameter = match stock {
        "ubuntu" => {
            let short = if architecture == "x86_64" { "amd64" } else { "arm64" };
            format!("/aws/service/canonical/ubuntu/server/24.04/stable/current/{short}/hvm/ebs-gp3/ami-id")
        }
        _ => format!("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}"),
    };
    let answer = cloud.ssm().get_parameter().name(&parameter).send().await;
    let answer = answer.map_err(|e| explain("ssm:GetParameter", &parameter, &e).left("nothing was started"))?;
    let id = answer.parameter().and_then(|p| p.value()).unwrap_or_default().to_owned();
    Ok(Image { name: stock.to_owned(), ..by_id(cloud, deployment, &id).await? })
}

fn of(image: &Described, deployment: &Deployment, name: &str) -> Result<Image> {
    let id = image.image_id().unwrap_or_default().to_owned();
    let architecture = image.architecture().map(|a| a.as_str().to_owned()).unwrap_or_default();
    let agent = match (tag(image, tags::AGENT), program(deployment, &architecture)) {
        (Some(version), _) => Agent::Inside(version.to_owned()),
        (None, Some(program)) => Agent::Fetched(program.clone()),
        (None, None) => {
            return Err(Failure::new(format!(
                "the image {id} ({name}) is not tagged {}, and there is no agent program for {architecture} to put on it",
                tags::AGENT
            ))
            .left("nothing was started")
            .fix(format!("tag the image if it has the agent, or: dayfly setup {} --agent FILE", deployment.place)));
        }
    };
    let root = image.block_device_mappings().iter().find(|m| m.device_name() == image.root_device_name());
    let size = root.and_then(|mapping| mapping.ebs()).and_then(|ebs| ebs.volume_size());
    Ok(Image {
        disk_gib: size.and_then(|gib| u32::try_from(gib).ok()),
        // Both stock images name it so; an image that names none has no root volume to size.
        root_device: image.root_device_name().unwrap_or("/dev/xvda").to_owned(),
        gpu: tag(image, tags::GPU).is_some(),
        name: name.to_owned(),
        id,
        architecture,
        agent,
    })
}

/// Whether controller and agent belong together: records and keys may change with the minor number.
fn fits(agent: &str) -> bool {
    let minor = |version: &str| {
        let mut parts = version.trim().trim_start_matches('v').split('.');
        Some((parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u32>().ok()?))
    };
    minor(agent).is_some() && minor(agent) == minor(VERSION)
}

fn check_version(image: &Image) -> Result<()> {
    let (version, fix) = match &image.agent {
        Agent::Inside(version) => (version, "build the image anew (ami/README.md), or use the dayfly of that version"),
        Agent::Fetched(program) => (
            &program.version,
            "put this version's there (dayfly setup --agent FILE), or use the dayfly of that version",
        ),
    };
    if fits(version) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the agent on {} ({}) has version {version}, and this dayfly has {VERSION}: they may not read each other's records",
        image.id, image.name
    ))
    .left("nothing was started")
    .fix(fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_needs_decides_the_flavour() {
        let python = ProcessorSettings::Python { archive: String::new(), argv: Vec::new() };
        assert_eq!(Flavour::of(&ProcessorSettings::default()), Flavour::Plain);
        assert_eq!(Flavour::of(&python), Flavour::Equipped);
        assert!(!Flavour::Equipped.fits(Some(MINIMAL)));
        assert!([None, Some(CONTAINER), Some("mine")].iter().all(|flavour| Flavour::Equipped.fits(*flavour)));
        assert!(Flavour::Plain.fits(Some(CONTAINER)) && !Flavour::Plain.prefers(Some(CONTAINER)));
        let named = Flavour::Named("mine".to_owned());
        assert!(named.fits(Some("mine")) && !named.fits(Some(MINIMAL)) && !named.fits(None));
    }

    #[test]
    fn versions_fit_up_to_the_minor_number() {
        let (minor, _) = VERSION.rsplit_once('.').unwrap();
        assert!(fits(VERSION) && fits(&format!("{minor}.99")) && fits(&format!("v{minor}.1")));
        for other in ["99.0.0", "0.99.1", "", "new", "1"] {
            assert!(!fits(other), "{other}");
        }
    }
}

//! Instance types: what they are, and whether the image fits them.

use aws_sdk_ec2::types::{InstanceType, InstanceTypeInfo};

use super::image::Image;
use crate::cloud::{Cloud, explain};
use crate::failure::{Failure, Result};
use crate::human;

/// What is launched where nobody says: two cores of the last generations, as such work needs little memory.
pub const USUAL_X86: [&str; 3] = ["c7i.large", "c6i.large", "m6i.large"];
/// The same for Graviton.
pub const USUAL_ARM: [&str; 3] = ["c7g.large", "c6g.large", "m6g.large"];

/// An instance type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Such as `c7i.large`.
    pub name: String,
    /// The architectures that it runs.
    pub architectures: Vec<String>,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// GPUs.
    pub gpus: u32,
}

/// What EC2 says of these types.
///
/// # Errors
/// A type that the region does not have.
pub async fn describe(cloud: &Cloud, names: &[String]) -> Result<Vec<Kind>> {
    let types = names.iter().map(|name| InstanceType::from(name.as_str())).collect();
    let answer = cloud.ec2().describe_instance_types().set_instance_types(Some(types)).send().await;
    let answer =
        answer.map_err(|e| explain("ec2:DescribeInstanceTypes", &names.join(", "), &e).left("nothing was started"))?;
    let found: Vec<Kind> = answer.instance_types().iter().map(kind).collect();
    // In the order of preference, which the answer does not keep.
    names
        .iter()
        .map(|name| {
            found.iter().find(|kind| kind.name == *name).cloned().ok_or_else(|| {
                Failure::usage(format!("{} has no instance type {name}", cloud.region()))
                    .left("nothing was started")
                    .fix("correct --instance-type, or say what is needed: --vcpus 4 --memory 8")
            })
        })
        .collect()
}

fn kind(info: &InstanceTypeInfo) -> Kind {
    let number = |n: Option<i32>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let architectures = info.processor_info().map(|p| p.supported_architectures()).unwrap_or_default();
    let gpus = info.gpu_info().map(|g| g.gpus()).unwrap_or_default();
    Kind {
        name: info.instance_type().map(|t| t.as_str().to_owned()).unwrap_or_default(),
        architectures: architectures.iter().map(|a| a.as_str().to_owned()).collect(),
        vcpus: number(info.v_cpu_info().and_then(|v| v.default_v_cpus())),
        gpus: gpus.iter().map(|gpu| number(gpu.count())).sum(),
    }
}

/// The one architecture of all of them, of those that dayfly has agents for.
///
/// # Errors
/// Types that no single image fits.
pub fn architecture(kinds: &[Kind]) -> Result<&'static str> {
    let runs = |name: &str| kinds.iter().all(|kind| kind.architectures.iter().any(|a| a == name));
    if let Some(name) = ["x86_64", "arm64"].into_iter().find(|name| runs(name)) {
        return Ok(name);
    }
    let said: Vec<String> = kinds.iter().map(|k| format!("{} ({})", k.name, k.architectures.join(", "))).collect();
    Err(Failure::usage(format!("no image fits all of these instance types: {}", human::some(&said)))
        .left("nothing was started")
        .fix("name types of one architecture; launch again for the others: more agents join at any time"))
}

/// Whether the image fits them.
///
/// # Errors
/// Another architecture, GPUs without an image for them.
pub fn check(kinds: &[Kind], gpus: bool, image: &Image, named: bool) -> Result<()> {
    if let Some(kind) = kinds.iter().find(|kind| !kind.architectures.contains(&image.architecture)) {
        return Err(Failure::usage(format!(
            "the image {} ({}) is for {}, and {} is {}",
            image.id,
            image.name,
            image.architecture,
            kind.name,
            kind.architectures.join(", ")
        ))
        .left("nothing was started")
        .fix(format!("name an --ami for {}, or other instance types", kind.architectures.join(" or "))));
    }
    let with = kinds.iter().find(|kind| kind.gpus > 0).map(|kind| kind.name.as_str());
    // Whoever names an image knows what is in it.
    if (gpus || with.is_some()) && !image.gpu && !named {
        let what = with.map_or("machines with GPUs".to_owned(), |name| format!("{name}, which has GPUs"));
        return Err(Failure::usage(format!(
            "there is no image for {what}: {} ({}) has no drivers",
            image.id, image.name
        ))
        .left("nothing was started")
        .fix("build one with the drivers, and tag it dayfly:gpu; or name an --ami that has them; or other types"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::image::Agent;
    use super::*;

    fn kind(name: &str, architecture: &str, gpus: u32) -> Kind {
        Kind { name: name.to_owned(), architectures: vec![architecture.to_owned()], vcpus: 2, gpus }
    }

    fn image(architecture: &str) -> Image {
        Image {
            id: "ami-1".to_owned(),
            name: "mine".to_owned(),
            architecture: architecture.to_owned(),
            root_device: "/dev/xvda".to_owned(),
            disk_gib: Some(8),
            gpu: false,
            agent: Agent::Inside("0.1.0".to_owned()),
        }
    }

    #[test]
    fn types_of_two_architectures_have_no_image_in_common() {
        assert_eq!(architecture(&[kind("c7i.large", "x86_64", 0)]).unwrap(), "x86_64");
        assert_eq!(architecture(&[kind("c7g.large", "arm64", 0)]).unwrap(), "arm64");
        let both = [kind("c7i.large", "x86_64", 0), kind("c7g.large", "arm64", 0)];
        assert!(architecture(&both).unwrap_err().to_string().contains("c7g.large (arm64)"));
    }

    #[test]
    fn an_image_has_to_fit() {
        let (plain, arm) = ([kind("c7i.large", "x86_64", 0)], [kind("c7g.large", "arm64", 0)]);
        assert!(check(&plain, false, &image("x86_64"), false).is_ok());
        assert!(check(&arm, false, &image("x86_64"), true).is_err());
        let gpus = [kind("g5.xlarge", "x86_64", 1)];
        assert!(format!("{:#}", check(&gpus, false, &image("x86_64"), false).unwrap_err()).contains("dayfly:gpu"));
        assert!(check(&gpus, false, &image("x86_64"), true).is_ok());
        assert!(check(&[], true, &image("x86_64"), false).is_err());
    }
}

//! `dayfly image list`: images with an agent in them, what uses them, and uploads that were not finished.

use std::fmt;

use dayfly_shared::exit::Exit;
use serde::Serialize;

use super::account::{self, Image, Progress, Snapshot};
use super::usage::Usage;
use crate::cloud::Cloud;
use crate::failure::Result;
use crate::human;
use crate::parts::Parts;

/// `dayfly image list`.
///
/// # Errors
/// No credentials, EC2 refuses.
pub async fn command(parts: &Parts) -> Result<Exit> {
    let cloud = Cloud::connect(parts).await?;
    let mut images = account::images(&cloud).await?;
    images.sort_by(|a, b| b.created.cmp(&a.created));
    let usage = Usage::look(&cloud, &images).await?;
    let unfinished = unfinished(account::snapshots(&cloud, None).await?, &images);
    let now = parts.clock.now().wall;
    let listed = Listed {
        region: cloud.region().to_owned(),
        images: images
            .into_iter()
            .map(|image| Line {
                used_by: usage.of(&image.id),
                id: image.id,
                name: image.name,
                flavour: image.flavour,
                agent: image.agent,
                architecture: image.architecture,
                state: image.state,
                created: image.created,
                gib: image.gib,
                snapshots: image.snapshots,
            })
            .collect(),
        unfinished: unfinished
            .into_iter()
            .map(|snapshot| Unfinished {
                said: said(&snapshot),
                age_seconds: snapshot.begun.map(|begun| now.since(begun).as_secs()),
                id: snapshot.id,
            })
            .collect(),
    };
    parts.output().result(&listed);
    Ok(Exit::Done)
}

/// Snapshots that publish made and no image has.
pub fn unfinished(snapshots: Vec<Snapshot>, images: &[Image]) -> Vec<Snapshot> {
    snapshots.into_iter().filter(|one| !images.iter().any(|image| image.snapshots.contains(&one.id))).collect()
}

/// How far it came, in words.
pub fn said(snapshot: &Snapshot) -> String {
    let how = match snapshot.progress {
        Progress::Pending(written) => format!("cut off, {} had arrived", human::count(written as u64, "block")),
        Progress::Completed => "complete, of no image".to_owned(),
        Progress::Failed => "failed".to_owned(),
    };
    format!("{} GiB, {how}", snapshot.gib)
}

#[derive(Debug, Serialize)]
struct Listed {
    region: String,
    images: Vec<Line>,
    unfinished: Vec<Unfinished>,
}

#[derive(Debug, Serialize)]
struct Line {
    id: String,
    name: String,
    flavour: Option<String>,
    agent: String,
    architecture: String,
    state: String,
    created: String,
    gib: Option<i32>,
    snapshots: Vec<String>,
    used_by: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Unfinished {
    id: String,
    said: String,
    age_seconds: Option<u64>,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.images.is_empty() {
            writeln!(f, "no image of your own in {} has an agent in it", self.region)?;
        }
        for image in &self.images {
            let flavour = image.flavour.as_deref().unwrap_or("-");
            write!(f, "{}  {}  {flavour}  agent {}  {}", image.id, image.name, image.agent, image.architecture)?;
            if let Some(gib) = image.gib {
                write!(f, "  {gib} GiB")?;
            }
            write!(f, "  {}", image.created)?;
            if image.state != "available" {
                write!(f, "  {}", image.state)?;
            }
            if !image.used_by.is_empty() {
                write!(f, "  used by {}", human::some(&image.used_by))?;
            }
            writeln!(f)?;
        }
        for upload in &self.unfinished {
            writeln!(f, "{}  {}", upload.id, upload.said)?;
        }
        if !self.unfinished.is_empty() {
            writeln!(f, "publish the same file again to go on; dayfly image prune removes what is a day old")?;
        }
        Ok(())
    }
}

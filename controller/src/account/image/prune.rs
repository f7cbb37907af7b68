//! `dayfly image prune`: old images go, with their snapshots; and what publishes left that nobody took up again.

use std::collections::BTreeMap;
use std::fmt;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::exit::Exit;
use serde::Serialize;

use super::account::{self, Image, Snapshot};
use super::list::{said, unfinished};
use super::usage::Usage;
use super::{UNFINISHED_FOR, explain};
use crate::ask::confirm;
use crate::cli::PruneArgs;
use crate::cloud::{Cloud, code};
use crate::failure::{Failure, Result};
use crate::human;
use crate::parts::Parts;

/// `dayfly image prune`.
///
/// # Errors
/// No credentials, nobody to ask, EC2 refuses.
pub async fn command(parts: &Parts, args: &PruneArgs) -> Result<Exit> {
    let cloud = Cloud::connect(parts).await?;
    let images = account::images(&cloud).await?;
    let usage = Usage::look(&cloud, &images).await?;
    let stale = stale(account::snapshots(&cloud, None).await?, &images, parts.clock.now().wall);
    let (doomed, kept) = judge(&images, args, |image| usage.of(image));
    let mut report = Pruned { dry_run: args.dry_run, kept, ..Pruned::default() };
    if args.dry_run {
        report.removed = doomed.iter().map(|image| Removed::of(image)).collect();
        report.swept = stale.iter().map(swept).collect();
        parts.output().result(&report);
        return Ok(Exit::Done);
    }
    if !doomed.is_empty() || !stale.is_empty() {
        for image in &doomed {
            parts.output().note(format!("to remove {} '{}', of {}", image.id, image.name, image.created));
        }
        let question = format!(
            "remove {} and {}?",
            human::count(doomed.len() as u64, "image"),
            human::count(stale.len() as u64, "unfinished upload")
        );
        if !confirm(&parts.settings, &question)? {
            return Err(Failure::new("not confirmed").left("nothing was removed"));
        }
    }
    for image in &doomed {
        let removed = remove(&cloud, image, &images, &mut report.left).await;
        let done = report.removed.len() as u64;
        let removed = removed.map_err(|e| e.left(format!("{} had been removed", human::count(done, "image"))))?;
        report.removed.push(removed);
    }
    for snapshot in &stale {
        match account::delete_snapshot(&cloud, &snapshot.id).await {
            Ok(()) => report.swept.push(swept(snapshot)),
            Err(why) => report.left.push(format!("{}: {why}", snapshot.id)),
        }
    }
    parts.output().result(&report);
    Ok(Exit::Done)
}

/// Which images go, and which stay for a reason besides being new.
fn judge<'a>(
    images: &'a [Image],
    args: &PruneArgs,
    used_by: impl Fn(&str) -> Vec<String>,
) -> (Vec<&'a Image>, Vec<Kept>) {
    let mut groups: BTreeMap<(&str, &str), Vec<&Image>> = BTreeMap::new();
    let (mut doomed, mut kept) = (Vec::new(), Vec::new());
    for image in images {
        match &image.flavour {
            Some(flavour) if args.flavour.as_ref().is_none_or(|only| only == flavour) => {
                groups.entry((flavour, &image.architecture)).or_default().push(image);
            }
            Some(_) => {}
            None if args.flavour.is_none() => {
                kept.push(Kept::of(image, "it has no flavour, so it is not dayfly's".to_owned()))
            }
            None => {}
        }
    }
    for group in groups.values_mut() {
        group.sort_by(|a, b| (&b.created, &b.id).cmp(&(&a.created, &a.id)));
        for (nth, image) in group.iter().enumerate() {
            let users = used_by(&image.id);
            if nth < args.keep as usize {
                kept.push(Kept::of(image, format!("one of the {} newest", args.keep)));
            } else if users.is_empty() {
                doomed.push(*image);
            } else {
                kept.push(Kept::of(image, format!("used by {}", human::some(&users))));
            }
        }
    }
    // The oldest first: a run that is cut off has removed what matters least.
    doomed.sort_by(|a, b| a.created.cmp(&b.created));
    (doomed, kept)
}

/// Snapshots of no image that are so old that no publish goes on with them.
fn stale(snapshots: Vec<Snapshot>, images: &[Image], now: Timestamp) -> Vec<Snapshot> {
    let old = |snapshot: &Snapshot| snapshot.begun.is_some_and(|begun| now.since(begun) >= UNFINISHED_FOR);
    unfinished(snapshots, images).into_iter().filter(old).collect()
}

/// Deregisters an image, then deletes its snapshots: EC2 deletes none while an image has it.
async fn remove(cloud: &Cloud, image: &Image, images: &[Image], left: &mut Vec<String>) -> Result<Removed> {
    match cloud.ec2().deregister_image().image_id(&image.id).send().await {
        Ok(_) => {}
        // Somebody else's prune.
        Err(e) if matches!(code(&e), Some("InvalidAMIID.Unavailable" | "InvalidAMIID.NotFound")) => {}
        Err(e) => return Err(explain(cloud, "ec2:DeregisterImage", &image.id, &e).await),
    }
    let mut removed = Removed { snapshots: Vec::new(), ..Removed::of(image) };
    for snapshot in &image.snapshots {
        let other = images.iter().find(|other| other.id != image.id && other.snapshots.contains(snapshot));
        match account::delete_snapshot(cloud, snapshot).await {
            Ok(()) => removed.snapshots.push(snapshot.clone()),
            Err(why) => left.push(match other {
                Some(other) => format!("{snapshot} is of {} too", other.id),
                None => format!("{snapshot}: {why}"),
            }),
        }
    }
    Ok(removed)
}

fn swept(snapshot: &Snapshot) -> Swept {
    Swept { id: snapshot.id.clone(), said: said(snapshot) }
}

/// What prune came to.
#[derive(Debug, Default, Serialize)]
struct Pruned {
    dry_run: bool,
    removed: Vec<Removed>,
    kept: Vec<Kept>,
    swept: Vec<Swept>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Removed {
    id: String,
    name: String,
    snapshots: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Kept {
    id: String,
    name: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct Swept {
    id: String,
    said: String,
}

impl Removed {
    fn of(image: &Image) -> Self {
        Self { id: image.id.clone(), name: image.name.clone(), snapshots: image.snapshots.clone() }
    }
}

impl Kept {
    fn of(image: &Image, why: String) -> Self {
        Self { id: image.id.clone(), name: image.name.clone(), why }
    }
}

impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let removed = if self.dry_run { "would go" } else { "removed " };
        for image in &self.removed {
            writeln!(f, "{removed}  {} '{}', with {}", image.id, image.name, image.snapshots.join(", "))?;
        }
        for upload in &self.swept {
            writeln!(f, "{removed}  {}: {}", upload.id, upload.said)?;
        }
        for image in &self.kept {
            writeln!(f, "kept      {} '{}': {}", image.id, image.name, image.why)?;
        }
        for left in &self.left {
            writeln!(f, "left      {left}")?;
        }
        if self.removed.is_empty() && self.swept.is_empty() {
            writeln!(f, "nothing to remove")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::image::account::Progress;

    fn image(id: &str, flavour: Option<&str>, created: &str) -> Image {
        Image {
            id: id.to_owned(),
            name: id.to_owned(),
            flavour: flavour.map(str::to_owned),
            agent: "0.1.0".to_owned(),
            source: None,
            architecture: "x86_64".to_owned(),
            state: "available".to_owned(),
            created: created.to_owned(),
            snapshots: vec![format!("snap-of-{id}")],
            gib: None,
        }
    }

    fn judged(keep: u32, flavour: Option<&str>, used: &str) -> Vec<String> {
        let images = [
            image("m1", Some("minimal"), "2026-01-01"),
            image("m3", Some("minimal"), "2026-01-03"),
            image("m2", Some("minimal"), "2026-01-02"),
            image("c1", Some("container"), "2026-01-01"),
            image("x", None, "2025-01-01"),
        ];
        let args = PruneArgs { keep, flavour: flavour.map(str::to_owned), dry_run: false };
        let users = |id: &str| if id == used { vec!["i-1".to_owned()] } else { Vec::new() };
        let (doomed, _) = judge(&images, &args, users);
        doomed.into_iter().map(|image| image.id.clone()).collect()
    }

    #[test]
    fn the_newest_of_each_flavour_stay_and_what_is_used() {
        assert_eq!(judged(1, None, ""), ["m1", "m2"]);
        assert_eq!(judged(1, None, "m1"), ["m2"]);
        assert_eq!(judged(2, None, ""), ["m1"]);
        assert_eq!(judged(0, Some("container"), ""), ["c1"]);
        assert_eq!(judged(0, None, "c1").len(), 3, "what has no flavour stays");
    }

    #[test]
    fn only_old_uploads_of_no_image_are_swept() {
        let day = u64::try_from(UNFINISHED_FOR.as_millis()).unwrap();
        let begun_at = |id: &str, ms| Snapshot {
            id: id.to_owned(),
            progress: Progress::Completed,
            begun: Some(Timestamp::from_unix_ms(ms)),
            gib: 1,
            message: None,
        };
        let all = vec![begun_at("snap-of-m1", 0), begun_at("old", 0), begun_at("young", 2)];
        let stale = stale(all, &[image("m1", Some("minimal"), "")], Timestamp::from_unix_ms(day + 1));
        assert_eq!(stale.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["old"]);
    }
}

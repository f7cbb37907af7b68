//! Who a container runs as. Its folders are handed over to exactly that user: without capabilities, root as well changes
//! only what is root's.

use std::fs;
use std::path::Path;

use super::engine::{Engine, Kind};
use super::lock::Lock;
use super::order::LABEL;
use crate::processor::Failure;
use crate::supervisor::User;

/// The user of a container, inside and out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// As the engine is told, if not what the image says.
    pub inside: Option<User>,
    /// Whose the task's folders are, if not the agent's.
    pub folders: Option<User>,
}

/// Who an image's containers run as; nothing is said of root, where agent and image are.
///
/// # Errors
/// A name that the image does not know.
pub async fn of(
    engine: &Engine,
    image: &str,
    of_image: &str,
    run_as: Option<User>,
    (folder, lock): (&Path, &Lock),
) -> Result<Identity, Failure> {
    let me = rustix::process::geteuid();
    if !me.is_root() {
        // Without root, podman's root is the agent's user, and docker's is the machine's.
        let inside = match engine.kind {
            Kind::Podman => User { uid: 0, gid: 0 },
            Kind::Docker => User { uid: me.as_raw(), gid: rustix::process::getegid().as_raw() },
        };
        return Ok(Identity { inside: Some(inside), folders: None });
    }
    let user = match run_as {
        Some(user) => Some(user),
        None => of_image_itself(engine, image, of_image, (folder, lock)).await?,
    };
    Ok(Identity { inside: user, folders: user })
}

async fn of_image_itself(
    engine: &Engine,
    image: &str,
    of_image: &str,
    (folder, lock): (&Path, &Lock),
) -> Result<Option<User>, Failure> {
    match Wanted::parse(of_image) {
        Wanted::Root => Ok(None),
        Wanted::Ids(user) => Ok(Some(user)),
        Wanted::Names(name, group) => {
            let passwd = table(engine, image, "passwd", (folder, lock)).await?;
            let groups = match group {
                Some(_) => table(engine, image, "group", (folder, lock)).await?,
                None => String::new(),
            };
            let found = look_up(&passwd, &groups, name, group);
            found.map(Some).ok_or_else(|| {
                Failure::Refused(format!(
                    "the image runs as '{of_image}', and its own /etc/passwd does not know whom that is; say USER with \
                     numbers in its Dockerfile, or run the agent with --run-as"
                ))
            })
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted<'a> {
    Root,
    Ids(User),
    Names(&'a str, Option<&'a str>),
}

impl<'a> Wanted<'a> {
    /// `USER[:GROUP]`, each a name or a number (Dockerfile reference, "USER").
    fn parse(text: &'a str) -> Self {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        match (user.parse(), group.map(str::parse)) {
            (Ok(0), None | Some(Ok(0))) => Self::Root,
            (Ok(uid), Some(Ok(gid))) => Self::Ids(User { uid, gid }),
            _ if matches!(user, "" | "root") && matches!(group, None | Some("root" | "0")) => Self::Root,
            _ => Self::Names(user, group),
        }
    }
}

fn look_up(passwd: &str, groups: &str, name: &str, group: Option<&str>) -> Option<User> {
    // A number that the image has no entry for is that user, in root's group (Dockerfile reference, "USER").
    let user = User::of_table(passwd, name).or_else(|| Some(User { uid: name.parse().ok()?, gid: 0 }))?;
    let Some(group) = group else { return Some(user) };
    let of_table = || {
        // Lines are name:password:gid:… (group(5)).
        groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(group)).then(|| fields.nth(1)?.parse().ok())?
        })
    };
    Some(User { gid: group.parse().ok().or_else(of_table)?, ..user })
}

/// A table of the image's, out of a container that never runs. One that the image has not is empty.
async fn table(engine: &Engine, image: &str, name: &str, (folder, lock): (&Path, &Lock)) -> Result<String, Failure> {
    let container = format!("dayfly-look-{}-{name}", std::process::id());
    let label = format!("{LABEL}={}", lock.path().display());
    let made =
        ["create", "--pull", "never", "--name", &container, "--label", &label, "--network", "none", image, "/none"];
    engine.tool(&made).run("looking into the image").await?;
    let to = folder.join(name);
    let _ = fs::remove_file(&to);
    let copied = ["cp", &format!("{container}:/etc/{name}"), &to.display().to_string()];
    if let Err(error) = engine.tool(&copied).run("looking into the image").await {
        tracing::debug!(%error, "the image has no such table");
    }
    engine.remove_now(&container).await?;
    Ok(fs::read_to_string(&to).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_names_or_numbers() {
        for root in ["", "root", "0", "0:0", "root:root"] {
            assert_eq!(Wanted::parse(root), Wanted::Root, "{root}");
        }
        assert_eq!(Wanted::parse("7:8"), Wanted::Ids(User { uid: 7, gid: 8 }));
        assert_eq!(Wanted::parse("7"), Wanted::Names("7", None));
        let (passwd, groups) = ("root:x:0:0::/:\nme:x:5:6::/:/bin/sh\n", "root:x:0:\nus:x:9:me\n");
        let of =
            |name: &str, group: Option<&str>| look_up(passwd, groups, name, group).map(|user| (user.uid, user.gid));
        assert_eq!(of("me", None), Some((5, 6)));
        assert_eq!(of("5", None), Some((5, 6)));
        assert_eq!(of("77", None), Some((77, 0)));
        assert_eq!(of("me", Some("us")), Some((5, 9)));
        assert_eq!((of("you", None), of("me", Some("them"))), (None, None));
    }
}

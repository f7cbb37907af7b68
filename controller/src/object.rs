//! Single objects that the command line names where it could name a file.

use bytes::Bytes;
use dayfly_shared::job::Location;
use dayfly_shared::store::{Attributes, Condition, StoreExt as _};

use crate::failure::{Failure, Result};
use crate::parts::{Parts, Patience};
use crate::write;

/// The object, if it is there. `flag` is what named it.
///
/// # Errors
/// A URL that is none of an object, a store that refuses.
pub async fn read(parts: &Parts, flag: &str, url: &str) -> Result<Option<Bytes>> {
    let (place, name) = split(flag, url)?;
    let store = parts.bucket(place.bucket(), Patience::Brief).await?;
    Ok(store.read(&place.key(name)).await?.map(|(_, bytes)| bytes))
}

/// Writes the object, over one that is there.
///
/// # Errors
/// As [`read`].
pub async fn put(parts: &Parts, flag: &str, url: &str, body: Bytes, attributes: &Attributes) -> Result<()> {
    let (place, name) = split(flag, url)?;
    let store = parts.bucket(place.bucket(), Patience::Long).await?;
    write::put(parts, &*store, &place.key(name), body, attributes, &Condition::Overwrite).await?;
    Ok(())
}

fn split<'a>(flag: &str, url: &'a str) -> Result<(Location, &'a str)> {
    let wrong = |why: &str| Failure::usage(format!("{flag}: {why}")).fix("name an object: s3://BUCKET/KEY");
    let (folder, name) = url.rsplit_once('/').unwrap_or((url, ""));
    let place = folder.parse().map_err(|e: dayfly_shared::job::BadLocation| wrong(&e.to_string()))?;
    if name.is_empty() {
        return Err(wrong(&format!("{url} is a place, and not an object in it")));
    }
    Ok((place, name))
}

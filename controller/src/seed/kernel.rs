//! The kernel: found, held against the one that stands, put in place.

use bytes::Bytes;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::keys::is_output_name;
use dayfly_shared::store::{Attributes, Condition, ETag, StoreExt as _};
use dayfly_shared::views::Ledger;

use super::objects::Listing;
use super::sources::Source;
use super::upload::Content;
use crate::cli::{FileArg, SeedArgs};
use crate::failure::{Failure, Result};
use crate::object;
use crate::parts::Parts;
use crate::write::{self, Settled};

/// The job's kernel.
pub struct Kernel {
    key: String,
    place: String,
    /// The one that is wanted; none: the one that stands.
    new: Option<Bytes>,
    stands: Option<(ETag, Bytes)>,
    demo: bool,
}

impl Kernel {
    /// Reads the kernel that is wanted, and the one that stands.
    ///
    /// # Errors
    /// No kernel at all, an empty one, one that cannot be read.
    pub async fn find(parts: &Parts, job: &JobBucket, kernel: &str, args: &SeedArgs, source: &Source) -> Result<Self> {
        let key = job.keys.kernel(kernel);
        let place = job.place(&key);
        let new = match (&args.kernel, source.kernel()) {
            (Some(FileArg::File(path)), _) => Some(read_file(path)?),
            (Some(FileArg::Object(url)), _) => Some(read_object(parts, url).await?),
            (None, Some(Content::File(path, _))) => Some(read_file(&path)?),
            (None, Some(Content::Memory(bytes))) => Some(bytes),
            (None, None) => None,
        };
        let stands = job.store().read(&key).await?.map(|(meta, bytes)| (meta.etag, bytes));
        match (&new, &stands) {
            (None, None) => {
                return Err(Failure::new(format!("there is no kernel: {place} is not there"))
                    .left("nothing was written")
                    .fix("pass --kernel FILE"));
            }
            (None, Some((_, bytes))) if bytes.is_empty() => {
                return Err(Failure::new(format!("the kernel {place} is empty"))
                    .left("nothing was written")
                    .fix("pass --kernel FILE with at least one byte"));
            }
            _ => {}
        }
        Ok(Self { key, place, new, stands, demo: source.is_demo() && args.demo_seed.is_none() })
    }

    /// Whether one is in place.
    pub fn stands(&self) -> bool {
        self.stands.is_some()
    }

    /// Whether the one that stands is to be replaced by another. (A demo without a seed keeps what it made before.)
    fn changes(&self) -> bool {
        match (&self.new, &self.stands) {
            (Some(new), Some((_, stands))) => new != stands && !self.demo,
            _ => false,
        }
    }

    /// # Errors
    /// A kernel that is to change while outputs stand that the old one made, or while agents may hold it.
    pub fn check(&self, ledger: &Ledger, outputs: &Listing) -> Result<()> {
        if self.changes() && (ledger.segment_count() > 0 || outputs.keys().any(|name| is_output_name(name))) {
            return Err(Failure::new(format!("{} is another kernel than the one given", self.place))
                .left("nothing was changed: outputs of this job were made, or may be being made, with the one that stands")
                .fix("leave --kernel out, or seed another job under a new prefix"));
        }
        Ok(())
    }

    /// Puts it in place; whether it replaced another.
    ///
    /// # Errors
    /// A store that refuses, or somebody else who put another one.
    pub async fn put(&self, parts: &Parts, job: &JobBucket) -> Result<bool> {
        let Some(new) = self.new.clone() else { return Ok(false) };
        let condition = match &self.stands {
            Some(_) if !self.changes() => return Ok(false),
            Some((etag, _)) => Condition::Update(etag.clone()),
            None => Condition::Create,
        };
        let store = &**job.store();
        match write::put(parts, store, &self.key, new.clone(), &Attributes::default(), &condition).await? {
            Settled::Applied(_) => Ok(self.stands.is_some()),
            Settled::Rejected if store.read(&self.key).await?.is_some_and(|(_, bytes)| bytes == new) => Ok(false),
            Settled::Rejected => Err(Failure::new(format!("{} was put by somebody else meanwhile", self.place))
                .left("the inputs are in place, the task list is not")
                .fix("agree on the kernel, and run it again")),
        }
    }
}

fn read_file(path: &std::path::Path) -> Result<Bytes> {
    let bytes = std::fs::read(path).map_err(|e| Failure::io("reading the kernel", path, &e))?;
    filled(bytes.into(), &path.display().to_string())
}

async fn read_object(parts: &Parts, url: &str) -> Result<Bytes> {
    match object::read(parts, "--kernel", url).await? {
        Some(bytes) => filled(bytes, url),
        None => {
            Err(Failure::new(format!("there is no kernel {url}")).left("nothing was written").fix("check the name"))
        }
    }
}

fn filled(bytes: Bytes, place: &str) -> Result<Bytes> {
    if bytes.is_empty() {
        return Err(Failure::new(format!("the kernel {place} is empty"))
            .left("nothing was written")
            .fix("name another: a kernel has at least one byte"));
    }
    Ok(bytes)
}

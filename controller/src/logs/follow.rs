//! An object that grows by being put anew, read as far as it has grown.

use std::time::Duration;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::store::ETag;

use crate::failure::Result;

/// Between two looks at a log: agents put theirs with a heartbeat, programs' go up every 30 s, so that little is missed, and
/// a look is a HEAD.
pub const LOOK: Duration = Duration::from_secs(2);

/// Said where a log's middle was cut out while it was followed.
const CUT: &str = "[… dayfly logs: the log was cut in the middle; it goes on with what is there now …]\n";

/// A log, and how far it was read.
#[derive(Default)]
pub struct Reader {
    version: Option<ETag>,
    seen: Vec<u8>,
}

impl Reader {
    /// What was added since it was read last; all of it at first. None while there is nothing new.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn more(&mut self, job: &JobBucket, key: &str) -> Result<Option<String>> {
        if self.version.is_some() {
            let stands = job.store().head(key).await?;
            if stands.is_none_or(|meta| Some(meta.etag) == self.version) {
                return Ok(None);
            }
        }
        let Some((meta, bytes)) = job.read(key).await? else { return Ok(None) };
        self.version = Some(meta.etag);
        Ok(self.take_in(bytes.to_vec()))
    }

    fn take_in(&mut self, bytes: Vec<u8>) -> Option<String> {
        let text = match bytes.strip_prefix(self.seen.as_slice()) {
            Some([]) => None,
            Some(new) => Some(String::from_utf8_lossy(new).into_owned()),
            None => Some(format!("{CUT}{}", String::from_utf8_lossy(&bytes))),
        };
        self.seen = bytes;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_told() {
        let mut reader = Reader::default();
        assert_eq!(reader.take_in(b"a\n".to_vec()).as_deref(), Some("a\n"));
        assert_eq!(reader.take_in(b"a\nb\n".to_vec()).as_deref(), Some("b\n"));
        assert_eq!(reader.take_in(b"a\nb\n".to_vec()), None);
        let cut = reader.take_in(b"a\n[cut]\nz\n".to_vec()).unwrap();
        assert!(cut.starts_with(CUT) && cut.ends_with("z\n"), "{cut}");
    }
}

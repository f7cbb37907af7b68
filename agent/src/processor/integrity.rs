//! Checksums of parts, joined to the whole's: an object that is read in ranges is held against the checksum that the store
//! keeps of all of it, without a second pass.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use crc_fast::{CrcAlgorithm, Digest, checksum_combine};
use dayfly_shared::store::ObjectMeta;

/// The CRC of some bytes, and how many they are.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    algorithm: CrcAlgorithm,
    crc: u64,
    bytes: u64,
}

/// What the store says that the whole object has.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    algorithm: CrcAlgorithm,
    crc: u64,
}

/// A sum in the making.
pub struct Summing {
    algorithm: CrcAlgorithm,
    digest: Digest,
}

impl Sum {
    /// The CRC-32 of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { algorithm: CrcAlgorithm::Crc32IsoHdlc, crc: crc32fast::hash(bytes).into(), bytes: bytes.len() as u64 }
    }

    /// The CRC-32 of so many bytes, as the store told it.
    pub fn told(checksum: Option<&str>, bytes: u64) -> Option<Self> {
        let promise = Promise::read(checksum?)?;
        let wanted = promise.algorithm == CrcAlgorithm::Crc32IsoHdlc;
        wanted.then_some(Self { algorithm: promise.algorithm, crc: promise.crc, bytes })
    }

    /// That of all bytes, from those of their parts in order.
    pub fn joined(parts: impl IntoIterator<Item = Sum>) -> Self {
        let join = |one: Sum, two: Sum| Sum {
            algorithm: one.algorithm,
            crc: checksum_combine(one.algorithm, one.crc, two.crc, two.bytes),
            bytes: one.bytes + two.bytes,
        };
        parts.into_iter().reduce(join).unwrap_or_else(|| Sum::of(&[]))
    }

    /// As a CRC-32.
    pub fn crc32(&self) -> u32 {
        u32::try_from(self.crc).unwrap_or_default()
    }
}

impl Promise {
    /// What the store promises of the whole; none where it keeps no checksum, or one of the parts' checksums
    /// (`…-<parts>`), or one that parts cannot be joined to.
    pub fn of(meta: &ObjectMeta) -> Option<Self> {
        Self::read(meta.checksum.as_deref()?)
    }

    fn read(checksum: &str) -> Option<Self> {
        let (name, value) = checksum.split_once(':')?;
        let bytes = BASE64.decode(value).ok()?;
        let (algorithm, length) = match name {
            "crc32" => (CrcAlgorithm::Crc32IsoHdlc, 4),
            "crc32c" => (CrcAlgorithm::Crc32Iscsi, 4),
            "crc64nvme" => (CrcAlgorithm::Crc64Nvme, 8),
            _ => return None,
        };
        let crc = bytes.iter().fold(0, |crc, byte| crc << 8 | u64::from(*byte));
        (bytes.len() == length).then_some(Self { algorithm, crc })
    }

    /// Begins the sum of a part.
    pub fn begin(&self) -> Summing {
        Summing { algorithm: self.algorithm, digest: Digest::new(self.algorithm) }
    }

    /// Whether this is the sum that was promised.
    pub fn is_kept_by(&self, sum: Sum) -> bool {
        self.algorithm == sum.algorithm && self.crc == sum.crc
    }
}

impl Summing {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// The sum of all that came.
    pub fn finish(&self) -> Sum {
        Sum { algorithm: self.algorithm, crc: self.digest.finalize(), bytes: self.digest.get_amount() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the CRC catalogue for "123456789".
    const KNOWN: [&str; 3] = ["crc32:y/Q5Jg==", "crc32c:4waSgw==", "crc64nvme:rosUhgp5mIg="];

    #[test]
    fn parts_join_to_what_the_store_promised() {
        for known in KNOWN {
            let promise = Promise::read(known).unwrap();
            let sum = |bytes: &[u8]| {
                let mut sum = promise.begin();
                sum.update(bytes);
                sum.finish()
            };
            assert!(promise.is_kept_by(Sum::joined([sum(b"1234"), sum(b""), sum(b"56789")])), "{known}");
            assert!(!promise.is_kept_by(Sum::joined([sum(b"56789"), sum(b"1234")])), "{known}");
        }
    }

    #[test]
    fn what_parts_do_not_join_to_is_no_promise() {
        for other in ["crc32:y/Q5Jg==-3", "sha1:98O8HYCOBHMq32eZZczDTKeuNEE=", "crc64nvme:y/Q5Jg==", "crc32", "crc32:?"]
        {
            assert!(Promise::read(other).is_none(), "{other}");
        }
    }
}

//! What S3 computes of a body: the MD5 that is its ETag, and a CRC-32 over the whole object.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};

use super::ETag;

/// What is known of a body before it is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// Its MD5.
    pub md5: Option<[u8; 16]>,
    /// Its CRC-32.
    pub crc32: Option<u32>,
}

/// Hashes a body piece by piece, so that one pass over it both writes and hashes.
#[derive(Clone, Default)]
pub struct Hasher {
    known: Known,
    md5: Md5,
    crc: crc32fast::Hasher,
    size: u64,
}

impl Hasher {
    /// Of a body of which some is known, which is not computed again.
    pub fn knowing(known: Known) -> Self {
        Self { known, ..Self::default() }
    }

    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        if self.known.md5.is_none() {
            self.md5.update(piece);
        }
        if self.known.crc32.is_none() {
            self.crc.update(piece);
        }
        self.size += piece.len() as u64;
    }

    /// The digests of all that came.
    pub fn finish(self) -> Digest {
        let Self { known, md5, crc, size } = self;
        let md5 = known.md5.unwrap_or_else(|| md5.finalize().into());
        Digest { md5, crc32: known.crc32.unwrap_or_else(|| crc.finalize()), size }
    }
}

/// The digests of one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The MD5 of the body.
    pub md5: [u8; 16],
    /// The CRC-32 (that of gzip and zip) of the body.
    pub crc32: u32,
    /// Bytes.
    pub size: u64,
}

impl Digest {
    /// Of a body in memory.
    pub fn of(body: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(body);
        hasher.finish()
    }

    /// The ETag of an object that was put in one piece.
    pub fn etag(&self) -> ETag {
        ETag::new(&hex(&self.md5))
    }

    /// As [`super::ObjectMeta::checksum`] shows it.
    pub fn checksum(&self) -> String {
        checksum(self.crc32)
    }
}

/// A CRC-32 as S3 shows it: the four bytes, big end first, in base64.
pub fn checksum(crc32: u32) -> String {
    format!("crc32:{}", BASE64.encode(crc32.to_be_bytes()))
}

/// ETag and CRC-32 of an object made of parts: the MD5 of the parts' MD5s with their number, and the CRC-32 that the
/// whole body has, combined from the parts' without reading them again.
pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a Digest>) -> (ETag, u32) {
    let mut md5 = Md5::default();
    let mut crc = crc32fast::Hasher::new();
    let mut count = 0;
    for part in parts {
        md5.update(part.md5);
        crc.combine(&crc32fast::Hasher::new_with_initial_len(part.crc32, part.size));
        count += 1;
    }
    (ETag::new(&format!("{}-{count}", hex(&md5.finalize()))), crc.finalize())
}

/// In lower case, as in ETags.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|d| char::from(DIGITS[usize::from(d)])).collect()
}

/// The bytes of a text that [`hex`] made.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_md5sum_and_gzip() {
        let digest = Digest::of(b"123456789");
        assert_eq!(digest.etag().as_str(), "25f9e794323b453885f5181f1b624d0b");
        assert_eq!(digest.crc32, 0xcbf4_3926);
        assert_eq!(digest.checksum(), "crc32:y/Q5Jg==");
        assert_eq!(unhex(digest.etag().as_str()), Some(digest.md5));
    }

    #[test]
    fn parts_have_the_crc_of_the_whole_and_an_etag_of_their_own() {
        let (one, two) = (Digest::of(b"12345"), Digest::of(b"6789"));
        let (etag, crc) = of_parts([&one, &two]);
        assert_eq!(crc, 0xcbf4_3926);
        // printf 12345 | md5sum and so on, the binary digests piped into md5sum.
        assert_eq!(etag.as_str(), "324730582f20c3f18cbb66d63a6137d2-2");
    }
}

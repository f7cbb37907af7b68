//! Checksums that come with a body, in headers or behind it, held against what came (S3 user guide, "Checking object
//! integrity").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use dayfly_shared::store::Attributes;
use hyper::{HeaderMap, StatusCode};
use md5::{Digest as _, Md5};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::Checksum as _;
use s3s::crypto::{Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::dto::Checksum;
use s3s::{S3Result, TrailingHeaders, s3_error};

use super::answer::error;

/// Larger bodies are hashed aside, so that other requests need not wait.
const ASIDE_BYTES: usize = 1 << 20;
/// The same for CRCs: a tenth of the time of the other hashes, and waking a thread costs as much as hashing a megabyte.
const CRC_ASIDE_BYTES: usize = 16 << 20;

/// What a request says of its body.
#[derive(Default)]
pub(super) struct Claims {
    /// `Content-MD5`.
    pub(super) md5: Option<String>,
    /// `x-amz-checksum-…`.
    pub(super) checksum: Checksum,
    /// The names in `x-amz-trailer`: checksums that must come behind the body.
    pub(super) announced: Vec<String>,
    /// What came behind the body.
    pub(super) trailer: Option<TrailingHeaders>,
}

/// What a body was found to have.
pub(super) struct Verified {
    /// The checksums that were claimed, for the answer.
    pub(super) checksum: Checksum,
    /// The MD5, if that was claimed.
    md5: Option<[u8; 16]>,
}

impl Verified {
    /// So that the store need not compute again what is known.
    pub(super) fn tell(&self, attributes: Attributes) -> Attributes {
        let crc32 = self.checksum.checksum_crc32.as_deref().and_then(|text| BASE64.decode(text).ok());
        let crc32 = crc32.and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
        Attributes { crc32, md5: self.md5, ..attributes }
    }
}

impl Claims {
    /// The names of checksums in `x-amz-trailer`.
    pub(super) fn announced(headers: &HeaderMap) -> Vec<String> {
        let values = headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .map(|name| name.trim().to_ascii_lowercase())
            .filter(|name| name.starts_with("x-amz-checksum-"))
            .collect()
    }

    /// Holds the claims against the body, which has been read to its end. Gives back what is now known to be right.
    ///
    /// # Errors
    /// `BadDigest`, `InvalidDigest`, `MalformedTrailerError`.
    pub(super) async fn verify(mut self, body: &Bytes) -> S3Result<Verified> {
        self.take_trailer()?;
        let md5 = match &self.md5 {
            None => None,
            Some(claimed) => Some(check_md5(claimed, body).await?),
        };
        let hasher = hasher_for(&self.checksum);
        let slow = hasher.sha1.is_some() || hasher.sha256.is_some();
        let computed = if body.len() > if slow { ASIDE_BYTES } else { CRC_ASIDE_BYTES } {
            let body = body.clone();
            tokio::task::spawn_blocking(move || compute(&body, hasher))
                .await
                .map_err(|error| s3_error!(InternalError, "hashing: {error}"))?
        } else {
            compute(body, hasher)
        };
        if self.checksum != computed {
            return Err(s3_error!(BadDigest, "The checksum you specified did not match what we received."));
        }
        Ok(Verified { checksum: computed, md5 })
    }

    fn take_trailer(&mut self) -> S3Result<()> {
        let trailer = self.trailer.take().and_then(|trailer| trailer.take()).unwrap_or_default();
        for name in &self.announced {
            let Some(value) = trailer.get(name).and_then(|value| value.to_str().ok()) else {
                return Err(error(
                    "MalformedTrailerError",
                    StatusCode::BAD_REQUEST,
                    format!("The announced trailer {name} did not come."),
                ));
            };
            let field = match name.as_str() {
                "x-amz-checksum-crc32" => &mut self.checksum.checksum_crc32,
                "x-amz-checksum-crc32c" => &mut self.checksum.checksum_crc32c,
                "x-amz-checksum-crc64nvme" => &mut self.checksum.checksum_crc64nvme,
                "x-amz-checksum-sha1" => &mut self.checksum.checksum_sha1,
                "x-amz-checksum-sha256" => &mut self.checksum.checksum_sha256,
                _ => return Err(s3_error!(InvalidRequest, "The checksum {name} is not offered.")),
            };
            *field = Some(value.trim().to_owned());
        }
        Ok(())
    }
}

fn hasher_for(claimed: &Checksum) -> ChecksumHasher {
    ChecksumHasher {
        crc32: claimed.checksum_crc32.is_some().then(Crc32::new),
        crc32c: claimed.checksum_crc32c.is_some().then(Crc32c::new),
        crc64nvme: claimed.checksum_crc64nvme.is_some().then(Crc64Nvme::new),
        sha1: claimed.checksum_sha1.is_some().then(Sha1::new),
        sha256: claimed.checksum_sha256.is_some().then(Sha256::new),
    }
}

fn compute(body: &[u8], mut hasher: ChecksumHasher) -> Checksum {
    hasher.update(body);
    hasher.finalize()
}

/// The MD5 that the body has and that was claimed for it.
async fn check_md5(claimed: &str, body: &Bytes) -> S3Result<[u8; 16]> {
    let decoded = BASE64.decode(claimed).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    let Some(claimed) = decoded else {
        return Err(s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid."));
    };
    let md5 = if body.len() > ASIDE_BYTES {
        let body = body.clone();
        tokio::task::spawn_blocking(move || Md5::digest(&body))
            .await
            .map_err(|error| s3_error!(InternalError, "hashing: {error}"))?
    } else {
        Md5::digest(body)
    };
    if <[u8; 16]>::from(md5) != claimed {
        return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."));
    }
    Ok(claimed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: Bytes = Bytes::from_static(b"123456789");
    // The check values of the CRC catalogue for "123456789", and md5sum/sha1sum/sha256sum of the same.
    const CRC32: &str = "y/Q5Jg==";
    const CRC32C: &str = "4waSgw==";
    const CRC64NVME: &str = "rosUhgp5mIg=";
    const MD5: &str = "JfnnlDI7RTiF9RgfG2JNCw==";
    const SHA1: &str = "98O8HYCOBHMq32eZZczDTKeuNEE=";
    const SHA256: &str = "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=";

    fn all() -> Claims {
        Claims {
            md5: Some(MD5.into()),
            checksum: Checksum {
                checksum_crc32: Some(CRC32.into()),
                checksum_crc32c: Some(CRC32C.into()),
                checksum_crc64nvme: Some(CRC64NVME.into()),
                checksum_sha1: Some(SHA1.into()),
                checksum_sha256: Some(SHA256.into()),
                ..Checksum::default()
            },
            ..Claims::default()
        }
    }

    async fn code(claims: Claims) -> Result<(), String> {
        claims.verify(&BODY).await.map(drop).map_err(|error| error.code().as_str().to_owned())
    }

    #[tokio::test]
    async fn right_checksums_pass() {
        assert_eq!(code(all()).await, Ok(()));
        assert_eq!(code(Claims::default()).await, Ok(()));
    }

    #[tokio::test]
    async fn each_wrong_checksum_is_refused() {
        let bad = Err("BadDigest".to_owned());
        let wrong = |change: fn(&mut Claims)| {
            let mut claims = all();
            change(&mut claims);
            claims
        };
        assert_eq!(code(wrong(|it| it.md5 = Some("AAAAAAAAAAAAAAAAAAAAAA==".into()))).await, bad);
        assert_eq!(code(wrong(|it| it.checksum.checksum_crc32 = Some("AAAAAA==".into()))).await, bad);
        assert_eq!(code(wrong(|it| it.checksum.checksum_crc32c = Some("AAAAAA==".into()))).await, bad);
        assert_eq!(code(wrong(|it| it.checksum.checksum_crc64nvme = Some("AAAAAAAAAAA=".into()))).await, bad);
        assert_eq!(code(wrong(|it| it.checksum.checksum_sha1 = Some(SHA256.into()))).await, bad);
        assert_eq!(code(wrong(|it| it.checksum.checksum_sha256 = Some(SHA1.into()))).await, bad);
        assert_eq!(code(wrong(|it| it.md5 = Some("no".into()))).await, Err("InvalidDigest".to_owned()));
    }

    #[tokio::test]
    async fn an_announced_trailer_must_come() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-trailer", hyper::header::HeaderValue::from_static("x-amz-checksum-crc32"));
        let claims = Claims { announced: Claims::announced(&headers), ..Claims::default() };
        assert_eq!(code(claims).await, Err("MalformedTrailerError".to_owned()));
    }
}

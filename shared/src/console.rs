//! Links to a bucket in AWS's own console, for people.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::job::Location;

/// What stays readable in a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// The page of a place in the S3 console; none for regions whose console is not known.
///
/// The form is the one that the console's own pages have, with the host of the region's partition.
pub fn link(place: &Location, region: &str) -> Option<String> {
    let domain = match region {
        "" => return None,
        _ if region.starts_with("cn-") => "console.amazonaws.cn",
        _ if region.starts_with("us-gov-") => "console.amazonaws-us-gov.com",
        // Partitions apart, whose consoles have names of their own.
        _ if ["us-iso", "eu-iso", "eusc-"].iter().any(|apart| region.starts_with(apart)) => return None,
        _ => "console.aws.amazon.com",
    };
    if !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return None;
    }
    let prefix = utf8_percent_encode(place.prefix(), PLAIN);
    Some(format!("https://{region}.{domain}/s3/buckets/{}?region={region}&prefix={prefix}", place.bucket()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_a_console_of_its_own() {
        let place: Location = "s3://my-bucket/jobs/a b&c".parse().unwrap();
        let link = |region| link(&place, region);
        assert_eq!(
            link("eu-west-1").unwrap(),
            "https://eu-west-1.console.aws.amazon.com/s3/buckets/my-bucket?region=eu-west-1&prefix=jobs/a%20b%26c/"
        );
        assert!(link("cn-north-1").unwrap().starts_with("https://cn-north-1.console.amazonaws.cn/s3/buckets/"));
        assert!(link("us-gov-west-1").unwrap().starts_with("https://us-gov-west-1.console.amazonaws-us-gov.com/s3/"));
        for none in ["", "us-iso-east-1", "us-isob-east-1", "evil/x?", "Nowhere"] {
            assert_eq!(link(none), None, "{none}");
        }
    }
}

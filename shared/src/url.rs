//! The little that is asked of a URL here.

use std::net::IpAddr;

/// A URL's host, in lower case; with the user, where it names one.
pub(crate) fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    host.map_or(authority, |(host, _)| host).to_ascii_lowercase()
}

/// Whether it leads to this very machine.
pub(crate) fn is_loopback(url: &str) -> bool {
    let host = host(url);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().map_or(host == "localhost", |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_this_machine() {
        for url in ["http://127.0.0.1:9000", "http://localhost:9000/", "http://[::1]:9000/", "http://LOCALHOST?x"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "http://10.0.0.1",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "http://127.0.0.1:80@other.example/",
            "http://localhost@other.example",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}

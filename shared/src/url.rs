//! The little that is asked of a URL here.

use std::net::{IpAddr, Ipv6Addr};

/// A URL's host, in lower case; with the user, where it names one.
pub(crate) fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    host.map_or(authority, |(host, _)| host).to_ascii_lowercase()
}

/// Whether a text can be a host: a name, or an address as URLs have it.
pub(crate) fn is_host(text: &str) -> bool {
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let name = || text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    !text.is_empty() && address.map_or_else(name, |address| address.parse::<Ipv6Addr>().is_ok())
}

/// Whether it leads to this very machine.
pub fn is_loopback(url: &str) -> bool {
    let host = host(url);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().map_or(host == "localhost", |address| address.is_loopback())
}

/// Whether it may lead to this very machine, by any of the names that connections go there by.
pub fn leads_here(url: &str) -> bool {
    let host = host(url);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    is_loopback(url) || host.ends_with(".localhost") || address.is_ok_and(|ip| here(ip) || here(ip.to_canonical()))
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

    #[test]
    fn this_machine_has_more_names_than_are_trusted() {
        for url in [
            "https://127.8.0.1/",
            "https://0.0.0.0/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://a.localhost/",
        ] {
            assert!(leads_here(url), "{url}");
        }
        assert!(!leads_here("https://hooks.example/localhost") && !leads_here("https://10.0.0.1/"));
    }
}

//! Who is at the keyboard, for records that people read.

/// `user@host`, as far as the system tells.
pub fn who() -> String {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match (user, host.trim()) {
        (Some(user), "") => user,
        (Some(user), host) => format!("{user}@{host}"),
        (None, "") => "dayfly".to_owned(),
        (None, host) => host.to_owned(),
    }
}

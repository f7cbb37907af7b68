//! Quantities as people write and read them.

use std::time::Duration;

/// `7 tasks`, `1 task`; thousands are set apart.
pub fn count(n: u64, one: &str) -> String {
    let ending = match n {
        1 => "",
        _ if one.ends_with('s') || one.ends_with('x') => "es",
        _ => "s",
    };
    format!("{} {one}{ending}", thousands(n))
}

/// `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `20.0 MB`: decimal, as S3's bill counts.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64;
    let mut unit = "B";
    for next in UNITS {
        // What would print as 1000.0 belongs to the next unit.
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(d: Duration) -> String {
    let s = d.as_secs();
    let pair = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        _ => format!("{big} {big_unit} {small} {small_unit}"),
    };
    match s {
        0..60 => format!("{s} s"),
        60..3600 => pair(s / 60, "min", s % 60, "s"),
        3600..86_400 => pair(s / 3600, "h", s % 3600 / 60, "min"),
        _ => pair(s / 86_400, "d", s % 86_400 / 3600, "h"),
    }
}

/// Reads `90`, `90s`, `15m`, `4h`, `2d`: whole seconds where no unit stands.
///
/// # Errors
/// A text that is no such duration.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let factor = match text[digits.len()..].trim() {
        "" | "s" | "sec" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(format!("'{text}' is not a duration; write it as 90s, 15m, 4h or 2d")),
    };
    let number: u64 =
        digits.parse().map_err(|_| format!("'{text}' is not a duration; write it as 90s, 15m, 4h or 2d"))?;
    number.checked_mul(factor).map(Duration::from_secs).ok_or_else(|| format!("'{text}' is too long"))
}

/// Some of many names: `a, b, c and 12 more`.
pub fn some<S: AsRef<str>>(names: &[S]) -> String {
    /// Enough to see what kind of names they are, on one line.
    const SHOWN: usize = 5;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), thousands(more as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!(count(1, "task"), "1 task");
        assert_eq!(count(1_234_567, "task"), "1,234,567 tasks");
        assert_eq!(count(0, "box"), "0 boxes");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(20_000_000), "20.0 MB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(u64::MAX), "18446.7 PB");
        assert_eq!(duration(Duration::from_secs(59)), "59 s");
        assert_eq!(duration(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(duration(Duration::from_secs(7500)), "2 h 5 min");
        assert_eq!(duration(Duration::from_secs(86_400)), "1 d");
    }

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("15m", 900), ("4h", 14_400), ("2 d", 172_800)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "-1s", "1.5h", "3 weeks", "99999999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(some(&["a", "b"]), "a, b");
        assert_eq!(some(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}

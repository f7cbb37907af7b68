//! The names of things. A value that exists is valid; all of them print and parse as the keys and bodies show them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not the id it was taken for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {what}")]
pub struct BadId {
    /// The text.
    pub text: String,
    /// What it should have been.
    pub what: &'static str,
}

fn bad(text: &str, what: &'static str) -> BadId {
    BadId { text: text.to_owned(), what }
}

/// Serialises through `Display` and `FromStr`.
macro_rules! as_text {
    ($($t:ty),*) => {$(
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
as_text!(Nonce, TaskId, ChunkId, AgentId, Attempt);

/// 64 random bits, shown as 16 hexadecimal digits. Marks one tenure, or one write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub u64);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Nonce {
    type Err = BadId;
    fn from_str(s: &str) -> Result<Self, BadId> {
        if s.len() != 16 {
            return Err(bad(s, "a nonce (16 hexadecimal digits)"));
        }
        u64::from_str_radix(s, 16).map(Nonce).map_err(|_| bad(s, "a nonce (16 hexadecimal digits)"))
    }
}

/// Digits of a segment's number in keys: 9,999 segments sort.
const SEGMENT_DIGITS: usize = 4;
/// Digits of a task's or chunk's number in keys: 9,999,999 of them sort.
const NUMBER_DIGITS: usize = 7;

/// `<segment>-<number>`, both from 1, zero-padded so that keys sort. Wider numbers stay unique, and sort worse.
fn write_pair(f: &mut fmt::Formatter<'_>, segment: u32, number: u32) -> fmt::Result {
    write!(f, "{segment:0SEGMENT_DIGITS$}-{number:0NUMBER_DIGITS$}")
}

fn parse_pair(s: &str, what: &'static str) -> Result<(u32, u32), BadId> {
    let digits = |t: &str, width: usize| {
        (t.len() >= width && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse::<u32>().ok()).flatten()
    };
    let (segment, number) = s.split_once('-').ok_or_else(|| bad(s, what))?;
    match (digits(segment, SEGMENT_DIGITS), digits(number, NUMBER_DIGITS)) {
        (Some(segment), Some(number)) if segment > 0 && number > 0 => Ok((segment, number)),
        _ => Err(bad(s, what)),
    }
}

/// A task of the plan: line `line` (from 1) of segment `segment` (from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The segment, from 1.
    pub segment: u32,
    /// The line within the segment, from 1.
    pub line: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pair(f, self.segment, self.line)
    }
}

impl FromStr for TaskId {
    type Err = BadId;
    fn from_str(s: &str) -> Result<Self, BadId> {
        parse_pair(s, "a task id (such as 0001-0000042)").map(|(segment, line)| TaskId { segment, line })
    }
}

/// A chunk of the plan: number `index` (from 1) of segment `segment` (from 1). In a segment of one-task chunks the
/// chunk and its task bear the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId {
    /// The segment, from 1.
    pub segment: u32,
    /// The chunk within the segment, from 1.
    pub index: u32,
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pair(f, self.segment, self.index)
    }
}

impl FromStr for ChunkId {
    type Err = BadId;
    fn from_str(s: &str) -> Result<Self, BadId> {
        parse_pair(s, "a chunk id (such as 0001-0000042)").map(|(segment, index)| ChunkId { segment, index })
    }
}

/// One agent process: a name for people and a random id of the process, so that two agents of one name, or one
/// restarted, are never taken for each other. Safe in a key: letters, digits, `.`, `_` and `-` only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(String);

/// The longest agent name; with the process id it stays readable in a listing.
const AGENT_NAME_MAX: usize = 48;

impl AgentId {
    /// The id of a process of the agent called `name`. Characters that would not do in a key become `-`.
    pub fn of(name: &str, process: Nonce) -> Self {
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
            .take(AGENT_NAME_MAX)
            .collect();
        let name = if name.is_empty() { "agent" } else { &name };
        Self(format!("{name}-{:08x}", process.0 & 0xffff_ffff))
    }

    /// The name without the process's part; many processes may share it.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('-').map_or(&self.0, |(name, _)| name)
    }

    /// The id as it stands in keys and bodies.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AgentId {
    type Err = BadId;
    fn from_str(s: &str) -> Result<Self, BadId> {
        let ok = !s.is_empty()
            && s.len() <= AGENT_NAME_MAX + 9
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if ok { Ok(Self(s.to_owned())) } else { Err(bad(s, "an agent id")) }
    }
}

/// One run of one task: `<epoch>-<tenure nonce>-<n>`. Never used twice, as the tenure nonce never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt {
    /// The epoch of the tenure it ran in.
    pub epoch: u32,
    /// The nonce of that tenure.
    pub tenure: Nonce,
    /// Counts the attempts of the tenure, from 1.
    pub n: u32,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.epoch, self.tenure, self.n)
    }
}

impl FromStr for Attempt {
    type Err = BadId;
    fn from_str(s: &str) -> Result<Self, BadId> {
        let what = "an attempt (such as 1-0123456789abcdef-1)";
        let mut parts = s.split('-');
        let (Some(epoch), Some(tenure), Some(n), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad(s, what));
        };
        Ok(Attempt {
            epoch: epoch.parse().map_err(|_| bad(s, what))?,
            tenure: tenure.parse()?,
            n: n.parse().map_err(|_| bad(s, what))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_parse_as_they_print() {
        let task = TaskId { segment: 1, line: 42 };
        assert_eq!(task.to_string(), "0001-0000042");
        assert_eq!("0001-0000042".parse(), Ok(task));
        let wide = ChunkId { segment: 12_345, index: 123_456_789 };
        assert_eq!(wide.to_string().parse(), Ok(wide));
        let attempt = Attempt { epoch: 3, tenure: Nonce(0xabc), n: 2 };
        assert_eq!(attempt.to_string(), "3-0000000000000abc-2");
        assert_eq!(attempt.to_string().parse(), Ok(attempt));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "1-1", "0001-000000x", "0000-0000001", "0001-0000000", "+001-0000001", "0001"] {
            assert!(text.parse::<TaskId>().is_err(), "{text}");
        }
        assert!("a/b".parse::<AgentId>().is_err());
        assert_eq!(AgentId::of("my agent/1", Nonce(1)).as_str(), "my-agent-1-00000001");
    }
}

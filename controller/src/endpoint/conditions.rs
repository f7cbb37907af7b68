//! Conditions on reads and on writes.

use dayfly_shared::rng::{Dice as _, StdDice};
use dayfly_shared::store::{Condition, ETag, ObjectMeta};
use hyper::{HeaderMap, StatusCode};
use s3s::dto::{ETagCondition, Timestamp};
use s3s::{S3Error, S3Result, s3_error};
use time::OffsetDateTime;

use super::Lossy;
use super::answer::{at, error};

/// The conditions of a read (RFC 9110, section 13).
#[derive(Default)]
pub(super) struct ReadConditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

/// What a read comes to under its conditions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Send it.
    Send,
    /// 304: the client has it.
    NotModified,
    /// 412.
    Refused,
}

impl ReadConditions {
    /// Tags outrank times (RFC 9110, section 13.2.2).
    pub(super) fn judge(self, meta: &ObjectMeta) -> Read {
        // Whole seconds, as the headers have.
        let modified = meta.modified.map(|time| at(time).unix_timestamp());
        let later_than = |time: Timestamp| modified.is_some_and(|it| it > OffsetDateTime::from(time).unix_timestamp());
        let refused = match (&self.if_match, self.if_unmodified_since) {
            (Some(tag), _) => !matches(tag, &meta.etag),
            (None, Some(time)) => later_than(time),
            (None, None) => false,
        };
        if refused {
            return Read::Refused;
        }
        let unchanged = match (&self.if_none_match, self.if_modified_since) {
            (Some(tag), _) => matches(tag, &meta.etag),
            (None, Some(time)) => !later_than(time),
            (None, None) => false,
        };
        if unchanged { Read::NotModified } else { Read::Send }
    }

    /// For the source of a copy, where "not modified" is a refusal too.
    pub(super) fn check_source(self, meta: &ObjectMeta) -> S3Result<()> {
        match self.judge(meta) {
            Read::Send => Ok(()),
            _ => Err(refused()),
        }
    }
}

/// 412 on a read.
pub(super) fn refused() -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

fn matches(condition: &ETagCondition, tag: &ETag) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(wanted) => wanted.value() == tag.as_str(),
    }
}

/// The condition of a write (S3 user guide, "Conditional writes"). S3 knows `If-None-Match: *` and `If-Match` with a
/// tag; another it answers with 501, and so does this.
pub(super) fn of_write(if_none_match: Option<ETagCondition>, if_match: Option<ETagCondition>) -> S3Result<Condition> {
    match (if_none_match, if_match) {
        (None, None) => Ok(Condition::Overwrite),
        (Some(ETagCondition::Any), None) => Ok(Condition::Create),
        (None, Some(ETagCondition::ETag(tag))) => Ok(Condition::Update(ETag::new(tag.value()))),
        _ => Err(error(
            "NotImplemented",
            StatusCode::NOT_IMPLEMENTED,
            "A write takes either If-None-Match: * or If-Match with an ETag",
        )),
    }
}

/// The condition of a write whose headers `s3s` does not parse.
pub(super) fn of_headers(headers: &HeaderMap) -> S3Result<Condition> {
    let parse = |name| match headers.get(name) {
        None => Ok(None),
        Some(value) => ETagCondition::parse_http_header(value.as_bytes())
            .map(Some)
            .map_err(|_| s3_error!(InvalidArgument, "{name} holds no ETag")),
    };
    of_write(parse("if-none-match")?, parse("if-match")?)
}

/// How exactly conditions on writes are kept: exactly, but for the faults of the settings.
pub(super) struct Strictness {
    ignore: bool,
    lossy: Option<(u64, StdDice)>,
}

impl Strictness {
    /// See the settings of the same names.
    pub(super) fn new(ignore: bool, lossy: Option<Lossy>) -> Self {
        Self { ignore, lossy: lossy.map(|lossy| (lossy.one_in.max(1).into(), StdDice::seeded(lossy.seed))) }
    }

    /// The condition that the store is given.
    pub(super) fn apply(&self, condition: Condition) -> Condition {
        if condition != Condition::Overwrite && self.lets_through() { Condition::Overwrite } else { condition }
    }

    /// The same for a delete's tag.
    pub(super) fn apply_to_delete(&self, only: Option<ETag>) -> Option<ETag> {
        only.filter(|_| !self.lets_through())
    }

    fn lets_through(&self) -> bool {
        self.ignore || self.lossy.as_ref().is_some_and(|(one_in, dice)| dice.below(*one_in) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> Option<ETagCondition> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn writes_take_the_two_conditions_that_s3_knows() {
        assert_eq!(of_write(None, None).unwrap(), Condition::Overwrite);
        assert_eq!(of_write(tag("*"), None).unwrap(), Condition::Create);
        assert_eq!(of_write(None, tag("\"abc\"")).unwrap(), Condition::Update(ETag::new("abc")));
        for (if_none_match, if_match) in [(tag("\"abc\""), None), (None, tag("*")), (tag("*"), tag("\"abc\""))] {
            let error = of_write(if_none_match, if_match).unwrap_err();
            assert_eq!(error.status_code(), Some(StatusCode::NOT_IMPLEMENTED));
        }
    }

    #[test]
    fn reads_follow_the_rfc() {
        let meta = ObjectMeta {
            etag: ETag::new("abc"),
            size: 1,
            modified: Some(dayfly_shared::clock::Timestamp::from_unix_ms(1_000_000)),
            served: None,
            metadata: Default::default(),
            checksum: None,
        };
        let time = |seconds| Some(OffsetDateTime::from_unix_timestamp(seconds).unwrap().into());
        let judge = |conditions: ReadConditions| conditions.judge(&meta);
        let none = ReadConditions::default;
        assert_eq!(judge(none()), Read::Send);
        assert_eq!(judge(ReadConditions { if_match: tag("\"abc\""), ..none() }), Read::Send);
        assert_eq!(judge(ReadConditions { if_match: tag("\"x\""), ..none() }), Read::Refused);
        assert_eq!(judge(ReadConditions { if_none_match: tag("\"abc\""), ..none() }), Read::NotModified);
        assert_eq!(judge(ReadConditions { if_none_match: tag("\"x\""), ..none() }), Read::Send);
        assert_eq!(judge(ReadConditions { if_modified_since: time(1000), ..none() }), Read::NotModified);
        assert_eq!(judge(ReadConditions { if_modified_since: time(999), ..none() }), Read::Send);
        assert_eq!(judge(ReadConditions { if_unmodified_since: time(999), ..none() }), Read::Refused);
        // The tag outranks the time.
        let both = ReadConditions { if_match: tag("\"abc\""), if_unmodified_since: time(1), ..none() };
        assert_eq!(judge(both), Read::Send);
    }

    #[test]
    fn a_lossy_endpoint_lets_one_in_so_many_through() {
        let lossy = Strictness::new(false, Some(Lossy { one_in: 200, seed: 1 }));
        let through = (0..20_000).filter(|_| lossy.apply(Condition::Create) == Condition::Overwrite).count();
        assert!((50..150).contains(&through), "{through} of 20,000 at one in 200");
        let all = Strictness::new(false, Some(Lossy { one_in: 1, seed: 1 }));
        assert_eq!(all.apply(Condition::Create), Condition::Overwrite);
        assert_eq!(Strictness::new(true, None).apply_to_delete(Some(ETag::new("x"))), None);
        assert_eq!(Strictness::new(false, None).apply(Condition::Create), Condition::Create);
    }
}

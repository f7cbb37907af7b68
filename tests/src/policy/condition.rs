//! Conditions (IAM user guide, "IAM JSON policy elements: Condition operators" and "Set operators for multivalued context
//! keys").

use std::net::Ipv4Addr;

use dayfly_shared::clock::Timestamp;

use super::Context;
use super::pattern::Pattern;

/// How one value of the request is compared with one of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Equals,
    EqualsIgnoreCase,
    Like,
    Number(Order),
    Date(Order),
    Bool,
    Arn,
    Address,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Over a key's several values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    One,
    All,
    Any,
}

#[derive(Clone, Debug)]
enum Operator {
    /// Whether the key is absent.
    Null,
    Compared {
        compare: Compare,
        negated: bool,
        over: Over,
        if_exists: bool,
    },
}

/// One operator on one key.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    operator: Operator,
    key: String,
    values: Vec<String>,
}

fn operator(text: &str) -> Option<Operator> {
    let (over, rest) = match text.split_once(':') {
        Some(("ForAllValues", rest)) => (Over::All, rest),
        Some(("ForAnyValue", rest)) => (Over::Any, rest),
        Some(_) => return None,
        None => (Over::One, text),
    };
    if rest == "Null" {
        return (over == Over::One).then_some(Operator::Null);
    }
    let (rest, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |rest| (rest, true));
    let (compare, negated) = match rest {
        "StringEquals" | "BinaryEquals" => (Compare::Equals, false),
        "StringNotEquals" => (Compare::Equals, true),
        "StringEqualsIgnoreCase" => (Compare::EqualsIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Compare::EqualsIgnoreCase, true),
        "StringLike" => (Compare::Like, false),
        "StringNotLike" => (Compare::Like, true),
        // The two of each pair are the same.
        "ArnEquals" | "ArnLike" => (Compare::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Compare::Arn, true),
        "Bool" => (Compare::Bool, false),
        "IpAddress" => (Compare::Address, false),
        "NotIpAddress" => (Compare::Address, true),
        _ => {
            let (of, order): (fn(Order) -> Compare, _) = match rest.strip_prefix("Numeric") {
                Some(order) => (Compare::Number, order),
                None => (Compare::Date, rest.strip_prefix("Date")?),
            };
            let (order, negated) = match order {
                "Equals" => (Order::Equal, false),
                "NotEquals" => (Order::Equal, true),
                "LessThan" => (Order::Less, false),
                "LessThanEquals" => (Order::LessOrEqual, false),
                "GreaterThan" => (Order::Greater, false),
                "GreaterThanEquals" => (Order::GreaterOrEqual, false),
                _ => return None,
            };
            (of(order), negated)
        }
    };
    Some(Operator::Compared { compare, negated, over, if_exists })
}

impl Condition {
    pub(super) fn read(text: &str, key: &str, values: Vec<String>) -> Result<Self, String> {
        let operator = operator(text).ok_or_else(|| format!("there is no condition operator {text}"))?;
        if matches!(operator, Operator::Null) && values.iter().any(|value| value != "true" && value != "false") {
            return Err(format!("Null of {key} is neither true nor false"));
        }
        Ok(Self { operator, key: key.to_lowercase(), values })
    }

    pub(super) fn holds(&self, context: &Context) -> bool {
        let found = context.get(&self.key).filter(|values| !values.is_empty());
        let &Operator::Compared { compare, negated, over, if_exists } = &self.operator else {
            return self.values.iter().any(|value| (value == "true") == found.is_none());
        };
        let Some(found) = found else {
            // An absent key matches nothing, so only its negation holds; a set that is empty holds for all and for none.
            return if_exists
                || match over {
                    Over::One => negated,
                    Over::All => true,
                    Over::Any => false,
                };
        };
        let is_one = |value: &String| {
            let matched = self.values.iter().filter_map(|wanted| Pattern::fill(wanted, context));
            matched.into_iter().any(|wanted| compare.same(&wanted, value)) != negated
        };
        match over {
            Over::All => found.iter().all(is_one),
            // A key with several values wants a set operator; without one it is taken for any of them.
            Over::Any | Over::One => found.iter().any(is_one),
        }
    }
}

impl Compare {
    fn same(self, wanted: &Pattern, value: &str) -> bool {
        let plain = wanted.plain();
        match self {
            Self::Equals => plain == value,
            Self::EqualsIgnoreCase => plain.to_lowercase() == value.to_lowercase(),
            Self::Like => wanted.matches(value),
            Self::Arn => wanted.matches_arn(value),
            Self::Bool => plain.to_lowercase() == value.to_lowercase(),
            Self::Number(order) => order.holds(value.parse::<f64>().ok(), plain.parse().ok()),
            Self::Date(order) => order.holds(date(value), date(&plain)),
            Self::Address => in_range(&plain, value),
        }
    }
}

impl Order {
    /// What cannot be read is in no order.
    fn holds(self, value: Option<f64>, wanted: Option<f64>) -> bool {
        let (Some(value), Some(wanted)) = (value, wanted) else { return false };
        match self {
            Self::Equal => value == wanted,
            Self::Less => value < wanted,
            Self::LessOrEqual => value <= wanted,
            Self::Greater => value > wanted,
            Self::GreaterOrEqual => value >= wanted,
        }
    }
}

/// Seconds since 1970, from those or from ISO 8601.
#[allow(clippy::cast_precision_loss, reason = "milliseconds of this century fit")]
fn date(text: &str) -> Option<f64> {
    text.parse().ok().or_else(|| text.parse::<Timestamp>().ok().map(|at| at.unix_ms as f64 / 1000.0))
}

/// Whether an IPv4 address lies in a CIDR block, or is the one address.
fn in_range(block: &str, address: &str) -> bool {
    let (base, bits) = block.split_once('/').unwrap_or((block, "32"));
    let (Ok(base), Ok(bits), Ok(address)) =
        (base.parse::<Ipv4Addr>(), bits.parse::<u32>(), address.parse::<Ipv4Addr>())
    else {
        return false;
    };
    let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
    u32::from(base) & mask == u32::from(address) & mask
}

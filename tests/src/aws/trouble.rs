//! Faults that a test sets (tests/double/rules.py says what each field does).

use serde_json::{Map, Value, json};

use super::wire;

/// A fault to be set: which calls it is for, and what becomes of them. Without an effect a call is refused.
#[derive(Clone, Debug)]
pub struct Trouble(Map<String, Value>);

impl Trouble {
    /// For calls of this service and action; for S3 the action is the permission's name.
    pub fn with(service: &str, action: &str) -> Self {
        let mut fields = Map::new();
        fields.insert("service".to_owned(), json!(service));
        fields.insert("action".to_owned(), json!(action));
        Self(fields)
    }

    /// For single machines of fleets and of RunInstances.
    pub fn with_launches() -> Self {
        Self::with("ec2", "Launch")
    }

    fn and(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Launches in this zone only.
    #[must_use]
    pub fn in_zone(self, zone: &str) -> Self {
        self.and("zone", zone)
    }

    /// Launches of this type only.
    #[must_use]
    pub fn of_type(self, instance_type: &str) -> Self {
        self.and("type", instance_type)
    }

    /// Launches on this market only: `spot` or `on-demand`.
    #[must_use]
    pub fn on_market(self, market: &str) -> Self {
        self.and("market", market)
    }

    /// Calls signed with this access key only.
    #[must_use]
    pub fn signed_by(self, key: &str) -> Self {
        self.and("key", key)
    }

    /// Calls whose request holds this text only, in its path or its body as it was sent.
    #[must_use]
    pub fn containing(self, text: &str) -> Self {
        self.and("contains", text)
    }

    /// Not before that many have passed.
    #[must_use]
    pub fn after(self, calls: u32) -> Self {
        self.and("skip", calls)
    }

    /// That many calls, then no more.
    #[must_use]
    pub fn times(self, calls: u32) -> Self {
        self.and("times", calls)
    }

    /// They are refused with this code.
    #[must_use]
    pub fn refused(self, code: &str, message: &str) -> Self {
        self.and("code", code).and("message", message)
    }

    /// With this status; else 400.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.and("status", status)
    }

    /// They are refused as EC2 refuses who may not: with a message that `sts:DecodeAuthorizationMessage` decodes to this.
    #[must_use]
    pub fn denied(self, decoded: &Value) -> Self {
        self.and("code", "UnauthorizedOperation").and("status", 403).and("denied", decoded.clone())
    }

    /// No pool that it is for has room.
    #[must_use]
    pub fn no_capacity(self) -> Self {
        self.refused(
            "InsufficientInstanceCapacity",
            "We currently do not have sufficient capacity in the Availability Zone you requested.",
        )
    }

    /// They are carried out, and no answer comes.
    #[must_use]
    pub fn lost(self) -> Self {
        self.and("effect", "lose")
    }

    /// They wait before they are carried out, until the fault is taken back. Whoever is ended while it waits has not called.
    #[must_use]
    pub fn held(self) -> Self {
        self.and("effect", "hold")
    }

    /// They are carried out, and the answer waits until the fault is taken back.
    #[must_use]
    pub fn answer_held(self) -> Self {
        self.and("effect", "hold-after")
    }

    pub(crate) fn into_json(self) -> Value {
        Value::Object(self.0)
    }
}

/// A fault that is set.
#[derive(Clone, Debug)]
pub struct Set {
    url: String,
    number: u64,
}

impl Set {
    pub(crate) fn new(url: &str, number: u64) -> Self {
        Self { url: url.to_owned(), number }
    }

    fn count(&self, what: &str) -> u64 {
        let (_, rules) = wire::request(&self.url, "GET", "/_double/rules", &[], b"");
        let rules: Value = serde_json::from_str(&rules).expect("the rules");
        let mine = rules.as_array().into_iter().flatten().find(|rule| rule["number"] == self.number);
        mine.and_then(|rule| rule[what].as_u64()).unwrap_or_default()
    }

    /// How many calls it was for so far, those that it let pass first included.
    pub fn hits(&self) -> u64 {
        self.count("hits")
    }

    /// How many it has held.
    pub fn held(&self) -> u64 {
        self.count("held")
    }

    /// Takes it back; calls that it holds go on.
    pub fn take_back(self) {
        wire::request(&self.url, "DELETE", &format!("/_double/rules/{}", self.number), &[], b"");
    }
}

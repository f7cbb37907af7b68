//! A policy document and its statements (IAM user guide, "IAM JSON policy elements reference").

use serde_json::{Map, Value};

use super::Context;
use super::condition::Condition;
use super::pattern::Pattern;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// A list, or all but a list.
#[derive(Clone, Debug)]
enum Listed {
    These(Vec<String>),
    AllBut(Vec<String>),
}

#[derive(Clone, Debug)]
pub(super) struct Statement {
    /// The policy's name and the `Sid`, or the statement's number.
    pub(super) name: String,
    pub(super) effect: Effect,
    principals: Option<Listed>,
    actions: Listed,
    resources: Listed,
    conditions: Vec<Condition>,
}

/// The statements of a policy; `of_resource` says whether it is a resource's, whose statements name principals.
pub(super) fn read(name: &str, policy: &Value, of_resource: bool) -> Result<Vec<Statement>, String> {
    let fields = policy.as_object().ok_or("a policy is an object")?;
    if let Some(other) = fields.keys().find(|key| !["Version", "Id", "Statement"].contains(&key.as_str())) {
        return Err(format!("a policy has no element {other}"));
    }
    // Variables are text in the version before (IAM user guide, "IAM JSON policy elements: Version").
    if policy["Version"] != "2012-10-17" {
        return Err("its Version is not 2012-10-17".to_owned());
    }
    let statements = match &policy["Statement"] {
        Value::Array(several) => several.iter().collect(),
        one => vec![one],
    };
    let read = statements.iter().enumerate().map(|(number, statement)| {
        let fields = statement.as_object().ok_or("a statement is an object")?;
        let sid = fields.get("Sid").and_then(Value::as_str).map_or_else(|| number.to_string(), str::to_owned);
        Statement::read(format!("{name}/{sid}"), fields, of_resource).map_err(|why| format!("statement {sid}: {why}"))
    });
    read.collect()
}

/// One text or several.
pub(super) fn texts(value: &Value) -> Result<Vec<String>, String> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        other => Err(format!("{other} is no text")),
    };
    match value {
        Value::Array(several) => several.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

fn listed(fields: &Map<String, Value>, name: &str) -> Result<Option<Listed>, String> {
    match (fields.get(name), fields.get(&format!("Not{name}"))) {
        (Some(_), Some(_)) => Err(format!("both {name} and Not{name}")),
        (Some(these), None) => Ok(Some(Listed::These(texts(these)?))),
        (None, Some(those)) => Ok(Some(Listed::AllBut(texts(those)?))),
        (None, None) => Ok(None),
    }
}

/// `"*"`, or the `AWS` of an object; services and federated principals are nobody here.
fn principals(fields: &Map<String, Value>) -> Result<Option<Listed>, String> {
    let read = |value: &Value| match value {
        Value::Object(kinds) => kinds.get("AWS").map_or(Ok(Vec::new()), texts),
        other => texts(other),
    };
    match (fields.get("Principal"), fields.get("NotPrincipal")) {
        (Some(these), None) => Ok(Some(Listed::These(read(these)?))),
        (None, Some(those)) => Ok(Some(Listed::AllBut(read(those)?))),
        (None, None) => Ok(None),
        _ => Err("both Principal and NotPrincipal".to_owned()),
    }
}

impl Listed {
    fn holds(&self, is_it: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::These(list) => list.iter().any(|one| is_it(one)),
            Self::AllBut(list) => !list.iter().any(|one| is_it(one)),
        }
    }
}

/// Actions are compared without case; they know wildcards and no variables.
fn is_action(written: &str, action: &str) -> bool {
    Pattern::fill(&written.to_lowercase(), &Context::new()).is_some_and(|p| p.matches(&action.to_lowercase()))
}

impl Statement {
    fn read(name: String, fields: &Map<String, Value>, of_resource: bool) -> Result<Self, String> {
        const KNOWN: [&str; 9] = [
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ];
        if let Some(other) = fields.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(format!("there is no element {other}"));
        }
        let effect = match fields.get("Effect").and_then(Value::as_str) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            other => return Err(format!("its Effect is {other:?}")),
        };
        let principals = principals(fields)?;
        if principals.is_some() != of_resource {
            return Err(if of_resource { "it names no principal" } else { "it names a principal" }.to_owned());
        }
        let mut conditions = Vec::new();
        for (operator, keys) in fields.get("Condition").and_then(Value::as_object).into_iter().flatten() {
            for (key, values) in keys.as_object().ok_or("a condition is an object")? {
                conditions.push(Condition::read(operator, key, texts(values)?)?);
            }
        }
        Ok(Self {
            name,
            effect,
            principals,
            actions: listed(fields, "Action")?.ok_or("it names no action")?,
            resources: listed(fields, "Resource")?.ok_or("it names no resource")?,
            conditions,
        })
    }

    /// Whether a resource's statement is about a principal, who knows himself by each value.
    pub(super) fn is_about(&self, is_me: &dyn Fn(&str) -> bool) -> bool {
        self.principals.as_ref().is_some_and(|listed| listed.holds(is_me))
    }

    /// Whether the statement is about such a call.
    pub(super) fn applies(&self, action: &str, resource: &str, context: &Context) -> bool {
        // A resource whose variable has no value is no resource at all.
        let is_it = |written: &str| Pattern::fill(written, context).is_some_and(|p| p.matches(resource));
        self.actions.holds(|written| is_action(written, action))
            && self.resources.holds(is_it)
            && self.conditions.iter().all(|condition| condition.holds(context))
    }

    /// The actions that are listed, as they are written; none where all but some are meant.
    pub(super) fn actions(&self) -> impl Iterator<Item = &str> {
        let listed = match &self.actions {
            Listed::These(list) => list.as_slice(),
            Listed::AllBut(_) => &[],
        };
        listed.iter().map(String::as_str)
    }

    /// Those of them that mean this action.
    pub(super) fn actions_for(&self, action: &str) -> impl Iterator<Item = &str> {
        self.actions().filter(move |written| is_action(written, action))
    }
}

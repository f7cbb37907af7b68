//! IAM's judgement of a call, for one account: identity policies and a resource's policy together (IAM user guide, "Policy
//! evaluation logic"). What it knows is what dayfly's policies use and the common rest; anything else is an error, so that
//! no policy passes that was not understood.
//!
//! A [`Judge`] holds the policies that apply to one principal. It decides single checks, and whole recordings of calls:
//! which were not allowed, and which permissions were granted and never used.

mod condition;
mod document;
mod pattern;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::aws::{ACCOUNT, Call, Check};
use document::{Effect, Statement};

/// Condition keys and their values; names in lower case, as they are compared without case.
type Context = BTreeMap<String, Vec<String>>;

/// Who calls.
#[derive(Clone, Debug)]
pub struct Principal {
    arn: String,
    context: Context,
}

impl Principal {
    /// Whoever has taken on this role of the account.
    pub fn role(name: &str) -> Self {
        Self::of(&format!("arn:aws:iam::{ACCOUNT}:role/{name}"), "AssumedRole")
    }

    /// A user of the account.
    pub fn user(name: &str) -> Self {
        let mut user = Self::of(&format!("arn:aws:iam::{ACCOUNT}:user/{name}"), "User");
        user.context.insert("aws:username".to_owned(), vec![name.to_owned()]);
        user
    }

    /// IAM user guide, "AWS global condition context keys": for a role's session `aws:PrincipalArn` is the role's ARN.
    fn of(arn: &str, kind: &str) -> Self {
        let mut context = Context::new();
        for (key, value) in [("aws:principalarn", arn), ("aws:principalaccount", ACCOUNT), ("aws:principaltype", kind)]
        {
            context.insert(key.to_owned(), vec![value.to_owned()]);
        }
        Self { arn: arn.to_owned(), context }
    }

    /// With a tag of its own.
    #[must_use]
    pub fn tagged(mut self, key: &str, value: &str) -> Self {
        self.context.insert(format!("aws:principaltag/{key}").to_lowercase(), vec![value.to_owned()]);
        self
    }

    /// Whether a `Principal` element's `AWS` value means this one: its ARN, its account in either spelling, everybody.
    fn is(&self, value: &str) -> bool {
        value == "*" || value == self.arn || value == ACCOUNT || value == format!("arn:aws:iam::{ACCOUNT}:root")
    }
}

/// What comes of a check, and by which statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Some statement allows it and none denies it.
    Allowed(Vec<String>),
    /// No statement is about it.
    Implicit,
    /// A statement denies it, whatever others say.
    Denied(Vec<String>),
}

fn permission(statement: &Statement, action: &str) -> String {
    format!("{}: {action}", statement.name)
}

/// The policies that apply to one principal.
#[derive(Clone, Debug)]
pub struct Judge {
    principal: Principal,
    identity: Vec<Statement>,
    resource: Vec<Statement>,
}

impl Judge {
    /// With no policy yet: everything is denied.
    pub fn of(principal: Principal) -> Self {
        Self { principal, identity: Vec::new(), resource: Vec::new() }
    }

    /// With a policy of the principal; `name` is what it is called in reports.
    ///
    /// # Panics
    /// If it is no identity policy that is understood here; the text says why.
    #[must_use]
    pub fn identity(mut self, name: &str, policy: &Value) -> Self {
        let statements = document::read(name, policy, false).unwrap_or_else(|why| panic!("{name}: {why}\n{policy:#}"));
        self.identity.extend(statements);
        self
    }

    /// With the policy of a resource, such as a bucket's.
    ///
    /// # Panics
    /// If it is no resource policy that is understood here.
    #[must_use]
    pub fn resource(mut self, name: &str, policy: &Value) -> Self {
        let statements = document::read(name, policy, true).unwrap_or_else(|why| panic!("{name}: {why}\n{policy:#}"));
        self.resource.extend(statements);
        self
    }

    fn context(&self, check: &Check) -> Context {
        let mut context = self.principal.context.clone();
        for (key, values) in &check.context {
            context.insert(key.to_lowercase(), values.clone());
        }
        context
    }

    fn applying<'a>(&'a self, check: &Check, effect: Effect) -> Vec<&'a Statement> {
        let context = self.context(check);
        let mine = self.identity.iter().chain(self.resource.iter().filter(|s| s.is_about(&|v| self.principal.is(v))));
        mine.filter(|s| s.effect == effect && s.applies(&check.action, &check.resource, &context)).collect()
    }

    /// Whether the check passes. An explicit deny wins; an allow by either kind of policy is enough within one account.
    pub fn decide(&self, check: &Check) -> Decision {
        let names = |found: Vec<&Statement>| found.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
        let denied = names(self.applying(check, Effect::Deny));
        if !denied.is_empty() {
            return Decision::Denied(denied);
        }
        let allowed = names(self.applying(check, Effect::Allow));
        if allowed.is_empty() { Decision::Implicit } else { Decision::Allowed(allowed) }
    }

    /// The checks of these calls that do not pass, each once, with the decision and the call that it was part of.
    pub fn refused(&self, calls: &[Call]) -> Vec<String> {
        let mut refused = BTreeSet::new();
        for call in calls {
            for check in &call.checks {
                let decision = self.decide(check);
                if !matches!(decision, Decision::Allowed(_)) {
                    let Check { action, resource, context } = check;
                    refused.insert(format!("{action} on {resource} with {context:?}: {decision:?} ({})", call.action));
                }
            }
        }
        refused.into_iter().collect()
    }

    /// What identity policies grant and no check of these calls used: statement and action.
    pub fn unused(&self, calls: &[Call]) -> Vec<String> {
        self.granted().difference(&self.used(calls)).cloned().collect()
    }

    /// What identity policies grant and a check of these calls used.
    pub fn used(&self, calls: &[Call]) -> BTreeSet<String> {
        let checks: BTreeSet<&Check> = calls.iter().flat_map(|call| &call.checks).collect();
        let mut used = BTreeSet::new();
        for check in checks {
            for statement in self.applying(check, Effect::Allow) {
                used.extend(statement.actions_for(&check.action).map(|action| permission(statement, action)));
            }
        }
        used
    }

    /// Every permission of identity policies, action by action as it is written: `policy/Sid: action`.
    pub fn granted(&self) -> BTreeSet<String> {
        let allowing = self.identity.iter().filter(|statement| statement.effect == Effect::Allow);
        allowing.flat_map(|s| s.actions().map(|action| permission(s, action))).collect()
    }

    /// Asserts that these checks pass.
    ///
    /// # Panics
    /// With those that do not.
    pub fn expect_allowed(&self, checks: &[Check]) {
        let refused: Vec<_> = checks.iter().filter(|c| !matches!(self.decide(c), Decision::Allowed(_))).collect();
        assert!(refused.is_empty(), "not allowed to {}: {refused:#?}", self.principal.arn);
    }

    /// Asserts that these checks do not pass, explicitly or because nothing allows them.
    ///
    /// # Panics
    /// With those that do.
    pub fn expect_denied(&self, checks: &[Check]) {
        let passed: Vec<_> = checks.iter().filter(|c| matches!(self.decide(c), Decision::Allowed(_))).collect();
        assert!(passed.is_empty(), "allowed to {}, and should not be: {passed:#?}", self.principal.arn);
    }
}

//! What policies are made of: statements, ARNs, and their documents.

use dayfly_shared::deployment::Deployment;
use serde_json::{Value, json};

/// The managed policy that Systems Manager needs of an instance (Systems Manager user guide, "Configure instance
/// permissions required for Systems Manager"); without its partition.
pub const MANAGED_SSM: &str = "iam::aws:policy/AmazonSSMManagedInstanceCore";

/// The partition that ARNs of a region name.
pub fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// What the names of a region's services end with.
pub fn dns_suffix(region: &str) -> &'static str {
    if partition(region) == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// A policy document.
pub fn document(statements: Vec<Value>) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// The statements of a document, which may be one that stands by itself.
fn statements(document: &Value) -> Vec<Value> {
    match document.get("Statement") {
        Some(Value::Array(all)) => all.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    }
}

fn is_of(statement: &Value, sid_prefix: &str) -> bool {
    statement.get("Sid").and_then(Value::as_str).is_some_and(|sid| sid.starts_with(sid_prefix))
}

/// A policy that stands, with one's own statements (by the prefix of their Sid) in place of those there before; nobody
/// else's statement is touched.
pub fn merged(standing: Option<&Value>, sid_prefix: &str, own: Vec<Value>) -> Value {
    let mut result = standing.cloned().unwrap_or_else(|| document(Vec::new()));
    let mut kept = statements(&result);
    kept.retain(|statement| !is_of(statement, sid_prefix));
    kept.extend(own);
    result["Statement"] = Value::Array(kept);
    result
}

/// A policy without one's own statements; none if nothing is left of it.
pub fn without(standing: &Value, sid_prefix: &str) -> Option<Value> {
    let rest = merged(Some(standing), sid_prefix, Vec::new());
    (!statements(&rest).is_empty()).then_some(rest)
}

/// Sids in a policy that are of other deployments than the one of this name.
pub fn others(standing: &Value, name: &str) -> Vec<String> {
    let own = super::bucket::sid_prefix(name);
    let sids = statements(standing);
    let sids = sids.iter().filter_map(|statement| statement.get("Sid").and_then(Value::as_str));
    sids.filter(|sid| sid.starts_with("Dayfly") && !sid.starts_with(&own)).map(str::to_owned).collect()
}

/// ARNs of a deployment.
pub(super) struct Arns<'a> {
    of: &'a Deployment,
}

impl<'a> Arns<'a> {
    pub(super) fn new(of: &'a Deployment) -> Self {
        Self { of }
    }

    fn arn(&self, rest: &str) -> String {
        format!("arn:{}:{rest}", partition(&self.of.region))
    }

    pub(super) fn bucket(&self) -> String {
        self.arn(&format!("s3:::{}", self.of.place.bucket()))
    }

    /// Objects of the deployment's prefix whose key below it matches.
    pub(super) fn objects(&self, pattern: &str) -> String {
        self.arn(&format!("s3:::{}/{}{pattern}", self.of.place.bucket(), self.of.place.prefix()))
    }

    /// Something of EC2's, Systems Manager's, … in the account and region.
    pub(super) fn regional(&self, service: &str, rest: &str) -> String {
        self.arn(&format!("{service}:{}:{}:{rest}", self.of.region, self.of.account))
    }

    /// Something in the region that belongs to no account, or to any.
    pub(super) fn shared(&self, service: &str, rest: &str) -> String {
        self.arn(&format!("{service}:{}::{rest}", self.of.region))
    }

    pub(super) fn iam(&self, rest: &str) -> String {
        self.arn(&format!("iam::{}:{rest}", self.of.account))
    }

    pub(super) fn role(&self) -> String {
        self.iam(&format!("role/{}", self.of.role.name))
    }

    pub(super) fn instance_profile(&self) -> String {
        self.iam(&format!("instance-profile/{}", self.of.instance_profile.name))
    }

    pub(super) fn managed(&self, rest: &str) -> String {
        self.arn(rest)
    }
}

/// A deployment for tests.
#[cfg(test)]
pub(crate) fn sample() -> Deployment {
    let place = "s3://bucket/jobs".parse().expect("a place");
    Deployment::named("b-jobs", place, "123456789012", "us-east-1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_replaces_ones_own_and_nothing_else() {
        let theirs = json!({ "Version": "2012-10-17", "Id": "x", "Statement": { "Sid": "Theirs", "Effect": "Allow" } });
        let once = merged(Some(&theirs), "DayflyaZ", vec![json!({ "Sid": "DayflyaZOne" })]);
        assert_eq!(once["Statement"].as_array().unwrap().len(), 2);
        let twice = merged(Some(&once), "DayflyaZ", vec![json!({ "Sid": "DayflyaZTwo" })]);
        assert_eq!(twice["Statement"][1]["Sid"], "DayflyaZTwo");
        assert_eq!((twice["Statement"].as_array().unwrap().len(), &twice["Id"]), (2, &json!("x")));
        let left = without(&twice, "DayflyaZ").unwrap();
        assert_eq!(left["Statement"], json!([{ "Sid": "Theirs", "Effect": "Allow" }]));
        assert_eq!(without(&merged(None, "DayflyaZ", vec![json!({ "Sid": "DayflyaZOne" })]), "DayflyaZ"), None);
    }

    #[test]
    fn partitions_go_by_the_region() {
        assert_eq!(
            ["eu-west-1", "cn-north-1", "us-gov-west-1", "us-east-2"].map(partition),
            ["aws", "aws-cn", "aws-us-gov", "aws"]
        );
    }
}

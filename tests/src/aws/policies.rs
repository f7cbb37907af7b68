//! The policies that stand in the account, to be judged.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::Aws;

impl Aws {
    /// The policies that are written into a role, with their names.
    ///
    /// # Panics
    /// If there is no such role.
    pub fn role_policies(&self, role: &str) -> Vec<(String, Value)> {
        let listed = self.query("iam", "ListRolePolicies", &[("RoleName", role)]);
        assert_eq!(listed.status, 200, "{}", listed.body);
        let names: Vec<String> = listed.fields("member").into_iter().map(str::to_owned).collect();
        let read = names.into_iter().map(|name| {
            let found = self.query("iam", "GetRolePolicy", &[("RoleName", role), ("PolicyName", &name)]);
            let text = found.field("PolicyDocument").expect("a policy's document").replace("&quot;", "\"");
            let text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
            (name, serde_json::from_str(&text).unwrap_or_else(|e| panic!("no policy ({e}): {text}")))
        });
        read.collect()
    }

    /// The ARNs of the managed policies that a role has.
    pub fn attached_policies(&self, role: &str) -> Vec<String> {
        let listed = self.query("iam", "ListAttachedRolePolicies", &[("RoleName", role)]);
        listed.fields("PolicyArn").into_iter().map(str::to_owned).collect()
    }

    /// The policy of a bucket, if it has one.
    ///
    /// # Panics
    /// If it is no JSON.
    pub fn bucket_policy(&self, bucket: &str) -> Option<Value> {
        let reply = self.get(&format!("/{bucket}?policy"));
        (reply.status == 200).then(|| reply.json())
    }
}

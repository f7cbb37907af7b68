//! Secrets that agents may read: parameters of SSM's Parameter Store, and secrets of Secrets Manager.

use dayfly_shared::deployment::Deployment;
use serde_json::{Value, json};

use super::document::Arns;

const PARAMETER: &str = "ssm:";
const SECRET: &str = "secretsmanager:";

/// Whether rights can be given to what `dayfly setup --secrets` names: a name, or the beginning of names and a star.
pub fn is_secret(text: &str) -> bool {
    let Some(name) = text.strip_prefix(PARAMETER).or_else(|| text.strip_prefix(SECRET)) else { return false };
    let name = name.strip_suffix('*').unwrap_or(name);
    // A star, or a `?`, within would be a wildcard.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/_+=.@-:".contains(&b);
    name.bytes().all(plain) && name.bytes().any(|b| b.is_ascii_alphanumeric())
}

/// The statements for them.
pub(super) fn statements(deployment: &Deployment, arns: &Arns<'_>) -> Vec<Value> {
    let of = |prefix: &str, arn: &dyn Fn(&str) -> String| -> Vec<String> {
        let names = deployment.secrets.iter().filter_map(|text| text.strip_prefix(prefix));
        names.map(|name| if name.starts_with("arn:") { name.to_owned() } else { arn(name) }).collect()
    };
    // ARNs have a parameter's name without the slash that it begins with (Systems Manager user guide, "Control access to
    // parameters"), and after a secret's name a hyphen and six characters (Secrets Manager user guide, "Secret ARN").
    let parameters =
        of(PARAMETER, &|name| arns.regional("ssm", &format!("parameter/{}", name.trim_start_matches('/'))));
    let secrets = of(SECRET, &|name| {
        let end = if name.ends_with('*') { "" } else { "-??????" };
        arns.regional("secretsmanager", &format!("secret:{name}{end}"))
    });
    [("Parameters", "ssm:GetParameter", parameters), ("Secrets", "secretsmanager:GetSecretValue", secrets)]
        .into_iter()
        .filter(|(_, _, resources)| !resources.is_empty())
        .map(|(sid, action, resources)| json!({ "Sid": sid, "Effect": "Allow", "Action": action, "Resource": resources }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::sample;

    #[test]
    fn rights_are_for_what_is_named_and_nothing_else() {
        let named = ["ssm:/a/b", "ssm:c", "ssm:/d/*", "secretsmanager:e/f", "secretsmanager:g*"];
        assert!(named.into_iter().all(is_secret));
        let deployment = Deployment { secrets: named.map(str::to_owned).into(), ..sample() };
        let statements = statements(&deployment, &Arns::new(&deployment));
        let resources: Vec<&str> = statements
            .iter()
            .flat_map(|statement| statement["Resource"].as_array().unwrap())
            .map(|arn| arn.as_str().unwrap().splitn(6, ':').nth(5).unwrap())
            .collect();
        assert_eq!(resources, ["parameter/a/b", "parameter/c", "parameter/d/*", "secret:e/f-??????", "secret:g*"]);
        for wrong in
            ["", "*", "ssm:", "ssm:*", "ssm:/*", "ssm:/a*b", "ssm:/a?", "secretsmanager:a#k", "a", "secretsmanager:a b"]
        {
            assert!(!is_secret(wrong), "{wrong}");
        }
    }
}

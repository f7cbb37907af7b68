//! What nobody may do with the rights that setup hands out: held against the policies, where no program would try it.

use dayfly_tests::aws::{ACCOUNT, Check};
use dayfly_tests::policy::{Judge, Principal};
use serde_json::json;

use crate::court::Crew;
use crate::ledger::Whom;

/// A call about something in the bucket.
fn on(bucket: &str, action: &str, key: &str) -> Check {
    Check::new(action, &format!("arn:aws:s3:::{bucket}/{key}")).with("aws:SecureTransport", "true")
}

/// A put that makes an object: a part of an upload does not yet (S3 user guide, "Enforce conditional writes").
fn put(bucket: &str, key: &str) -> Check {
    on(bucket, "s3:PutObject", key).with("s3:ObjectCreationOperation", "true")
}

fn new(check: Check) -> Check {
    check.with("s3:if-none-match", "*")
}

fn same(check: Check) -> Check {
    check.with("s3:if-match", "\"etag\"")
}

fn ec2(action: &str, kind: &str) -> Check {
    Check::new(action, &format!("arn:aws:ec2:us-east-1:{ACCOUNT}:{kind}/{kind}-0123456789abcdef0"))
}

fn iam(action: &str, what: &str) -> Check {
    Check::new(action, &format!("arn:aws:iam::{ACCOUNT}:{what}"))
}

/// Agents of a deployment, `job` being the prefix of one of its jobs, and `others` prefixes that are none of its.
pub fn to_agents(crew: &Crew<'_>, whom: Whom, bucket: &str, job: &str, others: &[&str]) {
    let judge = crew.judge(whom);
    let (own, arn) = (|name: &str| format!("{job}{name}"), format!("arn:aws:s3:::{bucket}"));
    let put_own = |name: &str| put(bucket, &own(name));
    let delete_own = |name: &str| on(bucket, "s3:DeleteObject", &own(name));
    // The same, done as the protocol does it: what is denied below is denied for what it lacks.
    judge.expect_allowed(&[
        new(put_own("out3.dat")),
        new(put_own("out/a/b.bin")),
        on(bucket, "s3:PutObject", &own("out3.dat")).with("s3:ObjectCreationOperation", "false"),
        new(put_own("plan/0001.json")),
        new(put_own("results/0001-0000001.json")),
        new(put_own("failed/0001-0000001.json")),
        new(put_own("store.json")),
        new(put_own("semaphores/0001-0000001.json")),
        same(put_own("semaphores/0001-0000001.json")),
        same(put_own("control.json")),
        same(put_own("tasklist.txt")),
        put_own("agents/i-1.json"),
        put_own("logs/agents/i-1.jsonl"),
        same(delete_own("semaphores/0001-0000001.json")),
        same(delete_own("scratch/1/put")),
        on(bucket, "s3:GetObject", &own("in3.dat")),
        Check::new("s3:ListBucket", &arn).with("s3:prefix", &own("semaphores/")),
    ]);
    // The bucket itself refuses these, whatever else a role came to be allowed.
    let mut held = vec![
        // Unconditional, or on another's version, an output might replace another.
        put_own("out3.dat"),
        same(put_own("out3.dat")),
        put_own("out/a/b.bin"),
        put_own("results/0001-0000001.json"),
        same(put_own("results/0001-0000001.json")),
        put_own("plan/0001.json"),
        put_own("failed/0001-0000001.json"),
        put_own("semaphores/0001-0000001.json"),
        put_own("control.json"),
        // What is no agent's to write.
        new(put_own("in3.dat")),
        new(put_own("kernel.dat")),
        new(put_own("job.json")),
        new(put_own("launches/1.json")),
        // What is committed stays, under any condition and in any version.
        delete_own("results/0001-0000001.json"),
        same(delete_own("results/0001-0000001.json")),
        same(delete_own("out3.dat")),
        same(delete_own("plan/0001.json")),
        same(delete_own("in3.dat")),
        delete_own("semaphores/0001-0000001.json"),
        on(bucket, "s3:DeleteObjectVersion", &own("results/0001-0000001.json")),
    ];
    for other in others {
        let there = |name: &str| format!("{other}{name}");
        held.push(new(put(bucket, &there("out3.dat"))));
        held.push(new(put(bucket, &there("results/0001-0000001.json"))));
        held.push(same(on(bucket, "s3:DeleteObject", &there("semaphores/0001-0000001.json"))));
    }
    let anything = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let of_anything = Judge::of(Principal::role(&crew.role)).identity("anything", &anything);
    of_anything.resource("bucket", &crew.policies["bucket"]).expect_denied(&held);
    judge.expect_denied(&held);

    let mut forbidden = vec![
        on(bucket, "s3:DeleteObjectVersion", &own("semaphores/0001-0000001.json")),
        on(bucket, "s3:BypassGovernanceRetention", &own("out3.dat")),
        // The bucket as a whole, and other buckets.
        Check::new("s3:ListBucket", &arn),
        Check::new("s3:PutBucketPolicy", &arn),
        Check::new("s3:DeleteBucketPolicy", &arn),
        Check::new("s3:PutLifecycleConfiguration", &arn),
        Check::new("s3:DeleteBucket", &arn),
        on("another-bucket", "s3:GetObject", &own("in3.dat")),
        new(put("another-bucket", &own("out3.dat"))),
        // Machines, fleets of others, rights.
        ec2("ec2:TerminateInstances", "instance"),
        ec2("ec2:TerminateInstances", "instance").with("aws:ResourceTag/dayfly:deployment", "another"),
        ec2("ec2:StopInstances", "instance"),
        ec2("ec2:RunInstances", "instance"),
        ec2("ec2:CreateFleet", "fleet"),
        ec2("ec2:DeleteFleets", "fleet"),
        ec2("ec2:DeleteFleets", "fleet").with("aws:ResourceTag/dayfly:deployment", "another"),
        ec2("ec2:CreateTags", "instance"),
        iam("iam:PassRole", &format!("role/{}", crew.role)),
        iam("iam:PutRolePolicy", &format!("role/{}", crew.role)),
        Check::new("sts:AssumeRole", &format!("arn:aws:iam::{ACCOUNT}:role/another")),
        Check::new("logs:PutLogEvents", &format!("arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/others:log-stream:s")),
        Check::new("ssm:SendCommand", &format!("arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-0123456789abcdef0")),
        // Another key of KMS.
        Check::new("kms:Decrypt", &format!("arn:aws:kms:us-east-1:{ACCOUNT}:key/another")),
    ];
    for other in others {
        let there = |name: &str| format!("{other}{name}");
        forbidden.extend([
            on(bucket, "s3:GetObject", &there("in3.dat")),
            on(bucket, "s3:AbortMultipartUpload", &there("out3.dat")),
            Check::new("s3:ListBucket", &arn).with("s3:prefix", other),
        ]);
    }
    judge.expect_denied(&forbidden);
}

/// People who run jobs, and people who set up.
pub fn to_people(crew: &Crew<'_>, bucket: &str) {
    let (role, another) = (format!("role/{}", crew.role), "role/another");
    let both = [
        ec2("ec2:TerminateInstances", "instance"),
        ec2("ec2:TerminateInstances", "instance").with("aws:ResourceTag/dayfly:deployment", "another"),
        ec2("ec2:DeleteFleets", "fleet").with("aws:ResourceTag/dayfly:deployment", "another"),
        iam("iam:CreateRole", another),
        iam("iam:PassRole", another).with("iam:PassedToService", "ec2.amazonaws.com"),
        iam("iam:PassRole", &role).with("iam:PassedToService", "lambda.amazonaws.com"),
        iam("iam:CreateUser", "user/another"),
        iam("iam:CreateAccessKey", "user/somebody"),
        on("another-bucket", "s3:GetObject", "in3.dat"),
        Check::new("s3:DeleteBucket", "arn:aws:s3:::another-bucket"),
    ];
    let bucket = format!("arn:aws:s3:::{bucket}");
    crew.judge(Whom::Run).expect_denied(&both);
    crew.judge(Whom::Run).expect_denied(&[
        iam("iam:PutRolePolicy", &role),
        iam("iam:AttachRolePolicy", &role),
        iam("iam:UpdateAssumeRolePolicy", &role),
        Check::new("s3:PutBucketPolicy", &bucket),
        Check::new("s3:DeleteBucket", &bucket),
        // A machine without the deployment's tag, or with another's.
        ec2("ec2:RunInstances", "instance"),
        ec2("ec2:RunInstances", "instance").with("aws:RequestTag/dayfly:deployment", "another"),
        // A tag that is not reap's mark, and the mark on somebody else's.
        ec2("ec2:CreateTags", "instance").with("aws:TagKeys", "Name"),
        ec2("ec2:CreateTags", "instance").with("aws:TagKeys", "dayfly:condemned"),
    ]);
    crew.judge(Whom::Setup).expect_denied(&both);
    crew.judge(Whom::Setup).expect_denied(&[
        iam("iam:AttachRolePolicy", &role).with("iam:PolicyARN", "arn:aws:iam::aws:policy/AdministratorAccess"),
        iam("iam:PutRolePolicy", another),
        iam("iam:CreateServiceLinkedRole", "role/aws-service-role/rds.amazonaws.com/*")
            .with("iam:AWSServiceName", "rds.amazonaws.com"),
        ec2("ec2:DeleteSecurityGroup", "security-group"),
        ec2("ec2:DeleteLaunchTemplate", "launch-template").with("aws:ResourceTag/dayfly:deployment", "another"),
        ec2("ec2:RunInstances", "instance"),
    ]);
}

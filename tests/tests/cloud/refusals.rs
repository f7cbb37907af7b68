//! Launches that cannot be: what is said, and that nothing is started or left open.

use dayfly_tests::aws::Trouble;
use serde_json::json;

use crate::ground::{Ground, TYPES, on_ground};
use crate::ledger::Page;

/// A call that EC2 refuses: what is said, that nothing was started, and that the launch is closed.
async fn refused(ground: &mut Ground<'_, '_>, trouble: Trouble, words: &[&str]) {
    let before = ground.up().len();
    let set = ground.aws.set(trouble);
    let ended = ground.launch(&format!("-n 1 --instance-type {TYPES}")).await;
    ended.expect(1, words);
    set.take_back();
    assert_eq!(ground.up().len(), before);
    assert!(ground.launches().await.iter().all(|launch| !launch.is_open()), "{words:?}");
}

#[test]
fn refusals_say_what_to_do() {
    on_ground(async |ground| {
        ground.court.shows(Page::Refusals);
        let fleet = || Trouble::with("ec2", "CreateFleet");
        let role = "arn:aws:iam::123456789012:role/dayfly-test";
        let why = json!({"allowed": false, "explicitDeny": false, "context": {
            "principal": {"arn": "arn:aws:iam::123456789012:user/me"}, "action": "iam:PassRole", "resource": role}});
        refused(
            ground,
            fleet().denied(&why),
            &["iam:PassRole", role, "may not hand the agents' role", "nothing was started"],
        )
        .await;
        let why =
            json!({"allowed": false, "explicitDeny": true, "context": {"action": "ec2:RunInstances", "resource": "*"}});
        refused(ground, fleet().denied(&why), &["ec2:RunInstances", "a policy denies it", "operator policy"]).await;
        let silent = ground
            .aws
            .set(Trouble::with("sts", "DecodeAuthorizationMessage").refused("AccessDenied", "no").status(403));
        refused(ground, fleet().denied(&why), &["UnauthorizedOperation", "may not do ec2:CreateFleet"]).await;
        silent.take_back();
        let mismatch =
            fleet().refused("IdempotentParameterMismatch", "The client token has been used with other parameters");
        refused(ground, mismatch, &["IdempotentParameterMismatch", "dayfly reap"]).await;
        let expired =
            Trouble::with("ec2", "CreateLaunchTemplateVersion").refused("RequestExpired", "Request has expired.");
        refused(ground, expired, &["RequestExpired", "credentials have expired", "log in again"]).await;
        let other = "The architecture 'x86_64' of the specified instance type does not match the architecture 'arm64' of the AMI";
        refused(ground, fleet().refused("InvalidParameterValue", other), &["architecture", "--arch"]).await;
        let limit = fleet().refused("VcpuLimitExceeded", "You have requested more vCPU capacity than allowed");
        refused(ground, limit, &["VcpuLimitExceeded", "Service Quotas"]).await;
    });
}

#[test]
fn expired_credentials_and_a_bucket_elsewhere_are_said_before_anything() {
    on_ground(async |ground| {
        let set =
            ground.aws.set(Trouble::with("s3", "GetObject").refused("ExpiredToken", "The provided token has expired."));
        ground.launch("-n 1").await.expect(1, &["ExpiredToken", "expired"]);
        set.take_back();
        let elsewhere = "The bucket you are attempting to access must be addressed using the specified endpoint.";
        ground.aws.set(Trouble::with("s3", "GetObject").refused("PermanentRedirect", elsewhere).status(301));
        ground.launch("-n 1").await.expect(1, &["PermanentRedirect", "the bucket is not in us-east-1"]);
        assert_eq!((ground.up().len(), ground.launches().await.len()), (0, 0));
    });
}

#[test]
fn what_no_image_fits_is_refused() {
    on_ground(async |ground| {
        let none = "nothing was started";
        ground
            .launch("--instance-type m6g.large")
            .await
            .expect(1, &["no image for arm64", "dayfly setup", "ami/README.md", none]);
        ground.launch("--arch arm64").await.expect(1, &["no image for arm64", none]);
        ground
            .launch("--instance-type m5.large,m6g.large")
            .await
            .expect(2, &["m6g.large (arm64)", "one architecture", none]);
        ground
            .launch("--instance-type g4dn.xlarge")
            .await
            .expect(2, &["no image for g4dn.xlarge", "GPU", "dayfly:gpu", none]);
        ground.launch("--instance-type m5.tiny").await.expect(1, &["m5.tiny", "--instance-type", none]);
        ground.launch("--ami no-such").await.expect(2, &["no image 'no-such'", none]);
        ground.aws.add_dayfly_image("99.1.0");
        ground.launch("--ami dayfly-99.1.0").await.expect(1, &["99.1.0", "may not read each other's records", none]);
        ground.aws.add_image("arm", "arm64", &[("dayfly:agent", env!("CARGO_PKG_VERSION"))]);
        ground.launch("--instance-type m6g.large").await.expect(0, &["1 machine started"]);
        assert_eq!((ground.up().len(), ground.launches().await.len()), (1, 1));
    });
}

#[test]
fn without_a_deployment_flags_for_machines_are_an_error() {
    on_ground(async |ground| {
        let store = ground.world.server().store("test-bucket").await;
        store.delete("dayfly/deployment.json", None).await.expect("it is deleted");
        ground
            .launch("--spot")
            .await
            .expect(2, &["no deployment", "dayfly setup s3://test-bucket", "nothing was started"]);
        ground.launch("--here --spot").await.expect(2, &["--here", "nothing was started"]);
    });
}

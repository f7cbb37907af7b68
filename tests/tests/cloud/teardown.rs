//! `dayfly teardown`: what goes, what stays, and what is in the way.

use std::rc::Rc;

use dayfly_tests::aws::{Aws, End, Trouble};

use crate::court::{Court, Crew, in_court};
use crate::ledger::Page;

const PLACE: &str = "s3://made-by-setup/jobs";
const NAME: &str = "dayfly-made-by-setup-jobs";
const ROLE: &str = "dayfly-made-by-setup-jobs-us-east-1";

/// With a deployment that was set up with these options.
fn set_up_with(options: &[&str], body: impl AsyncFn(&Court<'_>, &Aws, Rc<Crew<'_>>)) {
    in_court(async |court| {
        let crew = court.crew(PLACE, options).await;
        crew.sets(&[&["setup", PLACE][..], options].concat()).await.expect(0, &["made"]);
        body(court, &court.aws, crew).await;
    });
}

/// What of the deployment is in the account.
fn left(aws: &Aws) -> Vec<&'static str> {
    let tag = [("Filter.1.Name", "tag:dayfly:deployment"), ("Filter.1.Value.1", "made-by-setup-jobs")];
    let mut all = Vec::new();
    for (kind, action, id) in [
        ("security group", "DescribeSecurityGroups", "groupId"),
        ("launch template", "DescribeLaunchTemplates", "launchTemplateId"),
    ] {
        all.extend(aws.query("ec2", action, &tag).field(id).map(|_| kind));
    }
    let is_there = |action, name| aws.query("iam", action, &[(name, ROLE)]).status == 200;
    all.extend(is_there("GetRole", "RoleName").then_some("role"));
    all.extend(is_there("GetInstanceProfile", "InstanceProfileName").then_some("instance profile"));
    all.extend((aws.s3("HEAD", "/made-by-setup", "").status == 200).then_some("bucket"));
    all
}

/// A machine with the deployment's tag.
fn machine(aws: &Aws) -> String {
    let image = aws.add_dayfly_image(env!("CARGO_PKG_VERSION"));
    let made = aws.query(
        "ec2",
        "RunInstances",
        &[
            ("ImageId", image.as_str()),
            ("InstanceType", "m5.large"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("TagSpecification.1.ResourceType", "instance"),
            ("TagSpecification.1.Tag.1.Key", "dayfly:deployment"),
            ("TagSpecification.1.Tag.1.Value", "made-by-setup-jobs"),
        ],
    );
    made.field("instanceId").unwrap_or_else(|| panic!("{}", made.body)).to_owned()
}

#[test]
fn all_but_the_bucket_goes() {
    set_up_with(&[], async |_, aws, crew| {
        assert_eq!(left(aws), ["security group", "launch template", "role", "instance profile", "bucket"]);
        assert_eq!(aws.s3("PUT", "/made-by-setup/jobs/out3.dat", "an output").status, 200);
        crew.sets(&["teardown", PLACE]).await.expect(2, &["--yes"]);
        assert_eq!(left(aws).len(), 5, "it asks first");
        let ended = crew.sets(&["teardown", PLACE, "--yes"]).await;
        ended.expect(0, &["kept      bucket made-by-setup", "--bucket"]);
        assert_eq!(ended.said.matches("kept ").count(), 3, "each once: {}", ended.said);
        assert_eq!(ended.said.matches("kept      bucket").count(), 1, "{}", ended.said);
        assert_eq!(left(aws), ["bucket"]);
        assert_eq!(aws.s3("GET", "/made-by-setup/jobs/out3.dat", "").body, "an output");
        assert_eq!(aws.bucket_policy("made-by-setup"), None);
        assert_eq!(aws.s3("GET", "/made-by-setup?lifecycle", "").status, 404);
        crew.sets(&["teardown", PLACE, "--yes"]).await.expect(0, &["nothing to remove"]);
        // It was dayfly's, and still is: another setup and teardown may remove it.
        crew.sets(&["setup", PLACE]).await.expect(0, &["made"]);
        crew.sets(&["teardown", PLACE, "--yes", "--bucket"]).await.expect(0, &["removed   bucket"]);
        assert_eq!(left(aws), Vec::<&str>::new());
    });
}

/// With what jobs left in the bucket, an upload that nobody completed among it.
#[test]
fn all_of_it_goes_if_asked() {
    set_up_with(&["--ecr", "images", "--ssm"], async |court, aws, crew| {
        court.shows(Page::AllRemoved);
        for n in 0..3 {
            assert_eq!(aws.s3("PUT", &format!("/made-by-setup/jobs/one/out{n}.dat"), "an output").status, 200);
        }
        assert_eq!(aws.s3("POST", "/made-by-setup/jobs/one/out3.dat?uploads", "").status, 200);
        let teardown = ["teardown", PLACE, "--yes", "--bucket", "--destroy", "ecr"];
        let said = ["removed   container repository images", "removed   role", "removed   bucket"];
        crew.sets(&teardown).await.expect(0, &said);
        assert_eq!(left(aws), Vec::<&str>::new());
    });
}

#[test]
fn kinds_are_kept_and_destroyed_as_asked() {
    set_up_with(&["--ecr", "images"], async |_, aws, crew| {
        let keep = ["teardown", PLACE, "--yes", "--keep", "role", "--keep", "policy"];
        crew.sets(&keep).await.expect(0, &["kept      role", "kept      container repository images", "--destroy ecr"]);
        assert_eq!(left(aws), ["role", "instance profile", "bucket"]);
        assert!(aws.bucket_policy("made-by-setup").is_some());
        crew.sets(&["teardown", PLACE, "--yes", "--keep", "ecr", "--destroy", "ecr"]).await.expect(2, &["once"]);
    });
}

#[test]
fn instances_that_live_are_in_the_way() {
    set_up_with(&[], async |_, aws, crew| {
        let id = machine(aws);
        crew.sets(&["teardown", PLACE, "--yes"]).await.expect(1, &[&id, "nothing was removed", "dayfly terminate"]);
        assert_eq!(left(aws).len(), 5);
        aws.end(&id, End::Kill);
        crew.sets(&["teardown", PLACE, "--yes"]).await.expect(0, &["removed   role"]);
    });
}

/// What still hangs on something for a while is waited for; what is refused is said, and the next run goes on.
#[test]
fn what_is_held_is_waited_for() {
    set_up_with(&[], async |_, aws, crew| {
        let group = Trouble::with("ec2", "DeleteSecurityGroup").refused("DependencyViolation", "in use").times(2);
        let role = Trouble::with("iam", "DeleteRole").refused("DeleteConflict", "in use").status(409).times(2);
        let (group, role) = (aws.set(group), aws.set(role));
        crew.sets(&["teardown", PLACE, "--yes"]).await.expect(0, &["removed   security group", "removed   role"]);
        assert!(group.hits() >= 2 && role.hits() >= 2);
        crew.sets(&["setup", PLACE]).await.expect(0, &["made"]);
        let denied = aws.set(Trouble::with("iam", "DeleteRole").refused("AccessDenied", "not you").status(403));
        crew.sets(&["teardown", PLACE, "--yes"]).await.expect(1, &["iam:DeleteRole", ROLE]);
        denied.take_back();
        assert_eq!(left(aws), ["role", "bucket"]);
        crew.sets(&["teardown", PLACE, "--yes"]).await.expect(0, &["removed   role"]);
        assert_eq!(left(aws), ["bucket"]);
    });
}

#[test]
fn a_deployment_without_its_record_is_found_by_names_and_tags() {
    set_up_with(&[], async |_, aws, crew| {
        assert_eq!(aws.s3("DELETE", "/made-by-setup/jobs/dayfly/deployment.json", "").status, 204);
        crew.sets(&["teardown", PLACE, "--yes"]).await.expect(0, &["removed   launch template", NAME]);
        assert_eq!(left(aws), ["bucket"]);
    });
}

/// Two deployments in one bucket do not know of each other.
#[test]
fn deployments_live_side_by_side() {
    set_up_with(&[], async |court, aws, crew| {
        let other = "s3://made-by-setup/other";
        let others = court.crew(other, &[]).await;
        others.sets(&["setup", other]).await.expect(0, &["made      role dayfly-made-by-setup-other-us-east-1"]);
        crew.sets(&["setup", PLACE]).await.expect(0, &["nothing was changed"]);
        let refused = crew.sets(&["teardown", PLACE, "--yes", "--bucket"]).await;
        refused.expect(1, &["other deployments live in the bucket", "nothing was removed"]);
        crew.sets(&["teardown", PLACE, "--yes"]).await.expect(0, &["removed   role"]);
        assert_eq!(left(aws), ["bucket"]);
        others.sets(&["setup", other]).await.expect(0, &["nothing was changed"]);
    });
}

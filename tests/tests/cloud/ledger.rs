//! Every permission that `dayfly setup` grants, and the test that shows it used. What is granted and used by nothing is a
//! permission too many: the last test here finds it.

use std::collections::{BTreeMap, BTreeSet};

use dayfly_tests::policy::{Judge, Principal};
use dayfly_tests::{Kind, World, run};

use crate::court::{plain, printed};

/// Whom a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// Agents.
    Role,
    /// Agents of a deployment that is one job.
    IsolatedRole,
    /// Who runs jobs.
    Run,
    /// Who sets up.
    Setup,
}

impl Whom {
    pub const ALL: [Self; 4] = [Self::Role, Self::IsolatedRole, Self::Run, Self::Setup];

    /// What setup prints it as.
    pub fn policy(self) -> &'static str {
        match self {
            Self::Role | Self::IsolatedRole => "role",
            Self::Run => "operator_run",
            Self::Setup => "operator_setup",
        }
    }
}

/// Permissions by whom they are granted to, each as `Sid: action`.
type Lists = &'static [(Whom, &'static [&'static str])];

/// A page for each test that shows permissions used: `Court::shows` takes it, and the court holds the test to it.
macro_rules! pages {
    ($($(#[$doc:meta])* $page:ident { $($whom:ident: [$($permission:literal),* $(,)?],)* })*) => {
        // A page that no test shows is never made, and the compiler says so.
        #[derive(Clone, Copy, Debug)]
        pub enum Page { $($(#[$doc])* $page),* }

        const LEDGER: &[(&str, Lists)] =
            &[$((stringify!($page), &[$((Whom::$whom, &[$($permission),*])),*])),*];
    };
}

pages! {
    /// A fleet's whole life.
    Life {
        Role: ["List: s3:ListBucket", "Read: s3:GetObject", "Write: s3:PutObject", "Delete: s3:DeleteObject"],
        Run: [
            "ListJobs: s3:ListBucket",
            "Jobs: s3:GetObject",
            "Jobs: s3:PutObject",
            "Look: ec2:DescribeAddresses",
            "Look: ec2:DescribeFleets",
            "Look: ec2:DescribeImages",
            "Look: ec2:DescribeInstanceTypes",
            "Look: ec2:DescribeInstances",
            "Look: ec2:DescribeLaunchTemplates",
            "Look: ec2:DescribeSnapshots",
            "Look: ec2:DescribeSpotPriceHistory",
            "Look: ec2:DescribeVolumes",
            "Look: pricing:GetProducts",
            "Look: servicequotas:GetServiceQuota",
            "PassRole: iam:PassRole",
            "Launch: ec2:CreateFleet",
            "Launch: ec2:RunInstances",
            "LaunchFromTemplate: ec2:CreateFleet",
            "LaunchFromTemplate: ec2:CreateLaunchTemplateVersion",
            "LaunchFromTemplate: ec2:RunInstances",
            "LaunchInto: ec2:CreateFleet",
            "LaunchInto: ec2:RunInstances",
            "TagAtBirth: ec2:CreateTags",
        ],
        Setup: [
            "Bucket: s3:CreateBucket",
            "Bucket: s3:DeleteBucketPolicy",
            "Bucket: s3:GetBucketPolicy",
            "Bucket: s3:GetBucketTagging",
            "Bucket: s3:GetBucketVersioning",
            "Bucket: s3:ListBucket",
            "Bucket: s3:PutBucketPolicy",
            "Bucket: s3:PutBucketPublicAccessBlock",
            "Bucket: s3:PutBucketTagging",
            "Bucket: s3:PutEncryptionConfiguration",
            "Bucket: s3:PutLifecycleConfiguration",
            "Objects: s3:DeleteObject",
            "Objects: s3:GetObject",
            "Objects: s3:PutObject",
            "Role: iam:AddRoleToInstanceProfile",
            "Role: iam:CreateInstanceProfile",
            "Role: iam:CreateRole",
            "Role: iam:DeleteInstanceProfile",
            "Role: iam:DeleteRole",
            "Role: iam:DeleteRolePolicy",
            "Role: iam:GetInstanceProfile",
            "Role: iam:GetRole",
            "Role: iam:PutRolePolicy",
            "Role: iam:RemoveRoleFromInstanceProfile",
            "Role: iam:TagInstanceProfile",
            "Role: iam:TagRole",
            "PassRole: iam:PassRole",
            "ServiceLinkedRoles: iam:CreateServiceLinkedRole",
            "Look: ec2:DescribeFleets",
            "Look: ec2:DescribeInstances",
            "Look: ec2:DescribeLaunchTemplates",
            "Look: ec2:DescribeSecurityGroups",
            "Look: ec2:DescribeSubnets",
            "Look: ec2:DescribeVpcs",
            "Make: ec2:CreateLaunchTemplate",
            "Make: ec2:CreateSecurityGroup",
            "MakeInNetwork: ec2:CreateSecurityGroup",
            "Tag: ec2:CreateTags",
            "Change: ec2:DeleteLaunchTemplate",
            "Change: ec2:DeleteSecurityGroup",
        ],
    }
    /// Agents with all that options give them.
    Options {
        Role: [
            "Write: s3:AbortMultipartUpload",
            "Key: kms:Decrypt",
            "Key: kms:GenerateDataKey",
            "FleetShutOff: ec2:DeleteFleets",
            "Logs: logs:CreateLogStream",
            "Logs: logs:PutLogEvents",
            "Notify: sns:Publish",
            "Parameters: ssm:GetParameter",
            "Secrets: secretsmanager:GetSecretValue",
        ],
        Run: ["Key: kms:Decrypt", "Key: kms:GenerateDataKey"],
        Setup: ["Key: kms:Decrypt", "Key: kms:GenerateDataKey"],
    }
    /// The same, where the deployment is one job.
    IsolatedOptions {
        IsolatedRole: [
            "List: s3:ListBucket",
            "Read: s3:GetObject",
            "Write: s3:PutObject",
            "Write: s3:AbortMultipartUpload",
            "Delete: s3:DeleteObject",
            "Key: kms:Decrypt",
            "Key: kms:GenerateDataKey",
            "FleetShutOff: ec2:DeleteFleets",
            "Logs: logs:CreateLogStream",
            "Logs: logs:PutLogEvents",
            "Notify: sns:Publish",
            "Parameters: ssm:GetParameter",
            "Secrets: secretsmanager:GetSecretValue",
        ],
    }
    /// Refusals that EC2 encodes.
    Refusals { Run: ["Refusals: sts:DecodeAuthorizationMessage"], }
    /// A launch that was cut off, and goes on.
    CutOff { Run: ["Look: ec2:DescribeLaunchTemplateVersions"], }
    /// Subnets that the command line names.
    Subnets { Run: ["Look: ec2:DescribeSubnets"], }
    /// Types by what is needed.
    Needs { Run: ["Look: ec2:GetInstanceTypesFromInstanceRequirements"], }
    /// An image of AWS's.
    StockImage { Run: ["Images: ssm:GetParameter"], }
    /// A spot request that is never filled.
    NeverFilled { Run: ["Look: ec2:DescribeFleetHistory"], }
    /// A machine that never reports.
    NeverReported { Run: ["Mark: ec2:CreateTags", "Manage: ec2:GetConsoleOutput"], }
    /// One that works after all.
    Pardoned { Run: ["Mark: ec2:DeleteTags"], }
    /// Machines stopped, started and ended.
    Managed { Run: ["Manage: ec2:StartInstances", "Manage: ec2:StopInstances", "Manage: ec2:TerminateInstances"], }
    /// A fleet that is ended.
    FleetEnded { Run: ["Manage: ec2:DeleteFleets"], }
    /// What killed agents and people leave, cleaned up.
    Cleaned { Run: ["Uploads: s3:ListBucketMultipartUploads", "Jobs: s3:AbortMultipartUpload", "Jobs: s3:DeleteObject"], }
    /// A command on a machine.
    Exec { Run: ["ExecDocument: ssm:SendCommand", "Exec: ssm:SendCommand", "ExecAnswer: ssm:GetCommandInvocation"], }
    /// A session on a machine.
    Connect { Run: ["ExecDocument: ssm:StartSession", "Exec: ssm:StartSession"], }
    /// A setup with options, run twice.
    SetupTwice {
        Setup: [
            "Bucket: s3:GetBucketPublicAccessBlock",
            "Bucket: s3:GetEncryptionConfiguration",
            "Bucket: s3:GetLifecycleConfiguration",
            "LinkedRoles: iam:GetRole",
            "Look: ec2:DescribeLaunchTemplateVersions",
            "Role: iam:AttachRolePolicy",
            "Role: iam:GetRolePolicy",
            "Role: iam:ListAttachedRolePolicies",
            "Registry: ecr:CreateRepository",
            "Registry: ecr:DescribeRepositories",
            "Registry: ecr:ListTagsForResource",
            "Registry: ecr:TagResource",
        ],
    }
    /// A log group made, looked at and removed.
    LogGroup {
        Setup: [
            "LogGroup: logs:CreateLogGroup",
            "LogGroup: logs:DeleteLogGroup",
            "LogGroup: logs:ListTagsForResource",
            "LogGroup: logs:PutRetentionPolicy",
            "LogGroup: logs:TagResource",
            "LookAtLogGroups: logs:DescribeLogGroups",
        ],
    }
    /// What others changed, put right.
    PutRight {
        Setup: [
            "Change: ec2:CreateLaunchTemplateVersion",
            "Change: ec2:ModifyLaunchTemplate",
            "Role: iam:UpdateAssumeRolePolicy",
        ],
    }
    /// Networks of one's own.
    Networks { Setup: ["Look: ec2:DescribeRouteTables", "Look: ec2:DescribeVpcEndpoints"], }
    /// All of it removed, the bucket and its contents too.
    AllRemoved {
        Setup: [
            "Bucket: s3:DeleteBucket",
            "Bucket: s3:ListBucketMultipartUploads",
            "Bucket: s3:ListBucketVersions",
            "Objects: s3:AbortMultipartUpload",
            "Objects: s3:DeleteObjectVersion",
            "Role: iam:DetachRolePolicy",
            "Registry: ecr:DeleteRepository",
        ],
    }
}

impl Page {
    /// What it lists.
    pub fn entries(self) -> impl Iterator<Item = (Whom, &'static str)> {
        entries(LEDGER[self as usize].1)
    }
}

fn entries(lists: Lists) -> impl Iterator<Item = (Whom, &'static str)> {
    lists.iter().flat_map(|(whom, list)| list.iter().map(|permission| (*whom, *permission)))
}

/// Permissions whose calls are other people's programs', asked for by an option: none of them runs here.
const CALLED_BY_OTHERS: &[(&str, Lists)] = &[
    (
        "a container engine on the machine logs in and moves images by the registry's own protocol, which moto does not serve",
        &[(Whom::Role, REGISTRY), (Whom::IsolatedRole, REGISTRY)],
    ),
    (
        "AWS's session-manager-plugin ends and resumes the session that dayfly connect hands to it",
        &[(Whom::Run, &["OwnSessions: ssm:ResumeSession", "OwnSessions: ssm:TerminateSession"])],
    ),
];
const REGISTRY: &[&str] = &[
    "RegistryLogin: ecr:GetAuthorizationToken",
    "RegistryPull: ecr:BatchCheckLayerAvailability",
    "RegistryPull: ecr:BatchGetImage",
    "RegistryPull: ecr:GetDownloadUrlForLayer",
    "RegistryPush: ecr:CompleteLayerUpload",
    "RegistryPush: ecr:InitiateLayerUpload",
    "RegistryPush: ecr:PutImage",
    "RegistryPush: ecr:UploadLayerPart",
];

/// Each option of setup that brings rights, alone.
const OPTIONS: [&[&str]; 8] = [
    &["--secrets", "ssm:/dayfly/*", "--secrets", "secretsmanager:dayfly"],
    &["--notify", "arn:aws:sns:us-east-1:123456789012:jobs"],
    &["--ssm"],
    &["--fleet-shut-off"],
    &["--cloudwatch", "/dayfly"],
    &["--kms-key", "a-key"],
    &["--ecr", "images"],
    &["--ecr", "images", "--ecr-push"],
];

type Granted = BTreeSet<(Whom, String)>;

/// What setup grants with these options.
async fn granted(world: &World, options: &[&str]) -> Granted {
    let mut all = Granted::new();
    for (whoms, isolate) in
        [(&[Whom::Role, Whom::Run, Whom::Setup][..], &[][..]), (&[Whom::IsolatedRole], &["--isolate"])]
    {
        let policies = printed(world, "s3://a-bucket/jobs", &[options, isolate].concat()).await["policies"].take();
        for whom in whoms {
            let judge = Judge::of(Principal::user("anybody")).identity("p", &policies[whom.policy()]);
            all.extend(judge.granted().iter().map(|permission| (*whom, plain(permission))));
        }
    }
    all
}

#[test]
fn each_permission_that_is_granted_is_shown_used_by_a_test() {
    run(Kind::Endpoint, async |world: &World| {
        let mut shown: BTreeMap<(Whom, String), &str> = BTreeMap::new();
        for (test, lists) in LEDGER.iter().chain(CALLED_BY_OTHERS) {
            for (whom, permission) in entries(lists) {
                let before = shown.insert((whom, permission.to_owned()), test);
                assert_eq!(before, None, "{whom:?}, {permission}: in the ledger twice");
            }
        }
        // The last one holds the one before it.
        let all = granted(world, &[&OPTIONS[..6], &OPTIONS[7..]].concat().concat()).await;
        let shown: Granted = shown.into_keys().collect();
        let unused: Vec<_> = all.difference(&shown).collect();
        assert!(unused.is_empty(), "granted, and no test shows it used: {unused:#?}");
        let stale: Vec<_> = shown.difference(&all).collect();
        assert!(stale.is_empty(), "in the ledger, and not granted: {stale:#?}");

        // No option brings rights by the side of another.
        let none = granted(world, &[]).await;
        let mut together = none.clone();
        for option in OPTIONS {
            let alone = granted(world, option).await;
            assert!(alone.len() > none.len() && alone.is_superset(&none), "{option:?} brings nothing of its own");
            together.extend(alone);
        }
        assert_eq!(together, all, "all options together bring what each brings alone");
    });
}

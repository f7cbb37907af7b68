//! An account with what a launch needs in it, made by the test's own calls: for tests of what comes after setup.

use serde_json::Value;

use super::{Aws, Reply};

/// What was made.
#[derive(Clone, Debug)]
pub struct Account {
    /// The agents' role.
    pub role: String,
    /// The instance profile that hands it out.
    pub profile: String,
    /// An image with an agent in it.
    pub image: String,
    /// The security group.
    pub group: String,
    /// The launch template, `lt-…`.
    pub template: String,
    /// The default subnets with their zones.
    pub subnets: Vec<(String, String)>,
}

/// A machine to ask for, in one fleet.
#[derive(Clone, Debug)]
pub struct FleetRequest {
    /// The client token.
    pub token: String,
    /// `instant` or `maintain`.
    pub kind: String,
    /// How many.
    pub count: u32,
    /// How many of them on demand whatever happens.
    pub on_demand: u32,
    /// The market of the rest.
    pub market: String,
    /// Types, in each of the subnets.
    pub types: Vec<String>,
    /// Subnets.
    pub subnets: Vec<String>,
    /// The version of the template.
    pub version: String,
    /// The dearest spot price.
    pub max_price: Option<String>,
}

impl Account {
    /// Makes it.
    ///
    /// # Panics
    /// If the double refuses.
    pub fn make(aws: &Aws) -> Self {
        let expect = |service: &str, action: &str, parameters: &[(&str, &str)]| -> Reply {
            let reply = aws.query(service, action, parameters);
            assert_eq!(reply.status, 200, "{service}:{action}: {}", reply.body);
            reply
        };
        let (role, profile) = ("dayfly-test".to_owned(), "dayfly-test".to_owned());
        expect("iam", "CreateRole", &[("RoleName", &role), ("AssumeRolePolicyDocument", "{}")]);
        expect("iam", "CreateInstanceProfile", &[("InstanceProfileName", &profile)]);
        let parameters = [("InstanceProfileName", profile.as_str()), ("RoleName", role.as_str())];
        expect("iam", "AddRoleToInstanceProfile", &parameters);
        let image = aws.add_dayfly_image(env!("CARGO_PKG_VERSION"));
        let vpc = expect("ec2", "DescribeVpcs", &[]).field("vpcId").expect("a default VPC").to_owned();
        let subnets = expect("ec2", "DescribeSubnets", &[]);
        let pairs = subnets.fields("subnetId").into_iter().zip(subnets.fields("availabilityZone"));
        let subnets = pairs.map(|(id, zone)| (id.to_owned(), zone.to_owned())).collect();
        let group =
            expect("ec2", "CreateSecurityGroup", &[("GroupName", "t"), ("GroupDescription", "t"), ("VpcId", &vpc)]);
        let group = group.field("groupId").expect("a group").to_owned();
        let data = template_data(&image, &profile, &group, None);
        let mut parameters = vec![("LaunchTemplateName", "dayfly-test".to_owned())];
        parameters.extend(data);
        let template = expect("ec2", "CreateLaunchTemplate", &borrowed(&parameters));
        let template = template.field("launchTemplateId").expect("a template").to_owned();
        Self { role, profile, image, group, template, subnets }
    }

    /// A version of the template with this user data, and these tags on instances and volumes; its number.
    ///
    /// # Panics
    /// If the double refuses.
    pub fn version(&self, aws: &Aws, user_data: &Value, tags: &[(&str, &str)]) -> String {
        let encoded = base64(user_data.to_string().as_bytes());
        let mut parameters = vec![("LaunchTemplateId", self.template.clone())];
        parameters.extend(template_data(&self.image, &self.profile, &self.group, Some(encoded)));
        let mut parameters: Vec<(String, String)> =
            parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for (nth, kind) in ["instance", "volume"].iter().enumerate() {
            let at = format!("LaunchTemplateData.TagSpecification.{}", nth + 1);
            parameters.push((format!("{at}.ResourceType"), (*kind).to_owned()));
            for (nth, (key, value)) in tags.iter().enumerate() {
                parameters.push((format!("{at}.Tag.{}.Key", nth + 1), (*key).to_owned()));
                parameters.push((format!("{at}.Tag.{}.Value", nth + 1), (*value).to_owned()));
            }
        }
        let parameters: Vec<(&str, &str)> = parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let reply = aws.query("ec2", "CreateLaunchTemplateVersion", &parameters);
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.field("versionNumber").expect("a version").to_owned()
    }

    /// A request for an instant fleet of spot machines: `m5.large` and `c5.large` in the first three zones.
    pub fn request(&self, token: &str, count: u32) -> FleetRequest {
        FleetRequest {
            token: token.to_owned(),
            kind: "instant".to_owned(),
            count,
            on_demand: 0,
            market: "spot".to_owned(),
            types: vec!["m5.large".to_owned(), "c5.large".to_owned()],
            subnets: self.subnets.iter().take(3).map(|(id, _)| id.clone()).collect(),
            version: "$Latest".to_owned(),
            max_price: None,
        }
    }

    /// Asks for a fleet.
    pub fn launch(&self, aws: &Aws, request: &FleetRequest) -> Reply {
        let mut parameters: Vec<(String, String)> = vec![
            ("ClientToken".into(), request.token.clone()),
            ("Type".into(), request.kind.clone()),
            ("SpotOptions.AllocationStrategy".into(), "price-capacity-optimized".into()),
            ("TargetCapacitySpecification.TotalTargetCapacity".into(), request.count.to_string()),
            ("TargetCapacitySpecification.OnDemandTargetCapacity".into(), request.on_demand.to_string()),
            ("TargetCapacitySpecification.DefaultTargetCapacityType".into(), request.market.clone()),
        ];
        let config = "LaunchTemplateConfigs.1";
        let template = format!("{config}.LaunchTemplateSpecification");
        parameters.push((format!("{template}.LaunchTemplateId"), self.template.clone()));
        parameters.push((format!("{template}.Version"), request.version.clone()));
        let pools = request.types.iter().flat_map(|kind| request.subnets.iter().map(move |subnet| (kind, subnet)));
        for (nth, (kind, subnet)) in pools.enumerate() {
            let pool = format!("{config}.Overrides.{}", nth + 1);
            parameters.push((format!("{pool}.InstanceType"), kind.clone()));
            parameters.push((format!("{pool}.SubnetId"), subnet.clone()));
            if let Some(price) = &request.max_price {
                parameters.push((format!("{pool}.MaxPrice"), price.clone()));
            }
        }
        let parameters: Vec<(&str, &str)> = parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        aws.query("ec2", "CreateFleet", &parameters)
    }
}

fn borrowed<'a>(parameters: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    parameters.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn template_data(image: &str, profile: &str, group: &str, user_data: Option<String>) -> Vec<(&'static str, String)> {
    let mut data = vec![
        ("LaunchTemplateData.ImageId", image.to_owned()),
        ("LaunchTemplateData.InstanceType", "m5.large".to_owned()),
        ("LaunchTemplateData.IamInstanceProfile.Name", profile.to_owned()),
        ("LaunchTemplateData.SecurityGroupId.1", group.to_owned()),
        ("LaunchTemplateData.InstanceInitiatedShutdownBehavior", "terminate".to_owned()),
        ("LaunchTemplateData.MetadataOptions.HttpTokens", "required".to_owned()),
        ("LaunchTemplateData.MetadataOptions.HttpPutResponseHopLimit", "1".to_owned()),
        ("LaunchTemplateData.MetadataOptions.InstanceMetadataTags", "enabled".to_owned()),
        ("LaunchTemplateData.BlockDeviceMapping.1.DeviceName", "/dev/xvda".to_owned()),
        ("LaunchTemplateData.BlockDeviceMapping.1.Ebs.VolumeSize", "20".to_owned()),
        ("LaunchTemplateData.BlockDeviceMapping.1.Ebs.VolumeType", "gp3".to_owned()),
        ("LaunchTemplateData.BlockDeviceMapping.1.Ebs.Encrypted", "true".to_owned()),
        ("LaunchTemplateData.BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true".to_owned()),
    ];
    data.extend(user_data.map(|text| ("LaunchTemplateData.UserData", text)));
    data
}

/// RFC 4648's alphabet, with padding.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let n = three.iter().fold(0_u32, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4_usize {
            let letter = ALPHABET[usize::try_from(n >> (18 - 6 * place) & 63).unwrap_or_default()];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

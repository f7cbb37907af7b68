"""Amazon EC2: Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2"; EC2 user guide,
"Launch instances (RunInstances)" and "Tag resources on creation" for what else a call is evaluated as."""

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT

from .. import launches
from ..wire import tags_of

# Calls about one resource or several: the parameter that holds the id, and the kind in its ARN.
ABOUT = {
    "TerminateInstances": ("InstanceId", "instance"),
    "StopInstances": ("InstanceId", "instance"),
    "StartInstances": ("InstanceId", "instance"),
    "RebootInstances": ("InstanceId", "instance"),
    "GetConsoleOutput": ("InstanceId", "instance"),
    "ModifyInstanceAttribute": ("InstanceId", "instance"),
    "DeleteFleets": ("FleetId", "fleet"),
    "ModifyFleet": ("FleetId", "fleet"),
    "DescribeFleetHistory": ("FleetId", "fleet"),
    "DescribeFleetInstances": ("FleetId", "fleet"),
    "CreateLaunchTemplateVersion": ("LaunchTemplateId", "launch-template"),
    "ModifyLaunchTemplate": ("LaunchTemplateId", "launch-template"),
    "DeleteLaunchTemplate": ("LaunchTemplateId", "launch-template"),
    "DeleteLaunchTemplateVersions": ("LaunchTemplateId", "launch-template"),
    "GetLaunchTemplateData": ("InstanceId", "instance"),
    "DeleteSecurityGroup": ("GroupId", "security-group"),
    "AuthorizeSecurityGroupIngress": ("GroupId", "security-group"),
    "AuthorizeSecurityGroupEgress": ("GroupId", "security-group"),
    "RevokeSecurityGroupIngress": ("GroupId", "security-group"),
    "RevokeSecurityGroupEgress": ("GroupId", "security-group"),
    "DeleteVolume": ("VolumeId", "volume"),
    "DeregisterImage": ("ImageId", "image"),
    "DeleteSnapshot": ("SnapshotId", "snapshot"),
}
# The kind that the beginning of an id says.
KINDS = {
    "i": "instance",
    "vol": "volume",
    "fleet": "fleet",
    "lt": "launch-template",
    "sg": "security-group",
    "ami": "image",
    "snap": "snapshot",
    "subnet": "subnet",
    "vpc": "vpc",
    "eipalloc": "elastic-ip",
}
# Calls that create one kind of resource, and what else they are about.
CREATE = {
    "CreateLaunchTemplate": "launch-template",
    "CreateSecurityGroup": "security-group",
    "CreateVolume": "volume",
    "CreateImage": "image",
    "RegisterImage": "image",
}


def arn(region, kind, name="*"):
    # Images and snapshots belong to no account in ARNs (Service Authorization Reference, "Resource types").
    account = "" if kind in ("image", "snapshot") else ACCOUNT
    return f"arn:aws:ec2:{region}:{account}:{kind}/{name}"


def existing(call, kind, name):
    """ARN and tags, under both names of the condition key, of a resource that is there."""
    tags = {}
    if kind == "fleet":
        fleet = call.door.fleets.fleets.get(name)
        tags = dict(fleet.tags) if fleet else {}
    else:
        tags = dict(launches.backend(call.region).tags.get(name, {}))
    context = {"ec2:Region": call.region}
    for key, value in tags.items():
        context[f"aws:ResourceTag/{key}"] = context[f"ec2:ResourceTag/{key}"] = value
    return arn(call.region, kind, name), context


def asked_tags(tags):
    """The condition keys of tags that a request has."""
    return (
        {"aws:TagKeys": sorted(tags), **{f"aws:RequestTag/{key}": value for key, value in tags.items()}} if tags else {}
    )


def checks(call):
    asked, region, name = call.asked, {"ec2:Region": call.region}, f"ec2:{call.action}"
    match call.action:
        case "CreateFleet":
            return _fleet(call)
        case "RunInstances":
            data, template = {}, None
            if asked.get("LaunchTemplate"):
                template, data = launches.version_of(call.region, asked["LaunchTemplate"])
            market = "spot" if asked.get("InstanceMarketOptions") or data.get("InstanceMarketOptions") else "on-demand"
            return _run(call, template, data, asked, market)
        case "CreateTags" | "DeleteTags":
            tags = {tag["Key"]: tag.get("Value", "") for tag in asked.get("Tag", [])}
            found = []
            for resource in asked.get("ResourceId", []):
                where, context = existing(call, KINDS.get(resource.split("-")[0], "unknown"), resource)
                found.append((name, where, {**context, **asked_tags(tags)}))
            return found
    if call.action in CREATE:
        kind = CREATE[call.action]
        tags = tags_of(asked.get("TagSpecification"), kind)
        found = [(name, arn(call.region, kind), {**region, **asked_tags(tags)})]
        if asked.get("VpcId"):
            where, context = existing(call, "vpc", asked["VpcId"])
            found.append((name, where, context))
        # RegisterImage is about the snapshots, too.
        for mapping in asked.get("BlockDeviceMapping", []):
            where, context = existing(call, "snapshot", (mapping.get("Ebs") or {}).get("SnapshotId"))
            found.append((name, where, context))
        return found + _tagged(call, kind, tags, call.action)
    if call.action in ABOUT:
        field, kind = ABOUT[call.action]
        names = asked.get(field) or []
        if not names and asked.get("LaunchTemplateName"):
            names = [
                t.id
                for t in launches.backend(call.region).launch_templates.values()
                if t.name == asked["LaunchTemplateName"]
            ]
        names = [names] if isinstance(names, str) else names
        return [(name, where, context) for where, context in (existing(call, kind, one) for one in names)] or [
            (name, arn(call.region, kind), region)
        ]
    return [(name, "*", region)]


def _tagged(call, kind, tags, creator):
    """Tagging at creation is evaluated as CreateTags with ec2:CreateAction."""
    if not tags:
        return []
    return [
        (
            "ec2:CreateTags",
            arn(call.region, kind),
            {"ec2:Region": call.region, "ec2:CreateAction": creator, **asked_tags(tags)},
        )
    ]


def _fleet(call):
    """EC2 user guide, "EC2 Fleet prerequisites": the caller needs RunInstances, CreateTags and PassRole too."""
    asked, tags = call.asked, tags_of(call.asked.get("TagSpecification"), "fleet")
    capacity = asked.get("TargetCapacitySpecification") or {}
    markets = {capacity.get("DefaultTargetCapacityType", "on-demand")}
    markets |= {"on-demand"} if int(capacity.get("OnDemandTargetCapacity", 0)) else set()
    markets = sorted(markets | ({"spot"} if int(capacity.get("SpotTargetCapacity", 0)) else set()))
    found = [("ec2:CreateFleet", arn(call.region, "fleet"), {"ec2:Region": call.region, **asked_tags(tags)})]
    found += _tagged(call, "fleet", tags, "CreateFleet")
    for config in asked.get("LaunchTemplateConfigs") or []:
        template, data = launches.version_of(call.region, config.get("LaunchTemplateSpecification") or {})
        where, context = existing(call, "launch-template", template.id)
        found.append(("ec2:CreateFleet", where, context))
        for override in config.get("Overrides") or [{}]:
            # What the request itself names is evaluated for CreateFleet, too; what stands in the template for
            # RunInstances alone (Service Authorization Reference, CreateFleet).
            for kind, name in (("subnet", override.get("SubnetId")), ("image", override.get("ImageId"))):
                if name:
                    where, context = existing(call, kind, name)
                    found.append(("ec2:CreateFleet", where, context))
            for market in markets:
                found += _run(call, template, data, override, market)
    return _once(found)


def _run(call, template, data, override, market):
    """The resources of a launch, each with its condition keys."""
    asked = call.asked
    region = {"ec2:Region": call.region}
    if template:
        region |= {
            "ec2:LaunchTemplate": arn(call.region, "launch-template", template.id),
            "ec2:IsLaunchTemplateResource": "true",
        }
    image = override.get("ImageId") or data.get("ImageId")
    profile = launches.profile_of(override.get("IamInstanceProfile") or data.get("IamInstanceProfile") or {})
    options = {**data.get("MetadataOptions", {}), **(asked.get("MetadataOptions") or {})}
    tags = {
        kind: {**tags_of(data.get("TagSpecifications"), kind), **tags_of(asked.get("TagSpecification"), kind)}
        for kind in ("instance", "volume", "network-interface")
    }
    about = {
        "ec2:InstanceType": override.get("InstanceType") or data.get("InstanceType"),
        "ec2:InstanceMarketType": market,
        "ec2:MetadataHttpTokens": options.get("HttpTokens"),
        "ec2:MetadataHttpPutResponseHopLimit": options.get("HttpPutResponseHopLimit"),
        "ec2:InstanceProfile": profile.arn if profile else None,
        "ec2:RootDeviceType": "ebs",
    }
    about = {key: str(value) for key, value in about.items() if value is not None}
    found = [("ec2:RunInstances", arn(call.region, "instance"), {**region, **about, **asked_tags(tags["instance"])})]
    disk = next((m["Ebs"] for m in data.get("BlockDeviceMappings", []) if m.get("Ebs")), {})
    volume = {
        "ec2:VolumeType": disk.get("VolumeType"),
        "ec2:VolumeSize": disk.get("VolumeSize"),
        "ec2:Encrypted": str(disk.get("Encrypted", False)).lower(),
    }
    volume = {key: str(value) for key, value in volume.items() if value is not None}
    found.append(("ec2:RunInstances", arn(call.region, "volume"), {**region, **volume, **asked_tags(tags["volume"])}))
    found.append(
        ("ec2:RunInstances", arn(call.region, "network-interface"), {**region, **asked_tags(tags["network-interface"])})
    )
    nics = data.get("NetworkInterfaces", [])
    groups = [
        *(asked.get("SecurityGroupId") or data.get("SecurityGroupIds") or []),
        *(g for nic in nics for g in nic.get("Groups", [])),
    ]
    subnet = override.get("SubnetId") or next((nic["SubnetId"] for nic in nics if nic.get("SubnetId")), None)
    there = [("image", image), ("subnet", subnet), *(("security-group", group) for group in groups)]
    if template:
        there.append(("launch-template", template.id))
    for kind, name in there:
        where, context = existing(call, kind, name or "*")
        found.append(("ec2:RunInstances", where, {**region, **context}))
    for kind in tags:
        # Tags of instances and volumes are put on by RunInstances, in a fleet as well.
        found += _tagged(call, kind, tags[kind], "RunInstances")
    if profile:
        for role in profile.roles:
            found.append(
                (
                    "iam:PassRole",
                    role.arn,
                    {
                        "iam:PassedToService": "ec2.amazonaws.com",
                        "iam:AssociatedResourceArn": arn(call.region, "instance"),
                    },
                )
            )
    return _once(found)


def _once(found):
    kept = []
    for check in found:
        if check not in kept:
            kept.append(check)
    return kept

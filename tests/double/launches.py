"""One machine: what EC2 refuses, and what it takes from a launch template, over moto's backend in the same process."""

import base64
import re

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.core.types import Base64EncodedString
from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.iam.models import iam_backends

from .rules import words
from .wire import Refusal

# EC2 user guide, "Run commands when you launch an EC2 instance with user data input": 16 KB before base64.
USER_DATA_MAX = 16 * 1024


def backend(region):
    """moto's EC2 of a region."""
    return ec2_backends[ACCOUNT][region]


def check_user_data(encoded):
    if encoded is None:
        return
    try:
        size = len(base64.b64decode(str(encoded), validate=True))
    except ValueError as error:
        raise Refusal("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from error
    if size > USER_DATA_MAX:
        raise Refusal("InvalidParameterValue", "User data is limited to 16384 bytes")


def check_image(region, image):
    """The image; EC2 API reference, "Error codes": InvalidAMIID.Malformed, InvalidAMIID.NotFound."""
    if not re.fullmatch(r"ami-([0-9a-f]{8}|[0-9a-f]{17})", image or ""):
        raise Refusal("InvalidAMIID.Malformed", f'Invalid id: "{image}" (expecting "ami-...")')
    if image not in backend(region).amis:
        raise Refusal("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")
    return backend(region).amis[image]


def check_type(image, kind):
    """EC2 API reference, "Error codes": InvalidParameterValue; the architectures have to agree (RunInstances)."""
    if kind not in INSTANCE_TYPES:
        raise Refusal("InvalidParameterValue", f"The following supplied instance types do not exist: [{kind}]")
    made_for = INSTANCE_TYPES[kind]["ProcessorInfo"]["SupportedArchitectures"]
    if image.architecture not in made_for:
        raise Refusal(
            "InvalidParameterValue",
            f"The architecture '{','.join(made_for)}' of the specified instance type does not match the architecture "
            f"'{image.architecture}' of the specified AMI. Specify an instance type and an AMI that have matching "
            "architectures, and try again.",
        )


def profile_of(asked):
    """moto's instance profile of `{"Name": …}` or `{"Arn": …}`, or None."""
    for profile in iam_backends[ACCOUNT]["aws"].instance_profiles.values():
        if profile.name == asked.get("Name") or profile.arn == asked.get("Arn"):
            return profile
    return None


class Launches:
    """Machines."""

    def __init__(self, rules):
        self.rules = rules
        # Launches that a new profile is not seen by yet (IAM user guide, "Troubleshoot IAM": changes are not always
        # visible at once), by name; and how many a profile made from now on has.
        self.unseen, self.unseen_at_first = {}, 0
        # What has been found of a profile during the call that is being served: it does not come into sight half-way.
        self.judged = {}
        self.console = {}

    def profile_made(self, name):
        self.unseen[name] = self.unseen_at_first

    def check_profile(self, asked):
        """The profile, if EC2 sees it yet."""
        # An empty name is none: Packer sends it.
        if not any((asked or {}).values()):
            return None
        profile, (field, value) = profile_of(asked), next(iter(asked.items()))
        name = profile.name if profile else value
        if name not in self.judged:
            self.judged[name] = profile is not None and self.unseen.get(name, 0) <= 0
            self.unseen[name] = self.unseen.get(name, 0) - 1
        if not self.judged[name]:
            what = "name" if field == "Name" else "ARN"
            raise Refusal(
                "InvalidParameterValue",
                f"Value ({value}) for parameter iamInstanceProfile.{field.lower()} is invalid. "
                f"Invalid IAM Instance Profile {what}",
            )
        return profile

    def refuse(self, key, zone, kind, market):
        """The rules that a test set for machines of this pool."""
        rule = self.rules.hit(("refuse",), service="ec2", action="Launch", key=key, zone=zone, type=kind, market=market)
        if rule:
            raise Refusal(*words(rule))

    def launch(self, region, template, data, override, market, tags, key, fleet):
        """Starts one machine of a launch template's version, as an override of a fleet changes it."""
        ec2 = backend(region)
        image = check_image(region, override.get("ImageId") or data.get("ImageId"))
        kind = override.get("InstanceType") or data.get("InstanceType")
        check_type(image, kind)
        check_user_data(data.get("UserData"))
        profile = self.check_profile(data.get("IamInstanceProfile"))
        subnet = override.get("SubnetId") or next((n.get("SubnetId") for n in data.get("NetworkInterfaces", [])), None)
        zone = ec2.get_subnet(subnet).availability_zone if subnet else override.get("AvailabilityZone") or region + "a"
        self.refuse(key, zone, kind, market)
        nics = [dict(n, SubnetId=subnet) for n in data.get("NetworkInterfaces", [])]
        for nic in nics:
            nic.setdefault("DeviceIndex", 0)
        user_data = data.get("UserData")
        reservation = ec2.run_instances(
            image.id,
            1,
            None if user_data is None else Base64EncodedString(str(user_data)),
            [],
            instance_type=kind,
            is_instance_type_default=False,
            placement=None if subnet else zone,
            region_name=region,
            subnet_id=None if nics else subnet,
            security_group_ids=list(data.get("SecurityGroupIds", [])),
            nics=nics,
            tags={
                "instance": {**tags.get("instance", {}), "aws:ec2:fleet-id": fleet},
                "volume": tags.get("volume", {}),
            },
            instance_initiated_shutdown_behavior=data.get("InstanceInitiatedShutdownBehavior"),
            metadata_options=data.get("MetadataOptions", {}),
            instance_market_options="spot" if market == "spot" else None,
            launch_template={"LaunchTemplateId": template.id, "Version": str(data["number"])},
            block_device_mappings=[sized(mapping) for mapping in data.get("BlockDeviceMappings", [])]
            or [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "DeleteOnTermination": True}}],
        )
        machine = reservation.instances[0]
        if profile:
            ec2.associate_iam_instance_profile(instance_id=machine.id, iam_instance_profile_name=profile.name)
            machine.profile_of_launch = profile
        return machine

    def check_run(self, region, key, asked):
        """What RunInstances refuses before moto sees it."""
        data = {}
        if asked.get("LaunchTemplate"):
            data = version_of(region, asked["LaunchTemplate"])[1]
        image = check_image(region, asked.get("ImageId") or data.get("ImageId"))
        kind = asked.get("InstanceType") or data.get("InstanceType") or "m1.small"
        check_type(image, kind)
        check_user_data(asked.get("UserData") or data.get("UserData"))
        self.check_profile(asked.get("IamInstanceProfile") or data.get("IamInstanceProfile"))
        if asked.get("DryRun") == "true":
            return
        subnet = asked.get("SubnetId")
        zone = backend(region).get_subnet(subnet).availability_zone if subnet else region + "a"
        self.refuse(key, zone, kind, "spot" if asked.get("InstanceMarketOptions") else "on-demand")

    @staticmethod
    def check_stop(region, ids):
        """EC2 user guide, "Stop and start Amazon EC2 instances": no one-time spot instance can be stopped."""
        for machine in backend(region).all_instances():
            if machine.id in ids and machine.lifecycle == "spot":
                raise Refusal(
                    "UnsupportedOperation",
                    f"You can't stop the Spot Instance '{machine.id}' because it is associated with a one-time "
                    "Spot Instance request. "
                    "You can only stop Spot Instances associated with persistent Spot Instance requests.",
                )

    def end(self, region, machine_id, code, message):
        """A machine ends by itself, or EC2 takes it; by its shutdown behaviour where it powered off."""
        machine = backend(region).get_instance(machine_id)
        if machine.state == "terminated":
            return
        if code.startswith("Client.InstanceInitiated") and machine.instance_initiated_shutdown_behavior == "stop":
            machine.stop()
        else:
            machine.terminate()
        machine.state_reason.code, machine.state_reason.message = code, f"{code}: {message}"


def sized(mapping):
    """Where nothing else is said a volume is as large as its snapshot (API reference, EbsBlockDevice); moto wants a size."""
    return {**mapping, "Ebs": {"VolumeSize": 8, **mapping["Ebs"]}} if mapping.get("Ebs") else mapping


def version_of(region, asked):
    """A launch template and the data of its version, with its number in it."""
    ec2 = backend(region)
    templates = ec2.launch_templates.values()
    for template in templates:
        if asked.get("LaunchTemplateId") == template.id or asked.get("LaunchTemplateName") == template.name:
            number = asked.get("Version") or "$Default"
            try:
                version = template.get_version(number)
            except Exception as error:
                raise Refusal(
                    "InvalidLaunchTemplateId.VersionNotFound",
                    f"Could not find the specified version {number} for the launch template with ID {template.id}.",
                ) from error
            return template, {**version.data, "number": version.number}
    if asked.get("LaunchTemplateId"):
        raise Refusal(
            "InvalidLaunchTemplateId.NotFound",
            f"The specified launch template, with template ID {asked['LaunchTemplateId']}, does not exist.",
        )
    raise Refusal(
        "InvalidLaunchTemplateName.NotFoundException",
        f"The specified launch template, with template name {asked.get('LaunchTemplateName')}, does not exist.",
    )

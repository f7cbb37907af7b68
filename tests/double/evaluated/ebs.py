"""The EBS direct APIs: Service Authorization Reference, "Actions, resources, and condition keys for Amazon Elastic Block
Store". That tags at StartSnapshot are evaluated as ec2:CreateTags is written there; that the condition key
ec2:CreateAction is then `StartSnapshot` is not, and is taken from how EC2 does it."""

from .ec2 import arn, asked_tags, existing


def checks(call):
    action, asked = f"ebs:{call.action}", call.asked
    if call.action != "StartSnapshot":
        where, context = existing(call, "snapshot", asked.get("SnapshotId"))
        # Condition keys of EC2's own are none of this service's.
        return [(action, where, {key: value for key, value in context.items() if key.startswith("aws:")})]
    tags = asked_tags({tag["Key"]: tag.get("Value", "") for tag in asked.get("Tags", [])})
    where = arn(call.region, "snapshot")
    context = {"ebs:VolumeSize": str(asked.get("VolumeSize")), **tags}
    if asked.get("Description"):
        context["ebs:Description"] = asked["Description"]
    found = [(action, where, context)]
    if tags:
        found.append(("ec2:CreateTags", where, {"ec2:Region": call.region, "ec2:CreateAction": call.action, **tags}))
    return found

"""IAM, STS, Systems Manager, CloudWatch Logs, ECR, SNS, Secrets Manager, Service Quotas, Pricing: Service Authorization Reference, a
page each."""

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.iam.models import iam_backends
from moto.secretsmanager.models import secretsmanager_backends

from .ec2 import asked_tags, existing

# IAM user guide: GetCallerIdentity needs no permission.
FREE = {("sts", "GetCallerIdentity")}


def checks(call):
    if (call.service, call.action) in FREE:
        return []
    action = f"{call.service}:{call.action}"
    known = {"iam": _iam, "ssm": _ssm, "logs": _logs, "ecr": _ecr, "sns": _sns, "servicequotas": _quotas}
    known["secretsmanager"] = _secrets
    about = known.get(call.service)
    return about(call, action) if about else [(action, "*", {})]


def _tags(call):
    asked = call.asked.get("Tags") or call.asked.get("tags") or []
    if isinstance(asked, dict):
        return asked_tags(asked.get("member") and {t["Key"]: t["Value"] for t in asked["member"]} or asked)
    return asked_tags({t["Key"]: t.get("Value", "") for t in asked})


def _iam(call, action):
    asked, iam = call.asked, iam_backends[ACCOUNT]["aws"]
    role, profile, name = asked.get("RoleName"), asked.get("InstanceProfileName"), asked.get("PolicyArn")
    role_arn = next((r.arn for r in iam.roles.values() if r.name == role), f"arn:aws:iam::{ACCOUNT}:role/{role}")
    context = _tags(call)
    if name:
        context["iam:PolicyARN"] = name
    there = next((r for r in iam.roles.values() if r.name == role), None)
    for key, value in (there.tags if there and isinstance(there.tags, dict) else {}).items():
        value = value.get("Value") if isinstance(value, dict) else value
        context[f"aws:ResourceTag/{key}"] = context[f"iam:ResourceTag/{key}"] = value
    if call.action == "CreateServiceLinkedRole":
        service = asked.get("AWSServiceName")
        return [(action, f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{service}/*", {"iam:AWSServiceName": service})]
    if profile:
        arn, tags = f"arn:aws:iam::{ACCOUNT}:instance-profile/{profile}", _tags(call)
        found = [(action, arn, tags)]
        # IAM user guide, "Tag instance profiles": tags at creation need the permission to tag, too.
        if call.action == "CreateInstanceProfile" and tags:
            found.append(("iam:TagInstanceProfile", arn, tags))
        # AddRoleToInstanceProfile, "Note": the caller has to be allowed to pass the role.
        return found + ([("iam:PassRole", role_arn, {})] if call.action == "AddRoleToInstanceProfile" else [])
    if role:
        found = [(action, role_arn, context)]
        # IAM user guide, "Tag IAM roles": likewise.
        return found + ([("iam:TagRole", role_arn, context)] if call.action == "CreateRole" and context else [])
    return [(action, name or "*", {})]


def _ssm(call, action):
    asked, where = call.asked, f"arn:aws:ssm:{call.region}"
    if call.action in ("GetParameter", "GetParameters", "GetParametersByPath"):
        names = asked.get("Names") or [asked.get("Name") or asked.get("Path")]
        # Public parameters belong to no account.
        return [
            (action, f"{where}:{'' if n.startswith('/aws/service/') else ACCOUNT}:parameter/{n.lstrip('/')}", {})
            for n in names
        ]
    if call.action == "SendCommand":
        document = asked.get("DocumentName")
        found = [(action, f"{where}:{'' if document.startswith('AWS-') else ACCOUNT}:document/{document}", {})]
        return found + [_instance(call, action, name) for name in asked.get("InstanceIds", [])]
    if call.action == "StartSession":
        found = [_instance(call, action, asked.get("Target"))]
        document = asked.get("DocumentName") or "SSM-SessionManagerRunShell"
        return found + [(action, f"{where}:{'' if document.startswith('AWS-') else ACCOUNT}:document/{document}", {})]
    return [(action, "*", {})]


def _instance(call, action, name):
    arn, context = existing(call, "instance", name)
    context |= {
        key.replace("aws:ResourceTag/", "ssm:resourceTag/"): value
        for key, value in context.items()
        if key.startswith("aws:ResourceTag/")
    }
    return action, arn, {key: value for key, value in context.items() if not key.startswith("ec2:")}


def _logs(call, action):
    group, stream = call.asked.get("logGroupName"), call.asked.get("logStreamName")
    if call.asked.get("resourceArn"):
        # Tags are asked by the group's ARN, without its streams.
        return [(action, call.asked["resourceArn"], {})]
    if group is None:
        return [(action, f"arn:aws:logs:{call.region}:{ACCOUNT}:log-group::log-stream:", {})]
    tail = f":log-stream:{stream}" if stream else ":*" if call.action != "CreateLogGroup" else ""
    arn = f"arn:aws:logs:{call.region}:{ACCOUNT}:log-group:{group}{tail}"
    # API reference, CreateLogGroup: tags at creation need the permission to tag, too.
    tagging = [("logs:TagResource", arn, {})] if call.action == "CreateLogGroup" and call.asked.get("tags") else []
    return [(action, arn, {})] + tagging


def _ecr(call, action):
    name = call.asked.get("repositoryName") or next(iter(call.asked.get("repositoryNames") or []), None)
    if call.action == "GetAuthorizationToken":
        return [(action, "*", {})]
    arn, tags = f"arn:aws:ecr:{call.region}:{ACCOUNT}:repository/{name or '*'}", _tags(call)
    found = [(action, arn, tags)]
    # ECR user guide, "Tagging a private repository": tags at creation need the permission to tag, too.
    return found + ([("ecr:TagResource", arn, tags)] if call.action == "CreateRepository" and tags else [])


def _sns(call, action):
    return [(action, call.asked.get("TopicArn") or "*", {})]


def _secrets(call, action):
    # A secret's ARN ends with six characters that nobody chooses; the caller may name it without.
    name = call.asked.get("SecretId") or call.asked.get("Name")
    kept = secretsmanager_backends[ACCOUNT][call.region].secrets
    arn = next((secret.arn for secret in kept.values() if name in (secret.name, secret.arn)), "*")
    return [(action, arn, {})]


def _quotas(call, action):
    asked = call.asked
    return [
        (
            action,
            f"arn:aws:servicequotas:{call.region}:{ACCOUNT}:{asked.get('ServiceCode')}/{asked.get('QuotaCode', '*')}",
            {},
        )
    ]

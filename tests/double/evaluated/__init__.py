"""What IAM evaluates for a call: a list of checks, each an action, a resource, and the condition keys of the request
(Service Authorization Reference, "Actions, resources, and condition keys for …"). Every check has to be allowed."""

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT

from . import ebs, ec2, rest, s3


def checks(call):
    """The checks of a call; none where AWS asks for no permission."""
    try:
        if call.service == "s3":
            found = s3.checks(call)
        elif call.service == "ec2":
            found = ec2.checks(call)
        elif call.service == "ebs":
            found = ebs.checks(call)
        else:
            found = rest.checks(call)
    except Exception as error:  # malformed, and refused by the service; the record says that it was not read
        found = [(f"{call.service}:{call.action}", "*", {"unread": repr(error)})]
    return [
        {
            "action": action,
            "resource": resource,
            # On AWS every call is TLS; here none is. IAM user guide, "AWS global condition context keys".
            "context": {
                "aws:RequestedRegion": call.region,
                "aws:SecureTransport": "true",
                "aws:PrincipalAccount": ACCOUNT,
                **context,
            },
        }
        for action, resource, context in found
    ]

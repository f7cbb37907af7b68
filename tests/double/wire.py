"""The protocols that AWS's services speak (AWS SDKs' "AWS Query", "EC2 query", "AWS JSON 1.1" and S3's REST)."""

import json
import traceback
import uuid
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

EC2_SPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


class Refusal(Exception):
    """An answer that is an error: the service's code, its words, the status."""

    def __init__(self, code, message, status=400, headers=None):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.headers = code, message, status, headers or {}


def of_moto(error):
    """What moto's backend raises has the service's code; anything else is a defect of ours, and the log shows it."""
    if isinstance(error, Refusal):
        return error
    code, message = getattr(error, "error_type", None), getattr(error, "message", None)
    if code is None:
        traceback.print_exception(error)
        return Refusal("InternalError", repr(error), 500)
    return Refusal(code, message or str(error))


class Answer:
    """Status, headers, body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def code(self):
        """The service's code of an error, as far as it can be read."""
        if self.status < 300:
            return None
        text = self.body.decode("utf-8", "replace")
        if "<Code>" in text:
            return text.split("<Code>", 1)[1].split("</Code>", 1)[0]
        try:
            return str(json.loads(text).get("__type", "")).rsplit("#", 1)[-1] or None
        except (ValueError, AttributeError):
            return None


def flat(body):
    """The parameters of a Query request, as they were sent."""
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def nested(parameters):
    """`A.1.B=x` as `{"A": [{"B": "x"}]}`."""
    tree = {}
    for name, value in parameters.items():
        at, steps = tree, name.split(".")
        for step in steps[:-1]:
            at = at.setdefault(step, {})
            if not isinstance(at, dict):
                break
        if isinstance(at, dict):
            at[steps[-1]] = value
    return _lists(tree)


def _lists(tree):
    if not isinstance(tree, dict):
        return tree
    if tree and all(name.isdigit() for name in tree):
        return [_lists(tree[name]) for name in sorted(tree, key=int)]
    return {name: _lists(value) for name, value in tree.items()}


def tags_of(specifications, kind):
    """The tags that `TagSpecification.N` has for a kind of resource; `Tag` on the wire, `Tags` in moto's templates."""
    tags = {}
    for specification in specifications or []:
        if specification.get("ResourceType") == kind:
            for tag in specification.get("Tag") or specification.get("Tags") or []:
                tags[tag["Key"]] = tag.get("Value", "")
    return tags


def filters(parameters):
    """`Filter.N` as `{name: [values]}`."""
    return {f["Name"]: f.get("Value", []) for f in parameters.get("Filter", [])}


def xml(name, value):
    """An element: a dictionary's entries are its children, a list's members are `item`s, `None` is left out."""
    if value is None:
        return ""
    if isinstance(value, dict):
        inner = "".join(xml(key, child) for key, child in value.items())
    elif isinstance(value, list):
        inner = "".join(xml("item", child) for child in value)
    elif isinstance(value, bool):
        inner = "true" if value else "false"
    else:
        inner = escape(str(value))
    return f"<{name}>{inner}</{name}>"


def ec2(action, result):
    """An answer of EC2."""
    inner = "".join(xml(key, value) for key, value in {"requestId": str(uuid.uuid4()), **result}.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?><{action}Response xmlns="{EC2_SPACE}">{inner}</{action}Response>'
    return Answer(200, {"Content-Type": "text/xml;charset=UTF-8"}, body.encode())


def query(action, space, result):
    """An answer of the other Query services."""
    inner = "".join(xml(key, value) for key, value in result.items())
    body = (
        f'<{action}Response xmlns="{space}"><{action}Result>{inner}</{action}Result>'
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{action}Response>"
    )
    return Answer(200, {"Content-Type": "text/xml"}, body.encode())


def json_answer(result, status=200):
    """An answer of the JSON services, and of the control path."""
    return Answer(status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(result).encode())


def refusal(service, error, head=False):
    """The error, as this service says it."""
    request = str(uuid.uuid4())
    said = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    headers = {"Content-Type": "text/xml", **error.headers}
    if service == "ec2":
        body = f"<Response><Errors><Error>{said}</Error></Errors><RequestID>{request}</RequestID></Response>"
    elif service == "s3":
        body = "" if head else f"<Error>{said}<RequestId>{request}</RequestId></Error>"
    elif service in ("iam", "sts", "sns"):
        body = (
            f"<ErrorResponse><Error><Type>Sender</Type>{said}</Error><RequestId>{request}</RequestId></ErrorResponse>"
        )
    else:
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": error.code, **error.headers}
        said = {"__type": error.code, "message": error.message}
        if hasattr(error, "reason"):
            said |= {"Message": error.message, "Reason": error.reason}
        body = json.dumps(said)
    return Answer(error.status, headers, body.encode())

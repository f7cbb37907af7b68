"""One request: who asks for what; the rules; our own answer or moto's; the record."""

import base64
import io
import json
import socket
import threading

from moto.iam.access_control import PermissionResult
from moto.iam.models import SERVICE_NAME_CONVERSION
from moto.s3.models import FakeBucket
from moto.server import DomainDispatcherApplication, create_backend_app

from . import evaluated, offers, snapshots, wire
from .commands import Commands
from .control import Control
from .evaluated import s3 as objects
from .fleets import Fleets
from .launches import Launches, backend, check_user_data
from .rules import Rules, decoded, words
from .snapshots import Snapshots
from .tokens import Tokens
from .wire import Answer, Refusal

# moto holds everybody to a bucket's policy, and takes no notice of its conditions: a denial of plain HTTP denies all.
FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL

# The names of EC2's service-linked roles (EC2 user guide, "Service-linked role for …").
SERVICE_NAME_CONVERSION.update({"spot": "EC2Spot", "ec2fleet": "EC2Fleet"})

STATUSES = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    301: "Moved Permanently",
    304: "Not Modified",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    412: "Precondition Failed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Call:
    """A request, read."""

    def __init__(self, door, environ):
        self.door, self.environ = door, environ
        self.method, self.path, self.query = (
            environ["REQUEST_METHOD"],
            environ.get("PATH_INFO", "/").encode("latin-1").decode("utf-8", "replace"),
            environ.get("QUERY_STRING", ""),
        )
        self.headers = {k[5:].replace("_", "-").lower(): v for k, v in environ.items() if k.startswith("HTTP_")}
        self.body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        # Signature version 4: "Credential=KEY/DATE/REGION/SERVICE/aws4_request".
        scope = self.headers.get("authorization", "").partition("Credential=")[2].split(",")[0].split("/")
        self.key, self.region, self.service = (
            (scope[0], scope[2], scope[3]) if len(scope) == 5 else (None, "us-east-1", "s3")
        )
        self.parameters, self.asked, target = {}, {}, self.headers.get("x-amz-target")
        if target:
            self.action, self.asked = target.rsplit(".", 1)[-1], json.loads(self.body or b"{}")
        elif (
            environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded") and b"Action=" in self.body
        ):
            self.parameters = wire.flat(self.body)
            self.asked, self.action = wire.nested(self.parameters), self.parameters.get("Action", "?")
        elif self.service == "ebs":
            self.action, self.asked = snapshots.read(self)
        else:
            self.action = objects.action(self)

    @property
    def text(self):
        """What a rule's `contains` looks at."""
        return f"{self.method} {self.path}?{self.query}\n{self.body[:65536].decode('utf-8', 'replace')}"

    def facts(self):
        return {"service": self.service, "action": self.action, "key": self.key, "text": self.text}


class Door:
    """The WSGI application."""

    def __init__(self):
        self.moto, self.one = DomainDispatcherApplication(create_backend_app), threading.Lock()
        self.rules, self.tokens, self.commands = Rules(), Tokens(), Commands()
        self.launches = Launches(self.rules)
        self.fleets, self.snapshots = Fleets(self.launches), Snapshots()
        self.calls = []
        self.control = Control(self)
        fleets, commands = self.fleets, self.commands
        # What moto lacks or gets wrong, answered here. One that gives None is moto's after all.
        self.own = {
            ("ec2", "CreateFleet"): fleets.create,
            ("ec2", "DeleteFleets"): fleets.delete,
            ("ec2", "ModifyFleet"): fleets.modify,
            ("ec2", "DescribeFleets"): fleets.describe,
            ("ec2", "DescribeFleetInstances"): fleets.instances,
            ("ec2", "DescribeFleetHistory"): fleets.tell,
            ("ec2", "GetInstanceTypesFromInstanceRequirements"): offers.by_needs,
            ("ec2", "DescribeSpotPriceHistory"): offers.spot_history,
            ("ec2", "GetConsoleOutput"): self.console,
            ("pricing", "GetProducts"): offers.products,
            ("servicequotas", "GetServiceQuota"): offers.quota,
            ("ssm", "SendCommand"): commands.send,
            ("ssm", "GetCommandInvocation"): commands.invocation,
            ("ssm", "DescribeInstanceInformation"): commands.information,
            ("ssm", "StartSession"): commands.session,
            ("ssm", "GetParameter"): commands.parameter,
        }

    def __call__(self, environ, start_response):
        # The body is read before the lock is taken: a slow sender holds up nobody else.
        if environ.get("PATH_INFO", "").startswith("/_double/"):
            answer = self.control.answer(environ)
        else:
            answer = self.serve(Call(self, environ))
        if answer is None:
            # No answer: the connection ends as one does that breaks.
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError("an answer that is not given")
        headers = [(name, value) for name, value in answer.headers.items() if name.lower() != "content-length"]
        length = answer.headers.get("Content-Length") if environ["REQUEST_METHOD"] == "HEAD" else None
        headers.append(("Content-Length", length or str(len(answer.body))))
        start_response(f"{answer.status} {STATUSES.get(answer.status, 'Other')}", headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body]

    def serve(self, call):
        """The answer of a call; None for one that is lost."""
        held = self.rules.hit(("hold",), **call.facts())
        if held:
            self.rules.wait(held)
            if gone(call.environ["werkzeug.socket"]):
                # Whoever asked was ended while the call was held: it has not been made.
                return None
        with self.one:
            self.launches.judged.clear()
            self.fleets.tick()
            record = {
                "service": call.service,
                "action": call.action,
                "key": call.key,
                "region": call.region,
                "method": call.method,
                "path": call.path,
                "token": call.parameters.get("ClientToken") or call.asked.get("ClientToken"),
                "dry_run": call.parameters.get("DryRun") == "true",
                "checks": evaluated.checks(call),
            }
            self.calls.append(record)
            try:
                answer = self.refused(call) or self.carried_out(call)
            except Exception as error:  # refusals, ours and moto's; defects of ours are logged
                answer = wire.refusal(call.service, wire.of_moto(error), call.method == "HEAD")
            record |= {"status": answer.status, "code": answer.code}
        lost = self.rules.hit(("lose", "hold-after"), **call.facts()) if answer.status < 300 else None
        if lost and lost["effect"] == "hold-after":
            self.rules.wait(lost)
        if lost and lost["effect"] == "lose":
            record["lost"] = True
            return None
        return answer

    def refused(self, call):
        """By a rule of the test."""
        rule = self.rules.hit(("refuse",), **call.facts())
        if rule:
            raise Refusal(*words(rule), rule.get("status", 400))

    def carried_out(self, call):
        if not Tokens.concerns(call.action, call.parameters):
            return self.changed(call)
        earlier = self.tokens.earlier(call.action, call.region, call.parameters)
        if earlier is not None:
            return earlier
        answer = self.changed(call)
        if answer.status < 300:
            self.tokens.note(call.action, call.region, call.parameters, answer)
        return answer

    def changed(self, call):
        """Our own answer, or moto's with what has to be looked at before and put right after."""
        handler, result = self.own.get((call.service, call.action)), None
        if handler:
            result = handler(call.region, call.key, call.asked)
        if result is not None:
            return wire.ec2(call.action, result) if call.service == "ec2" else wire.json_answer(result)
        match call.service, call.action:
            case "ebs", _:
                return self.snapshots.carried_out(call, self.by_moto)
            case "ec2", "DescribeSnapshots":
                self.snapshots.look(call.region)
            case "ec2", "RegisterImage":
                snapshots.check_register(call)
            case "sts", "DecodeAuthorizationMessage":
                answer = {"DecodedMessage": decoded(call.asked["EncodedMessage"])}
                return wire.query(call.action, "https://sts.amazonaws.com/doc/2011-06-15/", answer)
            case "ec2", "RunInstances":
                self.launches.check_run(call.region, call.key, call.asked)
            case "ec2", "StopInstances":
                self.launches.check_stop(call.region, call.asked.get("InstanceId", []))
            case "ec2", "CreateLaunchTemplate" | "CreateLaunchTemplateVersion":
                check_user_data((call.asked.get("LaunchTemplateData") or {}).get("UserData"))
            case "s3", _:
                self.check_region(call)
        answer = self.by_moto(call)
        if answer.status < 300:
            self.put_right(call, answer)
        return answer

    def by_moto(self, call):
        said = {}
        environ = {**call.environ, "wsgi.input": io.BytesIO(call.body)}

        def start_response(status, headers, *_):
            said["status"], said["headers"] = int(status.split()[0]), dict(headers)

        body = b"".join(self.moto(environ, start_response))
        return Answer(said["status"], said["headers"], body)

    def put_right(self, call, answer):
        """What moto forgets of a call that it has carried out."""
        match call.service, call.action:
            case "iam", "CreateInstanceProfile":
                self.launches.profile_made(call.asked["InstanceProfileName"])
            case "s3", "GetBucketVersioning":
                # S3 API reference, GetBucketVersioning: the name of its answer's element.
                answer.body = answer.body.replace(b"GetBucketVersioningResponse", b"VersioningConfiguration")
            case "ec2", "RegisterImage":
                snapshots.registered(call, answer.body.decode().partition("<imageId>")[2].partition("<")[0])

    def check_region(self, call):
        """S3 user guide, "Making requests": a bucket of another region answers 301 and names that region."""
        bucket, _ = objects.place(call)
        known = objects.s3_backends[objects.ACCOUNT]["aws"].buckets.get(bucket)
        if (
            known is not None
            and call.key
            and known.region_name != call.region
            and "location" not in call.query.split("&")
        ):
            words = "The bucket you are attempting to access must be addressed using the specified endpoint."
            raise Refusal("PermanentRedirect", words, 301, {"x-amz-bucket-region": known.region_name})

    def console(self, region, key, asked):
        machine = backend(region).get_instance(asked.get("InstanceId"))
        text = self.launches.console.get(machine.id, "")
        return {
            "instanceId": machine.id,
            "timestamp": "2026-01-01T00:00:00.000Z",
            "output": base64.b64encode(text.encode()).decode(),
        }


def gone(connection):
    """Whether the other side has closed the connection."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True

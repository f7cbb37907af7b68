"""The test's own way in, JSON both ways:

POST   /_double/rules             sets a rule (rules.py): {"number"}
GET    /_double/rules             the rules with their hits and holds
DELETE /_double/rules[/NUMBER]    takes back all or one; what they held goes on
GET    /_double/calls[?from=N]    every call so far
GET    /_double/instances         all machines, of all regions
GET    /_double/snapshots         all snapshots of dayfly's, with the checksums of their blocks
GET    /_double/disk-images       the account's own images, as they were registered
POST   /_double/end               {"id", "how": power-off | reclaim | kill}
POST   /_double/console           {"id", "text"}
POST   /_double/images            {"name", "architecture", "tags", "region"}: {"id"}
POST   /_double/parameters        {"name", "value"}: a public parameter of Systems Manager
POST   /_double/ssm               {"id", "region"}: the machine registers with Systems Manager
POST   /_double/settings          {"profile_unseen": N, "quotas": {CODE: VALUE}, "age": {ID: SECONDS}}
                                  (of machines, images, snapshots)
"""

import json
from datetime import timedelta
from urllib.parse import parse_qs

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.utils import random_ami_id

from . import offers, snapshots
from .launches import backend
from .wire import Answer

ENDS = {
    "power-off": ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown"),
    "reclaim": ("Server.SpotInstanceTermination", "Spot Instance interrupted"),
    "kill": ("Server.InternalError", "Internal error"),
}


class Control:
    """The control path of a door."""

    def __init__(self, door):
        self.door = door

    def answer(self, environ):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        asked = json.loads(body or b"{}")
        what, _, rest = environ["PATH_INFO"].removeprefix("/_double/").partition("/")
        try:
            result = getattr(self, f"{environ['REQUEST_METHOD'].lower()}_{what.replace('-', '_')}")(
                asked, rest, parse_qs(environ.get("QUERY_STRING", ""))
            )
            return Answer(200, {"Content-Type": "application/json"}, json.dumps(result).encode())
        except Exception as error:  # the test is told, and fails
            return Answer(500, {"Content-Type": "text/plain"}, repr(error).encode())

    # Rules have a lock of their own: a call that a rule holds must not hold up the test that lets it go.
    def post_rules(self, asked, rest, query):
        return {"number": self.door.rules.add(asked)}

    def get_rules(self, asked, rest, query):
        return self.door.rules.listed()

    def delete_rules(self, asked, rest, query):
        self.door.rules.drop(int(rest) if rest else None)
        return {}

    def get_calls(self, asked, rest, query):
        with self.door.one:
            return self.door.calls[int(query.get("from", ["0"])[0]) :]

    def get_instances(self, asked, rest, query):
        with self.door.one:
            self.door.fleets.tick()
            return [view(region, m) for region, ec2 in ec2_backends[ACCOUNT].items() for m in ec2.all_instances()]

    def get_snapshots(self, asked, rest, query):
        with self.door.one:
            return self.door.snapshots.seen()

    def get_disk_images(self, asked, rest, query):
        with self.door.one:
            return snapshots.images_seen()

    def post_end(self, asked, rest, query):
        with self.door.one:
            for region, ec2 in ec2_backends[ACCOUNT].items():
                if any(m.id == asked["id"] for m in ec2.all_instances()):
                    self.door.launches.end(region, asked["id"], *ENDS[asked["how"]])
        return {}

    def post_console(self, asked, rest, query):
        self.door.launches.console[asked["id"]] = asked["text"]
        return {}

    def post_images(self, asked, rest, query):
        with self.door.one:
            ec2, name = backend(asked.get("region", "us-east-1")), random_ami_id()
            ec2.amis[name] = Ami(
                ec2,
                name,
                name=asked["name"],
                owner_id=ACCOUNT,
                architecture=asked["architecture"],
                tags=asked.get("tags", {}),
                virtualization_type="hvm",
                root_device_type="ebs",
                root_device_name="/dev/xvda",
                description=asked["name"],
            )
        return {"id": name}

    def post_parameters(self, asked, rest, query):
        self.door.commands.parameters[asked["name"]] = asked["value"]
        return {}

    def post_ssm(self, asked, rest, query):
        self.door.commands.register(asked["id"], asked.get("region", "us-east-1"))
        return {}

    def post_settings(self, asked, rest, query):
        with self.door.one:
            if "profile_unseen" in asked:
                self.door.launches.unseen_at_first = asked["profile_unseen"]
            offers.quota_values.update(asked.get("quotas", {}))
            for ec2 in ec2_backends[ACCOUNT].values():
                for machine in ec2.all_instances():
                    machine.launch_time -= timedelta(seconds=asked.get("age", {}).get(machine.id, 0))
                for name, seconds in asked.get("age", {}).items():
                    if name in ec2.amis:
                        ec2.amis[name].creation_date -= timedelta(seconds=seconds)
                    if name in ec2.snapshots:
                        ec2.snapshots[name].start_time -= timedelta(seconds=seconds)
        return {}


def view(region, machine):
    """A machine, as a test wants to see it."""
    profile = getattr(machine, "profile_of_launch", None)
    options = machine.metadata_options
    return {
        "id": machine.id,
        "region": region,
        "zone": machine.availability_zone,
        "subnet": machine.subnet_id,
        "type": machine.instance_type,
        "image": machine.image_id,
        "architecture": machine.architecture,
        "market": "spot" if machine.lifecycle == "spot" else "on-demand",
        "state": machine.state,
        "reason": machine.state_reason.code,
        "launched": machine.launch_time.isoformat() + "Z",
        "shutdown": machine.instance_initiated_shutdown_behavior,
        "profile": profile.name if profile else None,
        "role": profile.roles[0].name if profile and profile.roles else None,
        "user_data": machine.user_data.decode() if machine.user_data else None,
        "tags": {t["key"]: t["value"] for t in machine.get_tags()},
        "key_name": machine.key_name,
        "http_tokens": options.http_tokens,
        "hop_limit": options.http_put_response_hop_limit,
        "metadata_tags": options.instance_metadata_tags == "enabled",
        "groups": [g.id for g in machine.security_groups],
        "private_ip": machine.private_ip,
        "volumes": [
            {
                "id": d.volume_id,
                "encrypted": str(v.encrypted).lower() == "true",
                "type": v.volume_type,
                "size": v.size,
                "tags": {t["key"]: t["value"] for t in v.get_tags()},
            }
            for d in machine.block_device_mapping.values()
            for v in machine.ec2_backend.describe_volumes(volume_ids=[d.volume_id])
        ],
    }

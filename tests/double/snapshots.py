"""Snapshots by the EBS direct APIs, and images of them: what moto takes at face value or forgets is held here to what the
API references say ("EBS direct APIs", StartSnapshot, PutSnapshotBlock, CompleteSnapshot; "Amazon EC2", RegisterImage)."""

import base64
import hashlib
import json

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami

from . import wire
from .launches import backend
from .wire import Refusal

BLOCK = 512 * 1024
# How often EC2 is asked for a sealed snapshot before it says that it is completed.
LOOKS = 2


class Gone(Refusal):
    def __init__(self, name):
        super().__init__("ResourceNotFoundException", f"The snapshot '{name}' does not exist.", 404)
        self.reason = "SNAPSHOT_NOT_FOUND"


class Invalid(Refusal):
    def __init__(self, message, reason="INVALID_PARAMETER_VALUE"):
        super().__init__("ValidationException", message)
        self.reason = reason


def read(call):
    """Action and parameters of a call, by method and path; names as in StartSnapshot's JSON."""
    match call.method, call.path.strip("/").split("/"):
        case "POST", ["snapshots"]:
            return "StartSnapshot", json.loads(call.body or b"{}")
        case "PUT", ["snapshots", name, "blocks", index]:
            return "PutSnapshotBlock", {"SnapshotId": name, "BlockIndex": int(index)}
        case "GET", ["snapshots", name, "blocks", index]:
            return "GetSnapshotBlock", {"SnapshotId": name, "BlockIndex": int(index)}
        case "GET", ["snapshots", name, "blocks"]:
            return "ListSnapshotBlocks", {"SnapshotId": name}
        case "POST", ["snapshots", "completion", name]:
            return "CompleteSnapshot", {"SnapshotId": name}
    return "?", {}


class Snapshots:
    """Snapshots that are being written, and what was said of them."""

    def __init__(self):
        # By snapshot: the checksums of its blocks. By snapshot: looks to come until it is completed. By token: what it
        # was used with, and the answer.
        self.blocks, self.sealed, self.tokens = {}, {}, {}

    def carried_out(self, call, by_moto):
        """The answer to a call of the EBS direct APIs; the data are moto's to keep."""
        if call.action == "StartSnapshot":
            return self._start(call, by_moto)
        name = call.asked.get("SnapshotId")
        there = backend(call.region).snapshots.get(name)
        if name not in self.blocks or there is None:
            raise Gone(name)
        if call.action in ("GetSnapshotBlock", "ListSnapshotBlocks"):
            # EBS user guide, "Frequently asked questions for EBS direct APIs": only if it is completed.
            if there.status != "completed":
                raise Invalid(f"The snapshot '{name}' is not completed.", "INVALID_SNAPSHOT_ID")
        elif there.status != "pending" or name in self.sealed:
            raise Invalid(f"The snapshot '{name}' is not in the pending state.", "INVALID_SNAPSHOT_ID")
        elif call.action == "PutSnapshotBlock":
            self._check_block(call, name, there)
        elif call.action == "CompleteSnapshot":
            self._check_whole(call, name)
        answer = by_moto(call)
        if call.action == "CompleteSnapshot" and answer.status < 300:
            self.sealed[name] = LOOKS
            answer.body = json.dumps({"Status": "pending"}).encode()
        return answer

    def _start(self, call, by_moto):
        asked, token = call.asked, call.asked.get("ClientToken")
        if token in self.tokens:
            before, answer = self.tokens[token]
            if before != asked:
                raise Refusal(
                    "ConflictException",
                    "The request uses the same client token as a previous, but non-identical request.",
                    409,
                )
            return answer
        if not 1 <= asked.get("VolumeSize", 0) <= 65536:
            raise Invalid("The volume size is invalid.", "INVALID_VOLUME_SIZE")
        if not 10 <= asked.get("Timeout", 60) <= 4320:
            raise Invalid("The timeout is invalid.")
        answer = by_moto(call)
        body = json.loads(answer.body)
        there = backend(call.region).snapshots[body["SnapshotId"]]
        there.status = "pending"
        there.encrypted = bool(asked.get("Encrypted"))
        there.kms_key_id = asked.get("KmsKeyArn")
        self.blocks[there.id] = {}
        # moto says KiB; the reference, "in bytes".
        answer.status, answer.body = 201, json.dumps({**body, "BlockSize": BLOCK}).encode()
        if token:
            self.tokens[token] = (asked, answer)
        return answer

    def _check_block(self, call, name, there):
        index = call.asked["BlockIndex"]
        if not 0 <= index < there.volume.size * 2**30 // BLOCK:
            raise Invalid(f"The block {index} is outside of the volume.", "INVALID_BLOCK")
        if call.headers.get("x-amz-data-length") != str(BLOCK) or len(call.body) != BLOCK:
            raise Invalid("The length of a block is 524288 bytes.", "INVALID_BLOCK")
        digest = hashlib.sha256(call.body).digest()
        if call.headers.get("x-amz-checksum-algorithm") != "SHA256":
            raise Invalid("The algorithm of checksums is SHA256.")
        if call.headers.get("x-amz-checksum") != base64.b64encode(digest).decode():
            raise Invalid("The checksum does not match the block.", "INVALID_BLOCK")
        self.blocks[name][index] = digest

    def _check_whole(self, call, name):
        blocks = self.blocks[name]
        if call.headers.get("x-amz-changedblockscount") != str(len(blocks)):
            raise Invalid(f"The snapshot has {len(blocks)} blocks.")
        given = call.headers.get("x-amz-checksum")
        if given is None:
            return
        if call.headers.get("x-amz-checksum-aggregation-method") != "LINEAR":
            raise Invalid("The aggregation method is LINEAR.")
        whole = hashlib.sha256(b"".join(blocks[index] for index in sorted(blocks))).digest()
        if given != base64.b64encode(whole).decode():
            raise Invalid("The checksum does not match the blocks.")

    def look(self, region):
        """EC2 is asked for snapshots: what is sealed comes nearer to its completion."""
        for name in list(self.sealed):
            self.sealed[name] -= 1
            there = backend(region).snapshots.get(name)
            if there is None or self.sealed[name] <= 0:
                del self.sealed[name]
                if there is not None:
                    there.status = "completed"


    def seen(self):
        """Every snapshot that was made by the EBS direct APIs and is there."""
        found = []
        for region, ec2 in ec2_backends[ACCOUNT].items():
            for there in ec2.snapshots.values():
                if there.id in self.blocks:
                    found.append(
                        {
                            "id": there.id,
                            "region": region,
                            "state": "sealed" if there.id in self.sealed else there.status,
                            "gib": there.volume.size,
                            "encrypted": there.encrypted,
                            "key": there.kms_key_id,
                            "tags": tags_seen(there),
                            "blocks": sorted(self.blocks[there.id]),
                        }
                    )
        return found


def tags_seen(there):
    return {tag["key"]: tag["value"] for tag in there.get_tags()}


def images_seen():
    """The account's own images."""
    return [
        {
            "id": ami.id,
            "region": region,
            "name": ami.name,
            "architecture": ami.architecture,
            "ena": getattr(ami, "ena_support", None),
            "imds": getattr(ami, "imds_support", None),
            "sriov": ami.sriov,
            "boot_mode": ami.boot_mode,
            "virtualization": ami.virtualization_type,
            "root_device": ami.root_device_name,
            "tags": tags_seen(ami),
            "disks": ami.block_device_mappings,
        }
        for region, ec2 in ec2_backends[ACCOUNT].items()
        for ami in ec2.amis.values()
        if owned(ami)
    ]


class Registered(Ami):
    """An image of a snapshot; moto knows none but those it makes up itself."""

    @property
    def block_device_mappings(self):
        return self.mappings


def check_register(call):
    """What EC2 refuses of RegisterImage."""
    asked, ec2 = call.asked, backend(call.region)
    taken = next((ami for ami in ec2.amis.values() if ami.name == asked.get("Name") and owned(ami)), None)
    if taken:
        raise Refusal(
            "InvalidAMIName.Duplicate", f"AMI name {asked['Name']} is already in use by AMI {taken.id}"
        )
    for mapping in asked.get("BlockDeviceMapping", []):
        disk = mapping.get("Ebs") or {}
        name = disk.get("SnapshotId")
        if name not in ec2.snapshots:
            raise Refusal("InvalidSnapshot.NotFound", f"The snapshot '{name}' does not exist.")
        if ec2.snapshots[name].status != "completed":
            raise Refusal("IncorrectState", f"The snapshot '{name}' is not completed")
        if "Encrypted" in disk:
            raise Refusal(
                "InvalidParameterDependency", "the parameter Encrypted cannot be used with the parameter SnapshotId"
            )


def owned(ami):
    return ami.owner_alias != "amazon"


def registered(call, name):
    """Gives the image what RegisterImage said."""
    asked, ec2 = call.asked, backend(call.region)
    made = ec2.amis.get(name)
    if made is None:
        return
    made.architecture = asked.get("Architecture", "i386")
    made.ena_support = asked.get("EnaSupport") == "true"
    made.imds_support = asked.get("ImdsSupport")
    made.boot_mode = asked.get("BootMode", "legacy-bios")
    made.virtualization_type = asked.get("VirtualizationType", "paravirtual")
    made.sriov = asked.get("SriovNetSupport")
    made.add_tags(wire.tags_of(asked.get("TagSpecification"), "image"))
    mappings = asked.get("BlockDeviceMapping", [])
    if not mappings:
        return
    made.root_device_name, made.root_device_type = asked.get("RootDeviceName"), "ebs"
    ec2.snapshots.pop(made.ebs_snapshot.id, None)
    made.__class__, made.mappings = Registered, []
    for mapping in mappings:
        disk = mapping["Ebs"]
        there = ec2.snapshots[disk["SnapshotId"]]
        # By this moto refuses to delete it while the image is there.
        there.from_ami = name
        made.ebs_snapshot = there
        made.mappings.append(
            {
                "DeviceName": mapping["DeviceName"],
                "Ebs": {
                    "SnapshotId": there.id,
                    "VolumeSize": int(disk.get("VolumeSize") or there.volume.size),
                    "VolumeType": disk.get("VolumeType", "standard"),
                    "DeleteOnTermination": disk.get("DeleteOnTermination") == "true",
                    "Encrypted": there.encrypted,
                },
            }
        )

"""Fleets: EC2 API reference, CreateFleet, DeleteFleets, ModifyFleet, DescribeFleets, DescribeFleetInstances and
DescribeFleetHistory; EC2 user guide, "EC2 Fleet"."""

import uuid
from datetime import datetime, timezone

from . import offers
from .launches import backend, version_of
from .wire import Refusal, of_moto, tags_of

MARKETS = ("spot", "on-demand")


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Fleet:
    """One fleet: what was asked, and what it has."""

    def __init__(self, region, key, asked):
        self.id, self.region, self.key, self.asked = f"fleet-{uuid.uuid4()}", region, key, asked
        self.kind, self.state, self.made = asked.get("Type", "maintain"), "active", now()
        self.tags = tags_of(asked.get("TagSpecification"), "fleet")
        self.members = []  # (machine, market, pool)
        self.errors, self.history = [], []
        capacity = asked.get("TargetCapacitySpecification") or {}
        if "TotalTargetCapacity" not in capacity:
            raise Refusal("MissingParameter", "The request must contain the parameter TotalTargetCapacity")
        self.set_target(capacity)
        self.pools = self._pools()

    def set_target(self, capacity):
        self.total = int(capacity["TotalTargetCapacity"])
        default = capacity.get("DefaultTargetCapacityType", "on-demand")
        spot, demand = int(capacity.get("SpotTargetCapacity", 0)), int(capacity.get("OnDemandTargetCapacity", 0))
        rest = max(0, self.total - spot - demand)
        self.targets = {
            "spot": spot + (rest if default == "spot" else 0),
            "on-demand": demand + (rest if default != "spot" else 0),
        }
        self.default = default

    def _pools(self):
        """(template, data, override) of every override; a pool by need stands for each type that meets it."""
        pools = []
        for config in self.asked.get("LaunchTemplateConfigs") or []:
            template, data = version_of(self.region, config.get("LaunchTemplateSpecification") or {})
            for override in config.get("Overrides") or [{}]:
                needs = override.get("InstanceRequirements")
                if needs is None:
                    pools.append((template, data, override))
                    continue
                image = backend(self.region).amis.get(override.get("ImageId") or data.get("ImageId"))
                kinds = offers.types_that_meet(needs, [image.architecture if image else "x86_64"])
                # The cheapest few: a fleet by need draws on many types, and seldom on the dear ones.
                kinds = sorted(kinds, key=lambda kind: (offers.on_demand_price(kind) or 1e9, kind))[:6]
                pools += [(template, data, {**override, "InstanceType": kind}) for kind in kinds]
        if not pools:
            raise Refusal(
                "InvalidFleetConfig",
                "The fleet configuration contains no launch template override that can be launched",
            )
        return pools

    def alive(self, market=None):
        return [m for m, of, _ in self.members if m.state in ("pending", "running") and market in (None, of)]

    def fill(self, launches):
        """Launches up to the targets, over all pools in turn; a pool that refuses is left out for this round."""
        self.errors = []
        for market in MARKETS:
            missing, pools, turn = self.targets[market] - len(self.alive(market)), self._order(market), 0
            while missing > 0 and pools:
                group = [p for p in pools if p[0] == pools[0][0]]
                rank, pool = group[turn % len(group)]
                turn += 1
                try:
                    self._launch(launches, market, pool)
                    missing -= 1
                except Exception as said:  # a refusal, ours or moto's
                    error = of_moto(said)
                    self.errors.append((market, pool, error))
                    pools.remove((rank, pool))
                    self._tell("error", "launchSpecTemporarilyBlacklisted", f"{error.code}: {error.message}")

    def _order(self, market):
        """Pools with their rank: spot is spread over all of them; on demand takes the first type in all zones first."""
        if market == "spot":
            return [(0, pool) for pool in self.pools]
        kinds = []
        for pool in sorted(self.pools, key=lambda p: float(p[2].get("Priority", 0))):
            kind = pool[2].get("InstanceType")
            if kind not in kinds:
                kinds.append(kind)
        return sorted(((kinds.index(p[2].get("InstanceType")), p) for p in self.pools), key=lambda ranked: ranked[0])

    def _launch(self, launches, market, pool):
        template, data, override = pool
        subnet = override.get("SubnetId")
        zone = backend(self.region).get_subnet(subnet).availability_zone if subnet else None
        kind = override.get("InstanceType") or data.get("InstanceType")
        if market == "spot" and override.get("MaxPrice"):
            price = offers.spot_price(kind, zone or self.region + "a")
            if price is not None and float(override["MaxPrice"]) < price:
                raise Refusal(
                    "SpotMaxPriceTooLow",
                    f"Your Spot request price of {override['MaxPrice']} is lower than the minimum "
                    f"required Spot request fulfillment price of {price}.",
                )
        tags = {
            # An instant fleet's own tags of instances; other fleets have none (CreateFleet, "TagSpecifications").
            kind: {**tags_of(data.get("TagSpecifications"), kind), **tags_of(self.asked.get("TagSpecification"), kind)}
            for kind in ("instance", "volume")
        }
        machine = launches.launch(self.region, template, data, override, market, tags, self.key, self.id)
        self.members.append((machine, market, pool))
        self._tell("instanceChange", "launched", f"{machine.instance_type} in {machine.availability_zone}", machine.id)

    def _tell(self, kind, sub, words, machine=None):
        entry = {"eventInformation": {"eventDescription": words, "eventSubType": sub, "instanceId": machine}}
        self.history.append({**entry, "eventType": kind, "timestamp": now()})

    @staticmethod
    def _pool_view(pool):
        template, data, override = pool
        names = {
            "InstanceType": "instanceType",
            "SubnetId": "subnetId",
            "AvailabilityZone": "availabilityZone",
            "MaxPrice": "maxPrice",
            "Priority": "priority",
            "ImageId": "imageId",
        }
        return {
            "launchTemplateSpecification": {"launchTemplateId": template.id, "version": data["number"]},
            "overrides": {names[key]: value for key, value in override.items() if key in names},
        }

    def instances_view(self):
        groups = {}
        for machine, market, pool in self.members:
            groups.setdefault((id(pool), market), (machine, market, pool, []))[3].append(machine.id)
        return [
            {
                "launchTemplateAndOverrides": self._pool_view(pool),
                "lifecycle": market,
                "instanceIds": ids,
                "instanceType": machine.instance_type,
            }
            for machine, market, pool, ids in groups.values()
        ]

    def errors_view(self):
        return [
            {
                "launchTemplateAndOverrides": self._pool_view(pool),
                "lifecycle": market,
                "errorCode": error.code,
                "errorMessage": error.message,
            }
            for market, pool, error in self.errors
        ]

    def view(self):
        have = len(self.alive())
        status = "fulfilled" if have >= self.total else "error" if self.errors else "pending_fulfillment"
        if self.state == "deleted_terminating":
            status = "pending_termination"
        return {
            "activityStatus": None if self.kind == "instant" else status,
            "clientToken": self.asked.get("ClientToken"),
            "createTime": self.made,
            "fleetId": self.id,
            "fleetState": self.state,
            "fulfilledCapacity": float(have),
            "fulfilledOnDemandCapacity": float(len(self.alive("on-demand"))),
            "targetCapacitySpecification": {
                "totalTargetCapacity": self.total,
                "onDemandTargetCapacity": self.targets["on-demand"],
                "spotTargetCapacity": self.targets["spot"],
                "defaultTargetCapacityType": self.default,
            },
            "terminateInstancesWithExpiration": False,
            "type": self.kind,
            "tagSet": [{"key": key, "value": value} for key, value in self.tags.items()],
            "launchTemplateConfigs": [
                {"launchTemplateSpecification": {k[0].lower() + k[1:]: v for k, v in of.items()}}
                for of in (c.get("LaunchTemplateSpecification") for c in self.asked.get("LaunchTemplateConfigs", []))
                if of
            ],
            # Both are told of instant fleets alone (API reference, FleetData); of others the history tells.
            "errorSet": self.errors_view() if self.kind == "instant" else None,
            "fleetInstanceSet": self.instances_view() if self.kind == "instant" else None,
        }


class Fleets:
    """All fleets of the account, and the calls about them."""

    def __init__(self, launches):
        self.launches, self.fleets = launches, {}

    def tick(self):
        """Fleets of type maintain replace what they lost."""
        for fleet in self.fleets.values():
            if fleet.kind == "maintain" and fleet.state == "active" and len(fleet.alive()) < fleet.total:
                fleet.fill(self.launches)

    def create(self, region, key, asked):
        kind = asked.get("Type", "maintain")
        if kind not in ("instant", "maintain", "request"):
            raise Refusal("InvalidParameterValue", f"Invalid value '{kind}' for fleet type")
        if kind != "instant" and tags_of(asked.get("TagSpecification"), "instance"):
            raise Refusal(
                "InvalidParameterValue",
                "Tags of instances of a fleet that is not instant belong into its launch template",
            )
        fleet = Fleet(region, key, asked)
        if asked.get("DryRun") == "true":
            raise Refusal("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        self.fleets[fleet.id] = fleet
        fleet.fill(self.launches)
        answer = {"fleetId": fleet.id}
        if kind == "instant":
            answer |= {"errorSet": fleet.errors_view(), "fleetInstanceSet": fleet.instances_view()}
        return answer

    def delete(self, region, key, asked):
        good, bad = [], []
        for name in asked.get("FleetId", []):
            fleet, ends = self.fleets.get(name), asked.get("TerminateInstances") == "true"
            if fleet is None:
                bad.append(_not_deleted(name, "fleetIdDoesNotExist", f"The fleet ID '{name}' does not exist"))
            elif fleet.state != "active":
                bad.append(
                    _not_deleted(name, "fleetNotInDeletableState", f"The fleet '{name}' is in the state {fleet.state}")
                )
            elif fleet.kind == "instant" and not ends and fleet.alive():
                # DeleteFleets: an instant fleet is not deleted while its instances are to stay. The code is our guess.
                bad.append(
                    _not_deleted(
                        name, "fleetNotInDeletableState", "An instant fleet cannot be deleted without its instances"
                    )
                )
            else:
                fleet.state = "deleted_terminating" if ends else "deleted_running"
                for machine in fleet.alive() if ends else []:
                    machine.terminate()
                good.append({"currentFleetState": fleet.state, "previousFleetState": "active", "fleetId": name})
        return {"successfulFleetDeletionSet": good, "unsuccessfulFleetDeletionSet": bad}

    def modify(self, region, key, asked):
        fleet = self._one(asked)
        if fleet.kind == "instant":
            raise Refusal("InvalidParameterValue", "A fleet of type instant cannot be modified")
        fleet.set_target(asked["TargetCapacitySpecification"])
        return {"return": True}

    def _one(self, asked):
        if asked.get("FleetId") not in self.fleets:
            raise Refusal("InvalidFleetId.NotFound", f"The fleet ID '{asked.get('FleetId')}' does not exist")
        return self.fleets[asked["FleetId"]]

    def describe(self, region, key, asked):
        names = asked.get("FleetId", [])
        for name in names:
            self._one({"FleetId": name})
        # An instant fleet is shown only to who names it (DescribeFleets, "FleetId").
        shown = [f for f in self.fleets.values() if (f.id in names if names else f.kind != "instant")]
        for wanted in asked.get("Filter", []):
            name, values = wanted["Name"], wanted.get("Value", [])
            facts = {"fleet-state": lambda f: f.state, "type": lambda f: f.kind}.get(name)
            if name.startswith("tag:"):
                raise Refusal("InvalidParameterValue", f"The filter '{name}' is invalid")
            shown = [f for f in shown if facts is None or facts(f) in values]
        return {"fleetSet": [fleet.view() for fleet in shown if fleet.region == region]}

    def instances(self, region, key, asked):
        fleet = self._one(asked)
        active = [
            {
                "instanceId": m.id,
                "instanceType": m.instance_type,
                "instanceHealth": "healthy",
                "spotInstanceRequestId": "sir-" + m.id[-8:] if of == "spot" else None,
            }
            for m, of, _ in fleet.members
            if m.state in ("pending", "running")
        ]
        return {"activeInstanceSet": active, "fleetId": fleet.id}

    def tell(self, region, key, asked):
        fleet = self._one(asked)
        return {
            "historyRecordSet": fleet.history,
            "lastEvaluatedTime": now(),
            "fleetId": fleet.id,
            "startTime": fleet.made,
        }


def _not_deleted(name, code, words):
    return {"error": {"code": code, "message": words}, "fleetId": name}

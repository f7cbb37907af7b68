"""What EC2 offers and what it costs: attribute-based selection, spot prices, the price list, quotas."""

import json
from datetime import datetime, timedelta, timezone

from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES

from .wire import Refusal

# Dollars an hour, Linux, shared, us-east-1, as the price list had them in 2025; any figures would serve. A type that is
# not here has no price in any answer.
ON_DEMAND = {
    "t3.micro": 0.0104,
    "t3.small": 0.0208,
    "t3.medium": 0.0416,
    "t3.large": 0.0832,
    "m5.large": 0.096,
    "m5.xlarge": 0.192,
    "m6i.large": 0.096,
    "m6i.xlarge": 0.192,
    "m7i.large": 0.1008,
    "m6g.large": 0.077,
    "c5.large": 0.085,
    "c5.xlarge": 0.17,
    "c6i.large": 0.085,
    "c6i.xlarge": 0.17,
    "c7i.large": 0.08925,
    "c7i.xlarge": 0.1785,
    "c7g.large": 0.0725,
    "r5.large": 0.126,
    "g4dn.xlarge": 0.526,
    "c5d.large": 0.096,
    "c6a.large": 0.0765,
    "m6a.large": 0.0864,
    "m5a.large": 0.086,
}
# Of the on-demand price: spot costs a third or so, and each zone has its own price.
SPOT_SHARE = 0.35
# Dollars a month for a gigabyte of gp3; dollars an hour for a public IPv4 address.
GP3, ADDRESS = 0.08, 0.005
# Dollars a month for a gigabyte of a snapshot, and of an archived one.
SNAPSHOT, ARCHIVE = 0.05, 0.0125
# Service Quotas: running vCPUs, on demand and spot, of the standard families.
QUOTAS = {
    "L-1216C47A": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
    "L-34B43A08": "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
    "L-DB2E81BA": "Running On-Demand G and VT instances",
    "L-3819A6DF": "All G and VT Spot Instance Requests",
}
quota_values = dict.fromkeys(QUOTAS, 64.0)


def on_demand_price(kind):
    return ON_DEMAND.get(kind)


def spot_price(kind, zone):
    """A price, the same every time; None where the type has none."""
    price = ON_DEMAND.get(kind)
    return None if price is None else round(price * (SPOT_SHARE + 0.01 * (ord(zone[-1]) - ord("a"))), 6)


def _within(bounds, value):
    bounds = bounds or {}
    return float(bounds.get("Min", 0)) <= value <= float(bounds.get("Max", float("inf")))


def types_that_meet(needs, architectures):
    """EC2 API reference, InstanceRequirements: bare metal and burstable types are left out unless they are included."""
    types = []
    for name, kind in INSTANCE_TYPES.items():
        gpus = sum(gpu.get("Count", 0) for gpu in (kind.get("GpuInfo") or {}).get("Gpus", []))
        others = "InferenceAcceleratorInfo" in kind or "FpgaInfo" in kind
        accelerators = needs.get("AcceleratorCount")
        if (
            set(kind["ProcessorInfo"]["SupportedArchitectures"]) & set(architectures)
            and _within(needs.get("VCpuCount"), kind["VCpuInfo"]["DefaultVCpus"])
            and _within(needs.get("MemoryMiB"), kind["MemoryInfo"]["SizeInMiB"])
            and not (kind["BareMetal"] and needs.get("BareMetal", "excluded") == "excluded")
            and not (
                kind["BurstablePerformanceSupported"] and needs.get("BurstablePerformance", "excluded") == "excluded"
            )
            and (_within(accelerators, gpus) and not others if accelerators else True)
            and (not needs.get("AllowedInstanceType") or name in needs["AllowedInstanceType"])
            and name not in needs.get("ExcludedInstanceType", [])
            and ("current" not in needs.get("InstanceGeneration", []) or kind["CurrentGeneration"])
        ):
            types.append(name)
    return sorted(types)


def by_needs(region, key, asked):
    """GetInstanceTypesFromInstanceRequirements, in one page."""
    needs = asked.get("InstanceRequirements") or {}
    for field in ("VCpuCount", "MemoryMiB"):
        if field not in needs:
            raise Refusal("MissingParameter", f"The request must contain the parameter InstanceRequirements.{field}")
    offered = {o["InstanceType"] for o in INSTANCE_TYPE_OFFERINGS["region"].get(region, [])}
    found = [
        kind
        for kind in types_that_meet(needs, asked.get("ArchitectureType", ["x86_64"]))
        if not offered or kind in offered
    ]
    return {"instanceTypeSet": [{"instanceType": kind} for kind in found]}


def spot_history(region, key, asked):
    """DescribeSpotPriceHistory: three prices a day apart for each type and zone, newest first."""
    wanted = {f["Name"]: f.get("Value", []) for f in asked.get("Filter", [])}
    kinds = asked.get("InstanceType") or wanted.get("instance-type") or sorted(ON_DEMAND)
    zones = [asked["AvailabilityZone"]] if asked.get("AvailabilityZone") else wanted.get("availability-zone")
    zones = zones or [region + letter for letter in "abcdef"]
    products = asked.get("ProductDescription") or wanted.get("product-description") or ["Linux/UNIX"]
    history, today = [], datetime.now(timezone.utc)
    for days, factor in enumerate([1.0, 1.02, 0.97]):
        at = (today - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        for kind in kinds:
            for zone in zones:
                price = spot_price(kind, zone)
                if price is not None:
                    for product in products:
                        history.append(
                            {
                                "availabilityZone": zone,
                                "instanceType": kind,
                                "productDescription": product,
                                "spotPrice": f"{price * factor:.6f}",
                                "timestamp": at,
                            }
                        )
    newest = asked.get("StartTime") and asked.get("StartTime") == asked.get("EndTime")
    return {
        "spotPriceHistorySet": [h for h in history if not newest or h["timestamp"][:10] == today.strftime("%Y-%m-%d")]
    }


def _product(family, attributes, dollars, unit):
    code = "".join(attributes.values()).replace(".", "")[:16].upper()
    dimension = {
        "unit": unit,
        "pricePerUnit": {"USD": f"{dollars:.10f}"},
        "rateCode": f"{code}.JRTCKXETXF.6YS6EN2CT7",
        "beginRange": "0",
        "endRange": "Inf",
    }
    terms = {
        "OnDemand": {
            f"{code}.JRTCKXETXF": {
                "priceDimensions": {f"{code}.JRTCKXETXF.6YS6EN2CT7": dimension},
                "termAttributes": {},
            }
        }
    }
    return {
        "product": {"productFamily": family, "attributes": attributes, "sku": code},
        "terms": terms,
        "publicationDate": "2026-01-01T00:00:00Z",
    }


def _products(service, region):
    where = {
        "regionCode": region,
        "locationType": "AWS Region",
        "location": "US East (N. Virginia)" if region == "us-east-1" else region,
    }
    if service == "AmazonEC2":
        for kind, dollars in ON_DEMAND.items():
            machine = {
                "instanceType": kind,
                "operatingSystem": "Linux",
                "tenancy": "Shared",
                "preInstalledSw": "NA",
                "capacitystatus": "Used",
                "licenseModel": "No License required",
                "marketoption": "OnDemand",
                "servicecode": service,
                "operation": "RunInstances",
            }
            yield _product("Compute Instance", {**where, **machine}, dollars, "Hrs")
        volume = {"volumeApiName": "gp3", "volumeType": "General Purpose", "servicecode": service}
        yield _product("Storage", {**where, **volume}, GP3, "GB-Mo")
        for kind, dollars in (("EBS:SnapshotArchiveStorage", ARCHIVE), ("EBS:SnapshotUsage", SNAPSHOT)):
            kept = {"storageMedia": "Amazon S3", "usagetype": kind, "servicecode": service}
            yield _product("Storage Snapshot", {**where, **kept}, dollars, "GB-Mo")
    if service == "AmazonVPC":
        address = {
            "group": "VPCPublicIPv4Address",
            "groupDescription": "Hourly charge for In-use Public IPv4 Addresses",
            "servicecode": service,
        }
        yield _product("VPC Public IPv4 Address", {**where, **address}, ADDRESS, "Hrs")


def products(region, key, asked):
    """Price List API, GetProducts: filters of type TERM_MATCH, all of which hold; products are JSON in text."""
    wanted = {f["Field"]: f["Value"] for f in asked.get("Filters", [])}
    found = []
    for product in _products(asked.get("ServiceCode"), wanted.get("regionCode", "us-east-1")):
        facts = {**product["product"]["attributes"], "productFamily": product["product"]["productFamily"]}
        if all(facts.get(field, "").lower() == value.lower() for field, value in wanted.items()):
            found.append(json.dumps({**product, "serviceCode": asked["ServiceCode"]}))
    return {"FormatVersion": "aws_v1", "PriceList": found}


def quota(region, key, asked):
    """Service Quotas API, GetServiceQuota."""
    code = asked.get("QuotaCode")
    if asked.get("ServiceCode") != "ec2" or code not in QUOTAS:
        raise Refusal(
            "NoSuchResourceException", f"The request failed because the specified quota {code} does not exist"
        )
    facts = {
        "QuotaCode": code,
        "QuotaName": QUOTAS[code],
        "Value": quota_values[code],
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }
    return {"Quota": {"ServiceCode": "ec2", "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)", **facts}}

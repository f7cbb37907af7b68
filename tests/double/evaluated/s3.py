"""Amazon S3: which permission an operation needs (S3 user guide, "Required permissions for Amazon S3 API
operations")."""

import re
from urllib.parse import parse_qs, unquote

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.s3.models import s3_backends

# A bucket's subresource, and the name in its permissions.
BUCKET = {
    "policy": "BucketPolicy",
    "lifecycle": "LifecycleConfiguration",
    "encryption": "EncryptionConfiguration",
    "publicAccessBlock": "BucketPublicAccessBlock",
    "versioning": "BucketVersioning",
    "tagging": "BucketTagging",
    "location": "BucketLocation",
    "ownershipControls": "BucketOwnershipControls",
    "acl": "BucketAcl",
    "object-lock": "BucketObjectLockConfiguration",
    "policyStatus": "BucketPolicyStatus",
    "logging": "BucketLogging",
    "notification": "BucketNotification",
    "website": "BucketWebsite",
    "replication": "ReplicationConfiguration",
}


def place(call):
    """Bucket and key of a path-style request."""
    bucket, _, key = call.path.lstrip("/").partition("/")
    return bucket, key


def action(call):
    """The first permission that the operation needs, without `s3:`; also its name in rules and records."""
    checked = checks(call)
    return checked[0][0].split(":")[1] if checked else call.method


def checks(call):
    bucket, key = place(call)
    query = {name: values[0] for name, values in parse_qs(call.query, keep_blank_values=True).items()}
    if not bucket:
        return [("s3:ListAllMyBuckets", "*", {})]
    if not key:
        return _of_bucket(call, bucket, query)
    return _of_object(call, bucket, key, query)


def _of_bucket(call, bucket, query):
    arn = f"arn:aws:s3:::{bucket}"
    if call.method == "POST" and "delete" in query:
        found = []
        for entry in re.findall(r"<Object>(.*?)</Object>", call.body.decode(), re.S):
            key = re.search(r"<Key>(.*?)</Key>", entry, re.S).group(1)
            context = {"s3:if-match": tag} if (tag := _inner(entry, "ETag")) else {}
            found.append(
                (
                    "s3:DeleteObjectVersion" if "<VersionId>" in entry else "s3:DeleteObject",
                    f"{arn}/{unquote(key)}",
                    context,
                )
            )
        return found
    for name, what in BUCKET.items():
        if name in query:
            if call.method == "GET":
                return [(f"s3:Get{what}", arn, {})]
            if name == "policy" and call.method == "DELETE":
                return [("s3:DeleteBucketPolicy", arn, {})]
            # The others are deleted under the permission to put them.
            return [(f"s3:Put{what}", arn, {})]
    if "uploads" in query:
        # Without s3:prefix: the reference has that key for ListBucket and ListBucketVersions alone.
        return [("s3:ListBucketMultipartUploads", arn, {})]
    if "versions" in query:
        return [("s3:ListBucketVersions", arn, _listing(query))]
    match call.method:
        case "GET" | "HEAD":
            return [("s3:ListBucket", arn, _listing(query) if call.method == "GET" else {})]
        case "PUT":
            where = _inner(call.body.decode(), "LocationConstraint")
            return [("s3:CreateBucket", arn, {"s3:locationconstraint": where} if where else {})]
        case _:
            return [("s3:DeleteBucket", arn, {})]


def _of_object(call, bucket, key, query):
    arn, context = f"arn:aws:s3:::{bucket}/{key}", {}
    for header, name in (("if-match", "s3:if-match"), ("if-none-match", "s3:if-none-match")):
        if call.headers.get(header) and call.method in ("PUT", "POST", "DELETE"):
            context[name] = call.headers[header]
    creates = call.method == "PUT" and "partNumber" not in query or call.method == "POST" and "uploadId" in query
    # S3 user guide, "Enforce conditional writes on Amazon S3 buckets": false for a multipart upload's start and parts.
    put = {**context, "s3:ObjectCreationOperation": "true" if creates else "false"}
    for header, name in (
        ("x-amz-server-side-encryption", "s3:x-amz-server-side-encryption"),
        ("x-amz-acl", "s3:x-amz-acl"),
        ("x-amz-storage-class", "s3:x-amz-storage-class"),
    ):
        if call.headers.get(header):
            put[name] = call.headers[header]
    match call.method:
        case "GET" if "uploadId" in query:
            return [("s3:ListMultipartUploadParts", arn, {})]
        case "GET" | "HEAD":
            what = "GetObjectTagging" if "tagging" in query else "GetObjectAcl" if "acl" in query else "GetObject"
            what += "Version" if "versionId" in query else ""
            return [(f"s3:{what}", arn, {}), *_kms(call, bucket, "kms:Decrypt", arn)]
        case "DELETE" if "uploadId" in query:
            return [("s3:AbortMultipartUpload", arn, {})]
        case "DELETE":
            return [("s3:DeleteObjectVersion" if "versionId" in query else "s3:DeleteObject", arn, context)]
        case "PUT" if "tagging" in query:
            return [("s3:PutObjectTagging", arn, {})]
    found = [("s3:PutObject", arn, put)]
    if call.headers.get("x-amz-tagging"):
        found.append(("s3:PutObjectTagging", arn, {}))
    if call.headers.get("x-amz-copy-source"):
        source = unquote(call.headers["x-amz-copy-source"]).lstrip("/").split("?")[0]
        found.append(("s3:GetObject", f"arn:aws:s3:::{source}", {}))
    found += _kms(call, bucket, "kms:GenerateDataKey", arn)
    # Key management for S3, "Uploading a large file with multipart upload and SSE-KMS": parts are read again.
    return found + (_kms(call, bucket, "kms:Decrypt", arn) if "uploadId" in query else [])


def _kms(call, bucket, what, arn):
    """A bucket whose default encryption names a customer key (S3 user guide, "Using SSE-KMS")."""
    known = s3_backends[ACCOUNT]["aws"].buckets.get(bucket)
    rule = ((getattr(known, "encryption", None) or {}).get("Rule") or {}) if known else {}
    rule = rule[0] if isinstance(rule, list) else rule
    default = rule.get("ApplyServerSideEncryptionByDefault") or {}
    key = default.get("KMSMasterKeyID")
    if default.get("SSEAlgorithm") != "aws:kms" or not key:
        return []
    key = key if key.startswith("arn:") else f"arn:aws:kms:{call.region}:{ACCOUNT}:key/{key}"
    # With a bucket key the encryption context is the bucket's ARN, else the object's.
    context = arn.split("/")[0] if str(rule.get("BucketKeyEnabled")).lower() == "true" else arn
    return [
        (what, key, {"kms:ViaService": f"s3.{call.region}.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": context})
    ]


def _listing(query):
    names = {"prefix": "s3:prefix", "delimiter": "s3:delimiter", "max-keys": "s3:max-keys"}
    return {names[name]: value for name, value in query.items() if name in names}


def _inner(text, name):
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.S)
    return found.group(1) if found else None

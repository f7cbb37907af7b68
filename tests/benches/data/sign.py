"""`sign.py GET|PUT N`: paths of so many requests for the inputs, signed for an hour, one a line."""

import os
import sys

import boto3
from botocore.config import Config

method, count = sys.argv[1], int(sys.argv[2])
s3 = boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
call = {"GET": "get_object", "PUT": "put_object"}[method]
for n in range(count):
    url = s3.generate_presigned_url(call, Params={"Bucket": "inputs", "Key": f"in{n}.dat"}, ExpiresIn=3600)
    print(url.removeprefix(os.environ["AWS_ENDPOINT_URL"]))

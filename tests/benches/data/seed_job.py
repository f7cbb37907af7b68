"""The job as people write it first: boto3 and numpy, one object after the other. `seed_job.py INPUTS OUTPUTS`: buckets."""

import sys

import boto3
import numpy

inputs, outputs = sys.argv[1:]
s3 = boto3.client("s3")
kernel = numpy.frombuffer(s3.get_object(Bucket=inputs, Key="kernel.dat")["Body"].read(), dtype=numpy.uint8)
names = s3.get_object(Bucket=inputs, Key="tasklist.txt")["Body"].read().decode().split()
for name in names:
    data = numpy.frombuffer(s3.get_object(Bucket=inputs, Key=name)["Body"].read(), dtype=numpy.uint8)
    s3.put_object(Bucket=outputs, Key=name, Body=(data ^ numpy.resize(kernel, data.shape)).tobytes())

"""What the tests' stand-in for AWS adds to moto. Rules name the page of AWS's documentation they are written from.

door       one request: who, what, rules, moto or our own answer, the record
wire       the protocols: Query requests, XML, JSON, errors
rules      faults that a test sets, and holds
tokens     client tokens
launches   one machine: what EC2 refuses, and where it gets its image, profile, tags and user data
fleets     CreateFleet and what follows
snapshots  the EBS direct APIs, and images of snapshots
offers     types by need, spot prices, the price list, quotas
commands   Systems Manager: commands that really run, sessions
evaluated  what IAM evaluates for a call: actions, resources, condition keys; for S3, EC2, EBS and the rest
control    the test's own way in: /_double/…
"""

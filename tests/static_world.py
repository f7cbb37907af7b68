"""Runs the static agent in a folder that holds nothing else, against moto over TLS, under the very name that S3 has: this
script's own DNS server says that it is here. Wants a network namespace of its own (it takes ports 53 and 443 of the
loopback address), so nothing leaves the machine.

    static_world.py ROOT CERTIFICATE KEY     ROOT/dayfly-agent is the agent, ROOT/etc/ca.pem the certificate it trusts
"""

import os, shutil, socket, ssl, struct, subprocess, sys, threading

import boto3
from botocore.config import Config
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

root, certificate, key = sys.argv[1:]
JOB = "s3://bucket/job"
asked = []


def answer_names(server):
    """Answers every question for an address with 127.0.0.1 (RFC 1035, section 4)."""
    while True:
        query, client = server.recvfrom(512)
        end = query.index(b"\0", 12) + 5
        kind = struct.unpack(">H", query[end - 4 : end - 2])[0]
        asked.append((query[12 : end - 5], kind))
        found = kind == 1
        reply = query[:2] + struct.pack(">HHHHH", 0x8180, 1, int(found), 0, 0) + query[12:end]
        if found:
            reply += struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton("127.0.0.1")
        server.sendto(reply, client)


names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("127.0.0.1", 53))
threading.Thread(target=answer_names, args=(names,), daemon=True).start()

moto, one = DomainDispatcherApplication(create_backend_app), threading.Lock()


def app(environ, start_response):
    with one:
        return list(moto(environ, start_response))


WSGIRequestHandler.log_request = lambda *_: None
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.minimum_version = ssl.TLSVersion.TLSv1_3
tls.load_cert_chain(certificate, key)
server = make_server("127.0.0.1", 443, app, threaded=True, ssl_context=tls)
threading.Thread(target=server.serve_forever, daemon=True).start()

keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
os.environ.update(keys)
s3 = boto3.client(
    "s3",
    endpoint_url="https://127.0.0.1",
    region_name="us-east-1",
    verify=False,
    config=Config(s3={"addressing_style": "path"}),
)
__import__("urllib3").disable_warnings()
s3.create_bucket(Bucket="bucket")
kernel = os.urandom(1000)
inputs = {f"in{n}.dat": os.urandom(100_000 + n) for n in range(3)}
for name, body in {**inputs, "kernel.dat": kernel, "tasklist.txt": "\n".join(inputs).encode()}.items():
    s3.put_object(Bucket="bucket", Key=f"job/{name}", Body=body)

run = [shutil.which("chroot") or "/usr/sbin/chroot", root, "/dayfly-agent", "--job", JOB, "--region", "us-east-1"]
environment = {**keys, "SSL_CERT_FILE": "/etc/ca.pem", "AWS_EC2_METADATA_DISABLED": "true"}
ended = subprocess.run([*run, "--work-dir", "/work"], env=environment, timeout=120)
assert ended.returncode == 0, f"the agent ended with {ended.returncode}"
for name, body in inputs.items():
    output = s3.get_object(Bucket="bucket", Key="job/" + name.replace("in", "out"))["Body"].read()
    wanted = bytes(b ^ kernel[n % 1000] for n, b in enumerate(body))
    assert output == wanted, f"the output of {name} is wrong"
assert any(b"amazonaws" in name for name, _ in asked), "the agent never asked for the name"

# Without a certificate that it can trust it says so, and does not panic.
for trust, words in [("/etc/none.pem", "CA certificates"), ("/etc/other.pem", "ertificate")]:
    refused = subprocess.run(
        [*run, "--work-dir", "/work2"],
        env={**environment, "SSL_CERT_FILE": trust, "SSL_CERT_DIR": "/none"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert refused.returncode == 1 and words in refused.stderr, f"{trust}: {refused.returncode} {refused.stderr}"
print("the static agent did three tasks over TLS 1.3, in a folder with nothing but itself")

"""Where engines' agents get their credentials, on loopback: STS for web identities, the container endpoints of ECS and of EKS
Pod Identity. They hand out the S3 endpoint's own keys, and note who asked; whoever asks wrongly gets none."""

import datetime
import http.server
import json
import pathlib
import threading
import urllib.parse

# ECS (developer guide, "Amazon ECS task IAM role") and EKS Pod Identity (user guide, "Learn how EKS Pod Identity grants pods
# access"): the addresses are fixed, and the SDKs take no others over plain HTTP but loopback's.
ECS, POD_IDENTITY = "169.254.170.2", "169.254.170.23"
# An instance's metadata service: pods and containers often cannot reach it, and who asks waits. Nobody is to ask.
METADATA = "169.254.169.254"
SESSION = "a session token"
# So soon that agents have to renew them at work: the SDK does so some ten seconds before the end.
LIFE = datetime.timedelta(seconds=15)


def expiry():
    return (datetime.datetime.now(datetime.timezone.utc) + LIFE).strftime("%Y-%m-%dT%H:%M:%SZ")


class Credentials:
    """The doubles, and what they were asked."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.keys = None
        self.asked = []
        self.role = None
        self.web_token = self.folder / "web-identity-token"
        self.pod_token = self.folder / "pod-identity-token"
        self.web_token.write_text("a web identity's token")
        self.pod_token.write_text("a pod identity's token")
        self.ecs_path = "/v2/credentials/0a1b2c3d"
        self.sts = self.serve("127.0.0.1", 0, self.of_sts)
        self.serve(ECS, 80, self.of_ecs)
        self.serve(POD_IDENTITY, 80, self.of_pod_identity)
        self.serve(METADATA, 80, self.of_metadata)

    def document(self, token=SESSION):
        access, secret = self.keys
        return {"AccessKeyId": access, "SecretAccessKey": secret, "Token": token, "Expiration": expiry()}

    def of_sts(self, request, body):
        form = {name: values[0] for name, values in urllib.parse.parse_qs(body.decode()).items()}
        wanted = ("AssumeRoleWithWebIdentity", self.role, self.web_token.read_text())
        if (form.get("Action"), form.get("RoleArn"), form.get("WebIdentityToken")) != wanted:
            return 403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
        self.asked.append("sts")
        access, secret = self.keys
        return 200, f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
            <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{access}</AccessKeyId>
            <SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{SESSION}</SessionToken>
            <Expiration>{expiry()}</Expiration></Credentials>
            <AssumedRoleUser><Arn>{self.role}/session</Arn><AssumedRoleId>AROA:session</AssumedRoleId></AssumedRoleUser>
            </AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>
            </AssumeRoleWithWebIdentityResponse>"""

    def of_metadata(self, *_):
        self.asked.append("metadata")
        return 404, ""

    def of_ecs(self, request, _):
        if request.path != self.ecs_path:
            return 404, "{}"
        self.asked.append("ecs")
        return 200, json.dumps(self.document() | {"RoleArn": self.role})

    def of_pod_identity(self, request, _):
        if (request.path, request.headers.get("Authorization")) != ("/v1/credentials", self.pod_token.read_text()):
            return 403, "{}"
        self.asked.append("pod identity")
        return 200, json.dumps(self.document())

    def serve(self, address, port, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(handler):
                body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
                status, text = answer(handler, body)
                handler.send_response(status)
                handler.send_header("Content-Length", str(len(text.encode())))
                handler.end_headers()
                handler.wfile.write(text.encode())

            do_GET = do_POST = handle_any

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer((address, port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://{address}:{server.server_address[1]}"

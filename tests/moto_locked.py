"""moto's S3 server, one request at a time: its conditional writes race without the lock. Ends when standard input does."""

import io, os, sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from werkzeug.serving import WSGIRequestHandler, make_server

# moto holds everybody to a bucket's policy, and takes no notice of its conditions: a denial of plain HTTP denies all.
FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL

moto, one = DomainDispatcherApplication(create_backend_app), threading.Lock()

def app(environ, start_response):
    # The body is read before the lock is taken: a slow sender holds up nobody else.
    environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    with one:
        return list(moto(environ, start_response))

WSGIRequestHandler.log_request = lambda *_: None
server = make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True)
print(f"http://127.0.0.1:{server.port}", flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
server.serve_forever()

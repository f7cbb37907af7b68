"""A stand-in for AWS on one port of loopback: moto, and over it what moto lacks or gets wrong (see double/). Ends when
standard input does.

    aws_double.py PORT
"""

import os
import sys
import threading

from werkzeug.serving import WSGIRequestHandler, make_server

from double.door import Door

WSGIRequestHandler.log_request = lambda *_: None
server = make_server("127.0.0.1", int(sys.argv[1]), Door(), threaded=True)
print(f"http://127.0.0.1:{server.port}", flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
server.serve_forever()

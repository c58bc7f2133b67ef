"""A receiver of notifications: `NOTIFY_SECRET=whsec_… python receiver.py PORT`. Prints each event once."""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY, SEEN = base64.b64decode(os.environ["NOTIFY_SECRET"].removeprefix("whsec_")), set()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers["content-length"]), 65536))
        event, sent = self.headers["webhook-id"], self.headers["webhook-timestamp"]
        digest = hmac.digest(KEY, f"{event}.{sent}.".encode() + body, hashlib.sha256)
        wanted = "v1," + base64.b64encode(digest).decode()
        ours = any(hmac.compare_digest(wanted, one) for one in self.headers["webhook-signature"].split())
        fresh = ours and abs(time.time() - int(sent)) < 300  # an old message that somebody sends again is none of ours
        if fresh and event not in SEEN:  # after a crash an event may come twice, with the same id
            SEEN.add(event)
            print(json.loads(body)["data"]["message"], flush=True)
        self.send_response(204 if fresh else 401)
        self.end_headers()


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()

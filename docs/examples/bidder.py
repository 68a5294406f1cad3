#!/usr/bin/env python3
"""A bidder for Outcry in the standard library: checks the signature, answers every ping in time."""
import base64, hashlib, hmac, json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["ACME_BID_SECRET"]
KEY = base64.b64decode(SECRET[6:]) if SECRET.startswith("whsec_") else SECRET.encode()


def is_genuine(headers, body):
    """Standard Webhooks: HMAC-SHA256 over `{id}.{timestamp}.{body}`, at most five minutes old."""
    message_id, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent.isdigit() or abs(time.time() - int(sent)) > 300:
        return False
    digest = hmac.new(KEY, f"{message_id}.{sent}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(digest).decode()
    return any(hmac.compare_digest(expected, one) for one in headers.get("webhook-signature", "").split())


def bid(ping):
    """What the call is worth to us: more for insured callers from Texas, nothing without consent."""
    if not ping["consent"]:
        return {"ping_id": ping["ping_id"], "bid": 0, "reason": "no consent"}
    price = 25.50 if ping["caller"].get("state") == "TX" else 18.00
    price += 4.00 if ping["tags"].get("insured") == "yes" else 0.00
    return {"ping_id": ping["ping_id"], "bid": f"{price:.2f}", "ttl_s": 30, "min_duration_s": 90}


class Bidder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep the connection: Outcry asks again on it
    wbufsize = 8192  # head and body in one write: two small ones cost 40 ms of delayed acknowledgement

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status, reply = (200, bid(json.loads(body))) if is_genuine(self.headers, body) else (401, {})
        out = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)
        print(body.decode(), "->", out.decode(), flush=True)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Bidder).serve_forever()

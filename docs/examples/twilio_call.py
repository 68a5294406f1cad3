#!/usr/bin/env python3
"""Plays a call as Twilio would, against a running Outcry and without an account. Needs the package `twilio`, which signs.

    TWILIO_AUTH_TOKEN=… python3 docs/examples/twilio_call.py http://127.0.0.1:8080 no-answer target:95

The first argument is the carrier's `public_url`. Each other one says what comes of one `Dial`: `busy`, `no-answer`, `failed`, `declined`
(answered and not bridged), `target:SECONDS` or `caller:SECONDS` (bridged, and who hung up), `gone` (the caller left while it rang),
`lost` (the call ends and the action never comes).
"""
import os, secrets, sys, time, urllib.error, urllib.parse, urllib.request
import xml.etree.ElementTree as ET
from email.utils import formatdate

from twilio.request_validator import RequestValidator

URL, OUTCOMES = sys.argv[1].rstrip("/"), sys.argv[2:]
SIGNER = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
CALL = {"CallSid": "CA" + secrets.token_hex(16), "AccountSid": "AC" + "0" * 32, "ApiVersion": "2010-04-01", "Direction": "inbound",
        "From": os.environ.get("FROM", "+15125550123"), "To": os.environ.get("TO", "+18005550100")}
NOT_BRIDGED = {"busy": "busy", "no-answer": "no-answer", "failed": "failed", "declined": "completed", "gone": "canceled"}


def post(url, form):
    """One signed request; the document that came, if it was one."""
    request = urllib.request.Request(url, urllib.parse.urlencode(form).encode())
    request.add_header("X-Twilio-Signature", SIGNER.compute_signature(url, form))
    try:
        with urllib.request.urlopen(request, timeout=15) as reply:
            status, body = reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        status, body = error.code, error.read().decode()
    said = " ".join(f"{name}={form[name]}" for name in ("CallStatus", "DialCallStatus", "DialBridged", "DialCallDuration") if name in form)
    print(f"-> {urllib.parse.urlsplit(url).path} {said}\n<- {status} {body}", flush=True)
    return ET.fromstring(body) if body.startswith("<?xml") else None


def leg(dial, sid, sequence, status, more=()):
    form = {"CallSid": sid, "ParentCallSid": CALL["CallSid"], "CallStatus": status, "SequenceNumber": str(sequence),
            "Timestamp": formatdate(time.time()), "CallbackSource": "call-progress-events", **dict(more)}
    post(dial[0].attrib["statusCallback"], form)


def carry_out(dial, outcome):
    """What Twilio does with a `Dial`: tells of the leg, then asks its action what now. The next document."""
    sid = "CA" + secrets.token_hex(16)
    leg(dial, sid, 1, "ringing")
    word, _, seconds = outcome.partition(":")
    talked = word in ("target", "caller", "lost")
    if talked:
        leg(dial, sid, 2, "in-progress")
    status = "completed" if talked else NOT_BRIDGED[word]
    leg(dial, sid, 3, status, {"CallDuration": seconds or "0"}.items() if status == "completed" else ())
    if word == "lost":
        return None
    parent = {"caller": "completed", "gone": "completed", "target": "in-progress"}.get(word, "ringing")
    told = {"DialCallSid": sid, "DialCallStatus": status, "DialBridged": "true" if talked else "false"}
    if talked:
        told["DialCallDuration"] = seconds
    return post(dial.attrib["action"], {**CALL, "CallStatus": parent, **told})


geo = {"FromState": "TX", "FromZip": "78701", "FromCountry": "US", "StirVerstat": "TN-Validation-Passed-A"}
document = post(f"{URL}/twilio/voice", {**CALL, **geo, "CallStatus": "ringing"})
for outcome in OUTCOMES:
    dial = document.find("Dial") if document is not None else None
    if dial is None:
        sys.exit(f"nobody is dialled: {outcome} and what follows it cannot happen")
    document = carry_out(dial, outcome)
post(f"{URL}/twilio/status", {**CALL, "CallStatus": "completed", "CallDuration": "120"})

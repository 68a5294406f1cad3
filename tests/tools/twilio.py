"""Twilio's own library as a judge: signs requests, and says whether a document is TwiML.

Speaks JSON, one request and one reply a line. It knows nothing of the program under test. Needs the package `twilio`;
`tests/run.sh` installs it.

    {"op": "sign", "url": "…", "params": [["To", "+1…"], …], "token": "…", "algorithm": "HMAC_SHA256"}
        -> {"signature": "…"}; without "params" the URL alone is signed
    {"op": "sign", "url": "…", "json": "{…}", "token": "…"}
        -> {"signature": "…", "url": "…?bodySHA256=…"}, which is what is signed
    {"op": "validate", "url": "…", "params": […] or "json": "…", "token": "…", "signature": "…", "settings": "key=…"}
        -> {"valid": true}
    {"op": "rebuild", "twiml": "<Response>…"}
        -> {"ok": true} or {"ok": false, "why": "…"}

A request it cannot carry out gets {"error": "…"}.
"""

import inspect
import json
import os
import sys
import xml.etree.ElementTree as ET

# This file has the name of the package: without its folder the package is found.
sys.path = [path for path in sys.path if os.path.realpath(path) != os.path.dirname(os.path.realpath(__file__))]

from twilio.request_validator import RequestValidator, get_signature_algorithm  # noqa: E402
from twilio.twiml import TwiML, lower_camel  # noqa: E402
from twilio.twiml import voice_response  # noqa: E402


class Params(dict):
    """Parameters that may be repeated, in the form the library knows from web frameworks."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.pairs = pairs

    def getall(self, name):
        return [value for own, value in self.pairs if own == name]


def sign(request):
    validator = RequestValidator(request["token"])
    url, params = request["url"], None
    if "json" in request:
        joint = "&" if "?" in url else "?"
        url = f"{url}{joint}bodySHA256={validator.compute_hash(request['json'])}"
    elif "params" in request:
        params = Params(request["params"])
    signature = validator.compute_signature(url, params, request.get("algorithm"))
    return {"signature": signature, "url": url}


def validate(request):
    params = request["json"] if "json" in request else Params(request.get("params", []))
    algorithm = get_signature_algorithm(request.get("settings"))
    validator = RequestValidator(request["token"])
    return {"valid": validator.validate(request["url"], params, request["signature"], algorithm)}


def rebuild(request):
    """Builds the document again with the library, verb by verb, and compares the two as trees."""
    if not request["twiml"].startswith('<?xml version="1.0" encoding="UTF-8"?>'):
        return {"ok": False, "why": "no declaration"}
    try:
        given = ET.fromstring(request["twiml"].encode())
    except ET.ParseError as error:
        return {"ok": False, "why": f"no XML: {error}"}
    if given.tag != "Response" or given.attrib:
        return {"ok": False, "why": f"the root is {given.tag} {given.attrib}"}
    response = voice_response.VoiceResponse()
    try:
        for element in given:
            nest(response, element)
    except NotTwiml as error:
        return {"ok": False, "why": str(error)}
    why = difference(given, ET.fromstring(response.to_xml()))
    return {"ok": why is None, "why": why}


class NotTwiml(Exception):
    pass


def parameters(callable):
    names = inspect.signature(callable).parameters
    return [name for name in names if name not in ("self", "kwargs")]


def nest(parent, element):
    """Adds the element by the parent's own method for it, whose signature is what is allowed."""
    name = element.tag.lower()
    kind = getattr(voice_response, element.tag, None)
    if kind is None or name not in vars(type(parent)):
        raise NotTwiml(f"<{element.tag}> is not allowed in <{parent.name}>")
    # What an element says is what its class takes by name; everything else its method takes is an attribute.
    texts = parameters(kind.__init__)
    method = getattr(parent, name)
    allowed = {lower_camel(TwiML.MAP.get(own, own)): own for own in parameters(method) if own not in texts}
    arguments = {}
    for attribute, value in element.attrib.items():
        if attribute not in allowed:
            raise NotTwiml(f"<{element.tag}> has no attribute {attribute}")
        arguments[allowed[attribute]] = value
    if element.text is not None:
        if len(texts) != 1:
            raise NotTwiml(f"<{element.tag}> holds no text")
        arguments[texts[0]] = element.text
    try:
        child = method(**arguments)
    except TypeError as error:
        raise NotTwiml(f"<{element.tag}>: {error}") from error
    for inner in element:
        nest(child, inner)


def difference(given, built, path=""):
    path = f"{path}/{given.tag}"
    if given.tag != built.tag:
        return f"{path}: built as {built.tag}"
    if given.attrib != built.attrib:
        return f"{path}: {given.attrib} built as {built.attrib}"
    if (given.text or "") != (built.text or "") or (given.tail or "") != (built.tail or ""):
        return f"{path}: {given.text!r} {given.tail!r} built as {built.text!r} {built.tail!r}"
    if len(given) != len(built):
        return f"{path}: {len(given)} elements built as {len(built)}"
    found = (difference(one, other, path) for one, other in zip(given, built))
    return next((why for why in found if why is not None), None)


OPERATIONS = {"sign": sign, "validate": validate, "rebuild": rebuild}


def main():
    for line in sys.stdin:
        try:
            request = json.loads(line)
            reply = OPERATIONS[request["op"]](request)
        except Exception as error:  # whoever asks is told, and may ask again
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


main()

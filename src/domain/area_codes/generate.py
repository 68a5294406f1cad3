#!/usr/bin/env python3
"""Writes table.rs: one row per area code of the North American Numbering Plan.

The data is libphonenumber's (Apache-2.0), as packaged on PyPI under the name `phonenumbers`.
Run it from anywhere; the output is a pure function of the package version and of the tables below:

    python3 -m venv venv && venv/bin/pip install phonenumbers==9.0.43
    venv/bin/python src/domain/area_codes/generate.py > src/domain/area_codes/table.rs

It stops with a message rather than guess: an unknown place name, a tie, or a correction that the
data no longer needs are errors to be settled here by a person.
"""

import re
import sys
from collections import Counter

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE
from phonenumbers.geodata import GEOCODE_DATA
from phonenumbers.phonemetadata import PhoneMetadata
from phonenumbers.tzdata import TIMEZONE_DATA

PACKAGE_VERSION = "9.0.43"

STATES = {
    "Alabama": "AL", "Alaska": "AK", "Arizona": "AZ", "Arkansas": "AR", "California": "CA",
    "Colorado": "CO", "Connecticut": "CT", "Delaware": "DE", "Washington D.C.": "DC",
    "Florida": "FL", "Georgia": "GA", "Hawaii": "HI", "Idaho": "ID", "Illinois": "IL",
    "Indiana": "IN", "Iowa": "IA", "Kansas": "KS", "Kentucky": "KY", "Louisiana": "LA",
    "Maine": "ME", "Maryland": "MD", "Massachusetts": "MA", "Michigan": "MI", "Minnesota": "MN",
    "Mississippi": "MS", "Missouri": "MO", "Montana": "MT", "Nebraska": "NE", "Nevada": "NV",
    "New Hampshire": "NH", "New Jersey": "NJ", "New Mexico": "NM", "New York": "NY",
    "North Carolina": "NC", "North Dakota": "ND", "Ohio": "OH", "Oklahoma": "OK", "Oregon": "OR",
    "Pennsylvania": "PA", "Rhode Island": "RI", "South Carolina": "SC", "South Dakota": "SD",
    "Tennessee": "TN", "Texas": "TX", "Utah": "UT", "Vermont": "VT", "Virginia": "VA",
    "Washington State": "WA", "West Virginia": "WV", "Wisconsin": "WI", "Wyoming": "WY",
}
PROVINCES = {
    "Alberta": "AB", "British Columbia": "BC", "British Colombia": "BC", "Manitoba": "MB",
    "New Brunswick": "NB", "Newfoundland and Labrador": "NL", "Nova Scotia": "NS",
    "Northwest Territories": "NT", "Nunavut": "NU", "Ontario": "ON", "Prince Edward Island": "PE",
    "Quebec": "QC", "Saskatchewan": "SK", "Yukon": "YT",
}
PLACES = {"US": STATES, "CA": PROVINCES}

# Zones whose clocks have agreed for decades; the left one is written as the right one, so that
# only a real difference of the clock counts as "spans several zones".
SAME_CLOCK = {
    "America/Boise": "America/Denver",
    "America/Juneau": "America/Anchorage",
    "America/North_Dakota/Center": "America/Chicago",
}

# An overlay covers the same ground as the code it relieves; the data knows the exchanges of the
# old code only. Listed where the ground spans zones or provinces.
OVERLAYS = {
    236: 250, 257: 250, 672: 250, 778: 250,  # British Columbia
    364: 270,  # western Kentucky
    367: 418, 581: 418,  # eastern Quebec
    448: 850,  # Florida panhandle
    458: 541,  # Oregon
    782: 902,  # Nova Scotia and Prince Edward Island
    879: 709,  # Newfoundland and Labrador
    930: 812,  # southern Indiana
    986: 208,  # Idaho
}

# Where the data is wrong or does not say. The second column is what it yields without the entry.
ZONE_CORRECTIONS = {
    474: ("America/Regina", "America/Winnipeg"),  # overlay of 306: Saskatchewan keeps no DST
    689: ("America/New_York", "America/Chicago"),  # overlay of 407: Orlando
    709: ("America/St_Johns", None),  # the data names both zones and no exchange's own
    867: ("America/Edmonton", "America/Edmonton=America/Vancouver"),  # Yellowknife; see spans
}

# Not in the data: reserved or assigned without a numbering pattern of their own.
EXTRA_TOLL_FREE = [822]  # the next toll-free code
EXTRA_SPECIAL = [700, 710]  # carriers' own services; United States government


def fail(message):
    sys.exit(f"generate.py: {message}")


def longest(table, number, shortest):
    """The entry of the longest prefix of number, no shorter than shortest."""
    for length in range(len(number), shortest - 1, -1):
        if number[:length] in table:
            return table[number[:length]]
    return None


def patterns(country, kind):
    """The area codes in which a country's pattern of this kind allows any of the numbers tried."""
    description = getattr(PhoneMetadata.metadata_for_region(country), kind)
    if not description or not description.national_number_pattern:
        return set()
    matches = re.compile(description.national_number_pattern).fullmatch
    lines = [f"{exchange}{line}" for exchange in range(200, 1000, 9) for line in ("2345", "4567")]
    return {npa for npa in range(200, 1000) if any(matches(f"{npa}{line}") for line in lines)}


def countries():
    """Area code -> ISO country, for geographic codes."""
    found = {}
    for country in COUNTRY_CODE_TO_REGION_CODE[1]:
        if country in PLACES:
            codes = patterns(country, "fixed_line")
        else:
            leading = PhoneMetadata.metadata_for_region(country).leading_digits
            codes = {npa for npa in range(200, 1000) if re.fullmatch(leading, str(npa))}
        for npa in codes:
            if found.setdefault(npa, country) != country:
                fail(f"{npa} belongs to {found[npa]} and {country}")
    return found


def places_named(description, names):
    """The codes of the states or provinces that a description names; more than one for a/b/c."""
    last = description.rsplit(", ", 1)[-1]
    if last in names.values():
        return [last]
    return [names[part] for part in last.split("/") if part in names]


def place_of(npa, country, geo):
    """(state or province, whether there are several): by the code's own entry, else by majority."""
    names = PLACES[country]
    own = places_named(geo[f"1{npa}"], names) if f"1{npa}" in geo else []
    if len(own) == 1:
        return own[0], False
    votes = Counter()
    for prefix, description in geo.items():
        if prefix.startswith(f"1{npa}"):
            named = places_named(description, names)
            if len(named) == 1:
                votes[named[0]] += 1
    best = votes.most_common(2)
    if not best or (len(best) == 2 and best[0][1] == best[1][1]):
        fail(f"{npa}: no state or province by majority: {votes}")
    return best[0][0], len(own) > 1


def clocks(entry):
    return {SAME_CLOCK.get(zone, zone) for zone in entry}


def zone_of(npa, geo, zones):
    """(zone of most exchanges known by place, all zones) of an area code."""
    prefix = f"1{npa}"
    entries = {key: clocks(value) for key, value in zones.items() if key.startswith(prefix)}
    if not entries:
        fail(f"{npa}: no zone at all")
    every = set().union(*entries.values())
    if len(every) == 1:
        return next(iter(every)), every
    votes = Counter()
    for exchange in range(200, 1000):
        number = f"{prefix}{exchange}"
        entry = longest(entries, number, 4)
        if longest(geo, number, 5) and entry and len(entry) == 1:
            votes.update(entry)
    most = max(votes.values(), default=0)
    leaders = sorted(zone for zone, count in votes.items() if count == most)
    return "=".join(leaders) or None, every


def corrected(npa, zone):
    if npa not in ZONE_CORRECTIONS:
        return zone
    right, expected = ZONE_CORRECTIONS[npa]
    if zone != expected:
        fail(f"{npa}: the data now says {zone}, not {expected}: is the correction still needed?")
    return right


def rows():
    geo = {k: v["en"] for k, v in GEOCODE_DATA.items() if k.startswith("1") and "en" in v}
    zones = {k: v for k, v in TIMEZONE_DATA.items() if k.startswith("1") and len(k) >= 4}
    geographic = countries()
    missing = {int(k[1:4]) for k in zones} - set(geographic)
    # Newly assigned codes may be missing in one table and present in another.
    if missing:
        fail(f"codes with a zone and no country: {sorted(missing)}")
    found = {}
    for npa, country in geographic.items():
        ground = OVERLAYS.get(npa, npa)
        zone, every = zone_of(ground, geo, zones)
        zone = corrected(npa, corrected(ground, zone) if ground != npa else zone)
        if zone is None or "=" in zone:
            fail(f"{npa}: no zone by majority ({zone}); add a correction")
        spans = len(every) > 1
        if country in PLACES:
            place, several = place_of(ground, country, geo)
            kind = "state" if country == "US" else "province"
            found[npa] = (kind, place, zone, spans, several)
        else:
            found[npa] = ("country", country, zone, spans, False)

    def add(codes, kind):
        for npa in codes:
            if npa in found:
                fail(f"{npa} is {kind} and {found[npa]}")
            found[npa] = (kind, None, None, False, False)

    add(patterns("US", "toll_free") | set(EXTRA_TOLL_FREE), "toll_free")
    add(patterns("US", "premium_rate"), "premium")
    special = set().union(
        *(patterns(c, kind) for c in PLACES for kind in ("personal_number", "voip"))
    )
    add(special | set(EXTRA_SPECIAL), "special")
    return found


def render(found):
    out = [
        f"//! Generated by `generate.py` from libphonenumber's data ({package()}); do not edit.",
        "//! It holds the rows and nothing else: lookup and meaning are in the parent module.",
        "//!",
        "//! Copyright (C) 2009-2026 The Libphonenumber Authors. Licensed under the Apache License, Version 2.0;",
        "//! you may obtain a copy at <http://www.apache.org/licenses/LICENSE-2.0>. Reduced to one row per area",
        "//! code, with the corrections listed in the generator.",
        "",
        "use super::{Row, country, premium, province, special, state, toll_free};",
        "",
        "/// Sorted by area code, each code once.",
        "pub(super) static ROWS: &[Row] = &[",
    ]
    for npa in sorted(found):
        kind, place, zone, spans, several = found[npa]
        text = f"{kind}({npa})" if place is None else f'{kind}({npa}, "{place}", "{zone}")'
        text += ".spanning_zones()" if spans else ""
        text += ".spanning_states()" if several else ""
        out.append(f"    {text},")
    out.append("];")
    return "\n".join(out) + "\n"


def package():
    return f"PyPI package phonenumbers {PACKAGE_VERSION}"


if __name__ == "__main__":
    if phonenumbers.__version__ != PACKAGE_VERSION:
        fail(f"wants phonenumbers {PACKAGE_VERSION}, found {phonenumbers.__version__}")
    sys.stdout.write(render(rows()))

"""The oracle of time zones: what a clock on the wall shows, what is open by it, and when days begin, by Python's zoneinfo
and the IANA data of the package tzdata. It never looks at the system's zones, and knows nothing of the exchange but its
published rules. One JSON object a line, question and answer:

  {"op": "release"}                                     the release of the data, and the names of all its zones
  {"op": "changes", "zone": …, "offsets": [s, …], "schedules": [["daily 09:00-17:00"], …]}
        every change of the zone's clocks from 1990 to 2040; at each, for every offset in seconds, the instant, the clock, a
        letter for each schedule (o open, c closed), and start and end of the day. `DATE` in a schedule is the date of the change
  {"op": "days", "zone": …}                             the first instant of every day from 1990 to 2040

The rules. Hours are open while the clock on the wall shows them: what it shows twice is open twice, what it skips is in
nobody's way. A date of its own is ruled by what is said of it alone. A day begins with the first instant at which the clock
shows its date or a later one, and ends where the next one begins; days that would be empty do not exist.
"""

import bisect
import functools
import importlib.resources
import json
import re
import struct
import sys
import zoneinfo
from datetime import date, datetime, timedelta, timezone

import tzdata

zoneinfo.reset_tzpath(to=[])
EPOCH = datetime(1970, 1, 1)
FIRST = int((datetime(1990, 1, 1) - EPOCH).total_seconds())
LAST = int((datetime(2041, 1, 1) - EPOCH).total_seconds())
DAY = 86_400
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Zone:
    def __init__(self, name):
        self.zone = zoneinfo.ZoneInfo(name)
        self.changes = self.find_changes(name)
        self.starts = {}

    def offset(self, at):
        return int(datetime.fromtimestamp(at, self.zone).utcoffset().total_seconds())

    def clock(self, at):
        """What the wall shows, as a time without a zone."""
        return EPOCH + timedelta(seconds=at + self.offset(at))

    def find_changes(self, name):
        """Every second at which the offset is another than a second before. What the file lists, and whatever lies between
        two noons of UTC with different offsets, a week apart: beyond its list a file has a rule."""
        found = {at for at in listed(name) if FIRST <= at < LAST and self.offset(at) != self.offset(at - 1)}
        noons = range(FIRST - DAY // 2, LAST + 7 * DAY, 7 * DAY)
        before = self.offset(noons[0])
        for noon in noons[1:]:
            after = self.offset(noon)
            if after != before and not any(noon - 7 * DAY < at <= noon for at in found):
                low, high = noon - 7 * DAY, noon
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (middle, high) if self.offset(middle) == before else (low, middle)
                found.add(high)
            before = after
        return sorted(at for at in found if FIRST <= at < LAST)

    def first_instant(self, ordinal):
        """The first second at which the clock shows this date or a later one."""
        if ordinal in self.starts:
            return self.starts[ordinal]
        midnight = (ordinal - EPOCH.toordinal()) * DAY
        # No clock is further from UTC than 30 hours. Between two changes it goes as every clock does.
        low, high = midnight - 30 * 3_600, midnight + 30 * 3_600
        within = slice(bisect.bisect_right(self.changes, low), bisect.bisect_left(self.changes, high))
        edges = [low, *self.changes[within], high]
        for begin, end in zip(edges, edges[1:]):
            shows_it = max(begin, midnight - self.offset(begin))
            if shows_it < end:
                self.starts[ordinal] = shows_it
                return shows_it
        raise ValueError(f"no {date.fromordinal(ordinal)}")

    def day(self, at):
        around = self.clock(at).toordinal()
        starts = [self.first_instant(ordinal) for ordinal in range(around - 3, around + 4)]
        return max(start for start in starts if start <= at), min(start for start in starts if start > at)


def data(name):
    folder, _, file = name.rpartition("/")
    package = ".".join(["tzdata", "zoneinfo", *folder.split("/")] if folder else ["tzdata", "zoneinfo"])
    return importlib.resources.files(package).joinpath(file).read_bytes()


def listed(name):
    """The instants that a TZif file lists (RFC 9636), those of its second, 64-bit part."""
    text = data(name)
    counts = struct.unpack(">6l", text[20:44])
    isutc, isstd, leaps, times, types, chars = counts
    second = 44 + times * 5 + types * 6 + chars + leaps * 8 + isstd + isutc
    assert text[second : second + 4] == b"TZif"
    (times,) = struct.unpack(">l", text[second + 32 : second + 36])
    return struct.unpack(f">{times}q", text[second + 44 : second + 44 + times * 8])


@functools.cache
def read(line):
    """Dates or weekdays, and the minutes of what begins on them; `None` is closed."""
    days, hours = line.split()
    if days[0].isdigit():
        first, last = (date.fromisoformat(day).toordinal() for day in (days.split("/") * 2)[:2])
        on = ("dates", frozenset(range(first, last + 1)))
    elif days == "daily":
        on = ("weekdays", frozenset(range(7)))
    else:
        first, last = (WEEKDAYS.index(day) for day in (days.split("-") * 2)[:2])
        on = ("weekdays", frozenset((first + n) % 7 for n in range((last - first) % 7 + 1)))
    if hours == "closed":
        return on, None
    a, b, c, d = map(int, re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", hours).groups())
    start, end = a * 60 + b, c * 60 + d
    return on, (start, end if end > start else end + 1440)


@functools.lru_cache(maxsize=65_536)
def begun_on(lines, ordinal):
    """Whether a date has hours of its own, and what begins on it, in minutes from its midnight."""
    lines = [read(line) for line in lines]
    own = [span for (kind, days), span in lines if kind == "dates" and ordinal in days]
    if own:
        return True, [span for span in own if span]
    weekday = (ordinal - 1) % 7
    weekly = [(days, span) for (kind, days), span in lines if kind == "weekdays"]
    if not weekly:
        return False, [(0, 1440)]
    return False, [span for days, span in weekly if weekday in days]


def is_open(lines, clock):
    minute = clock.hour * 60 + clock.minute
    today = clock.toordinal()
    is_own, spans = begun_on(lines, today)
    if any(start <= minute < end for start, end in spans):
        return True
    _, before = begun_on(lines, today - 1)
    return not is_own and any(minute + 1440 < end for _, end in before)


@functools.cache
def zone_of(text_of_file, name):
    """One for all names of one zone."""
    return Zone(name)


@functools.cache
def changes(text_of_file, name, offsets, schedules):
    zone = zone_of(text_of_file, name)
    found = []
    for change in zone.changes:
        on = zone.clock(change).date().isoformat()
        lists = [tuple(line.replace("DATE", on) for line in schedule) for schedule in schedules]
        rows = []
        for offset in offsets:
            at = change + offset
            clock = zone.clock(at)
            letters = "".join("o" if is_open(lines, clock) else "c" for lines in lists)
            rows.append([at, clock.strftime("%a %Y-%m-%d %H:%M"), letters, *zone.day(at)])
        found.append({"at": change, "by": zone.offset(change) - zone.offset(change - 1), "date": on, "rows": rows})
    return json.dumps({"changes": found})


def days(text_of_file, name):
    zone = zone_of(text_of_file, name)
    dates = range(date(1990, 1, 1).toordinal(), date(2041, 1, 1).toordinal() + 1)
    return json.dumps({"days": sorted({zone.first_instant(ordinal) for ordinal in dates})})


def answer(question):
    if question["op"] == "release":
        return json.dumps({"release": tzdata.IANA_VERSION, "zones": sorted(zoneinfo.available_timezones())})
    name = question["zone"]
    if question["op"] == "days":
        return days(data(name), name)
    schedules = tuple(map(tuple, question["schedules"]))
    return changes(data(name), name, tuple(question["offsets"]), schedules)


def main():
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:  # whoever asks is told, and may ask again
            reply = json.dumps({"error": f"{type(error).__name__}: {error}"})
        print(reply, flush=True)


main()

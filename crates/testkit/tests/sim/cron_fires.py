"""Fire times of cron expressions by Python's zoneinfo: what the product's own are compared with.

Arguments: how many days around each change of a zone's clock (0 for all of 1970 to 2037), and the
zones. Prints a JSON line a zone: a hash of its offsets, so that other zone data is noticed, and for
each expression how many times there are and a hash of them.

The rule, as docs/concepts/schedules.md states it. A fixed time (one hour, one minute) that the
clock leaves out fires when the clock jumps, if it is at most two hours before the time that the
clock jumps to; one that comes twice fires the first time only. Anything else follows the local
clock as it passes.
"""

import calendar
import json
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1)
FIRST = 86_400 * 2
LAST = int((datetime(2037, 12, 30) - EPOCH).total_seconds())
PRIME = (1 << 61) - 1


def every(day):
    return True


def weekdays(day):
    return day.weekday() < 5


def first(day):
    return day.day == 1


def last(day):
    return day.day == calendar.monthrange(day.year, day.month)[1]


# expression: (hour, minute, days) for a fixed time, (hours, minutes) for anything else
SHAPES = {
    "0 0 * * *": (0, 0, every),
    "30 1 * * *": (1, 30, every),
    "30 2 * * *": (2, 30, every),
    "15 3 * * 1-5": (3, 15, weekdays),
    "45 23 L * *": (23, 45, last),
    "0 12 1 * *": (12, 0, first),
    "0 * * * *": (range(24), [0]),
    "*/20 * * * *": (range(24), [0, 20, 40]),
    "*/30 * * * *": (range(24), [0, 30]),
    "0 */6 * * *": ([0, 6, 12, 18], [0]),
    "10,40 1-3 * * *": ([1, 2, 3], [10, 40]),
}


def offset(zone, at):
    moment = datetime.fromtimestamp(at, timezone.utc).astimezone(zone)
    return int(moment.utcoffset().total_seconds())


def changes(zone):
    """The instants at which the offset changes, and a hash of the offset of every day."""
    found, digest = [], 0
    before, at = offset(zone, FIRST), FIRST
    while at < LAST:
        after = offset(zone, at + 86_400)
        digest = (digest * 1_000_003 + after + 100_000) % PRIME
        if after != before:
            low, high = at, at + 86_400
            while high - low > 1:
                middle = (low + high) // 2
                if offset(zone, middle) == before:
                    low = middle
                else:
                    high = middle
            found.append(high)
            digest = (digest * 1_000_003 + high) % PRIME
        before, at = after, at + 86_400
    return found, digest


def windows(found, days):
    if days == 0:
        return [(FIRST, LAST)]
    spans = []
    for change in found:
        start, end = max(FIRST, change - days * 86_400), min(LAST, change + days * 86_400)
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def fixed(zone, shape, start, end):
    hour, minute, wanted = shape
    day = EPOCH + timedelta(days=start // 86_400 - 2)
    times = set()
    while (day - EPOCH).days <= end // 86_400 + 2:
        local = day.replace(hour=hour, minute=minute)
        seconds = int((local - EPOCH).total_seconds())
        before = int(local.replace(tzinfo=zone, fold=0).utcoffset().total_seconds())
        after = int(local.replace(tzinfo=zone, fold=1).utcoffset().total_seconds())
        if before >= after:
            # It exists, once or twice; the first counts.
            if wanted(day):
                times.add(seconds - before)
        elif wanted(day):
            low, high = seconds - after, seconds - before
            while high - low > 1:
                middle = (low + high) // 2
                if offset(zone, middle) == before:
                    low = middle
                else:
                    high = middle
            jump = high if offset(zone, low) == before else low
            jumped_to = jump + after
            if jumped_to - seconds <= 7_200 and wanted(EPOCH + timedelta(seconds=jumped_to)):
                times.add(jump)
        day += timedelta(days=1)
    return sorted(at for at in times if start < at <= end)


def stepped(zone, shape, start, end, found):
    hours, minutes = set(shape[0]), set(shape[1])
    edges = [start] + [at for at in found if start < at <= end] + [end + 1]
    times = []
    for low, high in zip(edges, edges[1:]):
        shift = offset(zone, low)
        # The first whole minute of the local clock in this stretch.
        at = low + (-(low + shift)) % 60
        while at < high:
            minute = (at + shift) // 60
            if minute % 60 in minutes and minute // 60 % 24 in hours:
                if start < at <= end:
                    times.append(at)
            # Every minute that any of the shapes names is a multiple of ten.
            at += 60 * (10 - minute % 10)
    return times


def main():
    days = int(sys.argv[1])
    for name in sys.argv[2:]:
        zone = ZoneInfo(name)
        found, digest = changes(zone)
        spans = windows(found, days)
        answer = {"zone": name, "offsets": digest, "spans": spans, "fires": {}}
        for text, shape in SHAPES.items():
            total, count = 0, 0
            for start, end in spans:
                if callable(shape[-1]):
                    times = fixed(zone, shape, start, end)
                else:
                    times = stepped(zone, shape, start, end, found)
                count += len(times)
                for at in times:
                    total = (total * 1_000_003 + at) % PRIME
            answer["fires"][text] = [count, total]
        print(json.dumps(answer), flush=True)


main()

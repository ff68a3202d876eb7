#!/usr/bin/env python3
"""The worst that a single call can meet: what it takes, and what a PING on another connection waits meanwhile."""

import argparse
import json
import statistics
import threading
import time
from pathlib import Path

from server import Server, encode, markdown, server_called

HOUR_US = 3_600_000_000


def log(client, key, entries, newest_us):
    """A log of `entries` entries of one unit, 1 ms apart, the newest `newest_us` from now (negative: ago)."""
    newest = int(time.time() * 1e6) + newest_us
    commands = []
    for start in range(0, entries, 1000):
        pairs = []
        for number in range(start, min(start + 1000, entries)):
            pairs += [newest - (entries - 1 - number) * 1000, number + 1]
        commands.append(encode("ZADD", key, *pairs))
    client.pipeline(commands)


# Logs that cases start from a copy of, and where their newest entry lies.
TEMPLATES = {"stale": -2 * HOUR_US, "live": -1000, "ahead": 2 * HOUR_US}
KEY = "worst:0"


# A copy of the stale one, with a live entry after its own.
MIXED = "mixed"


def prepare(client, template, entries):
    client.call("DEL", KEY)
    if template:
        client.call("COPY", "stale" if template == MIXED else template, KEY)
    if template == MIXED:
        client.call("ZADD", KEY, int(time.time() * 1e6), entries + 1)


def cases(entries):
    """name, the template, the words of the call, how often it is made."""
    log = lambda *words: ("RL.SLIDINGLOG", KEY, *words)
    million = f"{entries:,}"
    half = 10**9 + entries // 2
    yield f"{million} entries, all stale: the next call", "stale", log(10, "1h"), 1
    yield f"{million} stale entries and a live one: the next call", MIXED, log(10, "1h"), 1
    yield f"{million} stale entries and a live one: 1,000 calls", MIXED, log(5000, "1h"), 1000
    yield f"{million} live entries: 1,000 calls", "live", log(10**9, "1h"), 1000
    yield f"{million} live entries: COST 10^9, allowed", "live", log(10**12, "1h", "COST", 10**9), 1
    yield f"{million} live entries: COST 10^9, never fits", "live", log(10**6, "1h", "COST", 10**9), 100
    yield f"{million} live entries: COST 10^9, denied until half have gone", "live", log(half, "1h", "COST", 10**9), 100
    peek = ("RL.PEEK", KEY, "SLIDINGLOG", half, "1h", "COST", 10**9)
    yield f"{million} live entries: RL.PEEK of that", "live", peek, 100
    yield f"{million} entries 2 h ahead of the clock: denied", "ahead", log(10, "1h"), 1
    yield f"{million} entries 2 h ahead of the clock: allowed", "ahead", log(10**9, "1h"), 1
    for count in dict.fromkeys((1, 100, 1000, 10_000, 100_000, entries // 2, entries * 999 // 1000, entries)):
        yield f"{million} live entries: COST -{count}", "live", log(10**9, "1h", "COST", -count), 1
    fixed = [word for number in range(64) for word in ("FIXED", 10**6, "1h", "AS", f"limit-{number}")]
    yield "RL.ALL: 64 windows on one key", None, ("RL.ALL", KEY, *fixed), 1000
    buckets = [word for number in range(64) for word in ("TOKENBUCKET", 10**9, 10, "1s", "AS", f"limit-{number}")]
    yield "RL.ALL: 64 buckets on one key", None, ("RL.ALL", KEY, *buckets), 1000
    keys = [word for number in range(1, 64) for word in ("KEY", f"worst:{number}", "FIXED", 10**6, "1h")]
    yield "RL.ALL: 64 windows on 64 keys", None, ("RL.ALL", KEY, "FIXED", 10**6, "1h", *keys), 1000
    long_key = "k" * 65536
    yield "a key of 64 KiB: RL.TOKENBUCKET", None, ("RL.TOKENBUCKET", long_key, 10**6, 10, "1s"), 1000
    yield "a key of 64 KiB: RL.SLIDINGLOG", None, ("RL.SLIDINGLOG", long_key + ":log", 10**6, "1h"), 1000
    many = [word for number in range(64) for word in ("KEY", f"{number}{long_key}", "FIXED", 10**6, "1h")]
    yield "RL.ALL: 64 keys of 64 KiB", None, ("RL.ALL", *many[1:]), 20
    yield "for comparison: RL.TOKENBUCKET", None, ("RL.TOKENBUCKET", KEY, 10**6, 10, "1s"), 1000


class Pings:
    """PINGs, one after another on a connection of their own, while a `with` lasts."""

    def __init__(self, server):
        self.client = server.client()
        self.waits = []
        self.over = threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        time.sleep(0.02)
        return self

    def run(self):
        while not self.over.is_set():
            start = time.perf_counter()
            self.client.call("PING")
            self.waits.append(time.perf_counter() - start)
            time.sleep(0.0002)

    def __exit__(self, *_):
        time.sleep(0.02)
        self.over.set()
        self.thread.join()


def busy_us(client, command):
    """The microseconds that the server counts for a command."""
    for line in client.call("INFO", "commandstats").decode().splitlines():
        name, _, fields = line.partition(":")
        if name.lower() == f"cmdstat_{command.lower()}":
            return int(dict(field.split("=") for field in fields.split(","))["usec"])
    raise SystemExit(f"the server has not counted {command}")


def measure(server, case, entries, repeats):
    """The mean time of the call, and the longest wait of a PING beside it: medians of the repeats."""
    _, template, words, times = case
    means, pings = [], []
    client = server.client()
    encoded = encode(*words)
    for _ in range(repeats):
        prepare(client, template, entries)
        client.call("CONFIG", "RESETSTAT")
        with Pings(server) as beside:
            for _ in range(times):
                client.send(encoded)
                client.reply()
        means.append(busy_us(client, words[0]) / times)
        pings.append(max(beside.waits) * 1e3)
    return statistics.median(means), statistics.median(pings)


def drained(server, entries):
    """How many calls until a log with `entries` stale entries holds none of them."""
    client = server.client()
    prepare(client, MIXED, entries)
    hour_ago = int(time.time() * 1e6) - HOUR_US
    made = 0
    while client.call("ZCOUNT", KEY, "-inf", hour_ago):
        batch = max(1, entries // 100)
        client.pipeline([encode("RL.SLIDINGLOG", KEY, 10**9, "1h")] * batch)
        made += batch
    return made


def tables(report):
    table = markdown(["case", "the call, µs", "longest PING beside it, ms"], report["rows"])
    return (
        f"{report['server']}, medians of {report['repeats']}. With nothing beside it a PING waited at most "
        f"{report['quiet_ms']:.2f} ms.\n\n{table}\n\n"
        f"{report['entries']:,} stale entries were gone after {report['drained']:,} calls."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look: logs of 100,000 entries, each case once")
    parser.add_argument("--server", default="Redis 8.2.3", help="which of scripts/test-servers --list")
    parser.add_argument("--save", metavar="FILE", help="write the results as JSON")
    options = parser.parse_args()
    entries, repeats = (100_000, 1) if options.quick else (1_000_000, 5)
    rows = []
    with Server(server_called(options.server)) as server:
        with Pings(server) as idle:
            time.sleep(1)
        quiet = max(idle.waits) * 1e3
        for name, newest_us in TEMPLATES.items():
            log(server.client(), name, entries, newest_us)
        for case in cases(entries):
            call_us, ping_ms = measure(server, case, entries, repeats)
            rows.append([case[0], f"{call_us:,.0f}", f"{ping_ms:.2f}"])
        made = drained(server, entries)
    report = dict(server=options.server, repeats=repeats, quiet_ms=quiet, entries=entries, drained=made, rows=rows)
    print(tables(report))
    if options.save:
        Path(options.save).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Memory: bytes of one limiter of each kind, bytes an entry of a sliding log, and what is left once all keys expired."""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from server import Server, ServerError, encode, load_scripts, markdown, servers

KEY = "rl:user:12"

# A key in its usual state, by name.
LIMITERS = [
    ("RL.FIXED", ["RL.FIXED K 100 1m"]),
    ("RL.TOKENBUCKET", ["RL.TOKENBUCKET K 100 10 1s"]),
    ("RL.LEAKYBUCKET", ["RL.LEAKYBUCKET K 100 10 1s"]),
    ("RL.SLIDINGCOUNTER", ["RL.SLIDINGCOUNTER K 100 1m"]),
    ("CL.THROTTLE", ["CL.THROTTLE K 99 600 60"]),
    ("RL.SLIDINGLOG, 1 entry", ["RL.SLIDINGLOG K 100 1m"]),
    ("three limits, RL.ALL on one key", ["RL.ALL K FIXED 100 1m FIXED 1000 1h TOKENBUCKET 100 10 1s"]),
    ("the same on three keys", ["RL.FIXED K 100 1m", "RL.FIXED K:h 1000 1h", "RL.TOKENBUCKET K:tb 100 10 1s"]),
    ("INCR, PEXPIRE", ["INCR K", "PEXPIRE K 60000"]),
    ("Lua fixed_window", ["EVALSHA fixed_window 1 K 100 60000 1"]),
    ("Lua token_bucket", ["EVALSHA token_bucket 1 K 100 10 1000 1"]),
    ("Lua sliding_log, 1 entry", ["EVALSHA sliding_log 1 K 100 60000 1"]),
]

SIZES = (10, 55, 128, 1_000, 10_000, 100_000)
# Units charged to a log before it is measured: members are running totals, so they grow.
TOTALS = (0, 10**6, 10**9, 10**12, 10**17)


def usage(client):
    """Bytes of all keys together."""
    keys = client.call("KEYS", "*")
    return sum(client.call("MEMORY", "USAGE", key, "SAMPLES", 0) for key in keys)


def filled_in(word, scripts):
    """K and K:… are the key; a script's name is its hash."""
    return re.sub(r"^K(?=$|:)", KEY, scripts.get(word, word))


def of_limiters(client):
    """name -> bytes; without the commands that this build does not have."""
    scripts = load_scripts(client)
    found = {}
    for name, lines in LIMITERS:
        client.call("FLUSHALL")
        try:
            for line in lines:
                client.call(*(filled_in(word, scripts) for word in line.split()))
        except ServerError as error:
            if "unknown command" not in str(error):
                raise
            continue
        found[name] = usage(client)
    return found


def of_entries(client, totals, sizes, cost=1):
    """Bytes an entry: of the whole key, by its entries."""
    found = {}
    client.call("FLUSHALL")
    held = 0
    if totals:
        client.call("ZADD", KEY, int(time.time() * 1e6), f"{totals}:1")
        held = 1
    for size in sizes:
        client.pipeline([encode("RL.SLIDINGLOG", KEY, 10**12, "1d", "COST", cost)] * (size - held))
        held = size
        assert client.call("ZCARD", KEY) == size
        found[size] = round(usage(client) / size, 1)
    return found


def of_lua_entries(client, sizes):
    client.call("FLUSHALL")
    sha = load_scripts(client)["sliding_log"]
    found, held = {}, 0
    for size in sizes:
        client.pipeline([encode("EVALSHA", sha, 1, KEY, 10**9, 86_400_000, 1)] * (size - held))
        held = size
        found[size] = round(usage(client) / size, 1)
    return found


# Every kind; W is the window in seconds. The sliding counter comes first: it outlives its window by another.
LEAK_CALLS = [
    "RL.SLIDINGCOUNTER counter:K 10 Ws",
    "RL.FIXED fixed:K 10 Ws",
    "RL.TOKENBUCKET token:K 10 10 Ws",
    "RL.LEAKYBUCKET leaky:K 10 10 Ws",
    "CL.THROTTLE throttle:K 9 10 W",
    "RL.SLIDINGLOG log:K 10 Ws",
    "RL.ALL all:K FIXED 10 Ws TOKENBUCKET 10 10 Ws",
]
# What used_memory may be once every key has expired, as a part of what it was before.
BACK = 1.01


def after_expiry(server, calls, keys, window):
    """used_memory before, at its highest, and after `calls` calls on `keys` keys and their expiry."""
    client = server.client()
    lines = [line for line in LEAK_CALLS if client.call("COMMAND", "INFO", line.split()[0])[0] is not None]
    share, key_share = -(-calls // len(lines)), -(-keys // len(lines))

    def load(calls, keys, window):
        for line in lines:
            command = ["redis-benchmark", "-p", server.port, "-P", 64, "-n", calls, "-r", keys, "-q"]
            command += [re.sub(r"^W", str(window), word).replace(":K", ":__rand_int__") for word in line.split()]
            subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL, check=True)

    def used():
        return int(client.info("memory", "used_memory"))

    def settled():
        deadline = time.monotonic() + 600
        while left := client.call("DBSIZE"):
            if time.monotonic() > deadline:
                raise SystemExit(f"{left:,} keys have not expired")
            time.sleep(0.2)
        # Tables shrink step by step, and are freed at the last.
        now, seen = used(), None
        while not seen or now < seen * 0.999:
            time.sleep(3)
            now, seen = used(), now
        return now

    load(1000, 100, 1)  # So that what the server keeps for each command is there before.
    before = settled()
    load(share, key_share, window)
    held = client.call("DBSIZE")
    peak = int(client.info("memory", "used_memory_peak"))
    return dict(calls=share * len(lines), keys=held, before=before, peak=peak, after=settled())


def tables(found):
    names = list(found)
    parts = []
    rows = [
        [name, *(found[server]["limiters"].get(name, "") for server in names)]
        for name, _ in LIMITERS
        if any(name in found[server]["limiters"] for server in names)
    ]
    parts.append(f"Bytes of a key called `{KEY}`, by `MEMORY USAGE`:\n\n" + markdown(["limiter", *names], rows))
    rows = []
    for title in found[names[0]]["entries"]:
        for server in names:
            rows.append([title, server, *found[server]["entries"][title].values()])
    header = ["sliding log", "server", *(f"{int(size):,}" for size in found[names[0]]["entries"][rows[0][0]])]
    parts.append("Bytes an entry, by the number of entries:\n\n" + markdown(header, rows))
    rows = [
        [server, f"{leak['calls']:,}", f"{leak['keys']:,}", *(f"{leak[at] / 1e6:.2f}" for at in ("before", "peak", "after"))]
        for server in names
        if (leak := found[server].get("leak"))
    ]
    if rows:
        header = ["server", "calls", "keys at once", "before, MB", "at most", "all expired"]
        parts.append("`used_memory` once every key has expired:\n\n" + markdown(header, rows))
    return "\n\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look: small logs, 100,000 calls")
    parser.add_argument("--calls", type=int, default=10_000_000, help="made before all keys are left to expire")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--save", metavar="FILE", help="write the results as JSON")
    options = parser.parse_args()
    sizes, window = SIZES, 60  # All keys are to be there at once.
    if options.quick:
        sizes, window, options.calls, options.keys = SIZES[:4], 1, 100_000, 10_000
    found = {}
    for name, binary in servers().items():
        print(f"{name}: sizes", file=sys.stderr)
        with Server(binary) as server:
            client = server.client()
            entries = {"from 0": of_entries(client, 0, sizes)}
            entries |= {f"from 10^{len(str(total)) - 1}": of_entries(client, total, sizes) for total in TOTALS[1:]}
            entries["COST 850"] = of_entries(client, 0, sizes, 850)
            entries["Lua sliding_log"] = of_lua_entries(client, sizes)
            found[name] = dict(limiters=of_limiters(client), entries=entries)
        print(f"{name}: {options.calls:,} calls, and the expiry of their keys", file=sys.stderr)
        with Server(binary) as server:
            found[name]["leak"] = after_expiry(server, options.calls, options.keys, window)
    print(tables(found))
    if options.save:
        Path(options.save).write_text(json.dumps(found, indent=1) + "\n")
    kept = [name for name in found if found[name]["leak"]["after"] > found[name]["leak"]["before"] * BACK]
    if kept:
        print("\nused_memory IS NOT BACK AT ITS START: " + ", ".join(kept))
    return 1 if kept else 0


if __name__ == "__main__":
    sys.exit(main())

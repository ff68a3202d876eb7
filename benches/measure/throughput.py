#!/usr/bin/env python3
"""Throughput and latency through real connections, by redis-benchmark: each command beside HSET, INCR and Lua, and
beside redis-cell, on a server of its own, where REDIS_CELL names its library.

50 connections, pipelined (16) and not, 10,000 and 1,000,000 keys, on a server alone and on one with an append-only
file (everysec) and a replica. Every command is measured once in each round, so that what slows the machine for a while
slows all; what is told is the median of the rounds, and what counts are the ratios.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from server import Client, Server, encode, load_scripts, markdown, module, redis_cell, server_called

# name, words, what else there is for the same purpose. At slow rates, so that keys stay: what is measured are calls on
# keys that are there. LOG and LOG_MS stand for a window in which a log keeps a few entries, however many keys share the
# calls.
COMMANDS = [
    ("HSET of two fields", "HSET hset:K a 1 b 2", None),
    ("INCR", "INCR incr:K", None),
    ("RL.FIXED", "RL.FIXED fixed:K 1000000 1h", "Lua fixed_window"),
    ("RL.FIXED, denied", "RL.FIXED fixed-denied:K 0 1h", None),
    ("RL.TOKENBUCKET", "RL.TOKENBUCKET token:K 1000000 1000 1d", "Lua token_bucket"),
    ("RL.TOKENBUCKET, denied", "RL.TOKENBUCKET token-denied:K 1 1 1d", None),
    ("RL.LEAKYBUCKET", "RL.LEAKYBUCKET leaky:K 1000000 1000 1d", "Lua leaky_bucket"),
    ("RL.SLIDINGCOUNTER", "RL.SLIDINGCOUNTER counter:K 1000000 1h", "Lua sliding_window_counter"),
    ("RL.SLIDINGLOG", "RL.SLIDINGLOG log:K 1000000 LOG", "Lua sliding_log"),
    ("RL.ALL of three", "RL.ALL all:K FIXED 1000000 1m FIXED 1000000 1h TOKENBUCKET 1000000 1000 1d", None),
    ("RL.PEEK", "RL.PEEK token:K TOKENBUCKET 1000000 1000 1d", None),
    ("CL.THROTTLE", "CL.THROTTLE throttle:K 999999 1000 86400", "redis-cell"),
    ("CL.THROTTLE, denied", "CL.THROTTLE throttle-denied:K 0 1 86400", "redis-cell, denied"),
    ("redis-cell", "CL.THROTTLE throttle:K 999999 1000 86400", None),
    ("redis-cell, denied", "CL.THROTTLE throttle-denied:K 0 1 86400", None),
    ("Lua fixed_window", "EVALSHA fixed_window 1 lua-fixed:K 1000000 3600000 1", None),
    ("Lua token_bucket", "EVALSHA token_bucket 1 lua-token:K 1000000 1000 86400000 1", None),
    ("Lua leaky_bucket", "EVALSHA leaky_bucket 1 lua-leaky:K 1000000 1000 86400000 1", None),
    ("Lua sliding_window_counter", "EVALSHA sliding_window_counter 1 lua-counter:K 1000000 3600000 1", None),
    ("Lua sliding_log", "EVALSHA sliding_log 1 lua-log:K 1000000 LOG_MS 1", None),
]
# How a bucket is filled before it is measured, where that is not by the same call: as one that has been in use for a
# while, so that neither its key nor the expiry that its first calls set is soon too short.
FILLED = {
    "RL.TOKENBUCKET": "RL.TOKENBUCKET token:K 1000000 1000 1d COST 1000",
    "RL.LEAKYBUCKET": "RL.LEAKYBUCKET leaky:K 1000000 1000 1d COST 1000",
    "RL.ALL of three": "RL.ALL all:K FIXED 1000000 1m FIXED 1000000 1h TOKENBUCKET 1000000 1000 1d COST 1000",
    "CL.THROTTLE": "CL.THROTTLE throttle:K 999999 1000 86400 1000",
    "redis-cell": "CL.THROTTLE throttle:K 999999 1000 86400 1000",
    "Lua token_bucket": "EVALSHA token_bucket 1 lua-token:K 1000000 1000 86400000 1000",
    "Lua leaky_bucket": "EVALSHA leaky_bucket 1 lua-leaky:K 1000000 1000 86400000 1000",
}
# What redis-benchmark puts a number of twelve digits for.
ANY_KEY = "__rand_int__"
SETUPS = {
    "alone": [],
    "with AOF everysec and a replica": ["--appendonly", "yes", "--appendfsync", "everysec"],
}
PIPELINES = {"pipelined": 16, "not pipelined": 1}
AIMS = [("RL.TOKENBUCKET", "Lua token_bucket", 4), ("RL.TOKENBUCKET", "HSET of two fields", 0.6)]


def benchmark(port, words, keys, depth, requests):
    """Requests a second, and the median and 99th percentile of latency in ms."""
    command = ["redis-benchmark", "-p", port, "-c", 50, "-P", depth, "-n", requests, "-r", keys, "--csv", *words]
    shown = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True).stdout
    row = list(csv.DictReader(shown.splitlines()))[-1]
    return float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"])


def fill(port, words, keys):
    """Calls once for each key that redis-benchmark may choose."""
    client = Client(port)
    before, after = encode(*words).split(ANY_KEY.encode())
    for start in range(0, keys, 10_000):
        calls = [b"%b%012d%b" % (before, key, after) for key in range(start, min(start + 10_000, keys))]
        client.pipeline(calls, depth=1000)


def commands_on(servers, keys, only):
    """name -> port, words, and the words that fill a key, for every command that these servers have."""
    clients = {kind: server.client() for kind, server in servers.items()}
    seconds = keys // 10_000
    meant = {"LOG": f"{seconds}s", "LOG_MS": f"{seconds}000"} | load_scripts(clients["redis-limiter"])
    words_of = lambda line: [meant.get(word, word).replace(":K", f":{ANY_KEY}") for word in line.split()]
    found = {}
    for name, line, _ in COMMANDS:
        kind = "redis-cell" if name.startswith("redis-cell") else "redis-limiter"
        if kind not in servers or only and not any(word in name.lower() for word in only):
            continue
        words = words_of(line)
        if clients[kind].call("COMMAND", "INFO", words[0])[0] is not None:
            found[name] = servers[kind].port, words, words_of(FILLED.get(name, line))
    return found


def wait_for_replica(client):
    while client.info("replication", "connected_slaves") != "1" or "state=online" not in (
        client.info("replication", "slave0") or ""
    ):
        time.sleep(0.1)


def start(stack, binary, setup):
    """kind -> a server with that module: each has CL.THROTTLE, so they cannot share one."""
    servers = {}
    for kind, library in {"redis-limiter": module(), "redis-cell": redis_cell()}.items():
        if not library:
            continue
        servers[kind] = server = stack.enter_context(Server(binary, [library], settings=SETUPS[setup]))
        if setup != "alone":
            # A replica runs redis-cell's calls again; of ours it is sent the effects.
            modules = [library] if kind == "redis-cell" else []
            settings = ["--replicaof", f"127.0.0.1 {server.port}"]
            stack.enter_context(Server(binary, modules, settings=settings))
            wait_for_replica(server.client())
    return servers


def measure(servers, setup, keys, options):
    commands = commands_on(servers, keys, options.only)
    for name, (port, _, words) in commands.items():
        print(f"{setup}, {keys:,} keys: filling those of {name}", file=sys.stderr)
        fill(port, words, keys)
    samples = {}
    for pipelined, depth in PIPELINES.items():
        requests = {}
        for name, (port, words, _) in commands.items():
            # Tells how many requests make a run of the length wanted.
            rate, _, _ = benchmark(port, words, keys, depth, 20_000 * depth)
            requests[name] = max(1000, int(rate * options.seconds))
        for number in range(options.rounds):
            print(f"{setup}, {keys:,} keys, {pipelined}: round {number + 1} of {options.rounds}", file=sys.stderr)
            for name, (port, words, _) in commands.items():
                run = benchmark(port, words, keys, depth, requests[name])
                samples.setdefault((pipelined, name), []).append(run)
    return [
        dict(
            setup=setup,
            keys=keys,
            pipelined=pipelined == "pipelined",
            command=name,
            **{
                field: statistics.median(run[at] for run in runs)
                for at, field in enumerate(("rps", "p50_ms", "p99_ms"))
            },
        )
        for (pipelined, name), runs in samples.items()
    ]


def tables(results):
    """Markdown, a table for each setup and number of keys."""
    peers = {name: peer for name, _, peer in COMMANDS}
    parts = []
    for setup, keys in dict.fromkeys((result["setup"], result["keys"]) for result in results):
        of = {
            (result["pipelined"], result["command"]): result
            for result in results
            if (result["setup"], result["keys"]) == (setup, keys)
        }
        rows = []
        for name in dict.fromkeys(name for _, name in of):
            cells = [name]
            for pipelined in (True, False):
                rps = {command: result["rps"] for (way, command), result in of.items() if way == pipelined}
                cells.append(f"{rps[name]:,.0f}")
                for other in ("HSET of two fields", peers[name]):
                    cells.append(f"{rps[name] / rps[other]:.2f}" if other in rps else "")
            cells += [f"{of[False, name][field]:.2f}" for field in ("p50_ms", "p99_ms")]
            rows.append(cells)
        header = ["command", "P 16: a second", "× HSET", "× its peer", "P 1: a second", "× HSET", "× its peer"]
        header += ["P 1: p50 ms", "p99 ms"]
        parts.append(f"A server {setup}, {keys:,} keys:\n\n" + markdown(header, rows))
    return "\n\n".join(parts)


def aims(results):
    """What was to be reached, and whether it was."""
    of = {
        result["command"]: result["rps"]
        for result in results
        if result["pipelined"] and (result["setup"], result["keys"]) == ("alone", results[0]["keys"])
    }
    for name, other, aim in AIMS:
        if name in of and other in of:
            print(f"{name} is {of[name] / of[other]:.2f} times {other}, pipelined (aim: {aim})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", type=str.lower, help="measure only commands whose names contain one of these")
    parser.add_argument("--quick", action="store_true", help="a look: few keys, short runs, three rounds")
    parser.add_argument("--server", default="Redis 8.2.3", help="which of scripts/test-servers --list")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long a run takes")
    parser.add_argument("--save", metavar="FILE", help="write the results as JSON")
    options = parser.parse_args()
    sizes = (10_000, 1_000_000)
    if options.quick:
        options.rounds, options.seconds, sizes = 3, 0.1, (10_000,)

    binary = server_called(options.server)
    results = []
    for keys in sizes:
        for setup in SETUPS:
            with ExitStack() as stack:
                results += measure(start(stack, binary, setup), setup, keys, options)
    print(f"{options.server}, 50 connections, medians of {options.rounds}.\n")
    print(tables(results) + "\n")
    aims(results)
    if options.save:
        report = dict(server=options.server, rounds=options.rounds, cpus=os.cpu_count(), results=results)
        Path(options.save).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

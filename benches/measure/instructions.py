#!/usr/bin/env python3
"""Counts the instructions of each command inside the server's call(), and holds them to limits.txt.

A server runs under callgrind, which counts between entry into call() and return from it, replication included. The
counters are written out, and start anew, where the server executes an ECHO: so one ECHO before a call's run and one
after it, and what stands between them, by the number of calls, is the figure. Nothing depends on how fast or how busy
the machine is.

Everything is counted twice: on a server alone, which is handed the effects and drops them, and on one with an
append-only file (never synced), which writes them out. The limits are for the server alone: what the file adds is the
server's own work, and native commands pay it too.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import calls
from server import ROOT, Server, load_scripts, markdown, module, redis_cell, server_called

LIMITS = Path(__file__).with_name("limits.txt")
KEPT = ROOT / "target" / "callgrind"
SAME_SEED = Path(__file__).with_name("same_seed.c")
SETUPS = {
    "alone": [],
    "with AOF": ["--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0"],
}


def limits():
    """name -> the most instructions that it may take."""
    rows = (line.split(maxsplit=1) for line in LIMITS.read_text().splitlines() if line and not line.startswith("#"))
    return {name: int(most) for most, name in rows}


def same_seed(folder):
    """The library that makes the server's random numbers the same in every run."""
    library = folder / "same_seed.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SAME_SEED, "-ldl"], check=True)
    return library


def wrapper(folder):
    return [
        "env",
        f"LD_PRELOAD={same_seed(folder)}",
        "valgrind",
        "--quiet",
        "--tool=callgrind",
        "--toggle-collect=call",
        "--dump-before=echoCommand",
        f"--callgrind-out-file={folder}/counts",
    ]


class Counter:
    """A server under callgrind that counts one call after another."""

    def __init__(self, binary, modules, setup):
        self.setup = setup
        self.folder = Path(os.environ.get("TMPDIR", "/tmp"), f"redis-limiter-counts-{os.getpid()}-{id(self)}")
        self.folder.mkdir()
        self.server = Server(binary, modules, wrapper(self.folder), SETUPS[setup])
        self.server.__enter__()
        self.client = self.server.client()
        self.scripts = load_scripts(self.client)
        self.marks = 0

    def close(self):
        self.server.stop()
        shutil.rmtree(self.folder)

    def mark(self):
        """Starts the counters anew; answers the file with what they held."""
        self.client.call("ECHO", "")
        self.marks += 1
        return self.folder / f"counts.{self.marks}"

    def knows(self, command):
        return self.client.call("COMMAND", "INFO", command)[0] is not None

    def count(self, call, annotated):
        if not self.knows(call.words("k", 0)[0]):
            return None
        self.client.call("FLUSHALL")
        for key in range(call.keys):
            for words in call.prepare(calls.key_name(key)):
                words = ["EVALSHA", self.scripts[words[1]], *words[2:]] if words[0] == "EVALSHA" else words
                self.client.call(*words)
        self.client.pipeline(call.encoded(self.scripts, 0, call.warm_up), check=call.check)
        measured = call.encoded(self.scripts, call.warm_up, call.rounds)
        self.mark()
        self.client.pipeline(measured, check=call.check)
        counts = self.mark()
        total = int(re.search(r"^(?:summary|totals): (\d+)", counts.read_text(), re.M).group(1))
        if annotated:
            keep(counts, kept_file(self.setup, call.name))
        return round(total / len(measured))


def measure(wanted, setups, binary, annotated, jobs):
    """(setup, name) -> count, for every wanted call that can be made; on as many servers at a time as jobs."""
    libraries = {"redis-limiter": module(), "redis-cell": redis_cell()}
    queues = []
    for setup in setups:
        for kind, library in libraries.items():
            queue = [call for call in wanted if call.module == kind]
            if queue and library:
                share = max(1, min(len(queue), jobs // len(setups)))
                shared = iter(queue)  # A step of an iterator over a list is atomic: its workers share it.
                queues += [(setup, library, shared)] * share

    def work(setup, library, queue):
        counter = Counter(binary, [library], setup)
        try:
            return {(setup, call.name): counter.count(call, annotated) for call in queue}
        finally:
            counter.close()

    counts = {}
    with ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(work, *queue) for queue in queues]:
            counts.update(future.result())
    return {key: count for key, count in counts.items() if count is not None}


def table(counts, setups, most):
    def ratio(above, below, digits):
        return f"{above / below:.{digits}f}" if above and below else ""

    rows = []
    for call in calls.ALL:
        cells = [call.name]
        for setup in setups:
            count = counts.get((setup, call.name))
            cells.append(f"{count:,}" if count else "")
            if setup == "alone":
                cells.append(f"{most[call.name]:,}" if call.name in most else "")
            cells.append(ratio(count, counts.get((setup, "HSET of two fields")), 2))
            cells.append(ratio(counts.get((setup, call.beside)), count, 1))
        if any(cells[1:]):
            rows.append(cells)
    header = ["call"]
    for setup in setups:
        header += [setup, *(["at most"] if setup == "alone" else []), "÷ HSET", "its peer ÷ it"]
    # A limit alone is no row.
    return markdown(header, [row for row in rows if row[1]])


def keep(counts, file):
    """Keeps callgrind's file, without what callgrind_annotate stumbles over: frames entered before the count began."""
    KEPT.mkdir(parents=True, exist_ok=True)
    file.write_text(re.sub(r"^calls=0 .*\n.*\n", "", counts.read_text(), flags=re.M))


def kept_file(setup, name):
    return KEPT / re.sub(r"\W+", "-", f"{name} {setup}")


def annotate(counts):
    by_name = {call.name: call for call in calls.ALL}
    for setup, name in counts:
        calls_made = by_name[name].keys * by_name[name].rounds
        file = kept_file(setup, name)
        print(f"\n## {name}, {setup}: {file}")
        for title, flags, most in [("itself", [], 60), ("with what it calls", ["--inclusive=yes"], 70)]:
            print(f"\nInstructions a call, {title}:\n")
            command = ["callgrind_annotate", "--auto=no", "--threshold=99.9", *flags, file]
            shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
            rows = re.findall(r"^ *([\d,]+) \([ \d.]+%\)  (.*)$", shown, re.M)
            for count, where in rows[:most]:
                where = re.sub(r"\[[^]]*\]|/rustc/\w+/|/[^ :]*/(?=src/)", "", where)
                print(f"{int(count.replace(',', '')) / calls_made:9,.0f}  {where}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", help="count only calls whose names contain one of these, in any case")
    parser.add_argument("--annotate", action="store_true", help="keep callgrind's files and show the costliest functions")
    parser.add_argument("--setup", choices=SETUPS, help="count in one setup only")
    parser.add_argument("--server", default="Redis 8.2.3", help="which of scripts/test-servers (it needs symbols)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="servers at a time")
    parser.add_argument("--save", metavar="FILE", help="write the counts as JSON")
    options = parser.parse_args()

    most = limits()
    unknown = set(most) - {call.name for call in calls.ALL}
    if unknown:
        raise SystemExit(f"limits.txt names no call of ours: {', '.join(sorted(unknown))}")
    filters = [word.lower().replace(" ", "") for word in options.only]
    wanted = [
        call
        for call in calls.ALL
        if not filters or any(word in call.name.lower().replace(" ", "") for word in filters)
    ]
    setups = [options.setup] if options.setup else list(SETUPS)
    counts = measure(wanted, setups, server_called(options.server), options.annotate, options.jobs)

    print(f"Instructions a call, inside call(), {options.server}.\n")
    print(table(counts, setups, most))
    left_out = [call.name for call in wanted if not any((setup, call.name) in counts for setup in setups)]
    if left_out:
        print(f"\nNot in this build, or no REDIS_CELL given: {'; '.join(left_out)}")
    if options.annotate:
        annotate(counts)
    if options.save:
        saved = {setup: {name: counts[at, name] for at, name in counts if at == setup} for setup in setups}
        Path(options.save).write_text(json.dumps(saved, indent=1) + "\n")
    passed = [
        f"{name}: {counts['alone', name]:,} > {limit:,}"
        for name, limit in most.items()
        if counts.get(("alone", name), 0) > limit
    ]
    if passed:
        print("\nABOVE ITS LIMIT: " + "\n                 ".join(passed))
    return 1 if passed else 0


if __name__ == "__main__":
    sys.exit(main())

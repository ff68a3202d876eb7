"""What is counted: each command in the state in which it is called, beside native commands and Lua."""

import time
from dataclasses import dataclass
from typing import Callable

from server import encode

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000


def key_name(number):
    return f"key:{number:012d}"


@dataclass
class Call:
    name: str
    # (key, round) -> the words sent; a round is one call for each key.
    words: Callable
    # key -> commands that bring it into its state.
    prepare: Callable = lambda key: ()
    # The first element of every reply, or the reply; None: any.
    expect: object = None
    # The call of the same kind that it is compared with.
    beside: str = None
    keys: int = 100
    warm_up: int = 10
    rounds: int = 100
    module: str = "redis-limiter"

    def encoded(self, scripts, first, rounds):
        calls = []
        for number in range(first, first + rounds):
            for key in range(self.keys):
                words = self.words(key_name(key), number)
                if words[0] == "EVALSHA":
                    words = ("EVALSHA", scripts[words[1]], *words[2:])
                calls.append(encode(*words))
        return calls

    def check(self, reply):
        first = reply[0] if isinstance(reply, list) else reply
        if self.expect is not None and first != self.expect:
            raise SystemExit(f"{self.name}: the reply is {reply}, not {self.expect}")


def on(key, line):
    """The line's words; K stands for the key, B for that of its block, O for that of its override."""
    names = {"K": key, "B": f"block:{key}", "O": f"override:{key}"}
    return [names.get(word, word) for word in line.split()]


def same(line):
    """The same words for every call."""
    return lambda key, _: on(key, line)


def before(*lines):
    return lambda key: [on(key, line) for line in lines]


def log_of(entries, apart_us, member):
    """A log whose `entries` lie `apart_us` apart, the newest half of that ago."""

    def prepare(key):
        newest = int(time.time() * 1e6) - apart_us // 2
        pairs = []
        for number in range(entries):
            score = newest - (entries - 1 - number) * apart_us
            pairs += [score, member(number + 1, score)]
        return [["ZADD", key, *pairs[start : start + 2000]] for start in range(0, len(pairs), 2000)]

    return prepare


def leases_of(live, ended=0):
    """So many leases that end in a day, or ended one ago, each a millisecond from the other."""

    def prepare(key):
        now = int(time.time() * 1e6)
        pairs = []
        for number in range(ended):
            pairs += [now - DAY_US + number * 1000, f"L:ended-{number}"]
        for number in range(live):
            pairs += [now + DAY_US + number * 1000, f"L:req-{number:08d}"]
        expiry = now // 1000 + 4 * DAY_US // 1000
        adds = [["ZADD", key, *pairs[start : start + 2000]] for start in range(0, len(pairs), 2000)]
        return [*adds, ["PEXPIREAT", key, expiry]]

    return prepare


def lease_calls():
    once = dict(keys=1000, warm_up=0, rounds=1)
    many = dict(keys=2, warm_up=100, rounds=2000)
    new = lambda key, number: ("RL.LEASE", key, 20000, "2d", f"new-{number:08d}")
    renewing = lambda key, number: ("RL.LEASE", key, 20000, "2d", f"req-{number % 9:08d}")
    yield Call("RL.LEASE of 10, new", new, leases_of(9), 1, **once)
    yield Call("RL.LEASE of 10, renewed", renewing, leases_of(10), 1)
    yield Call("RL.LEASE of 10, denied", same("RL.LEASE K 10 1d x"), leases_of(10), 0)
    yield Call("RL.LEASE of 10, one ended", new, leases_of(9, 1), 1, **once)
    yield Call("RL.LEASE of 10, ten ended", new, leases_of(9, 10), 1, **once)
    yield Call("RL.LEASE of 10000, new", new, leases_of(10000), 1, **many)
    yield Call("RL.LEASE of 10000, renewed", renewing, leases_of(10000), 1, **many)
    yield Call("RL.LEASE of 10000, denied", same("RL.LEASE K 10000 1d x"), leases_of(10000), 0, **many)
    yield Call("RL.LEASE of 10000, as many ended", new, leases_of(10000, 10000), 1, **many)
    yield on_new_keys("RL.LEASE, new key", "RL.LEASE K 10 1m x", expect=1)
    yield Call("RL.RELEASE of 10", same("RL.RELEASE K req-00000004"), leases_of(10), 1, **once)
    yield Call("RL.PEEK of LEASE of 10", same("RL.PEEK K LEASE 20 1d x"), leases_of(10), 1)


def total(number, _):
    return number


def time_and_count(number, score):
    return f"{score}-{number}"


def narrowing(entries, unit, words):
    """Each round's window is one `unit` narrower, so that as each call adds an entry, one goes stale."""
    return lambda key, number: words(key, f"{entries - number}{unit}")


def narrowing_ms(entries, unit_us, words):
    return lambda key, number: words(key, (entries - number) * unit_us // 1000)


def on_new_keys(name, line, **more):
    """A call for each of many keys, none of which is there."""
    return Call(name, same(line), keys=2000, warm_up=0, rounds=1, **more)


NATIVE = [
    Call("PING", same("PING")),
    Call("INCR", same("INCR K")),
    Call("HSET of two fields", same("HSET K a 1 b 2")),
    Call("SET PX", same("SET K 1 PX 60000")),
    on_new_keys("SET PX, new key", "SET K 1 PX 60000"),
]

FIELDS = [
    # command, words that allow, Lua beside it, words that deny, how to fill it up
    ("RL.FIXED", "K 1000 1m", "fixed_window", "K 10 1d"),
    ("RL.TOKENBUCKET", "K 1000 1000 1m", "token_bucket", "K 10 1 1d"),
    ("RL.LEAKYBUCKET", "K 1000 1000 1m", "leaky_bucket", "K 10 1 1d"),
    ("RL.SLIDINGCOUNTER", "K 1000 1h", "sliding_window_counter", "K 10 1000d"),
]


def field_calls():
    for command, allowing, lua, denying in FIELDS:
        algorithm = command.removeprefix("RL.")
        full = before(f"{command} {denying} COST 10")
        yield Call(f"{command}, allowed", same(f"{command} {allowing}"), expect=1, beside=f"Lua {lua}, allowed")
        yield Call(f"{command}, denied", same(f"{command} {denying}"), full, 0, f"Lua {lua}, denied")
        peek = allowing.replace("K ", f"K {algorithm} ")
        yield Call(f"RL.PEEK of {algorithm}", same(f"RL.PEEK {peek}"), before(f"{command} {allowing} COST 100"), 1)


def guarded_calls():
    """Calls with a block or an override, each beside the same call without."""
    for command, allowing, _, denying in FIELDS:
        without = f"{command}, allowed"
        full = f"{command} {denying} COST 10"
        yield Call(f"{command} BLOCK, allowed", same(f"{command} {allowing} BLOCK B 1m"), expect=1, beside=without)
        line = f"{command} {allowing} OVERRIDE O"
        yield Call(f"{command} OVERRIDE absent, allowed", same(line), expect=1, beside=without)
        present = before("SET O 100000")
        yield Call(f"{command} OVERRIDE, allowed", same(line), present, 1, without)
        begins = dict(keys=2000, warm_up=0, rounds=1)
        line, without = f"{command} {denying} BLOCK B 1d", f"{command}, denied"
        yield Call(f"{command}, denied, begins its BLOCK", same(line), before(full), 0, without, **begins)
        blocked = before(full, "SET B 1 EX 86400")
        yield Call(f"{command}, blocked", same(line), blocked, 0, without)
    both = same("RL.FIXED K 1000 1m BLOCK B 1m OVERRIDE O")
    yield Call("RL.FIXED BLOCK OVERRIDE, allowed", both, before("SET O 100000"), 1, "RL.FIXED, allowed")
    line = same("RL.ALL " + THREE.format(1000000) + " BLOCK B 1m OVERRIDE O")
    yield Call("RL.ALL of three BLOCK OVERRIDE, allowed", line, before("SET O 100000"), 1, "RL.ALL of three, allowed")


def calls_on_new_keys():
    for command, allowing, lua, _ in FIELDS:
        name, beside = f"{command}, new key", f"Lua {lua}, new key"
        yield on_new_keys(name, f"{command} {allowing}", expect=1, beside=beside)
    beside = "Lua sliding_log, new key"
    yield on_new_keys("RL.SLIDINGLOG, new key", "RL.SLIDINGLOG K 1000 1m", expect=1, beside=beside)
    line, beside = "CL.THROTTLE K 999999 600 60", "redis-cell, new key"
    yield on_new_keys("CL.THROTTLE, new key", line, expect=0, beside=beside)
    yield on_new_keys("RL.ALL of three, new key", "RL.ALL " + THREE.format(1000000), expect=1)


THREE = "K FIXED {0} 1d FIXED 1000000 1h AS orders TOKENBUCKET 1000000 1000 1m AS tpm"
LIMITER = [
    *field_calls(),
    Call("CL.THROTTLE, allowed", same("CL.THROTTLE K 999999 600 60"), expect=0, beside="redis-cell, allowed"),
    Call(
        "CL.THROTTLE, denied",
        same("CL.THROTTLE K 9 1 86400"),
        before("CL.THROTTLE K 9 1 86400 10"),
        1,
        "redis-cell, denied",
    ),
    Call("RL.ALL of three, allowed", same("RL.ALL " + THREE.format(1000000)), expect=1),
    Call("RL.ALL of three, denied", same("RL.ALL " + THREE.format(10)), before("RL.FIXED K 10 1d COST 10"), 0),
    Call("RL.PEEK of three", same("RL.PEEK " + THREE.format(1000000)), before("RL.ALL " + THREE.format(1000000)), 1),
    Call(
        "RL.SLIDINGLOG of 55, allowed",
        # With the few that are stale, and the one that is added.
        narrowing(53, "d", lambda key, window: ("RL.SLIDINGLOG", key, 100, window)),
        log_of(53, DAY_US, total),
        1,
        "Lua sliding_log of 55, allowed",
        warm_up=4,
        rounds=48,
    ),
    Call(
        "RL.SLIDINGLOG of 55, denied",
        same("RL.SLIDINGLOG K 55 100d"),
        log_of(55, DAY_US, total),
        0,
        "Lua sliding_log of 55, denied",
    ),
    Call("RL.PEEK of SLIDINGLOG of 55", same("RL.PEEK K SLIDINGLOG 100 100d"), log_of(55, DAY_US, total), 1),
    Call(
        "RL.SLIDINGLOG of 11000, allowed",
        narrowing(11000, "h", lambda key, window: ("RL.SLIDINGLOG", key, 20000, window)),
        log_of(11000, HOUR_US, total),
        1,
        "Lua sliding_log of 11000, allowed",
        keys=2,
        warm_up=100,
        rounds=2000,
    ),
    Call(
        "RL.SLIDINGLOG of 11000, denied",
        same("RL.SLIDINGLOG K 11000 1000d"),
        log_of(11000, HOUR_US, total),
        0,
        "Lua sliding_log of 11000, denied",
        keys=2,
        warm_up=100,
        rounds=2000,
    ),
    *lease_calls(),
    *calls_on_new_keys(),
    *guarded_calls(),
]


def lua_calls():
    for script, allowing, denying in [
        ("fixed_window", "1000000 3600000", "10 86400000"),
        ("token_bucket", "1000000 10 1000", "10 1 86400000"),
        ("leaky_bucket", "1000000 10 1000", "10 1 86400000"),
        ("sliding_window_counter", "1000000 3600000", "10 86400000000"),
    ]:
        full = lambda key, script=script, denying=denying: [["EVALSHA", script, 1, key, *denying.split(), 10]]
        yield Call(f"Lua {script}, allowed", same(f"EVALSHA {script} 1 K {allowing} 1"), expect=1)
        yield Call(f"Lua {script}, denied", same(f"EVALSHA {script} 1 K {denying} 1"), full, 0)
        yield on_new_keys(f"Lua {script}, new key", f"EVALSHA {script} 1 K {allowing} 1", expect=1)
    yield on_new_keys("Lua sliding_log, new key", "EVALSHA sliding_log 1 K 1000 60000 1", expect=1)
    for entries, unit_us, sizes in [
        (55, DAY_US, dict(warm_up=4, rounds=50)),
        (11000, HOUR_US, dict(keys=2, warm_up=100, rounds=2000)),
    ]:
        log = log_of(entries, unit_us, time_and_count)
        sliding = lambda key, ms: ("EVALSHA", "sliding_log", 1, key, 20000, ms, 1)
        yield Call(f"Lua sliding_log of {entries}, allowed", narrowing_ms(entries, unit_us, sliding), log, 1, **sizes)
        sizes = dict(sizes, rounds=100 if entries == 55 else 2000)
        denied = same(f"EVALSHA sliding_log 1 K {entries} {2 * entries * unit_us // 1000} 1")
        yield Call(f"Lua sliding_log of {entries}, denied", denied, log, 0, **sizes)


LUA = list(lua_calls())

REDIS_CELL = [
    Call("redis-cell, allowed", same("CL.THROTTLE K 999999 600 60"), expect=0, module="redis-cell"),
    Call(
        "redis-cell, denied",
        same("CL.THROTTLE K 9 1 86400"),
        before("CL.THROTTLE K 9 1 86400 10"),
        1,
        module="redis-cell",
    ),
    on_new_keys("redis-cell, new key", "CL.THROTTLE K 999999 600 60", expect=0, module="redis-cell"),
]

ALL = [*NATIVE, *LIMITER, *LUA, *REDIS_CELL]

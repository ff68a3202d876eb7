#!/usr/bin/env python3
"""Writes the tables of docs/performance.md and its figure from what the measurements saved (SAVE=1)."""

import json
import re
from html import escape

import instructions
import memory
import throughput
import worst_cases
from server import ROOT

DOCS = ROOT / "docs"
DATA = DOCS / "performance"
PAGE = DOCS / "performance.md"
FIGURE = DOCS / "performance.svg"


def saved(name):
    path = DATA / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def instructions_table(found):
    counts = {(setup, name): count for setup, of in found.items() for name, count in of.items()}
    return instructions.table(counts, list(found), instructions.limits())


def throughput_table(found):
    title = f"{found['server']}, {found['cpus']} processors, 50 connections, medians of {found['rounds']} rounds."
    return title + "\n\n" + throughput.tables(found["results"])


# of node.json -> the heading of its table
NODE_LOADS = {"allowed": "All allowed, 1,000 callers", "attack": "All denied, one caller"}


def node_tables(found):
    title = f"{found['server']}, Node.js {found['node']}, {found['cpus']} processors, medians of {found['rounds']} rounds."
    parts = [title]
    for load, heading in NODE_LOADS.items():
        head = [f"{heading}:", "requests a second, ÷ bare", "99th percentile, ÷ bare", "CPU of the application, ÷ bare", "CPU of Redis, µs"]
        rows = [
            [name, f"{of['rps_to_bare']:.2f}", f"{of['p99_to_bare']:.2f}", f"{of['app_to_bare']:.2f}", f"{of['redis_us']:.1f}"]
            for name, of in found[load].items()
            if name != "bare"
        ]
        parts.append(table(head, rows))
    hot = found["hot"]
    if "prefetch" in hot:
        rows = [
            [name, f"{of['rate'] / hot['without']['rate']:.2f}", f"{of['redis_us']:.2f}"]
            for name, of in hot.items()
        ]
        head = [f"One key, {found['processes']} processes:", "decisions a second, ÷ without", "CPU of Redis, µs a decision"]
        parts.append(table(head, rows))
    return "\n\n".join(parts)


def table(head, rows):
    """A Markdown table whose first column is text and whose others are figures."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    aligned = lambda row: [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in [aligned(head), rule, *map(aligned, rows)])


SECTIONS = {
    "instructions": instructions_table,
    "memory": memory.tables,
    "node": node_tables,
    "throughput": throughput_table,
    "worst_cases": worst_cases.tables,
}

# The figure: for each purpose, the commands that serve it, side by side.

# family -> what the legend calls it; also the class of its bars
FAMILIES = {"ours": "redis-limiter", "cell": "redis-cell", "lua": "the same in Lua", "native": "Redis's own commands"}

# purpose -> the commands for it. By throughput.py's names.
CALLS = {
    "Redis itself": ["HSET of two fields", "INCR"],
    "Fixed window": ["RL.FIXED", "Lua fixed_window"],
    "Token bucket": ["RL.TOKENBUCKET", "CL.THROTTLE", "redis-cell", "Lua token_bucket"],
    "Denied calls": ["RL.TOKENBUCKET, denied", "CL.THROTTLE, denied", "redis-cell, denied"],
    "Leaky bucket": ["RL.LEAKYBUCKET", "Lua leaky_bucket"],
    "Sliding counter": ["RL.SLIDINGCOUNTER", "Lua sliding_window_counter"],
    "Sliding log": ["RL.SLIDINGLOG", "Lua sliding_log"],
    "Three limits": ["RL.ALL of three"],
    "Peek": ["RL.PEEK"],
}
# The same by instructions.py's names, less what tells how the call ended.
COUNTS = {
    "Redis itself": ["HSET of two fields", "INCR"],
    "Fixed window": ["RL.FIXED", "Lua fixed_window"],
    "Token bucket": ["RL.TOKENBUCKET", "CL.THROTTLE", "redis-cell", "Lua token_bucket"],
    "Leaky bucket": ["RL.LEAKYBUCKET", "Lua leaky_bucket"],
    "Sliding counter": ["RL.SLIDINGCOUNTER", "Lua sliding_window_counter"],
    "Log of 55 calls": ["RL.SLIDINGLOG of 55", "Lua sliding_log of 55"],
    "Log of 11,000": ["RL.SLIDINGLOG of 11000", "Lua sliding_log of 11000"],
    "Three limits": ["RL.ALL of three"],
}

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .purpose, .column { font-weight: 600; }
  .value, .note { fill: #59636e; }
  .line { stroke: #59636e; stroke-dasharray: 2 3; opacity: 0.6; }
  .native { fill: #8c959f; } .ours { fill: #0969da; } .lua { fill: #bc4c00; } .cell { fill: #8250df; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .value, .note { fill: #9198a1; }
    .line { stroke: #9198a1; }
    .native { fill: #656c76; } .ours { fill: #4493f8; } .lua { fill: #db6d28; } .cell { fill: #ab7df8; }
  }
"""
WIDTH, PURPOSES, LABELS, VALUES = 880, 110, 140, 138
LEFT = PURPOSES + LABELS
COLUMN = (WIDTH - LEFT) // 2
ROW, BAR, GAP = 18, 13, 8


def family(name):
    if name.startswith("Lua "):
        return "lua"
    if name.startswith("redis-cell"):
        return "cell"
    return "ours" if name.startswith(("RL.", "CL.")) else "native"


def label(name):
    if name.startswith("Lua "):
        return "Lua"
    return name.removesuffix(", denied").removesuffix(" of 55").removesuffix(" of 11000").removesuffix(" of two fields")


def compared_with(name, names):
    """What else in `names` a command is measured against: of ours its peer, of a peer ours."""
    cell, ours = family(name) == "cell", family(name) == "ours"
    if ours:
        wanted = "cell" if name.startswith("CL.") else "lua"
        return next((other for other in names if family(other) == wanted), None)
    return next((other for other in names if family(other) == "ours" and other.startswith("CL.") == cell), None)


def text(x, y, words, classes="", anchor=None):
    attributes = (f' class="{classes}"' if classes else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x}" y="{y}"{attributes}>{escape(words)}</text>'


def panel(title, note, groups, columns, shown, compared, top):
    """A panel of labelled bars in columns, and how high it is.

    `columns` are (heading, name -> value). Bars of the families in `compared` tell how many times their peer they are.
    """
    parts = [text(0, top + 15, title, "title"), text(0, top + 33, note, "note")]
    y = top + 56
    for at, (heading, _) in enumerate(columns):
        parts.append(text(LEFT + at * COLUMN, y, heading, "column"))
    y += 10
    first = y
    longest = [max(values.values()) for _, values in columns]
    across = lambda at, value: max(1, round(value / longest[at] * (COLUMN - VALUES)))
    for purpose, names in groups.items():
        names = [name for name in names if any(name in values for _, values in columns)]
        if not names:
            continue
        parts.append(text(0, y + BAR - 2, purpose, "purpose"))
        for name in names:
            baseline = y + BAR - 2
            parts.append(text(LEFT - 8, baseline, label(name), anchor="end"))
            for at, (_, values) in enumerate(columns):
                if name not in values:
                    continue
                x, width = LEFT + at * COLUMN, across(at, values[name])
                parts.append(f'<rect class="{family(name)}" x="{x}" y="{y}" width="{width}" height="{BAR}" rx="2"/>')
                words = shown(values[name])
                other = compared_with(name, names) if family(name) in compared else None
                if other in values:
                    peer = "" if family(other) == "ours" else f" {label(other)}"
                    words += f" ({values[name] / values[other]:.1f} ×{peer})"
                parts.append(text(x + width + 6, baseline, words, "value"))
            y += ROW
        y += GAP
    for at, (_, values) in enumerate(columns):
        if "HSET of two fields" in values:
            x = LEFT + at * COLUMN + across(at, values["HSET of two fields"])
            parts.append(f'<line class="line" x1="{x}" x2="{x}" y1="{first}" y2="{y - GAP}"/>')
    return parts, y - top + 16


def legend(families, top):
    parts, x = [], 0
    for name in families:
        parts.append(f'<rect class="{name}" x="{x}" y="{top}" width="12" height="12" rx="2"/>')
        parts.append(text(x + 18, top + 11, FAMILIES[name]))
        x += 44 + 7 * len(FAMILIES[name])
    parts.append(f'<line class="line" x1="{x + 6}" x2="{x + 6}" y1="{top - 2}" y2="{top + 14}"/>')
    parts.append(text(x + 18, top + 11, "as much as HSET"))
    return parts, 36


def calls_panel(measured):
    keys = measured["results"][0]["keys"]
    rates = {}
    for result in measured["results"]:
        if (result["setup"], result["keys"]) == ("alone", keys):
            rates.setdefault(result["pipelined"], {})[result["command"]] = result["rps"] / 1000
    depth = throughput.PIPELINES["pipelined"]
    columns = [
        ("pipelined: the server is the limit", rates[True]),
        ("one by one: the network is the limit", rates[False]),
    ]
    note = (
        f"{measured['server']}, {keys:,} keys, 50 connections, client and server on {measured['cpus']} processors. "
        f"Pipelined: {depth} calls in each round trip."
    )
    title = "Thousands of calls a second (more is better)"
    return title, note, CALLS, columns, lambda value: f"{value:,.0f}", {"ours"}


def counts_panel(counted):
    counts = counted["alone"]
    ended = lambda how: {
        name.removesuffix(f", {how}"): count for name, count in counts.items() if name.endswith(f", {how}")
    }
    native = {name: counts[name] for name in COUNTS["Redis itself"] if name in counts}
    columns = [("allowed", native | ended("allowed")), ("denied", ended("denied"))]
    note = "Redis 8.2.3, server and module together, without the network. In brackets: how many times redis-limiter."
    return "Instructions a call (less is better)", note, COUNTS, columns, lambda value: f"{value:,.0f}", {"lua", "cell"}


def figure(counted, measured):
    panels = []
    if measured:
        panels.append(calls_panel(measured))
    if counted:
        panels.append(counts_panel(counted))
    body, top = legend(FAMILIES, 4)
    for panel_of in panels:
        parts, height = panel(*panel_of, top)
        body += parts
        top += height
    about = "Calls a second and instructions a call of redis-limiter, redis-cell, Lua scripts and native commands"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img" aria-label="{about}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *body, "</svg>", ""])


def main():
    page = PAGE.read_text()
    for name, table in SECTIONS.items():
        found = saved(name)
        if found:
            begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
            text = f"{begin}\n{table(found)}\n{end}"
            page, replaced = re.subn(f"{begin}.*?{end}", lambda _: text, page, flags=re.S)
            if replaced != 1:
                raise SystemExit(f"{PAGE} has {replaced} places for {name}, not one")
    PAGE.write_text(page)
    FIGURE.write_text(figure(saved("instructions"), saved("throughput")))


if __name__ == "__main__":
    main()

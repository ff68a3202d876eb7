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


SECTIONS = {
    "instructions": instructions_table,
    "memory": memory.tables,
    "throughput": throughput_table,
    "worst_cases": worst_cases.tables,
}

# family -> the class of its bars
FAMILIES = {"native": "Redis's own commands", "ours": "redis-limiter", "lua": "the same in Lua", "cell": "redis-cell"}
COUNTED = [
    "INCR",
    "HSET of two fields",
    "RL.FIXED, allowed",
    "RL.TOKENBUCKET, allowed",
    "RL.TOKENBUCKET, denied",
    "RL.LEAKYBUCKET, allowed",
    "RL.SLIDINGCOUNTER, allowed",
    "RL.SLIDINGLOG of 55, allowed",
    "RL.ALL of three, allowed",
    "CL.THROTTLE, allowed",
    "redis-cell, allowed",
    "Lua fixed_window, allowed",
    "Lua token_bucket, allowed",
    "Lua leaky_bucket, allowed",
    "Lua sliding_window_counter, allowed",
    "Lua sliding_log of 55, allowed",
]

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .value { fill: #59636e; }
  .native { fill: #8c959f; } .ours { fill: #0969da; } .lua { fill: #bc4c00; } .cell { fill: #8250df; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .value { fill: #9198a1; }
    .native { fill: #656c76; } .ours { fill: #4493f8; } .lua { fill: #db6d28; } .cell { fill: #ab7df8; }
  }
"""
WIDTH, LABELS, VALUES, ROW, BAR = 860, 250, 90, 23, 15


def family(name):
    if name.startswith("Lua "):
        return "lua"
    if name.startswith("redis-cell"):
        return "cell"
    return "ours" if name.startswith(("RL.", "CL.")) else "native"


def bars(title, values, top):
    """A panel of labelled bars, and how high it is."""
    longest = max(values.values())
    parts = [f'<text class="title" x="0" y="{top + 15}">{escape(title)}</text>']
    y = top + 28
    for name, value in values.items():
        width = max(1, round(value / longest * (WIDTH - LABELS - VALUES)))
        middle = y + BAR - 3
        label = name.removesuffix(", allowed").replace("_", " ")
        parts.append(f'<text x="{LABELS - 8}" y="{middle}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<rect class="{family(name)}" x="{LABELS}" y="{y}" width="{width}" height="{BAR}" rx="2"/>')
        parts.append(f'<text class="value" x="{LABELS + width + 6}" y="{middle}">{value:,.0f}</text>')
        y += ROW
    return parts, y - top + 16


def legend(families, top):
    parts, x = [], LABELS
    for name in families:
        parts.append(f'<rect class="{name}" x="{x}" y="{top}" width="12" height="12" rx="2"/>')
        parts.append(f'<text x="{x + 18}" y="{top + 11}">{FAMILIES[name]}</text>')
        x += 40 + 8 * len(FAMILIES[name])
    return parts, 32


def figure(counted, measured):
    panels = []
    if measured:
        keys = measured["results"][0]["keys"]
        rates = {
            result["command"]: result["rps"]
            for result in measured["results"]
            if result["pipelined"] and result["setup"] == "alone" and result["keys"] == keys
        }
        panels.append((f"Calls a second, pipelined, {keys:,} keys, {measured['server']} (more is better)", rates))
    if counted:
        counts = {name: counted["alone"][name] for name in COUNTED if name in counted["alone"]}
        panels.append(("Instructions a call, Redis 8.2.3 (less is better)", counts))
    families = [name for name in FAMILIES if any(family(bar) == name for _, values in panels for bar in values)]
    body, top = legend(families, 4)
    for title, values in panels:
        parts, height = bars(title, values, top)
        body += parts
        top += height
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img">'
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

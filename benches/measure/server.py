"""A server of one's own, and a client of a few lines."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LUA = ROOT / "benches" / "lua"


def module():
    """The release module, as users load it."""
    path = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "libredis_limiter.so"
    if not path.exists():
        raise SystemExit(f"{path} is missing: make build")
    return path.resolve()


def redis_cell():
    """redis-cell's library, where REDIS_CELL names it."""
    named = os.environ.get("REDIS_CELL")
    if not named:
        return None
    path = Path(named).resolve()  # The server loads it from a folder of its own.
    if not path.exists():
        raise SystemExit(f"REDIS_CELL: there is no {path}")
    return path


def servers():
    """name version -> binary, for every server at hand."""
    listed = subprocess.run([ROOT / "scripts" / "test-servers", "--list"], stdout=subprocess.PIPE, text=True, check=True)
    rows = (line.split(maxsplit=2) for line in listed.stdout.splitlines())
    return {f"{name.capitalize()} {version}": path for name, version, path in rows}


def server_called(name):
    found = [path for title, path in servers().items() if title.lower().startswith(name.lower())]
    if not found:
        raise SystemExit(f"no {name} here: scripts/test-servers brings it")
    return found[0]


def encode(*words):
    """A command as it goes over the wire."""
    out = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(out)


class ServerError(Exception):
    pass


class Client:
    def __init__(self, port, timeout=120):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.socket.makefile("rb")

    def call(self, *words):
        self.send(encode(*words))
        return self.reply()

    def send(self, encoded):
        self.socket.sendall(encoded)

    def pipeline(self, encoded, depth=16, check=None):
        """Sends encoded commands, `depth` at a time."""
        for start in range(0, len(encoded), depth):
            batch = encoded[start : start + depth]
            self.send(b"".join(batch))
            for _ in batch:
                reply = self.reply()
                if check:
                    check(reply)

    def reply(self):
        line = self.replies.readline()
        if not line:
            raise ServerError("the connection was closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise ServerError(rest.decode())
        size = int(rest)
        if kind == b"$":
            return None if size < 0 else self.replies.read(size + 2)[:-2]
        # All elements are read before an error among them is raised.
        elements, failure = [], None
        for _ in range(max(size, 0)):
            try:
                elements.append(self.reply())
            except ServerError as error:
                failure = error
        if failure:
            raise failure
        return elements

    def info(self, section, field):
        for line in self.call("INFO", section).decode().splitlines():
            if line.startswith(field + ":"):
                return line.split(":", 1)[1]
        return None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server in a folder of its own; gone, folder and all, at the end of a `with`."""

    def __init__(self, binary, modules=None, wrapper=(), settings=()):
        self.dir = Path(tempfile.mkdtemp(prefix="redis-limiter-"))
        self.port = free_port()
        command = [*wrapper, binary, "--port", self.port, "--bind", "127.0.0.1", "--dir", self.dir]
        command += ["--save", "", "--logfile", self.dir / "log", "--enable-debug-command", "yes", *settings]
        for path in [module()] if modules is None else modules:
            command += ["--loadmodule", path]
        with open(self.dir / "stderr", "wb") as stderr:
            self.process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr
            )

    def __enter__(self):
        deadline = time.monotonic() + 120
        while True:
            try:
                client = Client(self.port)
                client.call("PING")
                return self
            except (OSError, ServerError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    log = "".join(path.read_text() for path in map(self.dir.joinpath, ("stderr", "log")) if path.exists())
                    self.stop()
                    raise SystemExit(f"the server did not start:\n{log}") from None
                time.sleep(0.05)

    def __exit__(self, *_):
        self.stop()

    def client(self):
        return Client(self.port)

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def load_scripts(client):
    """script name -> the SHA1 that EVALSHA wants."""
    return {path.stem: client.call("SCRIPT", "LOAD", path.read_bytes()).decode() for path in sorted(LUA.glob("*.lua"))}


def markdown(header, rows):
    """A table, its columns lined up; all but the first to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    rule = ["-" * width if column == 0 else "-" * (width - 1) + ":" for column, width in enumerate(widths)]

    def line(cells):
        first, *rest = zip(cells, widths)
        return "| " + " | ".join([first[0].ljust(first[1])] + [cell.rjust(width) for cell, width in rest]) + " |"

    return "\n".join([line(header), line(rule), *map(line, rows)])

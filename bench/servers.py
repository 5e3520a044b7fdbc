# SPDX-License-Identifier: Apache-2.0
"""The systems under measurement: how each is started, ended, and how its CPU time is read."""

import ctypes
import getpass
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
OUTPUT = ROOT / ".build" / "bench"
TALLY = ROOT / ".build" / "release" / "tally"
UVICORN = ROOT / ".build" / "bench-venv" / "bin" / "uvicorn"
PYTHON = UVICORN.with_name("python")

ADMIN_KEY = f"bench-{secrets.token_hex(32)}"
ENVIRONMENT = os.environ | {"TALLY_ADMIN_KEY": ADMIN_KEY}
HUGE_PAGES = ("--disable-thp", "no")  # and MALLOC_CONF: docs/adr/0023-huge-pages.md
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS = 20
STOP_SECONDS = 20
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None)


class Refused(Exception):
    """A measurement that would not mean what its row says."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_with_parent() -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def descendants(pid: int) -> list[int]:
    """`pid` and every process below it."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                found += descendants(int(child))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def cpu_ticks(pid: int) -> int:
    """User and system time of all threads of a process, and of the children it has reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(field) for field in text.rpartition(")")[2].split()[11:15])


class Server:
    """A system and its Redis, listening on a free port of the loopback, with a folder of its own.

    The folder stands below the checkout, not in /tmp, which may be memory: fsync must cost what
    it costs. The socket of Redis stands in /tmp, because its path may have 107 bytes at most.
    """

    def __init__(self) -> None:
        OUTPUT.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="data-", dir=OUTPUT))
        self.sockets = Path(tempfile.mkdtemp(prefix="tally-bench-"))
        self.port = free_port()
        self.processes: list[subprocess.Popen] = []
        self.started = 0.0

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> None:
        raise NotImplementedError

    def spawn(self, *command, **environment: str) -> subprocess.Popen:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                env=ENVIRONMENT | environment,
                start_new_session=True,  # Ctrl-C reaches us alone; we end them in order
                preexec_fn=die_with_parent,
            )
        self.processes.append(process)
        return process

    def spawn_redis(self) -> Path:
        """A private Redis with the settings that every system gets: those of the service's own."""
        self.socket = path = self.sockets / "redis.sock"
        self.spawn(
            "redis-server", "--port", "0", "--unixsocket", path, "--dir", self.folder,
            "--save", "", "--appendonly", "yes", "--appendfsync", "everysec", *HUGE_PAGES,
            MALLOC_CONF="thp:always",
        )
        self.wait(lambda: path.exists())
        return path

    def redis(self, *command: str) -> str:
        """Asks that Redis."""
        run = subprocess.run(
            ["redis-cli", "-s", self.socket, *command], capture_output=True, text=True, timeout=30)
        if run.returncode != 0 or run.stdout.startswith(("ERR", "WRONGTYPE")):
            raise Refused(f"redis-cli {command[0]}: {run.stdout}{run.stderr}")
        return run.stdout.strip()

    def sum_of_keys(self, pattern: str) -> int:
        """The sum of all counters whose names are like this."""
        script = """
            local sum = 0
            for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
              sum = sum + redis.call('GET', key)
            end
            return sum"""
        return int(self.redis("EVAL", script, "0", pattern))

    def wait(self, ready) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            for process in self.processes:
                if process.poll() is not None:
                    raise Refused(f"{process.args[0]} ended by itself:\n{self.log_end()}")
            if time.monotonic() > deadline:
                raise Refused(f"not ready after {START_SECONDS} s:\n{self.log_end()}")
            time.sleep(0.001)

    def log_end(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """Ends what was started, last first, by its id."""
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def call(self, method: str, path: str, body: str | None = None, **headers) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            headers.setdefault("Authorization", f"Bearer {ADMIN_KEY}")
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def answers(self, path: str) -> bool:
        try:
            return self.call("GET", path)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def cpu_seconds(self) -> float:
        pids = {pid for process in self.processes for pid in descendants(process.pid)}
        return sum(cpu_ticks(pid) for pid in pids) / TICKS_PER_SECOND


class Tally(Server):
    """The service with the Redis it starts for itself."""

    def __init__(self, durability: str = "everysec", threads: int = 1) -> None:
        super().__init__()
        self.durability, self.threads = durability, threads

    def start(self) -> None:
        if not TALLY.exists():
            raise Refused(f"{TALLY.relative_to(ROOT)} is not built: run `make build`")
        self.started = time.monotonic()
        self.spawn(
            TALLY, "serve", "--listen", f"127.0.0.1:{self.port}", "--data", self.folder / "data",
            "--durability", self.durability, "--threads", self.threads,
        )
        self.wait(lambda: self.answers("/readyz"))
        self.ready_seconds = time.monotonic() - self.started
        durability_class = {"always": "fsynced", "everysec": "kernel"}[self.durability]
        if durability_class not in self.call("GET", "/readyz")[1]:
            raise Refused(f"/readyz does not name the durability {self.durability}")
        if not any("redis-server" in name for name in self.process_names()):
            raise Refused("no redis-server below tally: its CPU time would be missing")

    def process_names(self) -> list[str]:
        pids = descendants(self.processes[0].pid)
        return [Path(f"/proc/{pid}/cmdline").read_text(errors="replace") for pid in pids]

    def resident_bytes(self) -> int:
        """Of tally alone: Redis's memory is the data's."""
        status = Path(f"/proc/{self.processes[0].pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024

    def counted_events(self) -> int:
        """All events recorded since the start, as the service's own metrics have it."""
        text = self.call("GET", "/metrics")[1]
        series = re.findall(r"^tally_events_recorded_total(?:\{.*\})? (\d+)", text, re.MULTILINE)
        if not series:
            raise Refused("/metrics has no tally_events_recorded_total")
        return sum(map(int, series))

    def answered(self, route: str) -> dict[int, int]:
        """Requests of a route that were answered, by status."""
        series = re.findall(
            r"^tally_http_requests_total\{([^}]*)\} (\d+)", self.call("GET", "/metrics")[1],
            re.MULTILINE)
        return {
            int(re.search(r'status="(\d+)"', labels)[1]): int(count)
            for labels, count in series if f'route="{route}"' in labels
        }

    def put(self, path: str, rules: dict) -> None:
        status, text = self.call(
            "PUT", path, json.dumps(rules), **{"Content-Type": "application/json"})
        if status != 200:
            raise Refused(f"PUT {path} answers {status}: {text[:300]}")

    def used(self, limit: str, subjects: list[str]) -> list[int]:
        """What each subject has used of a limit, asked without using any."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
        found = []
        try:
            for subject in subjects:
                body = json.dumps({"subject": subject, "limits": [limit]})
                connection.request("POST", "/v1/check", body, headers)
                response = connection.getresponse()
                text = response.read().decode()
                if response.status != 200:
                    raise Refused(f"a look at {subject} answers {response.status}: {text[:300]}")
                found.append(json.loads(text)["limits"][0]["used"])
        finally:
            connection.close()
        return found

    def credits_consumed(self, subject: str) -> Decimal:
        status, text = self.call("GET", f"/v1/credits/{subject}")
        if status != 200:
            raise Refused(f"the account of {subject} answers {status}: {text[:300]}")
        return Decimal(json.loads(text, parse_float=Decimal)["total_consumed"])

    def leader(self) -> tuple[str, int]:
        """Subject and tokens of rank 1 over the lifetime, read back from Redis."""
        status, text = self.call("GET", "/v1/leaderboards/tokens?window=lifetime&limit=10")
        if status != 200:
            raise Refused(f"the leaderboard answers {status}: {text[:200]}")
        rows = next(value for value in json.loads(text).values() if isinstance(value, list))
        subject = rows[0]["subject"]
        return subject["id"] if isinstance(subject, dict) else subject, int(rows[0]["value"])


class Webdis(Server):
    """webdis from Debian, as quiet as it goes, on a Redis of its own."""

    def __init__(self, threads: int = 1) -> None:
        super().__init__()
        self.threads = threads

    def start(self) -> None:
        settings = {
            "redis_host": str(self.spawn_redis()), "redis_port": 0, "redis_auth": None,
            "http_host": "127.0.0.1", "http_port": self.port, "threads": self.threads,
            "daemonize": False, "database": 0, "verbosity": 0, "logfile": "/dev/null",
        }
        file = self.folder / "webdis.json"
        file.write_text(json.dumps(settings))
        self.spawn("webdis", file)
        self.wait(lambda: self.answers("/PING"))


class Nginx(Server):
    """nginx with Lua, one worker process per thread, on a Redis of its own."""

    CONNECTIONS = 64  # to Redis, per worker

    def __init__(self, threads: int = 1, most: int = 1) -> None:
        super().__init__()
        self.threads, self.most = threads, most

    def start(self) -> None:
        values = {
            "THREADS": self.threads, "PORT": self.port, "SOCKET": self.spawn_redis(),
            "CONNECTIONS": self.CONNECTIONS, "LIMIT": self.most,
        }
        text = (BENCH / "peers" / "nginx.conf").read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        if os.geteuid() == 0:  # a worker has to reach the socket, in a folder of ours
            text = f"user {getpass.getuser()};\n" + text
        file = self.folder / "nginx.conf"
        file.write_text(text)
        self.spawn("nginx", "-e", "stderr", "-p", self.folder, "-c", file)
        self.wait(lambda: self.answers("/healthz"))


class Redis(Server):
    """Redis alone, for what runs in the process of its caller."""

    def start(self) -> None:
        if not PYTHON.exists():
            raise Refused("the peers in Python are not installed: run `scripts/setup bench`")
        self.spawn_redis()


class FastAPI(Server):
    """One uvicorn worker with uvloop and httptools, without an access log."""

    def start(self) -> None:
        if not UVICORN.exists():
            raise Refused("the FastAPI peer is not installed: run `scripts/setup bench`")
        self.spawn(
            UVICORN, "fastapi_app:app", "--app-dir", BENCH / "peers", "--host", "127.0.0.1",
            "--port", self.port, "--loop", "uvloop", "--http", "httptools", "--no-access-log",
            "--log-level", "warning",
            REDIS_URL=f"unix://{self.spawn_redis()}", PYTHONDONTWRITEBYTECODE="1",
        )
        self.wait(lambda: self.answers("/healthz"))

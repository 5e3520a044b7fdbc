# SPDX-License-Identifier: Apache-2.0
"""Load on one server, by wrk or by a library in a loop, with the CPU time that it cost everyone."""

import json
import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from servers import BENCH, ENVIRONMENT, PYTHON, TICKS_PER_SECOND, Redis, Refused, Server

WARM_UP_SECONDS = 1


@dataclass
class Settings:
    seconds: int
    threads: int
    seed: int  # changes with the round; the same for every case of a round


@dataclass
class Load:
    """What wrk is to do: a script of bench/wrk with its arguments."""

    script: str
    arguments: list[str]
    path: str = "/"
    connections: int = 64
    events_per_request: int = 1
    is_denied: bool = False  # every request has to be refused


@dataclass
class Sample:
    """One run of wrk. Times per event, which is a request except in batches."""

    events: int
    per_second: float
    p50_us: int
    p99_us: int
    cpu_us: float
    generator_cpu_us: float
    other_cpu_percent: float
    sent: int
    sent_to_first: int
    sent_to_leaders: int  # the first 1,000


def machine_busy_seconds() -> float:
    """CPU time of everything on this machine, stolen time included."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def run_wrk(server: Server, load: Load, seconds: int) -> tuple[dict, float]:
    """wrk's result, and its own CPU time, preparation included."""
    process = subprocess.Popen(
        ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "-s", f"{load.script}.lua",
         f"http://127.0.0.1:{server.port}{load.path}", "--", *load.arguments],
        cwd=BENCH / "wrk", env=ENVIRONMENT, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    try:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        process.kill()
        process.wait()
        raise
    lines = [line for line in output.splitlines() if line.startswith("RESULT ")]
    if process.returncode != 0 or not lines:
        raise Refused(f"wrk failed:\n{output}")
    return json.loads(lines[0].removeprefix("RESULT ")), usage.ru_utime + usage.ru_stime


def measure(server: Server, load: Load, seconds: int) -> Sample:
    """Runs the load; refuses if any request failed or was answered with other than success."""
    server_before, machine_before = server.cpu_seconds(), machine_busy_seconds()
    result, generator = run_wrk(server, load, seconds)
    spent = server.cpu_seconds() - server_before
    other = machine_busy_seconds() - machine_before - spent - generator

    failed = {name: count for name, count in result["errors"].items() if count}
    if load.is_denied:
        denied = failed.pop("status", 0)
        if denied != result["requests"]:
            raise Refused(f"of {result['requests']} requests only {denied} were refused")
    if failed:
        raise Refused(f"not every request was answered with success: {failed}")
    if not result["requests"]:
        raise Refused("no request was answered")
    events = result["requests"] * load.events_per_request
    duration = result["duration_us"] / 1e6
    return Sample(
        events=events,
        per_second=events / duration,
        p50_us=result["p50_us"],
        p99_us=result["p99_us"],
        cpu_us=spent / events * 1e6,
        generator_cpu_us=result["generator_seconds"] / events * 1e6,
        other_cpu_percent=100 * max(0.0, other) / duration / (os.cpu_count() or 1),
        sent=result["sent"],
        sent_to_first=result["sent_to_first"],
        sent_to_leaders=result["sent_to_leaders"],
    )


def probe(server: Server, path: str, body: str, kind: str, expected: str) -> None:
    """One request by hand: wrk tells 2xx from 4xx, but reads no body."""
    status, text = server.call("POST", path, body, **{"Content-Type": kind})
    if status != 200 or expected not in text:
        raise Refused(f"POST {path} answers {status}: {text[:300]}")


def warm_and_measure(server: Server, settings: Settings, load_named):
    """`load_named(name)` gives the load of one run; its name keeps the ids of two runs apart."""
    warm = measure(server, load_named("warm"), WARM_UP_SECONDS)
    return warm, measure(server, load_named("main"), settings.seconds)


def measure_loop(redis: Redis, library: str, seconds: int, seed: int, most: int) -> Sample:
    """A loop over a library in a process of its own; refuses if anything was denied."""
    own_before = resource.getrusage(resource.RUSAGE_CHILDREN)
    redis_before, machine_before = redis.cpu_seconds(), machine_busy_seconds()
    started = time.monotonic()
    run = subprocess.run(
        [PYTHON, BENCH / "peers" / "fixed_window.py", library, redis.socket, str(seconds),
         str(seed), str(most)],
        env=ENVIRONMENT | {"PYTHONDONTWRITEBYTECODE": "1"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True,
    )
    elapsed = time.monotonic() - started
    if run.returncode != 0:
        raise Refused(f"the loop over {library} failed:\n{run.stderr[-2000:]}")
    result = json.loads(run.stdout)
    if result["denied"]:
        raise Refused(f"{library} denied {result['denied']} of {result['operations']}")
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = own.ru_utime + own.ru_stime - own_before.ru_utime - own_before.ru_stime
    of_redis = redis.cpu_seconds() - redis_before
    other = machine_busy_seconds() - machine_before - used - of_redis
    operations = result["operations"]
    return Sample(
        events=operations,
        per_second=operations / result["seconds"],
        p50_us=result["p50_us"],
        p99_us=result["p99_us"],
        cpu_us=(result["cpu_seconds"] + of_redis) / operations * 1e6,
        generator_cpu_us=0,  # the loop makes its own load
        other_cpu_percent=100 * max(0.0, other) / elapsed / (os.cpu_count() or 1),
        sent=operations,
        sent_to_first=0,
        sent_to_leaders=0,
    )

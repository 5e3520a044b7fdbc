# SPDX-License-Identifier: Apache-2.0
"""Load by wrk on one server, with the CPU time that it cost everyone."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from servers import BENCH, ENVIRONMENT, TICKS_PER_SECOND, Refused, Server


@dataclass
class Load:
    """What wrk is to do: a script of bench/wrk with its arguments."""

    script: str
    arguments: list[str]
    path: str = "/"
    connections: int = 64
    events_per_request: int = 1


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
    )

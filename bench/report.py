# SPDX-License-Identifier: Apache-2.0
"""Turns the figures of a run into a Markdown page: what was measured, and which targets it met."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Callable

NAMES = {
    "tally": "Tally, one event, `everysec`",
    "tally-ids": "Tally, one event with an id, `everysec`",
    "tally-always": "Tally, one event, `always`",
    "tally-ids-always": "Tally, one event with an id, `always`",
    "event-priced": "Tally, one event, priced, charged and limited, `everysec`",
    "check": "Tally, one check that consumes, `everysec`",
    "webdis": "webdis, one INCRBY (`POST`)",
    "nginx-lua": "nginx + Lua, INCR, EXPIRE and compare",
    "limits": "limits, fixed window, a loop without HTTP",
    "throttled-py": "throttled-py, fixed window, a loop without HTTP",
    "check-denied": "Tally, one check that is denied",
    "fastapi": "FastAPI + redis-py, one event with an id",
    "batches": "Tally, 1,000 events per request, `everysec`",
    "batches-ids": "Tally, 1,000 events with ids per request, `everysec`",
    "batches-ids-always": "Tally, 1,000 events with ids per request, `always`",
    "healthz": "Tally, `GET /healthz`",
}


@dataclass
class Target:
    """A figure that has to be at least, or at most, a limit. `figure` gives it once per round."""

    text: str
    limit: float
    at_least: bool
    cases: tuple[str, ...]
    figure: Callable[..., list[float]]

    def row(self, results: dict) -> str | None:
        if not all(results.get(case) for case in self.cases):
            return None
        value = median(self.figure(*(results[case] for case in self.cases)))
        reached = value >= self.limit if self.at_least else value <= self.limit
        sign = "≥" if self.at_least else "≤"
        shown = f"{value:,.0f}" if self.limit >= 1000 else f"{value:,.2f}"
        goal = f"{self.limit:,g}" if self.limit >= 1000 else f"{self.limit:g}"
        return f"| {self.text} | {sign} {goal} | {shown} | {'reached' if reached else '**missed**'} |"


def ratios(key: str) -> Callable[..., list[float]]:
    """First over second, round by round: what slows the machine slows both."""
    return lambda ours, theirs: [a[key] / b[key] for a, b in zip(ours, theirs)]


def values(key: str, unit: float = 1) -> Callable[..., list[float]]:
    return lambda rounds: [row[key] / unit for row in rounds]


def targets() -> list[Target]:
    found = []
    for case, label in (("tally", "an event"), ("tally-ids", "an event with an id")):
        found += [
            Target(f"throughput of {label} / webdis", 1.3, True, (case, "webdis"),
                   ratios("per_second")),
            Target(f"CPU time of {label} / webdis", 0.75, False, (case, "webdis"),
                   ratios("cpu_us")),
            Target(f"throughput of {label} / FastAPI", 15, True, (case, "fastapi"),
                   ratios("per_second")),
        ]
    for case, label in (("batches", "events"), ("batches-ids", "events with ids")):
        found.append(Target(f"{label} per second in batches of 1,000", 100_000, True, (case,),
                            values("per_second")))
    found += [
        Target("throughput of a check / nginx + Lua", 2, True, ("check", "nginx-lua"),
               ratios("per_second")),
        Target("throughput of a check / webdis", 1, True, ("check", "webdis"),
               ratios("per_second")),
        Target("throughput of a denied check / `healthz`", 0.8, True, ("check-denied", "healthz"),
               ratios("per_second")),
        Target("CPU time of a priced event / an event", 1.3, False, ("event-priced", "tally"),
               ratios("cpu_us")),
        Target("seconds until ready", 0.5, False, ("ready",), values("ready_seconds")),
        Target("MiB resident with 1,000 connections", 64, False, ("memory",),
               values("resident_bytes", 1 << 20)),
    ]
    return found


def output_of(*command: str) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run.stdout.strip()


def machine() -> dict:
    """What the figures depend on."""
    info = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    packages = ("redis-server", "webdis", "wrk", "nginx", "libnginx-mod-http-lua")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {
            name: output_of("dpkg-query", "--show", "--showformat=${Version}", name)
            for name in packages
        },
    }


def load_row(name: str, rounds: list[dict]) -> str:
    def middle(key: str) -> float:
        return median(row[key] for row in rounds)

    rates = [row["per_second"] for row in rounds]
    spread = f"{min(rates):,.0f}–{max(rates):,.0f}"
    generator = f"{middle('generator_cpu_us'):.1f}" if middle("generator_cpu_us") else "–"
    return (
        f"| {name} | {median(rates):,.0f} | {spread} | {middle('p50_us') / 1000:.2f} "
        f"| {middle('p99_us') / 1000:.2f} | {middle('cpu_us'):.1f} "
        f"| {generator} | {middle('other_cpu_percent'):.0f} % |"
    )


def markdown(run: dict) -> str:
    results, settings, host = run["results"], run["settings"], run["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    lines = [
        f"Measured {run['at']}: {host['cores']} cores ({host['cpu']}), Linux {host['kernel']}, "
        f"{versions}. Rounds: {settings['rounds']} of {settings['seconds']} s each, "
        f"{settings['threads']} thread(s) per server; load before: {host['load_before']:.2f}.",
        "",
        "Medians over the rounds. Rates, and CPU time, are per event; latencies per request. CPU "
        "is user + system time of the service with its Redis; wrk's own stands beside it, and "
        "the share of the machine that went to anything else.",
        "",
        "| case | per second | min–max | p50 ms | p99 ms | CPU µs | wrk µs | others |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [load_row(name, results[case]) for case, name in NAMES.items() if results.get(case)]
    if results.get("memory"):
        start = median(row["resident_at_start"] for row in results["memory"]) / (1 << 20)
        lines += ["", f"Resident before the first connection: {start:.1f} MiB."]
    rows = [row for target in targets() if (row := target.row(results))]
    if rows:
        lines += ["", "| target | limit | measured | |", "|---|--:|--:|---|", *rows]
    return "\n".join(lines)

# SPDX-License-Identifier: Apache-2.0
"""Takes one of a subject's limit through a library, over and over, in one thread.

Arguments: `limits` or `throttled-py`, the socket of Redis, seconds, seed, most per day. Prints one
line of JSON. The subjects are drawn as in wrk/requests.lua, but by Python's own random numbers.
"""

import itertools
import json
import random
import sys
import time

SUBJECTS, PICKS = 100_000, 100_000


def subjects(seed: int) -> list[str]:
    weights = list(itertools.accumulate(1 / rank for rank in range(1, SUBJECTS + 1)))
    picks = random.Random(seed).choices(range(SUBJECTS), cum_weights=weights, k=PICKS)
    return [f"user-{number:06d}" for number in picks]


def with_limits(socket: str, most: int):
    from limits import RateLimitItemPerDay
    from limits.storage import storage_from_string
    from limits.strategies import FixedWindowRateLimiter

    limiter = FixedWindowRateLimiter(storage_from_string(f"redis+unix://{socket}"))
    item = RateLimitItemPerDay(most)
    return lambda subject: limiter.hit(item, subject)


def with_throttled(socket: str, most: int):
    from throttled import RateLimiterType, Throttled, rate_limiter, store

    throttle = Throttled(
        using=RateLimiterType.FIXED_WINDOW.value, quota=rate_limiter.per_day(most),
        store=store.RedisStore(server=f"unix://{socket}"))
    return lambda subject: not throttle.limit(subject).limited


LIBRARIES = {"limits": with_limits, "throttled-py": with_throttled}


def main() -> None:
    library, socket, seconds, seed, most = sys.argv[1:]
    names = subjects(int(seed))
    take = LIBRARIES[library](socket, int(most))
    denied, taken_ns, now = 0, [], time.perf_counter_ns
    cpu, start = time.process_time(), now()
    deadline = start + int(seconds) * 1_000_000_000
    before = start
    for subject in itertools.cycle(names):
        if not take(subject):
            denied += 1
        after = now()
        taken_ns.append(after - before)
        before = after
        if after >= deadline:
            break
    cpu = time.process_time() - cpu
    taken_ns.sort()
    print(json.dumps({
        "operations": len(taken_ns),
        "denied": denied,
        "seconds": (before - start) / 1e9,
        "cpu_seconds": cpu,
        "p50_us": taken_ns[len(taken_ns) // 2] // 1000,
        "p99_us": taken_ns[len(taken_ns) * 99 // 100] // 1000,
    }))


if __name__ == "__main__":
    main()

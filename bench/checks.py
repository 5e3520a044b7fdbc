# SPDX-License-Identifier: Apache-2.0
"""Cases that keep a limit: Tally's checks, and what stands beside them."""

from dataclasses import asdict

from load import WARM_UP_SECONDS, Load, Settings, measure_loop, probe, warm_and_measure
from servers import Nginx, Redis, Refused, Server, Tally

MOST = 1_000_000_000  # a day, so that nothing is denied
FIRST = "user-000000"
LEADERS = 1_000  # of which bench/wrk/requests.lua tells what was sent to them
DENIED_AT = 10
BODY = '{"consume":true,"amounts":{"files_uploaded":1},"subject":"%s"}'


def limit_files(server: Tally, most: int) -> None:
    server.put("/v1/limits", {"limits": [
        {"name": "files_per_day", "meter": "files_uploaded", "window": "day", "user": most},
    ]})


def check_between(what: str, least: int, counted: int, most: int) -> None:
    if not least <= counted <= most:
        raise Refused(f"{what}: {counted}, which is not between {least} and {most}")


def check_answers(server: Tally, samples, status: int, others: dict[int, int]) -> None:
    """By the service's own count: all of wrk's requests got `status`; `others` came by hand."""
    answered = server.answered("/v1/check")
    for other, count in others.items():
        answered[other] = answered.get(other, 0) - count
    check_between(
        f"checks answered {status}", sum(sample.events for sample in samples),
        answered.pop(status, 0), sum(sample.sent for sample in samples))
    if any(answered.values()):
        raise Refused(f"checks were answered with other than {status}: {answered}")


def in_flight(load: Load, samples) -> int:
    """What was sent and not answered at most, and one request per run that is not sent."""
    return len(samples) * (load.connections + 1)


def tally_consume(settings: Settings) -> dict:
    load = Load("checks", [str(settings.seed), "all"])
    with Tally(threads=settings.threads) as server:
        limit_files(server, MOST)
        probe(server, "/v1/check", BODY % "probe", "application/json",
              f'"limit":{MOST},"used":1,')
        samples = warm_and_measure(server, settings, lambda _: load)
        check_answers(server, samples, 200, {200: 1})

        used = server.used("files_per_day", [f"user-{number:06d}" for number in range(LEADERS)])
        for what, counted, sent in (
            (f"files of {FIRST}", used[0], sum(sample.sent_to_first for sample in samples)),
            (f"files of the first {LEADERS}", sum(used),
             sum(sample.sent_to_leaders for sample in samples)),
        ):
            check_between(what, sent - in_flight(load, samples), counted, sent)
        return asdict(samples[1])


def tally_denied(settings: Settings) -> dict:
    """One subject, over its limit: every check is answered with 429, and counts nothing."""
    load = Load("checks", [str(settings.seed), "first"], is_denied=True)
    with Tally(threads=settings.threads) as server:
        limit_files(server, DENIED_AT)
        for number in range(DENIED_AT):
            probe(server, "/v1/check", BODY % FIRST, "application/json", f'"used":{number + 1},')
        samples = warm_and_measure(server, settings, lambda _: load)
        check_answers(server, samples, 429, {200: DENIED_AT})

        status, text = server.call(
            "POST", "/v1/check", BODY % FIRST, **{"Content-Type": "application/json"})
        if status != 429 or f'"used":{DENIED_AT},' not in text:
            raise Refused(f"a check over the limit answers {status}: {text[:300]}")
        if (used := server.used("files_per_day", [FIRST])) != [DENIED_AT]:
            raise Refused(f"{FIRST} has used {used} of {DENIED_AT}")
        return asdict(samples[1])


def check_sum(server: Server, samples, pattern: str) -> None:
    """Everything acknowledged is in Redis's counters, and nothing that was not sent."""
    check_between(
        "sum of the counters", sum(sample.events for sample in samples),
        server.sum_of_keys(pattern), sum(sample.sent for sample in samples))


def nginx_lua(settings: Settings) -> dict:
    load = Load("nginx", [str(settings.seed)])
    with Nginx(settings.threads, MOST) as server:
        samples = warm_and_measure(server, settings, lambda _: load)
        check_sum(server, samples, "files:*")
        sent = sum(sample.sent_to_first for sample in samples)
        check_between(f"files of {FIRST}", sent - in_flight(load, samples),
                      server.sum_of_keys(f"files:*:{FIRST}"), sent)

        # It does deny, and does forget a day.
        status, text = server.call("GET", "/check/probe")
        key = server.redis("KEYS", "files:*:probe")
        if (status, text) != (200, "1") or not 0 < int(server.redis("TTL", key)) <= 86_400:
            raise Refused(f"a first check answers {status}: {text[:300]}; it counts in {key!r}")
        server.redis("SET", key, str(MOST), "KEEPTTL")
        if (status := server.call("GET", "/check/probe")[0]) != 429:
            raise Refused(f"a check over the limit answers {status}")
        return asdict(samples[1])


def loop(settings: Settings, library: str, pattern: str) -> dict:
    with Redis() as redis:
        samples = [
            measure_loop(redis, library, seconds, settings.seed, MOST)
            for seconds in (WARM_UP_SECONDS, settings.seconds)
        ]
        check_sum(redis, samples, pattern)
        return asdict(samples[1])

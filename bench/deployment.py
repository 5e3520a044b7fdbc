# SPDX-License-Identifier: Apache-2.0
"""A service on a Redis of its own that is filled with subjects and days, and watched."""

import codecs
import datetime
import hashlib
import http.client
import json
import random
import re
import signal
import socket
import time
from pathlib import Path

from servers import ADMIN_KEY, TALLY, TICKS_PER_SECOND, Refused, Server, cpu_ticks, free_port

HEADERS = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/x-ndjson"}
BATCH = 10_000
MIB = 1 << 20


class Deployment(Server):
    """A Redis, and a service on it that can be ended and started again."""

    def start(self):
        self.path = self.spawn_redis()
        self.redis_process = self.processes[0]
        self.names = {}
        self.ask("CONFIG SET auto-aof-rewrite-percentage 0")
        self.start_service()

    def start_service(self):
        self.port = free_port()
        with socket.socket(socket.AF_UNIX) as monitor:  # tells which script has which digest
            monitor.connect(str(self.path))
            monitor.sendall(b"MONITOR\r\n")
            self.service = self.spawn(
                TALLY, "serve", "--listen", f"127.0.0.1:{self.port}", "--data",
                self.folder / "data", "--redis", f"unix://{self.path}", "--threads", "1",
                "--flush-interval", "86400")
            self.wait(lambda: self.answers("/readyz"))
            self.learn_names(monitor)

    def learn_names(self, monitor):
        """Scripts are loaded when connections are made, which is over by now."""
        text, end = b"", time.monotonic() + 1
        monitor.settimeout(0.2)
        while time.monotonic() < end:
            try:
                text += monitor.recv(MIB)
            except TimeoutError:
                break
        for source in re.findall(rb'"(?i:script)" "(?i:load)" "((?:[^"\\]|\\.)*)"', text):
            source = codecs.escape_decode(source)[0]
            name = re.search(rb"--\[\[\s+(\w+):", source)
            if name:
                self.names[hashlib.sha1(source).hexdigest()] = name[1].decode()

    def end_service(self, kind):
        """By SIGTERM it writes what changed; by SIGKILL it does not, and another may at once."""
        self.service.send_signal(kind)
        self.service.wait()
        self.processes.remove(self.service)
        if kind == signal.SIGKILL:
            self.ask("DEL t1:{default}:lease:flush")

    def ask(self, line):
        """The reply to an inline command, raw."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.path))
            connection.sendall(line.encode() + b"\r\nECHO the-end\r\n")
            answer = b""
            while not answer.endswith(b"the-end\r\n"):
                part = connection.recv(MIB)
                if not part:
                    raise Refused(f"Redis closed the connection: {self.log_end()}")
                answer += part
            return answer[:-len(b"$7\r\nthe-end\r\n")].decode(errors="replace")

    def watch(self):
        self.ask("CONFIG SET slowlog-log-slower-than 1000")
        self.ask("CONFIG SET slowlog-max-len 100000")
        self.ask("CONFIG SET latency-monitor-threshold 2")
        self.ask("SLOWLOG RESET")
        self.ask("LATENCY RESET")

    def longest(self):
        """{command or script: [times above 1 ms, longest in ms]}"""
        worst = {}
        for us, words in re.findall(r":(\d+)\r\n\*\d+\r\n((?:\$\d+\r\n[^\r]*\r\n){1,2})",
                                    self.ask("SLOWLOG GET 100000")):
            words = words.split("\r\n")[1::2]
            if words[0] == "SLOWLOG":
                continue  # this look at it, and none of the service's calls
            name = self.names.get(words[1], words[1][:8]) if words[0] == "EVALSHA" else words[0]
            count, most = worst.get(name, (0, 0))
            worst[name] = (count + 1, max(most, int(us) / 1000))
        return worst

    def info(self, name):
        return int(re.search(rf"^{name}:(\d+)", self.ask("INFO all"), re.M)[1])

    def bytes_of(self, key):
        """Of all of a key's memory, as Redis estimates it by 1,000 of its elements."""
        reply = self.ask(f"MEMORY USAGE {key} SAMPLES 1000")
        return int(reply[1:]) if reply.startswith(":") else 0

    def metric(self, name):
        found = re.search(rf"^{name} (\S+)$", self.call("GET", "/metrics")[1], re.M)
        return float(found[1]) if found else 0

    def resident(self, what="VmRSS"):
        status = Path(f"/proc/{self.service.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+)", status)[1]) / 1024

    def cpu_us(self):
        pids = (self.service.pid, self.redis_process.pid)
        return sum(cpu_ticks(pid) for pid in pids) / TICKS_PER_SECOND * 1e6

    def connect(self):
        return connect(self.port)


def connect(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def post(connection, lines, query=""):
    connection.request("POST", "/v1/events" + query, "\n".join(lines), HEADERS)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200 or json.loads(body)["failed"]:
        raise Refused(f"POST /v1/events answers {answer.status}: {body[-500:]}")


def name(number):
    return f"user-{number:07d}"


def event(number, tokens, when=""):
    """Five meters: those that stand here, their total, and credits."""
    return ('{"subject":"%s","action":"a%d","model":"m%d","credits":"%.6f","meters":{"input_tokens":%d,'
            '"output_tokens":7,"messages":1}%s}' % (name(number), number % 3, number % 7,
                                                    0.000117 * tokens, tokens, when))


def fill_history(server, options):
    connection, draw = server.connect(), random.Random(1)
    today = datetime.datetime.now(datetime.timezone.utc).date()
    for back in range(options.days - 1, 0, -1):
        when = ',"time":"%sT12:00:00Z"' % (today - datetime.timedelta(days=back))
        chosen = draw.sample(range(options.subjects), min(options.per_day, options.subjects))
        for start in range(0, len(chosen), BATCH):
            post(connection, [event(n, 1 + n % 97, when) for n in chosen[start:start + BATCH]],
                 "?backfill=true")


def fill_today(server, subjects):
    connection = server.connect()
    for start in range(0, subjects, BATCH):
        end = min(start + BATCH, subjects)
        post(connection, [event(n, 1 + n * 7919 % 9973) for n in range(start, end)])

# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the service: answers as its API does and remembers ids. Prints its port, and ends
when its standard input is closed."""

import http.server
import json
import sys
import threading

KEY = "tly_test-key-0123456789"
# Of one workspace; the other one is the operator's.
OWN_KEY = "tly_key-of-acme-012345"
seen = {}
people = {}
totals = {}
state = {"busy": 0, "lost": 0, "requests": []}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, value, headers=()):
        body = json.dumps(value).encode()
        self.send_response(status)
        problem = status >= 400
        self.send_header(
            "Content-Type", "application/problem+json" if problem else "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def is_allowed(self):
        if self.headers.get("Authorization") in ("Bearer " + KEY, "Bearer " + OWN_KEY):
            return True
        self.answer(401, {"title": "Unauthorized", "detail": "no key", "code": "unauthorized"})
        return False

    def count(self, event):
        subject = event.get("subject")
        meters = event.get("meters")
        if not subject or not isinstance(meters, dict) or not meters:
            error = {"code": "field_required", "detail": "subject or meters is missing"}
            return {"id": event.get("id"), "status": "failed", "error": error}
        if event["id"] in seen and seen[event["id"]].get("subject") != subject:
            error = {"code": "idempotency_key_reused", "detail": "the id is that of another event"}
            return {"id": event["id"], "status": "failed", "error": error}
        if event["id"] in seen:
            return {"id": event["id"], "status": "duplicate"}
        seen[event["id"]] = event
        for meter, amount in meters.items():
            board = totals.setdefault(meter, {})
            board[subject] = board.get(subject, 0) + amount
        return {"id": event["id"], "status": "counted"}

    def introduce(self, profile):
        if not profile.get("id"):
            error = {"code": "invalid_id", "detail": "id: it is missing"}
            return {"id": None, "status": "failed", "error": error}
        known = people.get(profile["id"])
        people[profile["id"]] = profile
        same = known == profile
        return {"status": "unchanged" if same else "updated" if known else "created"}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.is_allowed():
            return
        if len(body) > 8 << 20:
            problem = {"title": "Content Too Large", "detail": "8 MiB", "code": "body_too_large"}
            self.answer(413, problem)
            return
        if state["busy"] > 0:
            state["busy"] -= 1
            problem = {"title": "Busy", "detail": "try again", "code": "busy"}
            self.answer(503, problem, [("Retry-After", "0")])
            return
        events = [json.loads(line) for line in body.splitlines()]
        if self.path == "/v1/subjects/import":
            self.answer(200, {"results": [self.introduce(profile) for profile in events]})
            return
        if events[0].get("subject") == "make-busy":
            state["busy"] = 2
        results = [self.count(event) for event in events]
        # How many answers are lost, of which the event was counted.
        action = events[0].get("action") or ""
        if action.startswith("lose-") and results[0]["status"] == "counted":
            state["lost"] = int(action[5:])
        if state["lost"] > 0:
            state["lost"] -= 1
            self.close_connection = True
            return
        if self.headers["Content-Type"] == "application/x-ndjson":
            assert self.path == "/v1/events?backfill=true"
            self.answer(200, {"results": results, "counted": 0})
            return
        result = results[0]
        if result["status"] == "failed":
            self.answer(422, {"title": "Unprocessable", **result["error"]})
            return
        subject = events[0]["subject"]
        of_subject = {m: board[subject] for m, board in totals.items() if subject in board}
        duplicate = result["status"] == "duplicate"
        self.answer(200, {
            "id": result["id"], "duplicate": duplicate, "status": "counted", "totals": of_subject})

    def export(self):
        """Chunks of what was asked for; the subject says how it ends."""
        if "subject=nobody" in self.path:
            self.answer(422, {"title": "Unprocessable", "detail": "no such thing", "code": "x"})
            return
        if "subject=early" in self.path and self.path not in seen:
            seen[self.path] = True
            problem = {"title": "Service Unavailable", "detail": "kept for 2 hours", "code": "incomplete"}
            self.answer(503, problem, [("Retry-After", "0")])
            return
        if state["busy"] > 0:
            state["busy"] -= 1
            self.answer(503, {"title": "Busy", "code": "busy"}, [("Retry-After", "0")])
            return
        self.send_response(200)
        form = self.path.split("format=")[1].split("&")[0]
        types = {"csv": "text/csv; charset=utf-8; header=present", "ndjson": "application/x-ndjson"}
        # A page that a proxy wants its visitors to sign in at.
        known = "subject=visitor" not in self.path
        self.send_header("Content-Type", types[form] if known else "text/html; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        path = self.path + self.headers.get("X-Tally-Workspace", "")
        for part in [path + "\r\n"] + ["x" * 60000 + "\r\n"] * 50:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part.encode()))
        if "subject=broken" in self.path:
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        if not self.is_allowed():
            return
        if self.path == "/v1/workspace":
            own = self.headers.get("Authorization") == "Bearer " + OWN_KEY
            name = "acme" if own else self.headers.get("X-Tally-Workspace", "default")
            if name == "nowhere":
                problem = {"title": "Not Found", "detail": "there is no such workspace"}
                self.answer(404, {**problem, "code": "workspace_not_found"})
            else:
                self.answer(200, {"id": name})
            return
        if self.path.startswith("/v1/export/"):
            self.export()
            return
        meter = self.path.split("/")[-1].split("?")[0]
        board = sorted(totals.get(meter, {}).items(), key=lambda item: (-item[1], item[0]))
        entries = [
            {"rank": rank + 1, "subject": subject, "value": value}
            for rank, (subject, value) in enumerate(board)]
        window = self.path.split("window=")[1].split("&")[0]
        self.answer(200, {"meter": meter, "window": window, "entries": entries})


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        # Clients are killed in tests, or break off.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()

# SPDX-License-Identifier: Apache-2.0
"""An application behind a gateway: answers with the body that it got, and counts.

upstream.py PORT. `GET /seen` tells how many other requests came so far; /upload/broken fails.
"""

import http.server
import sys


class Application(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    count = 0

    def do_GET(self):
        if self.path != "/seen":
            return self.do_POST()
        self.answer(200, str(Application.count).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        Application.count += 1
        self.answer(502 if self.path.startswith("/upload/broken") else 200, body)

    do_PUT = do_PROPFIND = do_MKCOL = do_REPORT = do_LOCK = do_PURGE = do_SEARCH = do_POST

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Application).serve_forever()

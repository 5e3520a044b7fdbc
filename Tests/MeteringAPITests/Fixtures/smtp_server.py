# SPDX-License-Identifier: Apache-2.0
"""An SMTP server: `smtp_server.py PORT FOLDER [REFUSALS]`. Writes each message that it takes to a file, envelope
first; answers so many messages with 451 before it takes one. It knows no `nobody@`, and thinks about what is for
`slow@` for longer than many wait."""

import asyncio
import json
import os
import sys
import time

from aiosmtpd.controller import Controller

port, folder = int(sys.argv[1]), sys.argv[2]
refusals = int(sys.argv[3]) if len(sys.argv) > 3 else 0


class Handler:
    def __init__(self):
        self.count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 known"

    async def handle_DATA(self, server, session, envelope):
        if any(address.startswith("slow@") for address in envelope.rcpt_tos):
            print("thinking", flush=True)
            await asyncio.sleep(11)
        self.count += 1
        if self.count <= refusals:
            return "451 try again later"
        message = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "content": envelope.content.decode("latin-1"),
        }
        path = os.path.join(folder, f"{self.count}.json")
        with open(path + ".new", "w") as file:
            json.dump(message, file)
        os.rename(path + ".new", path)
        return "250 taken"


Controller(Handler(), hostname="127.0.0.1", port=port).start()
print("ready", flush=True)
while True:
    time.sleep(3600)

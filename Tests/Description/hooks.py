# SPDX-License-Identifier: Apache-2.0
"""What schemathesis has to know of this service; scripts/fuzz names it."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """Lines are described as a text; what is none is sent as a line."""
    return (value if isinstance(value, str) else json.dumps(value)).encode(errors="surrogatepass")

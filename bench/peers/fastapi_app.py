# SPDX-License-Identifier: Apache-2.0
"""Usage counting as it is commonly written: FastAPI, pydantic and redis-py, one process.

Per event: a check of the id that remembers it for 48 hours, then one transaction with three
counters of the subject, the day's leaderboard, the day's rollup and the list of recent events.
"""

import os
from datetime import UTC, datetime
from typing import Annotated

import redis.asyncio
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

ID_SECONDS = 48 * 3600
RECENT = 50

store = redis.asyncio.from_url(os.environ["REDIS_URL"], decode_responses=True)
admin_key = os.environ["TALLY_ADMIN_KEY"]
app = FastAPI()


class Meters(BaseModel):
    input_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    tokens: int = Field(ge=0)


class Event(BaseModel):
    id: str = Field(min_length=1, max_length=256)
    subject: str = Field(min_length=1, max_length=256)
    action: str
    model: str
    meters: Meters


class Recorded(BaseModel):
    id: str
    duplicate: bool
    tokens: int


def authorised(authorization: Annotated[str, Header()] = "") -> None:
    if authorization != f"Bearer {admin_key}":
        raise HTTPException(401, "unknown key")


@app.post("/events", dependencies=[Depends(authorised)])
async def record(event: Event) -> Recorded:
    usage = f"usage:{event.subject}"
    if not await store.set(f"event:{event.id}", 1, nx=True, ex=ID_SECONDS):
        tokens = int(await store.hget(usage, "tokens") or 0)
        return Recorded(id=event.id, duplicate=True, tokens=tokens)

    meters = event.meters
    day = datetime.now(UTC).date().isoformat()
    async with store.pipeline(transaction=True) as pipe:
        pipe.hincrby(usage, "input_tokens", meters.input_tokens)
        pipe.hincrby(usage, "output_tokens", meters.output_tokens)
        pipe.hincrby(usage, "tokens", meters.tokens)
        pipe.zincrby(f"leaderboard:{day}", meters.tokens, event.subject)
        pipe.hincrby(f"rollup:{day}", f"{event.action}:{event.model}", meters.tokens)
        pipe.lpush("recent", event.model_dump_json())
        pipe.ltrim("recent", 0, RECENT - 1)
        results = await pipe.execute()
    return Recorded(id=event.id, duplicate=False, tokens=results[2])


@app.get("/healthz")
async def healthz() -> dict[str, bool]:
    return {"ok": True}

"""The reference of a read: a bare FastAPI app on stock uvicorn, with one SELECT on the service's own database."""

import os
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from sqlalchemy import create_engine, text

engine = create_engine(os.environ["BENCH_DATABASE_URL"])
app = FastAPI()

ONE = text("select * from tracks where track_id = :track_id")
PAGE = text("select * from tracks order by track_id desc limit 50")


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/tracks")
def read_page() -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(PAGE).mappings()]


@app.get("/tracks/{track_id}")
def read_one(track_id: int) -> dict[str, Any]:
    with engine.connect() as connection:
        return dict(connection.execute(ONE, {"track_id": track_id}).mappings().one())


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), http="h11", loop="asyncio", access_log=False, log_level="warning")

"""The reference of a request: a bare FastAPI app on stock uvicorn, with one SELECT or UPDATE on the service's own database."""

import os
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import create_engine, text

engine = create_engine(os.environ["BENCH_DATABASE_URL"])
app = FastAPI()

ONE = text("select * from tracks where track_id = :track_id")
PAGE = text("select * from tracks order by track_id desc limit 50")
RETITLE = text("update tracks set title = :title where track_id = :track_id")


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


class Edit(BaseModel):
    title: str


@app.patch("/tracks/{track_id}")
def edit(track_id: int, edit: Edit) -> dict[str, Any]:
    with engine.begin() as connection:
        connection.execute(RETITLE, {"title": edit.title, "track_id": track_id})
    return {"id": track_id, "title": edit.title}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), http="h11", loop="asyncio", access_log=False, log_level="warning")

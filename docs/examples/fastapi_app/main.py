"""The web side. Its server: uvicorn main:web"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import jobs
from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

import rota


@asynccontextmanager
async def lifespan(web: FastAPI) -> AsyncIterator[None]:
    yield
    await jobs.app.aclose()  # the connections of this process; they were made by its first enqueue


web = FastAPI(lifespan=lifespan)


@web.exception_handler(rota.RotaError)
async def told(request: Request, error: rota.RotaError) -> JSONResponse:
    """404 for an unknown job, 409 for a key used with another body, 503 while the server is away, ..."""
    return JSONResponse({"error": error.code, "detail": error.detail}, error.status)


@web.post("/reports", status_code=202)
async def order_report(year: int, idempotency_key: Annotated[str | None, Header()] = None) -> dict[str, str]:
    """Sent twice with the same Idempotency-Key, this makes one job."""
    handle = await jobs.report.options(idempotency_key=idempotency_key).aenqueue(year)
    return {"job": handle.id, "progress": f"/reports/{handle.id}", "result": f"/reports/{handle.id}/result"}


@web.get("/reports/{job}")
async def show_report(job: str) -> dict[str, Any]:
    """For a page that asks every second."""
    info = await jobs.app.handle(job).astatus()
    progress = info.progress.value if info.progress else 0.0
    return {"state": info.state, "progress": 1.0 if info.state == "done" else progress}


@web.get("/reports/{job}/result")
async def get_report(job: str) -> JSONResponse:
    """Waits for the end, but not for ever: a request that waits holds a connection, no thread."""
    try:
        return JSONResponse(await jobs.app.handle(job).aresult(timeout=10))
    except rota.WaitTimeout:
        return JSONResponse({"detail": "It goes on; ask again."}, 202)
    except rota.JobFailed as failed:
        return JSONResponse({"detail": failed.detail}, 502)


@web.delete("/reports/{job}", status_code=202)
async def cancel_report(job: str) -> dict[str, str]:
    return {"state": (await jobs.app.handle(job).acancel()).state}


class Payment(BaseModel):
    id: str
    cents: int


@web.post("/hooks/payments", status_code=202)
async def payment_hook(payment: Payment) -> dict[str, bool]:
    """Senders of webhooks repeat what was not answered soon: store it, answer, and do the work later."""
    once = jobs.book_payment.options(idempotency_key=f"payment:{payment.id}")
    handle = await once.aenqueue(payment.id, payment.cents)
    return {"new": handle.created}

"""The tasks. Their worker: rota work jobs:app"""

import asyncio

import rota

app = rota.App()  # ROTA_URL and ROTA_TOKEN, or http://127.0.0.1:8080


@app.task(timeout=60)
async def report(ctx: rota.Context, year: int) -> dict[str, int]:
    """Sales by month, of a year."""
    sales = {}
    for month in range(1, 13):
        await asyncio.sleep(0.05)  # the real work
        sales[f"{year}-{month:02}"] = year * month % 100
        ctx.progress(month / 12, f"month {month}")
    return sales


@app.task(retries=5)
async def book_payment(ctx: rota.Context, payment: str, cents: int) -> str:
    ctx.log(f"booking {cents} cents")
    return f"booked {payment}"

import uuid

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect

import rota
from orders import jobs
from orders.models import Order

FORM = """
<form method="post">
  <input type="hidden" name="csrfmiddlewaretoken" value="{csrf}">
  <input type="hidden" name="once" value="{once}">
  <input type="email" name="email"> <button>Order</button>
</form>
"""


def new_order(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return HttpResponse(FORM.format(csrf=get_token(request), once=uuid.uuid4()))
    with transaction.atomic():
        # A button pressed twice finds the order of the first time.
        once, email = request.POST["once"], request.POST["email"]
        order, _ = Order.objects.get_or_create(once=once, defaults={"email": email})
        if not order.job:
            transaction.on_commit(lambda: hand_over(order))
    return redirect(f"/orders/{order.pk}")


def hand_over(order: Order) -> None:
    """After the commit: no worker looks for an order that is not there yet, or never will be. If this fails,
    pressing the button again does it; if it was done after all, the key finds the job of the first time.
    """
    job = jobs.send_receipt.options(idempotency_key=f"receipt:{order.pk}").enqueue(order.pk)
    Order.objects.filter(pk=order.pk).update(job=job.id)


def show_order(request: HttpRequest, number: int) -> JsonResponse:
    """How far it is; with ?wait=1 once the receipt is sent, or after five seconds."""
    order = get_object_or_404(Order, pk=number)
    handle = jobs.app.handle(order.job)
    if "wait" in request.GET:
        try:
            handle.result(timeout=5)
        except rota.JobError:
            pass
    status = handle.status()
    order.refresh_from_db()
    progress = status.progress.value if status.progress else 0.0
    return JsonResponse({"state": status.state, "progress": progress, "receipt": order.receipt})

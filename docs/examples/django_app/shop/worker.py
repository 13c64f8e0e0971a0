"""For the worker, what wsgi.py is for the web server: rota work shop.worker:app"""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()

# Models can be imported from here on. Import every module with tasks.
from orders.jobs import app  # noqa: E402

__all__ = ["app"]

"""One frozen :class:`Settings`: defaults < YAML file < environment < flags.

>>> from rota.config import load, describe
::

    settings = load("rota.yaml", os.environ, {"listen": "127.0.0.1:9000"})  # BadConfig: all faults at once
    for shown in describe(settings):                                        # what is in force, who said so
        print(shown.key, shown.text, shown.origin)
"""

from __future__ import annotations

from rota.config.loading import Shown, describe, load
from rota.config.secret import Secret
from rota.config.settings import Email, Files, Handlers, Settings, Sleep, Webhook

__all__ = [
    "Email",
    "Files",
    "Handlers",
    "Secret",
    "Settings",
    "Shown",
    "Sleep",
    "Webhook",
    "describe",
    "load",
]

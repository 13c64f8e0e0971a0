"""What the built-in worker can do: ordinary tasks, written with Rota's own SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.handlers.settings import TYPES, HandlerSettings

if TYPE_CHECKING:
    from rota.sdk.app import App

__all__ = ["TYPES", "HandlerSettings", "build"]


def build(settings: HandlerSettings) -> App:
    """The app with the handlers that ``settings`` enables; ``process_file`` only with a folder.

    ValueError for a type that is not built in and for networks that are not written as such.
    """
    # Imported where used: settings can be made without loading an SMTP client and all the rest.
    from rota.sdk.app import App

    for name in settings.enabled:
        if name not in TYPES:
            raise ValueError(f"enabled may hold {', '.join(TYPES)}, not {name!r}.")
    app = App()
    if "sleep" in settings.enabled:
        from rota.handlers.sleep import sleep

        app.task(name="sleep")(sleep(settings.sleep))
    if "send_email" in settings.enabled:
        from rota.handlers.email import send_email

        app.task(name="send_email")(send_email(settings.email))
    if "webhook" in settings.enabled:
        from rota.handlers.webhook import webhook

        app.task(name="webhook")(webhook(settings.webhook))
    if "process_file" in settings.enabled and settings.files.folder is not None:
        from rota.handlers.files import process_file

        app.task(name="process_file")(process_file(settings.files))
    return app

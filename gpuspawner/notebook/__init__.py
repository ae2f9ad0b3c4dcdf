"""An extension of the notebook server that tells the hub what its GPU and CPU do. Needs no JupyterHub.

It is on wherever gpuspawner is installed beside the notebook server, and does nothing unless the hub asks for it by the
environment of the server. In an image::

    pip install --no-deps gpuspawner && pip install nvidia-ml-py
"""

import asyncio
import os
from typing import Any

from gpuspawner.notebook.reporter import Reporter

__all__: list[str] = []


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "gpuspawner.notebook"}]


def _load_jupyter_server_extension(app: Any) -> None:
    reporter = Reporter.from_environment(os.environ)
    if reporter is None:
        app.log.debug("gpuspawner: the hub does not ask for reports of use")
        return

    def begin() -> None:
        app.web_app.settings["gpuspawner_reporter"] = asyncio.ensure_future(reporter.run())

    app.io_loop.add_callback(begin)

"""An extension of the notebook server: reports its use to the hub, and tells its pages what the hub knows of it.

Needs no JupyterHub. It is on wherever gpuspawner is installed beside the notebook server; without a hub it does
nothing, and it reports only where the hub asks for it by the environment of the server. In an image::

    pip install --no-deps gpuspawner && pip install nvidia-ml-py

The extension of JupyterLab that shows it is in ``labextensions/gpuspawner``.
"""

import asyncio
import os
from typing import Any

from gpuspawner.notebook.hub import Hub
from gpuspawner.notebook.own_server import OwnServer
from gpuspawner.notebook.reporter import Reporter

__all__: list[str] = []


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "gpuspawner.notebook"}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextensions/gpuspawner", "dest": "gpuspawner"}]


def _load_jupyter_server_extension(app: Any) -> None:
    from gpuspawner.notebook.handlers import handlers  # which hubs, that import this package as well, need not have

    hub = Hub.from_environment(os.environ)
    own = None if hub is None else OwnServer(hub)
    app.web_app.add_handlers(".*$", handlers(own, app.base_url))
    reporter = Reporter.from_environment(os.environ)
    if reporter is None:
        app.log.debug("gpuspawner: the hub does not ask for reports of use")
        return

    def begin() -> None:
        app.web_app.settings["gpuspawner_reporter"] = asyncio.ensure_future(reporter.run())

    app.io_loop.add_callback(begin)

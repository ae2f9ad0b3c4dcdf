"""The REST API below ``/hub/api/gpuspawner/``: thin handlers over pure functions. Errors are JSON with a remedy."""

from typing import Any

from gpuspawner.web.api.version import VersionHandler

__all__ = ["api_handlers"]

_PREFIX = "/api/gpuspawner"


def api_handlers() -> list[tuple[str, type[Any]]]:
    """What goes into ``c.JupyterHub.extra_handlers``; the paths are below ``/hub``."""
    return [(f"{_PREFIX}/?", VersionHandler)]

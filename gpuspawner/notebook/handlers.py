"""What the server's own pages ask it for, below its base URL: ``GET gpuspawner/status``, ``POST gpuspawner/extend``."""

import json
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado.web import authenticated

from gpuspawner.notebook.hub import HubError
from gpuspawner.notebook.own_server import OwnServer

__all__ = ["handlers"]


class _Handler(APIHandler):
    """Logged-in users of this server; what they ask here is no work, so it does not keep the server from being idle."""

    auth_resource = "gpuspawner"
    _track_activity = False

    def initialize(self, own: OwnServer | None) -> None:
        """``own`` is None where no hub has started this server."""
        self.own = own

    def answer(self, found: Any) -> None:
        """Answer with JSON that nobody keeps."""
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(found))


class StatusHandler(_Handler):
    """What to show."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """``{"hub": null}`` where there is no hub, and nothing to show."""
        self.answer({"hub": None} if self.own is None else await self.own.status())


class ExtendHandler(_Handler):
    """``{"by": SECONDS}``, or another length as the hub's API takes it."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """The status then. A refusal has ``reason`` and ``remedy``."""
        body: Any = self.get_json_body() or {}
        try:
            if self.own is None:
                raise HubError("No hub has started this server, so nothing ends it.", status=404)
            if not isinstance(body, dict):
                raise HubError("The body must be a JSON object.", "Send one, such as {}.", 400)
            self.answer(await self.own.extend(body.get("by")))
        except HubError as error:
            self.set_status(error.status or 503)
            self.answer({"reason": error.reason, "remedy": error.remedy, "message": str(error)})


def handlers(own: OwnServer | None, base_url: str) -> list[tuple[str, type[APIHandler], dict[str, Any]]]:
    """For ``add_handlers`` of the server's web application."""
    return [
        (f"{base_url.rstrip('/')}/gpuspawner/{name}", handler, {"own": own})
        for name, handler in (("status", StatusHandler), ("extend", ExtendHandler))
    ]

"""``GET /hub/api/gpuspawner``: which version answers."""

from importlib import metadata

from gpuspawner.web.api.base import ApiHandler

__all__ = ["VersionHandler"]


class VersionHandler(ApiHandler):
    """Tells a client that this hub speaks this API."""

    async def get(self) -> None:
        """The version of gpuspawner."""
        self.answer({"version": metadata.version("gpuspawner")})

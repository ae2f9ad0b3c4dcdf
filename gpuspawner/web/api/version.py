"""``GET /hub/api/gpuspawner``: which version answers."""

from importlib import metadata
from typing import ClassVar

from gpuspawner.web.api.base import ApiHandler
from gpuspawner.web.api.operations import Answer, Operation, Operations

__all__ = ["VersionHandler"]


class Version(Answer):
    """The version of gpuspawner."""

    version: str


class VersionHandler(ApiHandler):
    """Tells a client that this hub speaks this API."""

    operations: ClassVar[Operations] = {"GET": Operation(summary="The version of gpuspawner.", answer=Version)}

    async def get(self) -> None:
        """The version of gpuspawner."""
        self.answer({"version": metadata.version("gpuspawner")})

"""Style sheets and scripts of the pages, served below the hub's own URL."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from tornado.web import StaticFileHandler

__all__ = ["STATIC_PATH", "StaticFiles", "static_dir", "static_folder", "static_url", "static_version"]

static_dir = Path(__file__).parent / "static"

STATIC_PATH = r"/gpuspawner/static/(?:(?P<version>[0-9a-f]{12})/)?(?P<path>.*)"
"""Where they are, below ``/hub``. The version is a folder, so that what a module imports has the same one."""

_FOR_GOOD = 10 * 365 * 24 * 3600


class StaticFiles(StaticFileHandler):
    """Kept by browsers for good where the URL names this version; otherwise asked for again, by ETag."""

    _version: str | None = None

    async def get(self, path: str, include_body: bool = True, version: str | None = None) -> None:
        """A file."""
        self._version = version
        await super().get(path, include_body)

    async def head(self, path: str, version: str | None = None) -> None:
        """What is known of a file."""
        await self.get(path, include_body=False, version=version)

    def get_cache_time(self, path: str, modified: Any, mime_type: str) -> int:
        """Overrides tornado's, which knows versions as ``?v=`` only."""
        return _FOR_GOOD if self._version == static_version() else 0

    def set_extra_headers(self, path: str) -> None:
        """Overrides tornado's, which leaves URLs without a version to the browser's guess."""
        self.set_header("X-Content-Type-Options", "nosniff")
        if self._version != static_version():
            self.set_header("Cache-Control", "no-cache")


@cache
def static_version() -> str:
    """Changes with the content of any static file."""
    digest = sha256()
    for path in sorted(static_dir.rglob("*.*")):
        digest.update(path.relative_to(static_dir).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def static_folder() -> str:
    """Where this version of them is, below the hub's base URL; ends with a slash."""
    return f"gpuspawner/static/{static_version()}/"


def static_url(base_url: str, name: str) -> str:
    """Where a static file is, given the hub's base URL such as ``"/hub/"``."""
    return f"{base_url}{static_folder()}{name}"

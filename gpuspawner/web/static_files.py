"""Style sheets and scripts of the pages, served below the hub's own URL."""

from functools import cache
from hashlib import sha256
from pathlib import Path

from tornado.web import StaticFileHandler

__all__ = ["StaticFiles", "static_dir", "static_url", "static_version"]

static_dir = Path(__file__).parent / "static"


class StaticFiles(StaticFileHandler):
    """Kept by browsers for good where the URL names a version; otherwise asked for again, by ETag."""

    def set_extra_headers(self, path: str) -> None:
        """Overrides tornado's, which leaves URLs without a version to the browser's guess."""
        self.set_header("X-Content-Type-Options", "nosniff")
        if "v" not in self.request.arguments:
            self.set_header("Cache-Control", "no-cache")


@cache
def static_version() -> str:
    """Changes with the content of any static file."""
    digest = sha256()
    for path in sorted(static_dir.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def static_url(base_url: str, name: str) -> str:
    """Where a static file is, given the hub's base URL such as ``"/hub/"``."""
    return f"{base_url}gpuspawner/static/{name}?v={static_version()}"

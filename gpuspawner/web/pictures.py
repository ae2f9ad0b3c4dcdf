"""The pictures of profiles: files that the configuration names, shown to whoever may see the launch form."""

import asyncio
import logging
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from gpuspawner.catalog import PICTURES, is_picture
from gpuspawner.web.asking import NotFoundError
from gpuspawner.web.pages.base import PageHandler

__all__ = ["PicturePage", "picture_url"]

logger = logging.getLogger(__name__)

_LARGEST = 2**20


def picture_url(base_url: str, profile: str, icon: str) -> str:
    """Where the picture of a profile is, anew with each version of the file; empty where there is none."""
    if not is_picture(icon):
        return ""
    try:
        found = Path(icon).stat()
    except OSError as error:
        _complain(icon, str(error))
        return ""
    if found.st_size > _LARGEST:
        _complain(icon, f"it has {found.st_size} bytes, more than {_LARGEST}")
        return ""
    return f"{base_url}gpuspawner/pictures/{quote(profile, safe='')}?v={found.st_mtime_ns:x}"


@lru_cache
def _complain(icon: str, why: str) -> None:
    """Once, and not with each page."""
    logger.warning("The picture %s cannot be shown: %s", icon, why)


class PicturePage(PageHandler):
    """One picture. An SVG is served so that nothing in it could run, even if it were opened by itself."""

    async def get(self, profile_name: str) -> None:
        """The file that the profile of this name has as its icon."""
        my_settings = getattr(self.current_user.spawner, "my_settings", None)
        profiles = {} if my_settings is None else (await my_settings()).catalog.profiles
        icon = profiles[profile_name].icon if profile_name in profiles else ""
        found = await asyncio.to_thread(_read, icon) if is_picture(icon) else None
        if found is None:
            raise NotFoundError("There is no such picture.")
        self.set_header("Content-Type", PICTURES[Path(icon).suffix.lower()])
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
        versioned = self.get_query_argument("v", "")
        self.set_header("Cache-Control", "private, max-age=31536000" if versioned else "no-cache")
        self.finish(found)


def _read(icon: str) -> bytes | None:
    path = Path(icon)
    try:
        return path.read_bytes() if path.stat().st_size <= _LARGEST else None
    except OSError:
        return None

"""Every page of the hub: where it is, who sees it, and who looks at it in the tests."""

from dataclasses import dataclass
from urllib.parse import quote

from full_hub import ADMINISTRATOR, AUDITOR, HOSTILE, MANAGER, MEMBER

from gpuspawner.web import handlers
from gpuspawner.web.pages.base import PageHandler

EVERYBODY = frozenset({MEMBER, MANAGER, AUDITOR, ADMINISTRATOR, HOSTILE})
_READERS = frozenset({MANAGER, AUDITOR, ADMINISTRATOR})
_ADMINISTRATORS = frozenset({ADMINISTRATOR})
_WAITING = frozenset({MEMBER, HOSTILE})


@dataclass(frozen=True)
class Shown:
    """A page below ``/hub/``; ``{me}`` in its path is whoever looks. The others get a page that says no."""

    path: str
    by: str
    readers: frozenset[str] = EVERYBODY
    refused: int = 403

    def seen_by(self, name: str) -> str:
        """The path for one of them."""
        return self.path.format(me=quote(name, safe=""))


ALL = [
    Shown("home", HOSTILE),
    Shown("spawn/{me}/another", HOSTILE),
    Shown("spawn-pending/{me}/waiting", HOSTILE, _WAITING, refused=404),
    Shown("token", HOSTILE),
    Shown("gpuspawner/usage", HOSTILE),
    Shown("gpuspawner/status", HOSTILE),
    Shown("gpuspawner/workspaces", MANAGER, _READERS),
    *(
        Shown(f"gpuspawner/workspaces/trap{part}", MANAGER, _READERS)
        for part in ("", "/members", "/servers", "/limits")
    ),
    *(Shown(f"gpuspawner/workspaces/cse151a{tab}", AUDITOR, _READERS) for tab in ("", "/servers")),
    *(
        Shown(f"gpuspawner/admin{part}", ADMINISTRATOR, _ADMINISTRATORS)
        for part in (
            "",
            "/workspaces",
            "/limits",
            "/explain?user=ada&workspace=cse151a&profile=pytorch&gpu_class=medium",
            "/grants",
            "/audit",
            "/capacity",
            "/queue",
            "/configuration",
        )
    ),
]


def routes() -> list[str]:
    """The patterns of our own pages that can be looked at; pictures of profiles are none."""
    shown = [str(route[0]) for route in handlers() if issubclass(route[1], PageHandler) and _is_shown(route[1])]
    return [pattern for pattern in shown if not pattern.startswith("/gpuspawner/pictures/")]


def _is_shown(handler: type[PageHandler]) -> bool:
    return "get" in vars(handler) or any("get" in vars(base) for base in handler.__mro__[1:-1] if _ours(base))


def _ours(base: type) -> bool:
    return base.__module__.startswith("gpuspawner.")

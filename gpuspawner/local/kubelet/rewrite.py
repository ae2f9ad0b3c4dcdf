"""Paths and addresses of a pod in the terms of this machine: a pod here has no file system or network of its own."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Rewriter"]

# A path stands alone in a value or begins after one of these; "hub/home" is no path of its own. In a URL it is one
# after file:// and sqlite:///.
_BEFORE = r"(?:(?<![\w./$%@~-])|(?<=\w://)|(?<=\w:///))"
_AFTER = r"(?=$|[/:;,\s'\"()<>|&#?*])"
_ANY_ADDRESS = re.compile(r"(?<![\w.])0\.0\.0\.0(?![\w.]|/\d)|\[::\]")
_OPTION = r"--?(?:[\w.-]*[.-])?(?:ip|host|bind|addr|address|listen)"
_ANY_OPTION = re.compile(f"(?P<option>{_OPTION})=(?:\\*|::)?")
_LISTEN_OPTION = re.compile(_OPTION)
_URL_VARIABLE = "JUPYTERHUB_SERVICE_URL"


class Rewriter:
    """Rewrites environment values and arguments of one container.

    Parameters
    ----------
    folders
        The folder of this machine behind each mount path.
    address
        The pod's address: what the pod would listen on everywhere, it listens on here only, so that two pods can
        both have port 8888.
    resolve
        Replaces names of Services in a text.
    """

    def __init__(
        self, folders: Mapping[str, Path], address: str, resolve: Callable[[str], str] = lambda text: text
    ) -> None:
        self._resolve = resolve
        self._folders = {mount.rstrip("/"): str(folder) for mount, folder in folders.items() if mount.strip("/")}
        self._address = address
        paths = "|".join(re.escape(mount) for mount in sorted(self._folders, key=len, reverse=True))
        self._path = re.compile(f"{_BEFORE}({paths}){_AFTER}") if paths else None

    def text(self, value: str) -> str:
        """One value with mount paths, wildcard addresses and names of Services replaced by what they are here."""
        return self._resolve(_ANY_ADDRESS.sub(self._address, self.path(value)))

    def path(self, value: str) -> str:
        """One value with mount paths replaced by their folders."""
        return self._path.sub(lambda match: self._folders[match[1]], value) if self._path else value

    def arguments(self, arguments: list[str]) -> list[str]:
        """A command line; also ``--ip=*`` and ``--ip ::`` become the pod's address."""
        rewritten: list[str] = []
        for argument in arguments:
            if match := _ANY_OPTION.fullmatch(argument):
                argument = f"{match['option']}={self._address}"
            elif rewritten and argument in ("*", "::", "") and _LISTEN_OPTION.fullmatch(rewritten[-1]):
                argument = self._address
            rewritten.append(self.text(argument))
        return rewritten

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """A whole environment; a wildcard or missing host in JUPYTERHUB_SERVICE_URL becomes the pod's address."""
        return {name: self._variable(name, value) for name, value in variables.items()}

    def _variable(self, name: str, value: str) -> str:
        if name == _URL_VARIABLE and value:
            parts = urlsplit(value)
            if parts.hostname in (None, "", "*", "::", "0.0.0.0"):  # noqa: S104  (replaced, not listened on)
                port = f":{parts.port}" if parts.port else ""
                value = urlunsplit(parts._replace(netloc=f"{self._address}{port}"))
        return self.text(value)

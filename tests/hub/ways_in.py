"""How people log in: authenticators with their own section of the configuration, and one account at each."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fcntl import LOCK_EX, flock
from getpass import getuser
from pathlib import Path
from secrets import token_hex
from tempfile import gettempdir
from typing import Any
from unittest import mock

import pamela
from running_hub import RunningHub

PASSWORD = "correct-horse-battery"


@dataclass(frozen=True)
class WayIn:
    """An authenticator by its entry point, the traits of its section, and somebody's account."""

    authenticator: str
    section: str
    traits: Mapping[str, Any] = field(default_factory=dict)
    name: str = "ada"
    password: str = PASSWORD

    def config(self, **sections: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """The hub's configuration, with further sections."""
        return {self.section: self.traits, "Authenticator": {"allow_all": True}, **sections}

    async def enrol(self, hub: RunningHub) -> None:
        """Whatever comes before the first login."""
        if self.authenticator == "native":
            await sign_up(hub, self.name, self.password)


async def sign_up(hub: RunningHub, name: str, password: str) -> None:
    """Fill in NativeAuthenticator's sign-up form."""
    fields = {"username": name, "signup_password": password, "signup_password_confirmation": password}
    answer = await hub.person().submit("signup", fields)
    assert answer.status == 200, f"signup: {answer.status}"


DUMMY = WayIn("dummy", "DummyAuthenticator", {"password": PASSWORD})
SHARED = WayIn("shared-password", "SharedPasswordAuthenticator", {"user_password": PASSWORD})
NATIVE = WayIn("native", "NativeAuthenticator", {"open_signup": True, "minimum_password_length": 12})


@contextmanager
def pam_account() -> Iterator[WayIn]:
    """A Unix account made for the test where root runs it; elsewhere one's own, and the PAM library is replaced."""
    root = os.geteuid() == 0
    name = f"gpuspawner-{token_hex(4)}" if root else getuser()
    way = WayIn("pam", "PAMAuthenticator", {"service": "login"}, name)
    if not root:
        with mock.patch.multiple(pamela, authenticate=_only(way), check_account=lambda *_, **__: True):
            yield way
        return
    change_accounts("useradd", "--no-create-home", "--user-group", name)
    try:
        change_accounts("chpasswd", said=f"{name}:{PASSWORD}")
        yield way
    finally:
        change_accounts("userdel", name)


def change_accounts(*command: str, said: str = "") -> None:
    """Change this machine's accounts or groups. Tests run beside each other, and the files are locked meanwhile."""
    with (Path(gettempdir()) / "gpuspawner-tests-accounts.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        subprocess.run(command, input=said, text=True, check=True, stdout=subprocess.DEVNULL)


def _only(way: WayIn) -> Any:
    def authenticate(username: str, password: str, **_: Any) -> bool:
        if (username, password) != (way.name, way.password):
            raise pamela.PAMError("Authentication failure")
        return True

    return authenticate

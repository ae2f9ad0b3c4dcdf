"""The Unix groups of an account, which are the claims of a login by PAM."""

import grp
import os
import pwd

__all__ = ["unix_groups"]


def unix_groups(name: str) -> list[str] | None:
    """The names of the groups of an account, its primary one included; None where the system knows no such account.

    Asks the system's name service (``nsswitch.conf``), which may ask a directory: not for the hub's loop.
    """
    try:
        account = pwd.getpwnam(name)
        numbers = os.getgrouplist(account.pw_name, account.pw_gid)
    except (KeyError, OSError):
        return None
    return sorted(group for number in set(numbers) if (group := _name_of(number)))


def _name_of(number: int) -> str | None:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return None

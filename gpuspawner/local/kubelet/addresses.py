"""Loopback addresses for pods."""

import hashlib

__all__ = ["AddressPool"]

_FIRST, _SECOND_OCTETS = 64, 64  # 127.64.0.1 to 127.127.255.254: room for four million pods


class AddressPool:
    """Gives every pod an address of its own from 127.64.0.0/10.

    The address follows from the pod's name and ``salt``, so that a pod that comes again usually finds its old one
    and two engines on one machine do not meet.
    """

    def __init__(self, salt: str) -> None:
        self._salt = salt
        self._taken: set[int] = set()

    def take(self, name: str) -> str:
        """An address that no other pod has."""
        size = _SECOND_OCTETS * 256 * 254
        digest = hashlib.sha256(f"{self._salt}/{name}".encode()).digest()
        number = int.from_bytes(digest[:8], "big") % size
        while number in self._taken:
            number = (number + 1) % size
        self._taken.add(number)
        return _written(number)

    def give_back(self, address: str) -> None:
        """Let another pod have an address."""
        self._taken.discard(_number(address))


def _written(number: int) -> str:
    rest, last = divmod(number, 254)
    second, third = divmod(rest, 256)
    return f"127.{_FIRST + second}.{third}.{last + 1}"


def _number(address: str) -> int:
    _, second, third, last = (int(part) for part in address.split("."))
    return ((second - _FIRST) * 256 + third) * 254 + last - 1

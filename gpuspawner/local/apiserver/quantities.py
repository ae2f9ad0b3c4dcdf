"""Quantities the way Kubernetes compares and writes them."""

from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

from gpuspawner.quantity import parse_quantity

__all__ = ["add", "canonical", "format_quantity", "is_extended", "number", "same_quantity", "subtract"]

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = (("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18))
_NATIVE = ("cpu", "memory", "ephemeral-storage", "storage", "pods")


@lru_cache(maxsize=4096)
def number(text: str) -> Decimal:
    """Return a quantity's number; ValueError if it is none."""
    return parse_quantity(text)


def same_quantity(one: str, other: str) -> bool:
    """Whether two quantities are the same number, however written."""
    return number(one) == number(other)


def is_extended(resource: str) -> bool:
    """Whether a container's resource is an extended one, such as ``nvidia.com/gpu``."""
    prefix, slash, _ = resource.partition("/")
    return bool(slash) and not prefix.endswith("kubernetes.io")


def format_quantity(value: Decimal, binary: bool) -> str:
    """Write a number as Kubernetes' canonical form: the largest suffix that leaves a whole number."""
    if value == 0:
        return "0"
    if binary and value == value.to_integral_value() and abs(value) >= 1024:
        power = 0
        while power < len(_BINARY) - 1 and value % 1024 == 0:
            value, power = value / 1024, power + 1
        return f"{int(value)}{_BINARY[power]}"
    for suffix, exponent in reversed(_DECIMAL):
        scaled = value.scaleb(-exponent)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    return f"{int(value.scaleb(9).to_integral_value(ROUND_CEILING))}n"


def _is_binary(text: str) -> bool:
    return text.endswith("i")


def canonical(text: str) -> str:
    """Write a quantity canonically, in the suffix family it came in."""
    if "e" in text.lower().removesuffix("e"):
        return text
    return format_quantity(number(text), _is_binary(text))


def add(one: str, other: str) -> str:
    """Add two quantities; the sum is written like the first unless that is zero, as in Kubernetes."""
    binary = _is_binary(one) if number(one) else _is_binary(other)
    return format_quantity(number(one) + number(other), binary)


def subtract(one: str, other: str) -> str:
    """Take one quantity from another; the difference is written like the first."""
    return format_quantity(number(one) - number(other), _is_binary(one))

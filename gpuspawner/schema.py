"""The vocabulary of the configuration: quantities, durations, dates and names, and how a mistake in them is told."""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime
from difflib import get_close_matches
from typing import Annotated, Any, Generic, Self, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from gpuspawner.quantity import parse_duration, parse_quantity

__all__ = [
    "Bytes",
    "Cores",
    "Count",
    "Day",
    "Name",
    "NameList",
    "PodPatch",
    "Range",
    "ResourceName",
    "Schema",
    "Seconds",
    "nearest",
    "problems_of",
]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?", re.ASCII)

_RESOURCE = re.compile(r"[a-z0-9][a-z0-9.-]*/[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


class Schema(BaseModel):
    """A part of the configuration: immutable, and an unknown key in it is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _name(value: str) -> str:
    if _NAME.fullmatch(value) is None:
        raise ValueError("1 to 63 of a-z, 0-9, '-', '_' and '.', beginning and ending with a letter or digit")
    return value


def _bytes(value: Any) -> int:
    if not isinstance(value, str | int) or isinstance(value, bool) or (amount := parse_quantity(value)) < 0:
        raise ValueError("a Kubernetes quantity of bytes such as 8G or 40Gi")
    return int(amount)


def _cores(value: Any) -> float:
    if not isinstance(value, str | int | float) or isinstance(value, bool) or (amount := parse_quantity(value)) < 0:
        raise ValueError("a number of CPU cores such as 2, 0.5 or 500m")
    return float(amount)


def _seconds(value: Any) -> int:
    if not isinstance(value, str | int | float):
        raise ValueError("a duration such as 30m, 6h or 1h30m")
    return parse_duration(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a whole number, 0 or more")
    return value


def _day(value: Any) -> date:
    if isinstance(value, datetime):
        raise ValueError("a date without a time, such as 2026-09-21")
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("a date such as 2026-09-21") from None


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _pod_patch(value: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(value) - {"metadata", "spec"})
    if unknown:
        raise ValueError(f"a PodTemplateSpec has metadata and spec, not {', '.join(map(str, unknown))}")
    return value


def _resource(value: str) -> str:
    if _RESOURCE.fullmatch(value) is None:
        raise ValueError("an extended resource with its vendor's domain, such as nvidia.com/gpu")
    return value


ResourceName = Annotated[str, AfterValidator(_resource)]
"""The name of an extended resource."""
Name = Annotated[str, AfterValidator(_name)]
"""A name that is safe as a Kubernetes label value."""
NameList = Annotated[tuple[str, ...], BeforeValidator(_list)]
"""One name or a list of names."""
Bytes = Annotated[int, BeforeValidator(_bytes)]
"""Bytes, written as a Kubernetes quantity: ``"8G"`` is 8e9, ``"40Gi"`` is 40 * 2**30."""
Cores = Annotated[float, BeforeValidator(_cores)]
"""CPU cores, written as a Kubernetes quantity: ``2`` or ``"500m"``."""
Seconds = Annotated[int, BeforeValidator(_seconds)]
"""Seconds, written as a duration: ``"6h"``, ``"1h30m"``."""
Count = Annotated[int, BeforeValidator(_count)]
"""A whole number, 0 or more."""
Day = Annotated[date, BeforeValidator(_day)]
"""A calendar day in the hub's time zone, written ``"2026-09-21"``."""
PodPatch = Annotated[dict[str, Any], AfterValidator(_pod_patch)]
"""A strategic merge patch of a PodTemplateSpec: ``{"metadata": {...}, "spec": {...}}``."""


N = TypeVar("N", int, float)


class Range(Schema, Generic[N]):
    """What a member may choose: from ``min`` to ``max``, ``default`` if they choose nothing.

    A single value instead of a mapping fixes all three.
    """

    default: N
    min: N
    max: N

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            filled = dict(value)
            if "default" in filled:
                filled.setdefault("max", filled["default"])
                filled.setdefault("min", filled["default"])
            return filled
        return value if isinstance(value, Range) else {"default": value, "min": value, "max": value}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min <= self.default <= self.max:
            raise ValueError(
                f"min <= default <= max, not min {self.min}, default {self.default}, max {self.max}",
            )
        return self

    def clamp(self, value: N) -> N:
        """The nearest value within the range."""
        return max(self.min, min(self.max, value))


def nearest(name: str, known: Collection[str]) -> str:
    """``"; did you mean 'pytorch'?"`` or, without a close match, the known names; for the end of a message."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else "; none is defined"


def problems_of(path: str, error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """Each mistake of a pydantic error in one line: path, what was found, what is allowed."""
    told = set()
    for mistake in error.errors(include_url=False):
        loc = [part for part in mistake["loc"] if not (isinstance(part, str) and part.startswith("function-"))]
        found, allowed = _short(mistake["input"]), _allowed(mistake["msg"])
        if (tuple(loc[:-1]), found, allowed) in told:
            continue
        told.add((tuple(loc[:-1]), found, allowed))
        where = path + "".join(f"[{part!r}]" if isinstance(part, int) else f".{part}" for part in loc)
        if mistake["type"] == "extra_forbidden":
            yield f"{where}: unknown key{nearest(str(loc[-1]), _keys(model, loc[:-1]))}"
        elif mistake["type"] == "missing":
            yield f"{where}: missing; it is required"
        else:
            yield f"{where}: found {found}, allowed: {allowed}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


_PHRASES = ("Value error, ", "Input should be ", "String should ", "Tuple should ", "a valid ", "have ")


def _allowed(message: str) -> str:
    for phrase in _PHRASES:
        message = message.removeprefix(phrase)
    return message.removesuffix(" after validation, not 0")


def _keys(model: type[BaseModel], loc: list[Any]) -> list[str]:
    """The keys known where ``loc`` leads to, following the models' own annotations."""
    current = {model}
    for part in loc:
        fields = [
            field
            for candidate in current
            for name, field in candidate.model_fields.items()
            if part == (field.alias or name)
        ]
        if fields:
            current = {found for field in fields for found in _models(field.annotation)}
    return [field.alias or name for candidate in current for name, field in candidate.model_fields.items()]


def _models(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for argument in get_args(annotation) for found in _models(argument)}

"""The vocabulary of the configuration: quantities, durations, dates and names, and how a mistake in them is told."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from difflib import get_close_matches
from itertools import groupby
from typing import Annotated, Any, Generic, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails
from pydantic_core.core_schema import no_info_after_validator_function

from gpuspawner.quantity import parse_duration, parse_quantity

__all__ = [
    "DURATION",
    "Bytes",
    "Cores",
    "Count",
    "Day",
    "Like",
    "Name",
    "NameList",
    "Order",
    "Range",
    "ResourceName",
    "Schema",
    "Seconds",
    "SecretName",
    "SubdomainName",
    "closest",
    "nearest",
    "problems_of",
    "read_bytes",
    "read_cores",
    "read_seconds",
]

_NAME = "[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_RESOURCE = "[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
# What a quantity and a duration look like, for JSON Schema: short, as Helm shows it to who has written another one.
_QUANTITY = "^[+]?[0-9.]+([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?$"
_QUANTITY_SCHEMA = {"type": ["number", "string"], "minimum": 0, "pattern": _QUANTITY}
DURATION = "([0-9]+[dhms]?)+"
"""What a duration looks like, as a regular expression."""
_DURATION_SCHEMA = {"type": ["number", "string"], "minimum": 1, "pattern": f"^{DURATION}$"}
_MOST_BYTES = 2**63 - 1
_MOST_CORES = 10**6
# Kubernetes' bound of activeDeadlineSeconds.
_MOST_SECONDS = 2**31 - 1


class Schema(BaseModel):
    """A part of the configuration: immutable, and an unknown key in it is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


def read_bytes(value: Any) -> int:
    """Bytes, from a number or a Kubernetes quantity, rounded up to whole ones. ValueError says what is allowed."""
    allowed = "a Kubernetes quantity of bytes such as 8G or 40Gi"
    with suppress(ValueError):
        amount = _number(value)
        if 0 < amount < 1:
            allowed += " (m means thousandths, M is mega)"
        elif 0 <= amount <= _MOST_BYTES:
            return int(amount.to_integral_value(ROUND_CEILING))
    raise ValueError(allowed)


def read_cores(value: Any) -> float:
    """CPU cores, from a number or a Kubernetes quantity, rounded up to thousandths. ValueError says what is allowed."""
    with suppress(ValueError):
        amount = _number(value)
        if 0 <= amount <= _MOST_CORES:
            return float(amount.quantize(Decimal("0.001"), ROUND_CEILING))
    raise ValueError("a number of CPU cores such as 2, 0.5 or 500m")


def read_seconds(value: Any) -> int:
    """Seconds, from a number or a duration. ValueError says what is allowed."""
    with suppress(ValueError):
        if isinstance(value, str | int | float) and (seconds := parse_duration(value)) <= _MOST_SECONDS:
            return seconds
    raise ValueError("a duration such as 30m, 6h or 1h30m")


def _number(value: Any) -> Decimal:
    if not isinstance(value, str | int | float):
        raise ValueError("not a quantity")
    return parse_quantity(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_SECONDS:
        raise ValueError("a whole number, 0 or more")
    return value


def _day(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    with suppress(TypeError, ValueError):
        return date.fromisoformat(value)
    raise ValueError("a date such as 2026-09-21")


@dataclass(frozen=True, slots=True)
class Like:
    """A text that a regular expression matches as a whole; ``allowed`` says in words which ones these are."""

    pattern: str
    allowed: str
    longest: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        longest = {} if self.longest is None else {"maxLength": self.longest}
        return {**handler(schema), "pattern": f"^({self.pattern})$", **longest}

    def _check(self, value: str) -> str:
        too_long = self.longest is not None and len(value) > self.longest
        if too_long or re.fullmatch(self.pattern, value, re.ASCII) is None:
            raise ValueError(self.allowed)
        return value


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _no_name_twice(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"each name once, not {', '.join(map(repr, twice))} twice")
    return names


ResourceName = Annotated[str, Like(_RESOURCE, "an extended resource with its vendor's domain, such as nvidia.com/gpu")]
"""The name of an extended resource."""
Name = Annotated[
    str,
    Like(_NAME, "1 to 63 characters of a-z, 0-9, '-', '_' and '.', beginning and ending with a letter or digit"),
]
"""A name that is safe as a Kubernetes label value."""
SecretName = Annotated[str, Like(_SUBDOMAIN, "the name of a Secret: characters of a-z, 0-9, '-' and '.'", 253)]
"""The name of an object that Kubernetes names like a DNS subdomain."""
SubdomainName = Annotated[str, Like(_SUBDOMAIN, "a name like a domain's: characters of a-z, 0-9, '-' and '.'", 253)]
"""The name of any other such object, such as a DeviceClass."""
NameList = Annotated[
    tuple[str, ...],
    BeforeValidator(_list, json_schema_input_type=str | tuple[str, ...]),
    AfterValidator(_no_name_twice),
]
"""One name or a list of names."""
Bytes = Annotated[int, BeforeValidator(read_bytes), WithJsonSchema(_QUANTITY_SCHEMA, mode="validation")]
"""Bytes, written as a Kubernetes quantity: ``"8G"`` is 8e9, ``"40Gi"`` is 40 * 2**30."""
Cores = Annotated[float, BeforeValidator(read_cores), WithJsonSchema(_QUANTITY_SCHEMA, mode="validation")]
"""CPU cores, written as a Kubernetes quantity: ``2`` or ``"500m"``."""
Seconds = Annotated[int, BeforeValidator(read_seconds), WithJsonSchema(_DURATION_SCHEMA, mode="validation")]
"""Seconds, written as a duration: ``"6h"``, ``"1h30m"``."""
Count = Annotated[int, BeforeValidator(_count), WithJsonSchema({"type": "integer", "minimum": 0})]
"""A whole number, 0 or more."""
Day = Annotated[date, BeforeValidator(_day)]
"""A calendar day in the hub's time zone, written ``"2026-09-21"``."""
Order = Annotated[
    int,
    Field(
        description="Its place in lists and forms: the lower, the earlier. Those of the same order are as written, "
        "which for values of Helm is by name."
    ),
]
"""The place of a named entry among the others."""


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
        if isinstance(value, Range):
            return value
        if not isinstance(value, Mapping):
            return {"default": value, "min": value, "max": value}
        if "default" not in value:
            raise ValueError('one value, or a mapping with "default" and, around it, "min" and "max"')
        return {"min": value["default"], "max": value["default"], **value}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        range_ = handler.resolve_ref_schema(handler(schema))
        if handler.mode == "serialization":
            return range_
        range_["required"] = ["default"]
        return {"anyOf": [range_["properties"]["default"], range_]}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min <= self.default <= self.max:
            raise ValueError("min, default and max in ascending order")
        return self


def closest(name: str, known: Collection[str]) -> str | None:
    """The known name that ``name`` was probably meant to be, or None."""
    close = get_close_matches(name[:100], [one for one in known if isinstance(one, str)], n=1, cutoff=0.6)
    return close[0] if close else None


def nearest(name: str, known: Collection[str]) -> str:
    """``"; did you mean 'pytorch'?"`` or, without a close match, the known names; for the end of a message."""
    close = closest(name, known)
    if close is not None:
        return f"; did you mean {close!r}?"
    return f"; known: {', '.join(sorted(map(str, known)))}" if known else "; none is defined"


def problems_of(path: str, error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """Each mistake of a pydantic error in one line: path, what was found, what is allowed.

    A single value that stands for several fields, as in :class:`Range`, is one mistake.
    """

    mistakes = error.errors(include_url=False)
    inside = {tuple(_place(mistake)[:-depth]) for mistake in mistakes for depth in (1, 2)}
    # A list whose items are all mistaken is reported as empty, too.
    mistakes = [m for m in mistakes if m["type"] != "too_short" or tuple(_place(m)) not in inside]
    for _, same in groupby(mistakes, key=_sameness):
        first, *others = same
        place = _place(first)[:-1] if others else _place(first)
        yield path + "".join(map(_step, place)) + ": " + _mistake(first, model)


def _sameness(mistake: ErrorDetails) -> tuple[Any, ...]:
    place = _place(mistake)
    if mistake["type"] in ("extra_forbidden", "missing"):
        return (*place,)
    return (*place[:-1], repr(mistake["input"]), _allowed(mistake))


def _place(mistake: ErrorDetails) -> list[str | int]:
    """Where it is, without the steps that name pydantic's own machinery."""
    return [part for part in mistake["loc"] if isinstance(part, int) or not part.startswith("function-")]


def _step(part: str | int) -> str:
    return f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{part!r}]"


def _mistake(mistake: ErrorDetails, model: type[BaseModel]) -> str:
    place = _place(mistake)
    if mistake["type"] == "extra_forbidden":
        return f"unknown key{nearest(str(place[-1]), _keys(model, place[:-1]))}"
    if mistake["type"] == "missing":
        return "missing; it is required"
    return f"found {_short(mistake['input'])}, allowed: {_allowed(mistake)}"


def _short(value: Any) -> str:
    text = repr({key: value[key] for key in value if key != "name"} if isinstance(value, dict) else value)
    return text if len(text) <= 80 else text[:77] + "..."


# pydantic's kinds of mistake in the words of an administrator.
_ALLOWED: Mapping[str, str] = {
    "bool": "True or False",
    "dict": "a mapping",
    "finite_number": "a number",
    "float": "a number",
    "greater_than_equal": "{ge:g} or more",
    "int": "a whole number",
    "less_than_equal": "{le:g} or less",
    "list": "a list",
    "literal": "{expected}",
    "mapping": "a mapping",
    "model": "a mapping",
    "string": "text",
    "string_too_short": "text that is not empty",
    "too_short": "a list that is not empty",
    "tuple": "a list",
}


def _allowed(mistake: ErrorDetails) -> str:
    kind = mistake["type"]
    words = _ALLOWED.get(kind) or _ALLOWED.get(kind.split("_")[0])
    if words is None or kind == "value_error":
        return mistake["msg"].removeprefix("Value error, ")
    return words.format(**mistake.get("ctx", {}))


def _keys(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """The keys known at a place: every step that names a field leads into the models of that field."""
    models = {model}
    for part in place:
        inner = {found for candidate in models for found in _models_of(candidate, part)}
        models = inner or models
    known = {field.alias or name for candidate in models for name, field in candidate.model_fields.items()}
    return sorted(known - {"name"})


def _models_of(model: type[BaseModel], key: str | int) -> Iterator[type[BaseModel]]:
    for name, field in model.model_fields.items():
        if key == (field.alias or name):
            yield from _models(field.annotation)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)

"""How a handler of the REST API says what it takes and answers; the OpenAPI document and its test are made from it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from gpuspawner.schema import Schema

__all__ = [
    "CSV",
    "EVENTS",
    "JSON",
    "OWN",
    "Answer",
    "Operation",
    "Operations",
    "Paged",
    "Pages",
    "Route",
    "pattern_of",
]

T = TypeVar("T")

JSON = "application/json"
EVENTS = "text/event-stream"
CSV = "text/csv"
OWN = ("read:servers!user", "users:activity!user")
"""JupyterHub's scopes of which one lets a token read about its own user; each server's token has the second."""
_OK: Mapping[int, str] = MappingProxyType({200: "The answer."})
_PARAMETER = re.compile(r"\{(\w+)\}")


class Answer(BaseModel):
    """What a handler answers; a key that is not declared is a mistake, which the test of conformance finds.

    Times are RFC 3339, durations are seconds, and service units are numbers in SU.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class Paged(Schema):
    """The query of a list: handlers of lists inherit from it."""

    limit: int = Field(default=100, ge=1, le=1000, description="How many at most.")
    after: str | None = Field(default=None, max_length=500, description="The `next` of the page before.")


class Pages(Answer, Generic[T]):
    """A page of a list."""

    items: list[T]
    next: Annotated[str | None, Field(description="For `?after=`, to get the next page; null on the last one.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of a handler, as ``operations`` of its class declares it::

        class GrantsHandler(ApiHandler):
            operations: ClassVar[Operations] = {
                "GET": Operation(summary="The grants that you may see.", query=_Which, answer=Pages[Grant],
                                 scopes=(*OWN, Action.READ), errors=(503,)),
            }

    Parameters
    ----------
    summary, description
        One sentence, and further ones in Markdown.
    answer
        Any type that pydantic understands: an :class:`Answer`, a dataclass, a ``TypedDict``; None: no body.
    scopes
        JupyterHub's scopes of which any one lets a token do this, for all that or some of it; empty: whoever the hub
        knows may.
    query, body
        What is sent; the handler checks it with the same model: ``self.query(_Which)``, ``self.body(GrantRequest)``.
    statuses
        The statuses of success, each with what it means; 204 has no body.
    errors
        The statuses of refusal beside 403, and 400 where something is sent.
    example
        A body, or a query where there is none, that makes sense for member ``ada`` of workspace ``cse151a``: the manual
        shows it, and the test of conformance sends it.
    media
        What the answer may be, JSON first; which one, the ``Accept`` header or ``?format=`` says.
    """

    summary: str
    answer: Any
    description: str = ""
    scopes: Sequence[str] = ()
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    statuses: Mapping[int, str] = field(default_factory=lambda: _OK)
    errors: Sequence[int] = ()
    example: Mapping[str, Any] = field(default_factory=dict)
    media: Sequence[str] = (JSON,)


Operations = Mapping[str, Operation]
"""By method: ``{"GET": Operation(...)}``."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path below ``/hub/api/gpuspawner``, such as ``"/sessions/{user_name}"``, and the class of its handler.

    The handler's methods get the parameters by name.
    """

    path: str
    handler: Any

    @property
    def parameters(self) -> list[str]:
        """The names in the path."""
        return _PARAMETER.findall(self.path)


def pattern_of(path: str) -> str:
    """The regular expression of a path, for Tornado; only ``server_name`` may be empty, as that of the default server.

    A parameter is one step of the path.
    """
    literal = [re.escape(part) if index % 2 == 0 else part for index, part in enumerate(_PARAMETER.split(path))]
    return "".join(
        part if index % 2 == 0 else rf"(?P<{part}>[^/]{'*' if part == 'server_name' else '+'})"
        for index, part in enumerate(literal)
    )

"""Why a launch did not happen, in words a member can act on: a class per cause, each with a reason and a remedy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar

from gpuspawner.limits.trace import Check

__all__ = [
    "BadRequestError",
    "ClusterError",
    "ConfigurationError",
    "DeniedError",
    "LaunchError",
    "Remedy",
    "ServerFailedError",
    "Way",
]


class Way(StrEnum):
    """What may help where a launch was refused or failed, or a server ended."""

    FITTING = "fitting"
    """As much as the limits allow of each amount."""
    GPU_CLASS = "gpu_class"
    GPUS = "gpus"
    """Fewer of them."""
    RUNTIME = "runtime"
    """As long as the budget pays for."""
    NO_GPU = "no_gpu"
    WAIT = "wait"
    """A longer wait for a free GPU."""
    MEMORY = "memory"
    """More of it."""
    IMAGE = "image"
    """The profile's own."""
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Remedy:
    """One launch that would start instead: ``label`` is for a button, ``note`` says more, ``options`` are all of its
    ``user_options``, as JSON has them."""

    way: Way
    label: str
    options: Mapping[str, Any]
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {"way": str(self.way), "label": self.label, "note": self.note, "options": dict(self.options)}


_REFUSED = (Way.FITTING, Way.GPU_CLASS, Way.GPUS, Way.RUNTIME, Way.NO_GPU)


class LaunchError(Exception):
    """A launch that was refused or failed.

    Parameters
    ----------
    reason
        What happened, with numbers, as one sentence: ``"CSE 151A holds 12 of 12 Medium GPUs."``
    remedy
        What to do next, as one sentence.
    detail
        The raw text of Kubernetes or of the server's log, for the log and for whoever asks for it.
    checks
        The trace of the decision that refused it: every limit that was looked at.
    """

    code: str = "launch_failed"
    """A short label for metrics and programs."""
    status: ClassVar[int] = 500
    """The HTTP status of the refusal."""
    ways: tuple[Way, ...] = ()
    """What may help, the best first; see :mod:`gpuspawner.remedies`."""
    at_most: Mapping[str, float] = MappingProxyType({})
    """Options of a launch of which no more can be had."""
    remedies: tuple[Remedy, ...] = ()
    """What would start instead, as far as whoever raised or caught it has asked."""

    def __init__(self, reason: str, remedy: str = "", detail: str = "", *, checks: Iterable[Check] = ()) -> None:
        self.reason = reason
        self.remedy = remedy
        self.detail = detail
        self.checks = tuple(checks)
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """Reason and remedy as a person reads them."""
        return f"Not started: {self.reason} {self.remedy}".rstrip()


class BadRequestError(LaunchError):
    """The request itself cannot be understood, or asks for what is not on offer to this login."""

    code = "bad_request"
    status = 400
    ways: tuple[Way, ...] = _REFUSED


class DeniedError(LaunchError):
    """A limit that applies to this login, here and now, refuses the launch."""

    code = "denied"
    status = 403
    ways: tuple[Way, ...] = _REFUSED


class ClusterError(LaunchError):
    """The Kubernetes API refused the launch or cannot be reached."""

    code = "cluster"
    status = 503
    ways: tuple[Way, ...] = (Way.AGAIN,)


class ServerFailedError(LaunchError):
    """The pod was accepted and then failed, or never became ready."""

    code = "server_failed"
    status = 500
    ways: tuple[Way, ...] = (Way.AGAIN,)


class ConfigurationError(Exception):
    """Every mistake found in the configuration, at once: ``problems`` are one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        super().__init__(f"gpuspawner: {count} in the configuration:\n" + "\n".join(f"  {p}" for p in problems))

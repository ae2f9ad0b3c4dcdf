"""Why a launch did not happen, in words a member can act on: a class per cause, each with a reason and a remedy."""

from collections.abc import Iterable
from typing import ClassVar

from gpuspawner.limits.trace import Check

__all__ = [
    "BadRequestError",
    "ClusterError",
    "ConfigurationError",
    "DeniedError",
    "LaunchError",
    "ServerFailedError",
]


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


class DeniedError(LaunchError):
    """A limit that applies to this login, here and now, refuses the launch."""

    code = "denied"
    status = 403


class ClusterError(LaunchError):
    """The Kubernetes API refused the launch or cannot be reached."""

    code = "cluster"
    status = 503


class ServerFailedError(LaunchError):
    """The pod was accepted and then failed, or never became ready."""

    code = "server_failed"
    status = 500


class ConfigurationError(Exception):
    """Every mistake found in the configuration, at once: ``problems`` are one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        super().__init__(f"gpuspawner: {count} in the configuration:\n" + "\n".join(f"  {p}" for p in problems))

"""Why the ledger cannot be read or written now."""

from gpuspawner.errors import LaunchError

__all__ = ["StoreUnavailableError", "UnknownSessionError", "WrongVersionError"]


class StoreUnavailableError(LaunchError):
    """The database does not answer, or refuses; what was to be written may or may not be. A repeat does no harm."""

    code = "ledger_unavailable"
    status = 503

    connection_lost = False
    """Whether a connection that had been there broke, so that a new one may do."""

    def __init__(self, detail: str, reason: str = "", remedy: str = "") -> None:
        super().__init__(
            reason or "The ledger's database cannot be reached.",
            remedy or "Try again in a few minutes; whoever runs the hub finds the cause in its log.",
            detail,
        )


class WrongVersionError(StoreUnavailableError):
    """The database is of a version that this gpuspawner does not know."""

    code = "ledger_version"

    def __init__(self, found: str, known: str) -> None:
        super().__init__(
            f"found version {found} of the tables, the newest known is {known}",
            f"The ledger's database is of version {found}, and this gpuspawner knows versions up to {known}.",
            "Whoever runs the hub needs the gpuspawner that wrote it, or a newer one.",
        )


class UnknownSessionError(LookupError):
    """There is no session of this id: it was never held."""

"""What is held: the servers that are starting or running, and what each takes from the limits.

The cluster is the truth about what runs: a server counts from the moment it is admitted, first by its hold here,
then by its pod, until the pod is gone. Nothing needs to be stored for a hub that restarts to count the same.
"""

from collections.abc import Callable

from gpuspawner.admission import Granted, Held

__all__ = ["Ledger"]

Key = tuple[str, str]


class Ledger:
    """Usage by user name and server name. Not thread-safe: one hub, one event loop."""

    def __init__(self) -> None:
        self._holds: dict[Key, Held] = {}
        self._pods: dict[Key, Held] = {}

    def usage(self) -> list[Held]:
        """What every server holds; where hold and pod are both there, the pod, which knows the class it landed on."""
        return list({**self._holds, **self._pods}.values())

    def admit(self, decide: Callable[[list[Held]], Granted]) -> Granted:
        """Decide with the usage of this instant, and hold what was granted before anybody else can ask.

        There is no ``await`` between the two, so that two launches cannot both take the last GPU. Whatever
        ``decide`` raises passes through and nothing is held.
        """
        granted = decide(self.usage())
        self._holds[granted.held.key] = granted.held
        return granted

    def release(self, key: Key) -> None:
        """The launch failed or its server has stopped: the hold ends. A pod that still runs goes on counting."""
        self._holds.pop(key, None)

    def pod_runs(self, held: Held) -> None:
        """A pod that takes resources was seen; from now on it is what counts."""
        self._pods[held.key] = held

    def pod_ended(self, key: Key) -> None:
        """The pod is gone or has ended, and with it whatever was held for its server."""
        self._pods.pop(key, None)
        self._holds.pop(key, None)

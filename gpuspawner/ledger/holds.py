"""What is held: the servers that are starting or running, and what each takes from the limits.

The cluster is the truth about what runs: a server counts from the moment it is admitted, first by its hold here,
then by its pod, until the pod is gone. Nothing needs to be stored for a hub that restarts to count the same.
"""

from collections.abc import Callable

from gpuspawner.admission import Granted, Held

__all__ = ["Holds"]

Key = tuple[str, str]


class Holds:
    """Usage by user name and server name. Not thread-safe: one hub, one event loop."""

    def __init__(self) -> None:
        self._holds: dict[Key, Held] = {}
        self._pods: dict[Key, Held] = {}
        self._outgoing: set[Key] = set()
        self._usage: list[Held] | None = None
        self.changed: Callable[[], None] = lambda: None
        """Called when something is held or let go."""

    def usage(self) -> list[Held]:
        """What every server holds; where hold and pod are both there, the pod, which knows the class it landed on.

        Where the pod is that of an earlier launch both count: it takes its GPU until it is gone.
        """
        if self._usage is None:
            waiting = (held for key, held in self._holds.items() if key not in self._pods or key in self._outgoing)
            self._usage = [*self._pods.values(), *waiting]
        return self._usage.copy()

    def admit(self, decide: Callable[[list[Held]], Granted]) -> Granted:
        """Decide with the usage of this instant, and hold what was granted before anybody else can ask.

        There is no ``await`` between the two, so that two launches cannot both take the last GPU. Whatever
        ``decide`` raises passes through and nothing is held.
        """
        granted = decide(self.usage())
        key = granted.held.key
        self._holds[key] = granted.held
        if key in self._pods:
            self._outgoing.add(key)
        self._usage = None
        self.changed()
        return granted

    def release(self, key: Key) -> None:
        """The launch failed or its server has stopped: the hold ends. A pod that still runs goes on counting."""
        held = self._holds.pop(key, None)
        self._outgoing.discard(key)
        self._usage = None
        if held is not None:
            self.changed()

    def pod_runs(self, held: Held) -> None:
        """A pod that takes resources was seen; from now on it is what counts."""
        known = self._pods.get(held.key)
        self._pods[held.key] = held
        self._usage = None
        if known != held:
            self.changed()

    def pod_ended(self, key: Key) -> None:
        """The pod is gone or has ended, and with it whatever was held for its server, but for a launch since then."""
        self._pods.pop(key, None)
        if key in self._outgoing:
            self._outgoing.discard(key)
        else:
            self._holds.pop(key, None)
        self._usage = None
        self.changed()

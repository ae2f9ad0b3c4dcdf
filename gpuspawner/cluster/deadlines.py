"""How long each phase of a launch may take, how long it has taken, and the error of one that took too long. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from gpuspawner.errors import ServerFailedError, Way
from gpuspawner.quantity import format_duration

from . import failures
from .events import STORAGE, Phase
from .failures import PodError

__all__ = ["Stage", "Stopwatch", "TooSlowError", "stage_of"]


class Stage(StrEnum):
    """What a launch may spend its time on."""

    PLACE = "place"
    NODE = "node"
    STORAGE = "storage"
    IMAGE = "image"
    SETUP = "setup"
    ANSWER = "answer"


_STAGES = {
    Phase.ACCEPTED: Stage.PLACE,
    Phase.WAITING: Stage.PLACE,
    Phase.NODE_COMING: Stage.NODE,
    Phase.PULLING: Stage.IMAGE,
    Phase.STARTING: Stage.ANSWER,
}
_WHAT = {
    Stage.PLACE: "Nothing was free for the server within {}, as long as this launch may wait",
    Stage.NODE: "The node that was to be added did not come within {}",
    Stage.STORAGE: "The storage for your files was not ready within {}",
    Stage.IMAGE: "The image was not there after {}",
    Stage.SETUP: "The node had not set the server up after {}",
    Stage.ANSWER: "The server was not ready {} after its process had started",
    None: "It was not ready after {}",
}
_NEXT = {
    Stage.PLACE: "Start it again with a longer wait, or choose another GPU class.",
    Stage.NODE: "Try again later, or choose another GPU class.",
    Stage.STORAGE: "Try again; if it stays so, tell the administrator of the hub.",
    Stage.IMAGE: "Try again: what has been pulled is kept; if it stays so, tell the administrator of the hub.",
    Stage.SETUP: "Try again; if it stays so, tell the administrator of the hub.",
    Stage.ANSWER: "Try again; if it stays so, choose another profile or image.",
    None: "Try again later, or ask for less.",
}
_WAYS = {
    Stage.PLACE: (Way.WAIT, Way.GPU_CLASS, Way.GPUS, Way.NO_GPU),
    Stage.NODE: (Way.AGAIN, Way.GPU_CLASS, Way.NO_GPU),
    Stage.ANSWER: (Way.AGAIN, Way.IMAGE),
}


class TooSlowError(ServerFailedError):
    """A phase of the launch, or (``stage`` None) all of it, took as long as it may, and the launch is withdrawn.

    ``waited_for`` is the sentence that was told last.
    """

    code = "too_slow"
    status = 504

    def __init__(self, stage: Stage | None, seconds: float, waited_for: str = "", detail: str = "") -> None:
        self.stage = stage
        if stage in _WAYS:
            self.ways = _WAYS[stage]
        told = f"{_WHAT[stage].format(format_duration(round(seconds)))}, and the launch is withdrawn. {waited_for}"
        super().__init__(told.strip(), _NEXT[stage], detail)


def stage_of(phase: Phase, problem: PodError | None) -> Stage:
    """What a launch in this phase, with this problem if any, spends its time on."""
    return Stage.STORAGE if isinstance(problem, STORAGE) else _STAGES.get(phase, Stage.SETUP)


@dataclass(slots=True)
class Stopwatch:
    """Seconds that one launch has spent on each stage, all visits to it together.

    A stage that ``deadlines`` does not name may take any time; ``impossible`` are the seconds for which a problem is
    borne that no waiting mends unless nodes are added.
    """

    deadlines: Mapping[Stage, float] = field(default_factory=dict)
    impossible: float = failures.RECONSIDER
    _spent: defaultdict[Stage, float] = field(default_factory=lambda: defaultdict(float))
    _stage: Stage | None = None
    _since: float = 0.0

    def enter(self, stage: Stage, now: float) -> None:
        """From ``now`` on (monotonic seconds) time is spent on ``stage``."""
        self.pause(now)
        self._stage, self._since = stage, now

    def pause(self, now: float) -> None:
        """From ``now`` on time counts for no stage: nobody knows what the launch does."""
        if self._stage is not None:
            self._spent[self._stage] += now - self._since
            self._stage = None

    def spent(self, stage: Stage) -> float:
        """Seconds spent on a stage until the last call of :meth:`enter`."""
        return self._spent[stage]

    def left(self, stage: Stage) -> float:
        """Seconds left of a stage's deadline; infinity without one."""
        return self.deadlines.get(stage, inf) - self._spent[stage]

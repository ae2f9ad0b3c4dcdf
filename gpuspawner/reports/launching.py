"""A launch under way as its page and its event stream tell it: which step it is at, who is ahead, and until when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from gpuspawner.cluster.events import Phase, Progress, Step
from gpuspawner.cluster.outlook import Outlook, about

__all__ = ["Fact", "LaunchStep", "Launching", "Said", "StepState", "launching_of"]

_TITLES = {
    Step.ACCEPTED: "Accepted",
    Step.PLACE: "GPU",
    Step.NODE: "Node",
    Step.STORAGE: "Files",
    Step.IMAGE: "Image",
    Step.STARTING: "Start",
    Step.READY: "Ready",
}
_ORDER = tuple(Step)
_NO_NEWS = Progress(Phase.ACCEPTED, "The launch was accepted; what it waits for is told in a moment.", 0)


class StepState(StrEnum):
    """How far a step is."""

    DONE = "done"
    NOW = "now"
    TODO = "todo"


@dataclass(frozen=True, slots=True)
class LaunchStep:
    """One step of a launch for people."""

    name: str
    title: str
    state: StepState


@dataclass(frozen=True, slots=True)
class Fact:
    """Something to know of a launch that waits; ``name`` is for programs."""

    name: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence of a launch, when it was said, and what Kubernetes itself said."""

    message: str
    raw: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Launching:
    """Where a launch is: its sentence, 0 to 100 percent, its steps, and what has been said so far."""

    message: str
    percent: int
    phase: str
    raw: str
    at: datetime | None
    steps: tuple[LaunchStep, ...]
    facts: tuple[Fact, ...]
    outlook: Outlook | None
    log: tuple[Said, ...] = ()

    def as_event(self) -> dict[str, Any]:
        """For JupyterHub's event stream: its own keys, and ours."""
        outlook = self.outlook
        return {
            "progress": self.percent,
            "message": self.message,
            "phase": self.phase,
            "raw": self.raw,
            "at": self.at and self.at.isoformat(timespec="seconds"),
            "steps": {step.name: str(step.state) for step in self.steps},
            "facts": [{"name": fact.name, "label": fact.label, "text": fact.text} for fact in self.facts],
            "ahead": outlook and outlook.ahead,
            "expected": outlook.by.isoformat(timespec="seconds") if outlook and outlook.by else None,
        }


def launching_of(told: Sequence[Progress], *, gpus: int) -> Launching:
    """Where a launch for so many GPUs is that has told this so far, oldest first."""
    last = told[-1] if told else _NO_NEWS
    return Launching(
        message=last.message,
        percent=max((step.percent for step in told), default=last.percent),
        phase=str(last.phase),
        raw=last.raw,
        at=last.at,
        steps=_steps(last, gpus),
        facts=tuple(_facts(last, gpus)),
        outlook=last.outlook,
        log=tuple(Said(step.message, step.raw if step.raw != step.message else "", step.at) for step in told),
    )


def _steps(last: Progress, gpus: int) -> tuple[LaunchStep, ...]:
    """Storage may be waited for before there is a node; then only what comes before that is done."""
    place = _ORDER.index(last.step)
    reached = place if last.node or not last.storage else _ORDER.index(Step.PLACE)
    found = []
    for index, step in enumerate(_ORDER):
        title = "Room" if step is Step.PLACE and not gpus else _TITLES[step]
        state = StepState.DONE if index < reached else StepState.TODO
        if index == place:
            state = StepState.DONE if step is Step.READY else StepState.NOW
        found.append(LaunchStep(str(step), title, state))
    return tuple(found)


def _facts(last: Progress, gpus: int) -> list[Fact]:
    found = []
    outlook = last.outlook
    if outlook is not None and gpus:
        found.append(Fact("queue", "Your place", outlook.queue or "You are next"))
        if outlook.by is not None and outlook.seconds is not None:
            day = "" if outlook.seconds < 20 * 3600 else f"{outlook.by:%A} "
            found.append(Fact("expected", "Your turn", f"in {about(outlook.seconds)}, by {day}{outlook.by:%H:%M}"))
    if last.within is not None and last.at is not None:
        until = last.at + timedelta(seconds=last.within)
        day = "" if last.within < 20 * 3600 else f"{until:%A} "
        label = "Waits until" if last.step is Step.PLACE else "Gives up at"
        late = outlook is not None and outlook.by is not None and outlook.by > until
        found.append(Fact("until", label, f"{day}{until:%H:%M}{', which is before your turn' if late else ''}"))
    return found

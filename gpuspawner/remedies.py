"""What would start instead of a launch that was refused or has failed; each is held against every limit. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gpuspawner.admission import Capacity, Held, admit
from gpuspawner.budgets.accounts import Accounts
from gpuspawner.budgets.estimate import say_cost
from gpuspawner.budgets.purse import Purse
from gpuspawner.config import Settings
from gpuspawner.errors import LaunchError, Remedy, Way
from gpuspawner.limits.checks import day_of, gpus_of
from gpuspawner.quantity import format_bytes, format_duration, say_cores, say_memory
from gpuspawner.request import LaunchRequest, grants, parse_request

__all__ = ["Situation", "remedies_of"]

_ROUNDS = 6
_MOST = 4
_MOST_CLASSES = 2
_BOUNDED = ("gpus", "cpu", "memory", "runtime", "wait")
_LONG_WAIT = 2 * 3600
_HERE_AND_NOW = frozenset({Way.WAIT, Way.AGAIN})


@dataclass(frozen=True, slots=True)
class Situation:
    """Who asks, for which of their servers, and all that a launch of theirs depends on; see
    :func:`~gpuspawner.admission.admit`."""

    user: str
    server: str
    workspaces: Collection[str]
    settings: Settings
    now: datetime
    usage: Sequence[Held] = ()
    capacity: Capacity = field(default_factory=Capacity)
    accounts: Accounts | None = None

    def parse(self, options: Mapping[str, Any]) -> LaunchRequest:
        """The launch that options ask for. Raises ``LaunchError``."""
        return parse_request(
            options,
            user=self.user,
            server=self.server,
            workspaces=self.workspaces,
            settings=self.settings,
            now=self.now,
        )

    def admitted(self, options: Mapping[str, Any]) -> LaunchRequest:
        """The launch that options ask for, which may start. Raises ``LaunchError``."""
        request = self.parse(options)
        admit(request, self.settings, self.usage, self.capacity, self.now, self.accounts)
        return request

    def free(self, request: LaunchRequest) -> bool:
        """Whether the GPUs of a launch are free on one node now, as far as that is known."""
        classes = [self.settings.catalog.gpu_classes[name] for name in request.gpu_classes]
        return not request.gpus or any(self.capacity.fits(one, request.gpus) for one in classes)

    def exists(self, gpu_class: str) -> bool:
        """Whether there are GPUs of a class, or nobody knows, or a node with them would be added."""
        found = self.settings.catalog.gpu_classes[gpu_class]
        return not self.capacity.live or found.autoscaled or bool(self.capacity.total(found))


def remedies_of(error: LaunchError, options: Mapping[str, Any], situation: Situation) -> tuple[Remedy, ...]:
    """What would start instead of a launch with these ``user_options``, the best first; at most four.

    ``options`` are never trusted. Each remedy has been admitted as things stand; of those that ask for other GPUs the
    ones come first whose GPUs are free. Where a launch had waited in vain, only what is free now is one.
    """
    found: dict[LaunchRequest, tuple[bool, Remedy]] = {}
    for way in error.ways:
        if way is Way.GPUS and any(remedy.way is Way.FITTING for _, remedy in found.values()):
            continue
        for changes in _changes(way, error, options, situation):
            at_most = error.at_most if way in (Way.FITTING, Way.GPUS) else {}
            request, fitted = _fit({**options, **changes}, situation, at_most)
            if request is None or request in found or not _helps(way, error, options, request, situation):
                continue
            label, note = _label(way, request, fitted, situation), _note(request, situation)
            found[request] = situation.free(request), Remedy(way, label, dict(request.asked), note)
            if way is not Way.GPU_CLASS:
                break
    return tuple(_best(found.values()))


def _best(found: Iterable[tuple[bool, Remedy]]) -> list[Remedy]:
    """In the order in which they were found, but of GPU classes those that are free first, and not too many."""
    chosen = list(found)
    classes = sorted((one for one in chosen if one[1].way is Way.GPU_CLASS), key=lambda one: not one[0])
    first = next((place for place, one in enumerate(chosen) if one[1].way is Way.GPU_CLASS), 0)
    others = [one for one in chosen if one[1].way is not Way.GPU_CLASS]
    ordered = [*others[:first], *classes[:_MOST_CLASSES], *others[first:]]
    return [remedy for _, remedy in ordered[:_MOST]]


def _changes(
    way: Way, error: LaunchError, options: Mapping[str, Any], situation: Situation
) -> Iterator[Mapping[str, Any]]:
    """The options to try for one way, as changes to those of the launch; of several, the first one that does."""
    asked = _understood(options, situation)
    if way in (Way.FITTING, Way.AGAIN):
        yield {}
    if asked is None:
        return
    settings, profile = situation.settings, situation.settings.catalog.profiles[asked.profile]
    match way:
        case Way.GPU_CLASS if asked.gpus:
            workspace = settings.workspaces[asked.workspace]
            for name in grants(workspace, profile, settings, day_of(situation.now, settings)):
                if asked.gpu_classes != (name,) and situation.exists(name):
                    yield {"gpu_class": name, "gpus": asked.gpus}
        case Way.GPUS:
            most = int(min(asked.gpus - 1, error.at_most.get("gpus", asked.gpus - 1)))
            yield from ({"gpus": count} for count in range(most, max(profile.gpus.min, 1) - 1, -1))
        case Way.RUNTIME if situation.accounts is not None:
            seconds = _paid(asked, situation)
            if profile.runtime.min <= seconds < asked.runtime:
                yield {"runtime": seconds}
        case Way.NO_GPU if asked.gpus and not profile.gpus.min:
            yield {"gpus": 0, "gpu_class": None}
        case Way.WAIT if profile.wait.max > asked.wait:
            yield {"wait": min(profile.wait.max, max(4 * asked.wait, _LONG_WAIT))}
        case Way.MEMORY:
            yield {"memory": 2 * asked.memory}
        case Way.IMAGE if asked.image != profile.image:
            yield {"image": None}


def _understood(options: Mapping[str, Any], situation: Situation) -> LaunchRequest | None:
    """The launch that was asked for, with amounts that its profile does not allow brought within its range."""
    for _ in range(_ROUNDS):
        try:
            return situation.parse(options)
        except LaunchError as error:
            bounds = _bounds(error)
            if not bounds:
                return None
            options = {**options, **bounds}
    return None


def _fit(
    options: Mapping[str, Any], situation: Situation, at_most: Mapping[str, float]
) -> tuple[LaunchRequest | None, tuple[str, ...]]:
    """The launch with as much of each amount as the limits allow, and which were brought down; None: none starts."""
    fitted: dict[str, None] = {}
    for _ in range(_ROUNDS):
        try:
            request = situation.admitted(options)
        except LaunchError as error:
            bounds = _bounds(error)
            if not bounds:
                return None, ()
        else:
            bounds = {key: _whole(key, most) for key, most in at_most.items() if getattr(request, key) > most}
            if not bounds:
                return request, tuple(fitted)
        fitted |= dict.fromkeys(bounds)
        options = {**options, **bounds}
    return None, ()


def _bounds(error: LaunchError) -> dict[str, Any]:
    """The options by which a refusal would allow a launch, as far as it is about amounts; empty where it is not."""
    found: dict[str, float] = {}
    for check in error.checks:
        kind, _, key = check.limit.rpartition(".")
        if check.allowed or key not in _BOUNDED or not isinstance(check.value, int | float):
            continue
        left = check.value if kind == "profile" else check.value - check.used
        if left <= 0:
            return {}
        found[key] = min(left, found.get(key, left))
    return {key: _whole(key, value) for key, value in found.items()}


def _whole(key: str, amount: float) -> float:
    """An amount as an option: cores in thousandths, all else in whole numbers."""
    return round(amount, 3) if key == "cpu" else int(amount)


def _paid(asked: LaunchRequest, situation: Situation) -> int:
    """The seconds of a launch that its budgets pay for on the class on which they last longest."""
    workspace = situation.settings.workspaces[asked.workspace]
    purse = Purse.of(asked.user, workspace, situation.settings, situation.accounts, situation.now)
    if purse is None:
        return asked.runtime
    return max(purse.lasts(name, asked.gpus, asked.cpu, asked.runtime) for name in asked.gpu_classes or ("",))


def _helps(
    way: Way, error: LaunchError, options: Mapping[str, Any], request: LaunchRequest, situation: Situation
) -> bool:
    """Whether this is another launch than the one that failed, and will fare better."""
    before = _understood(options, situation)
    if way is Way.MEMORY:
        return before is not None and request.memory > before.memory
    if way is not Way.AGAIN and request == before and error.status not in (400, 403):
        return False
    waited = Way.WAIT in error.ways
    return not waited or way in _HERE_AND_NOW or not situation.capacity.live or situation.free(request)


def _label(way: Way, request: LaunchRequest, fitted: Sequence[str], situation: Situation) -> str:
    settings, profile = situation.settings, situation.settings.catalog.profiles[request.profile]
    said = {key: _say(key, request) for key in fitted if key not in ("gpus", "wait")}
    gpus = ""
    if request.gpus:
        named = [gpus_of(request.gpus, name, settings) for name in request.gpu_classes]
        gpus = named[0] if request.gpus > 1 else _article(named[0].removeprefix("1 "))
        gpus = gpus if len(named) == 1 else f"{request.gpus} GPU{'' if request.gpus == 1 else 's'}"
    words = {
        Way.FITTING: f"Start on {gpus}" if gpus and "gpus" in fitted else "Start",
        Way.AGAIN: "Start again",
        Way.GPU_CLASS: f"Start on {gpus}",
        Way.GPUS: f"Start on {gpus}",
        Way.NO_GPU: "Start without a GPU",
        Way.RUNTIME: f"Start for {format_duration(request.runtime)}",
        Way.WAIT: f"Wait up to {format_duration(request.wait)} for {gpus or 'room'}",
        Way.MEMORY: f"Start with {format_bytes(request.memory)} of memory",
        Way.IMAGE: f"Start with the image of {profile.title}",
    }[way]
    said.pop(str(way), None)
    if "runtime" in said:
        words, said = f"{words} for {said.pop('runtime')}", said
    return f"{words} with {' and '.join(said.values())}" if said else words


def _article(noun: str) -> str:
    return f"{'an' if noun.lstrip('“')[:1].lower() in 'aeiou' else 'a'} {noun}"


def _say(key: str, request: LaunchRequest) -> str:
    return {
        "cpu": lambda: say_cores(request.cpu),
        "memory": lambda: say_memory(request.memory),
        "runtime": lambda: format_duration(request.runtime),
    }[key]()


def _note(request: LaunchRequest, situation: Situation) -> str:
    """What a button adds in small print: whether it starts now, and what it costs."""
    parts = []
    if request.gpus and situation.capacity.live:
        parts.append("free now" if situation.free(request) else "waits until one is free")
    if situation.accounts is not None:
        parts.append(say_cost(request, situation.settings, situation.accounts, situation.now))
    return ", ".join(filter(None, parts))

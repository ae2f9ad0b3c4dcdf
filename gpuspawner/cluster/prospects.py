"""The availability of everything a configuration offers: per workspace, profile and GPU class. Pure."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gpuspawner.admission import Availability, Granted, Part, Placement, State
from gpuspawner.catalog import GPUClass, Offer, Profile
from gpuspawner.config import Settings
from gpuspawner.pod import Server, build_pod
from gpuspawner.request import LaunchRequest, profiles_of
from gpuspawner.workspace import Workspace

from .availability import assess, could_come, suitable
from .device_availability import assess_devices, suitable_for_devices
from .inventory import Inventory
from .outlook import Outlook
from .placement import Needs
from .records import Toleration

__all__ = ["Choice", "Estimate", "Prospects", "tolerations_of"]

Choice = tuple[str, str, str]
"""Workspace, profile, and GPU class; the last is empty for a launch without a GPU."""

Estimate = Callable[[GPUClass, int], Outlook | None]
"""What a launch that asks for so many GPUs of a class now can expect; None where nobody knows."""

_BEST = (State.FREE, State.BUSY, State.NEEDS_NODE, State.MISCONFIGURED)
_SOMEBODY = "somebody"


@dataclass(frozen=True, slots=True)
class _Sizes:
    gpus: int
    cpu: float
    memory: int


def tolerations_of(settings: Settings) -> Mapping[Offer, tuple[Toleration, ...]]:
    """What launches of each offer tolerate, in whichever workspace and profile they tolerate most."""
    catalog = settings.catalog
    patches = [settings.pod_template, *(workspace.pod for workspace in settings.workspaces.values())]
    found: dict[Offer, tuple[Toleration, ...]] = {}
    for workspace in settings.workspaces.values():
        for profile in profiles_of(workspace, settings).values():
            for gpu_class in (catalog.gpu_classes[name] for name in profile.gpu_classes):
                if found.keys() >= set(gpu_class.accepts):
                    continue
                everywhere = [*patches, *(one.pod for one in catalog.profiles.values()), gpu_class.pod]
                patched = [one for patch in everywhere for one in (patch.get("spec") or {}).get("tolerations") or ()]
                more = Needs.of({"tolerations": patched}).tolerations
                for placements in _by_resource(gpu_class).values():
                    sizes = _Sizes(max(1, profile.gpus.min), profile.cpu.min, profile.memory.min)
                    own = _needs(settings, workspace.name, profile, sizes, placements).tolerations
                    for placement in placements:
                        found[placement.offer] = tuple({*found.get(placement.offer, ()), *own, *more})
    return found


class Prospects:
    """The availability of everything that a configuration offers: per workspace, profile and GPU class.

    What no node can satisfy is worked out anew only when nodes change, and whether the rest is free only when
    anything has. A launch that leaves everything at its default counts; where that is too large for any node, the
    smallest one does.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._large: dict[int, tuple[str, ...] | Availability] = {}
        self._nodes_version = -1
        self._answers: dict[int, Availability] = {}
        self._answered = -1
        self._launches: dict[str, Mapping[Choice, tuple[_Launch, ...]]] = {}
        self._shared: dict[tuple[str, str], tuple[_Launch, ...]] = {}

    def of(
        self,
        inventory: Inventory,
        estimate: Estimate = lambda gpu_class, gpus: None,
        workspaces: Collection[str] | None = None,
    ) -> Mapping[Choice, Availability]:
        """The availability of every choice, or of those in ``workspaces``; ``estimate`` is asked for what is busy."""
        if self._nodes_version != inventory.nodes_version:
            self._large.clear()
            self._nodes_version = inventory.nodes_version
        if self._answered != inventory.version:
            self._answers.clear()
            self._answered = inventory.version
        found = {}
        for choice, launches in self._all(workspaces):
            answer = self._answers.get(id(launches))
            if answer is None:
                answer = self._answers[id(launches)] = self._best(launches, inventory)
            found[choice] = self._expected(choice, answer, estimate)
        return found

    def too_large(self, inventory: Inventory) -> dict[Choice, str]:
        """The choices whose defaults fit no node although something smaller does, with what is too large."""
        found = {}
        for choice, launches in self._all():
            default = [self._suitable(one, inventory) for one in launches if not one.smallest]
            smaller = [self._suitable(one, inventory) for one in launches if one.smallest]
            too_large = [a.reason for a in default if isinstance(a, Availability) and a.part is Part.SIZE]
            fits = any(not isinstance(answer, Availability) for answer in default)
            if too_large and not fits and any(not isinstance(answer, Availability) for answer in smaller):
                found[choice] = too_large[0]
        return found

    def dead_offers(self, inventory: Inventory) -> dict[tuple[str, str], str]:
        """Offers (GPU class, resource) that no node can satisfy in any profile, of classes that have others."""
        alive: set[tuple[str, str]] = set()
        dead: dict[tuple[str, str], str] = {}
        for (_, _, name), launches in self._all():
            for launch in launches:
                answer = self._suitable(launch, inventory)
                if isinstance(answer, Availability):
                    dead.setdefault((name, launch.resource), answer.reason)
                else:
                    alive.add((name, launch.resource))
        some = {name for name, _ in alive}
        return {key: why for key, why in dead.items() if key not in alive and key[0] in some and key[1]}

    def _all(self, workspaces: Collection[str] | None = None) -> Iterator[tuple[Choice, tuple["_Launch", ...]]]:
        for workspace in self._settings.workspaces if workspaces is None else workspaces:
            if workspace not in self._launches:
                self._launches[workspace] = dict(self._launches_in(self._settings.workspaces[workspace]))
            yield from self._launches[workspace].items()

    def _launches_in(self, workspace: Workspace) -> Iterator[tuple[Choice, tuple["_Launch", ...]]]:
        """Workspaces without a patch of their own share their launches."""
        classes = self._settings.catalog.gpu_classes
        shared = {} if workspace.pod else self._shared
        for profile in profiles_of(workspace, self._settings).values():
            names = list(profile.gpu_classes) if profile.gpus.max else []
            for name in names if profile.gpus.min else [*names, ""]:
                key = profile.name, name
                if key not in shared:
                    shared[key] = tuple(_launches_of(self._settings, workspace.name, profile, classes.get(name)))
                yield (workspace.name, *key), shared[key]

    def _best(self, launches: Sequence["_Launch"], inventory: Inventory) -> Availability:
        for smallest in (False, True):
            answers = [self._assess(one, inventory) for one in launches if one.smallest is smallest]
            answer = min(answers, key=lambda answer: _BEST.index(answer.state))
            if answer.part is not Part.SIZE or answer.state is not State.MISCONFIGURED:
                break
        return answer

    def _assess(self, launch: "_Launch", inventory: Inventory) -> Availability:
        large = self._suitable(launch, inventory)
        if isinstance(large, Availability):
            return could_come(large) if launch.autoscaled else large
        if launch.offers:
            return assess_devices(
                launch.needs, inventory, launch.offers, launch.gpus, large=large, autoscaled=launch.autoscaled
            )
        return assess(launch.needs, inventory, launch.resource, autoscaled=launch.autoscaled, large=large)

    def _suitable(self, launch: "_Launch", inventory: Inventory) -> tuple[str, ...] | Availability:
        found = self._large.get(id(launch))
        if found is None:
            if launch.offers:
                found = suitable_for_devices(launch.needs, inventory, launch.offers, launch.gpus)
            else:
                found = suitable(launch.needs, inventory, launch.resource)
            self._large[id(launch)] = found
        return found

    def _expected(self, choice: Choice, answer: Availability, estimate: Estimate) -> Availability:
        _, profile, name = choice
        if answer.state is not State.BUSY or not name:
            return answer
        catalog = self._settings.catalog
        gpus = max(1, catalog.profiles[profile].gpus.default)
        outlook = estimate(catalog.gpu_classes[name], gpus)
        return answer if outlook is None else replace(answer, wait=outlook.seconds, ahead=outlook.ahead)


@dataclass(frozen=True, slots=True)
class _Launch:
    """One way to launch a choice: the needs of its pod, with one of the class's resources or with its ``offers`` of
    device classes, of which it asks for ``gpus`` devices."""

    needs: Needs
    resource: str
    autoscaled: bool
    smallest: bool
    gpus: int = 0
    offers: tuple[Offer, ...] = ()


def _launches_of(settings: Settings, workspace: str, profile: Profile, gpu_class: GPUClass | None) -> Iterator[_Launch]:
    least = max(1, profile.gpus.min) if gpu_class else 0
    default = _Sizes(max(least, profile.gpus.default) if gpu_class else 0, profile.cpu.default, profile.memory.default)
    smallest = _Sizes(least, profile.cpu.min, profile.memory.min)
    for resource, placements in _by_resource(gpu_class).items():
        for sizes in (default, smallest):
            needs = _needs(settings, workspace, profile, sizes, placements)
            autoscaled = gpu_class is not None and gpu_class.autoscaled
            offers = tuple(placement.offer for placement in placements if placement.offer.device_class)
            source = " or ".join(dict.fromkeys(offer.device_class for offer in offers)) or resource
            yield _Launch(needs, source, autoscaled, sizes is smallest, sizes.gpus, offers)


def _by_resource(gpu_class: GPUClass | None) -> Mapping[str, tuple[Placement, ...]]:
    if gpu_class is None:
        return {"": ()}
    found: dict[str, tuple[Placement, ...]] = {}
    for offer in gpu_class.accepts:
        found[offer.resource] = (*found.get(offer.resource, ()), Placement(gpu_class.name, offer))
    return found


def _needs(
    settings: Settings, workspace: str, profile: Profile, sizes: _Sizes, placements: tuple[Placement, ...]
) -> Needs:
    """The needs of the very pod a launch would make, with all patches."""
    request = LaunchRequest(
        user=_SOMEBODY,
        server="",
        workspace=workspace,
        profile=profile.name,
        gpu_classes=tuple(dict.fromkeys(placement.gpu_class for placement in placements)),
        gpus=sizes.gpus,
        cpu=sizes.cpu,
        memory=sizes.memory,
        runtime=profile.runtime.default,
        image=profile.image,
    )
    return Needs.of(build_pod(Granted(request, placements), Server({}, None, []), settings)["spec"])

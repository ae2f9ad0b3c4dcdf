"""What a configuration allows but can hardly mean, told at start and by `gpuspawner check`. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from gpuspawner.names import LAUNCH_VARIABLES, variables_in
from gpuspawner.schema import closest
from gpuspawner.settings import SECTION, Settings
from gpuspawner.workspace import Workspace

__all__ = ["hardly_meant"]


def hardly_meant(settings: Settings) -> Iterator[str]:
    """What is allowed but cannot have the effect that its words suggest."""
    for path, patch in settings.patches():
        for name in dict.fromkeys(variables_in(" ".join(_texts(patch)))):
            close = closest(name, LAUNCH_VARIABLES)
            if close is not None and name not in LAUNCH_VARIABLES:
                yield f"{SECTION}.{path}: {{{name}}} is no variable and stays as it is; did you mean {{{close}}}?"
    budgets = {space.name: space.budget for space in settings.workspaces.values() if space.budget is not None}
    for name, budget in budgets.items():
        if not budget.bounds:
            yield f"{SECTION}.workspaces[{name!r}].budget: neither per_member nor pool, so it bounds nothing"
    if settings.off_peak is not None and not any(budget.bounds for budget in budgets.values()):
        yield f"{SECTION}.off_peak: no workspace has a budget, so it is only noted in the ledger"
    for space in settings.workspaces.values():
        if settings.profiles_by_user:
            continue
        path = f"{SECTION}.workspaces[{space.name!r}]"
        profiles = settings.catalog.profiles
        offered = [profiles[name] for name in (profiles if space.profiles is None else space.profiles)]
        classes = {name for profile in offered for name in profile.gpu_classes}
        if not offered:
            yield f"{path}.profiles: no profile is on offer, so nobody can start a server here"
        if not space.members and not space.managers:
            yield f"{path}.members: nobody belongs to this workspace"
        for name in space.quota or ():
            if name not in classes:
                yield f"{path}.quota[{name!r}]: no profile of this workspace offers this GPU class"
        for profile in offered:
            if profile.gpus.min and not any(_ever_granted(space, name) for name in profile.gpu_classes):
                yield f"{path}.profiles: {profile.name!r} needs a GPU, and the quota grants none of its GPU classes"
        for index, exception in enumerate(space.exceptions):
            if (space.ends and exception.from_ > space.ends) or (space.starts and exception.to < space.starts):
                yield f"{path}.exceptions[{index}]: the workspace is closed on all of its days"
            for other, later in enumerate(space.exceptions[index + 1 :], index + 1):
                both = sorted(set(exception.quota) & set(later.quota))
                if both and exception.from_ <= later.to and later.from_ <= exception.to:
                    yield f"{path}.exceptions[{index}] and [{other}] overlap on {', '.join(both)}: the latter wins"


def _texts(value: Any) -> Iterator[str]:
    """Every text within a value, keys of mappings left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def _ever_granted(space: Workspace, gpu_class: str) -> bool:
    quotas = [space.quota or {}, *(exception.quota for exception in space.exceptions)]
    return space.quota is None or any(quota.get(gpu_class, 0) for quota in quotas)

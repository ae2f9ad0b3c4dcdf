"""What a configuration allows but can hardly mean, told at start and by `gpuspawner check`. Pure."""

from collections.abc import Iterator, Mapping
from re import split
from typing import Any

from gpuspawner.limits.cohort import Cohort
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
        ever = space.ever_offered()
        offered = [profiles[name] for name in (profiles if ever is None else ever)]
        classes = {name for profile in offered for name in profile.gpu_classes}
        if not offered:
            yield f"{path}.profiles: no profile is on offer, so nobody can start a server here"
        if not space.members and not space.managers:
            yield f"{path}.members: nobody belongs to this workspace"
        for name in space.quota or ():
            if name not in classes:
                yield f"{path}.quota[{name!r}]: no profile of this workspace offers this GPU class"
        for name in space.gpu_classes or ():
            if name not in classes:
                yield f"{path}.gpu_classes: no profile of this workspace offers {name!r}"
        for profile in offered:
            if profile.gpus.min and not any(_ever_granted(space, name, settings) for name in profile.gpu_classes):
                yield f"{path}.profiles: {profile.name!r} needs a GPU, and the quota grants none of its GPU classes"
            for key, most in space.per_launch.model_dump(exclude_none=True).items():
                if most < getattr(profile, key).min:
                    yield f"{path}.per_launch.{key}: less than {profile.name!r} needs, so nobody can start that here"
        cohort = settings.cohort_of(space.name)
        for name in space.borrowing_limit:
            if cohort is None or not _ever_lends(cohort):
                yield f"{path}.borrowing_limit: no cohort lends anything to this workspace"
                break
            if name not in (space.quota or ()):
                yield f"{path}.borrowing_limit[{name!r}]: only a class that its quota names can be borrowed"
        for index, exception in enumerate(space.exceptions):
            if (space.ends and exception.from_ > space.ends) or (space.starts and exception.to < space.starts):
                yield f"{path}.exceptions[{index}]: the workspace is closed on all of its days"
            for other, later in enumerate(space.exceptions[index + 1 :], index + 1):
                both = sorted(set(exception.quota) & set(later.quota))
                if both and exception.from_ <= later.to and later.from_ <= exception.to:
                    yield f"{path}.exceptions[{index}] and [{other}] overlap on {', '.join(both)}: the latter wins"
    yield from _of_cohorts(settings)
    yield from _of_images(settings)


def _of_cohorts(settings: Settings) -> Iterator[str]:
    for cohort in settings.cohorts.values():
        path = f"{SECTION}.cohorts[{cohort.name!r}]"
        if not _ever_lends(cohort):
            if cohort.reserve:
                yield f"{path}.reserve: nothing is kept free, since nothing is lent without borrowing"
            continue
        quotas = [settings.workspaces[name].quota for name in cohort.workspaces]
        if len(quotas) == 1 or None in quotas:
            what = "there is nobody to borrow from" if len(quotas) == 1 else "a workspace without quota lends nothing"
            yield f"{path}.borrowing: {what}"
            continue
        for name, kept in cohort.reserve.items():
            together = cohort.quota.get(name, sum((quota or {}).get(name, 0) for quota in quotas))
            if kept >= together:
                yield f"{path}.reserve[{name!r}]: all {together} are kept in reserve, so nothing can be borrowed"


def _of_images(settings: Settings) -> Iterator[str]:
    """Patterns that also fit the images of whoever chooses a name that begins alike."""
    patterns = [(f"profiles[{one.name!r}]", one.images) for one in settings.catalog.profiles.values()]
    patterns += [(f"workspaces[{one.name!r}]", one.images) for one in settings.workspaces.values()]
    for path, globs in patterns:
        for glob in globs:
            literal = split(r"[*?\[]", glob, maxsplit=1)[0]
            if literal and literal != glob and literal.count("/") < 2 and not literal.endswith(("/", ":", "@")):
                other = f"{literal}-of-somebody-else/x"
                yield f"{SECTION}.{path}.images: {glob!r} fits {other!r}, too; is it {literal}/*?"


def _texts(value: Any) -> Iterator[str]:
    """Every text within a value, keys of mappings left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def _ever_lends(cohort: Cohort) -> bool:
    return cohort.borrowing or any(exception.borrowing for exception in cohort.exceptions)


def _ever_granted(space: Workspace, gpu_class: str, settings: Settings) -> bool:
    lists = [space.gpu_classes, *(exception.gpu_classes for exception in space.exceptions)]
    if space.gpu_classes is not None and not any(gpu_class in names for names in lists if names is not None):
        return False
    cohort = settings.cohort_of(space.name)
    if cohort is not None and _ever_lends(cohort) and gpu_class in (space.quota or ()):
        return True
    quotas = [space.quota or {}, *(exception.quota for exception in space.exceptions)]
    return space.quota is None or any(quota.get(gpu_class, 0) for quota in quotas)

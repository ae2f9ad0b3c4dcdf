"""KubeSpawner's ``profile_list``: profiles of ours, one for each combination of choices that a range cannot say."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from itertools import product
from typing import Any

from gpuspawner.migration.gpus import GPUs, take_gpus
from gpuspawner.migration.traits import Remarks, Traits, listed, plain

__all__ = ["Variant", "variants_of"]

_AMOUNTS = frozenset({"cpu_limit", "mem_limit", "cpu_guarantee", "mem_guarantee"})
_GPU_TRAITS = frozenset({"extra_resource_limits", "extra_resource_guarantees", "node_selector"})
_MOST = 40
_KEYS = {"display_name", "description", "slug", "default", "kubespawner_override", "profile_options"}


@dataclass
class Choice:
    """One answer to an option of a profile."""

    name: str
    title: str
    override: Mapping[str, Any]


@dataclass
class Variant:
    """A profile of ours: its traits, and where options left a choice, those of each possible answer."""

    name: str
    display_name: str
    description: str
    traits: Traits
    answers: list[Traits] = field(default_factory=list)


def variants_of(base: Traits) -> list[Variant]:
    """The profiles of a hub, the default one first; without ``profile_list`` one for all."""
    entries = base.set.get("profile_list") or []
    if callable(entries):
        base.say(
            "profile_list",
            "is a function: c.GPUSpawner.profiles may be one; or workspaces name the profiles of their members.",
        )
        entries = []
    if isinstance(entries, Mapping):
        entries = listed(entries)
    if not entries:
        return [Variant("default", "", "", base)]
    variants: list[Variant] = []
    names: set[str] = set()
    for entry in sorted(entries, key=lambda entry: not entry.get("default")):
        variants.extend(_variants(entry, base, names))
    return variants


def _variants(entry: Mapping[str, Any], base: Traits, names: set[str]) -> Iterator[Variant]:
    title = str(entry.get("display_name") or entry.get("slug") or "profile")
    place = f"profile {_text(title)!r}"
    for key in entry:
        if key not in _KEYS:
            base.remarks.say(
                f"{place}.{key}",
                "is not KubeSpawner's own: members and profiles of a workspace say who may start what.",
            )
    common = base.overridden(_known(entry.get("kubespawner_override"), place, base.remarks), place)
    options = {name: _choices(name, option, place, base.remarks) for name, option in _options(entry).items()}
    ranged = {name: choices for name, choices in options.items() if _is_range(choices, common)}
    several = {name: choices for name, choices in options.items() if choices and name not in ranged}
    combinations = list(product(*several.values()))
    if len(combinations) > _MOST:
        base.remarks.say(
            place, f"has {len(combinations)} combinations of choices; only the first of each option is here."
        )
        combinations = combinations[:1]
    for combination in combinations:
        traits = common
        for choice in combination:
            traits = traits.overridden(choice.override, place)
        answers = [traits.overridden(choice.override, place) for choices in ranged.values() for choice in choices]
        for choices in ranged.values():
            traits = traits.overridden(choices[0].override, place)
        parts = [str(entry.get("slug") or _text(title)), *(choice.name for choice in combination)]
        titles = ", ".join(_text(choice.title) for choice in combination)
        yield Variant(
            _free_name("-".join(parts), names),
            f"{_text(title)} ({titles})" if titles else _text(title),
            _text(str(entry.get("description") or "")),
            traits,
            answers,
        )


def _options(entry: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return dict(entry.get("profile_options") or {})


def _choices(name: str, option: Mapping[str, Any], place: str, remarks: Remarks) -> list[Choice]:
    if (option.get("unlisted_choice") or {}).get("enabled"):
        remarks.say(
            f"{place}.profile_options.{name}.unlisted_choice",
            "lets members type a value; a profile here has one image, so each needs a profile.",
        )
    choices = option.get("choices") or {}
    if not isinstance(choices, Mapping):
        choices = {str(number): choice for number, choice in enumerate(listed(choices), 1)}
    return [
        Choice(
            str(key),
            str(choice.get("display_name") or key),
            _known(choice.get("kubespawner_override"), f"{place}.profile_options.{name}.{key}", remarks),
        )
        for key, choice in sorted(choices.items(), key=lambda pair: not pair[1].get("default"))
    ]


def _known(override: Any, place: str, remarks: Remarks) -> dict[str, Any]:
    """An override without the functions in it, which only KubeSpawner could call."""
    kept = {}
    for name, value in (plain(override) or {}).items():
        if callable(value):
            remarks.say(f"{place}.{name}", "is a function of the spawner; say it in modify_pod_hook.")
        else:
            kept[name] = value
    return kept


def _is_range(choices: list[Choice], common: Traits) -> bool:
    """Whether what the choices differ in is one amount that members may choose from a range, or the GPU."""
    if len(choices) < 2:
        return False
    keys = {key for choice in choices for key in choice.override}
    answers = [common.overridden(choice.override, common.place) for choice in choices]
    if keys <= _AMOUNTS:
        return all(_limit_is_guarantee(answer) for answer in answers)
    return bool(keys) and keys <= _GPU_TRAITS and _is_one_range_of_gpus(answers)


def _limit_is_guarantee(traits: Traits) -> bool:
    return all(
        traits[f"{what}_limit"] is not None and traits[f"{what}_guarantee"] in (None, traits[f"{what}_limit"])
        for what in ("cpu", "mem")
    )


def _is_one_range_of_gpus(answers: list[Traits]) -> bool:
    """Several numbers of one kind, or one number of several kinds; and nothing else differs."""
    found = [take_gpus(answer) for answer in answers]
    kinds = {_kind(gpus) for gpus, _ in found if gpus is not None}
    counts = {gpus.count if gpus is not None else 0 for gpus, _ in found}
    rest = [{name: part[name] for name in _GPU_TRAITS} for _, part in found]
    return all(part == rest[0] for part in rest) and (len(kinds) == 1 or (len(counts) == 1 and len(kinds) > 1))


def _kind(gpus: GPUs) -> tuple[str, tuple[str, ...]]:
    return gpus.resource, gpus.products


def _free_name(text: str, names: set[str]) -> str:
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    wanted = re.sub("[^a-z0-9.]+", "-", folded).strip("-.")[:58].rstrip("-.") or "profile"
    name, number = wanted, 1
    while name in names:
        number += 1
        name = f"{wanted}-{number}"
    names.add(name)
    return name


def _text(html: str) -> str:
    """KubeSpawner's form shows these texts as HTML, ours as text."""
    bare = re.sub("<[^>]*>", " ", re.sub("</?(a|b|code|em|i|small|span|strong)\\b[^>]*>", "", html))
    return " ".join(unescape(bare).split())

"""The launch form: what one login may choose, as the content of JupyterHub's ``#spawn_form``."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import TypeAdapter

from gpuspawner.budgets.quote import Costs
from gpuspawner.catalog import Catalog
from gpuspawner.entitlement import ProfileOffer, WorkspaceOffer
from gpuspawner.quantity import format_bytes, format_cores, format_duration, say_units
from gpuspawner.request import LaunchRequest
from gpuspawner.schema import Bytes, Cores, Seconds
from gpuspawner.web.offers import (
    HOURS,
    MINUTES,
    ONES,
    Unit,
    availability,
    counts_own_only,
    data_of,
    data_of_costs,
    gpu_classes_of,
    memory_unit,
    profiles_of,
    room,
    said_images,
)
from gpuspawner.web.options import ANY, NO_GPU
from gpuspawner.web.pictures import picture_url
from gpuspawner.web.static_files import static_url

__all__ = ["describe_launch", "render_form"]

NO_COSTS = Costs()
Offered = TypeVar("Offered", WorkspaceOffer, ProfileOffer)

_PAGES = Environment(
    loader=PackageLoader("gpuspawner.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_form(
    offers: Sequence[WorkspaceOffer],
    *,
    initial: Mapping[str, Any] | None = None,
    base_url: str = "/hub/",
    server: str = "",
    costs: Costs = NO_COSTS,
    link: str | None = None,
) -> str:
    """The form as HTML, without the form element, its XSRF token and the Start button, which JupyterHub's page has.

    ``initial`` are the ``user_options`` of the last choice, never trusted: what no longer fits is passed over.
    ``base_url`` is the hub's; ``server`` is the name of a named server; ``costs`` are shown where budgets pay.
    ``link`` is not None where they come from a link; it says what of them cannot be had.
    """
    memory = memory_unit(offers)
    first = _first_choice(offers, initial or {}, memory)
    return _PAGES.get_template("launch_form.html").render(
        offers=offers,
        profiles=[
            (profile, room(profile), picture_url(base_url, profile.name, profile.icon))
            for profile in profiles_of(offers)
        ],
        own_only=counts_own_only(offers),
        gpu_classes=[(offer, availability(offer)) for offer in gpu_classes_of(offers)],
        first=first,
        data={
            "offers": data_of(offers, memory),
            "first": {
                "profile": first.profile,
                "gpuClass": first.gpu_class,
                "order": first.order,
                "amounts": first.amounts,
            },
            "spawn": f"{base_url}spawn",
            "memoryUnit": memory.label,
            "costs": data_of_costs(costs),
        },
        costs=costs,
        amounts=_amounts(memory),
        images=said_images(sorted({glob for profile in profiles_of(offers) for glob in profile.images})),
        server=server,
        link=link,
        style=static_url(base_url, "launch.css"),
        script=static_url(base_url, "launch.js"),
        format_bytes=format_bytes,
        say_units=say_units,
        any=ANY,
        no_gpu=NO_GPU,
    )


def describe_launch(request: LaunchRequest, catalog: Catalog) -> str:
    """A launch in words: ``"PyTorch on 1 GPU (Small, 16 GB), 2 CPU cores, 8 GB, for 6 h"``."""
    classes = " or ".join(catalog.gpu_classes[name].title for name in request.gpu_classes)
    gpus = f"on {request.gpus} GPU{'' if request.gpus == 1 else 's'} ({classes})" if request.gpus else "without a GPU"
    cores = f"{format_cores(request.cpu)} CPU core{'' if request.cpu == 1 else 's'}"
    runtime = format_duration(request.runtime)
    return f"{catalog.profiles[request.profile].title} {gpus}, {cores}, {format_bytes(request.memory)}, for {runtime}"


@dataclass(frozen=True, slots=True)
class _First:
    """What the form begins with. ``gpu_class``, ``image`` and ``amounts``, in the form's units, hold what was chosen
    before; ``order`` the GPU classes in order of preference, where several will do."""

    workspace: str
    profile: str
    gpu_class: str
    amounts: Mapping[str, str]
    image: str = ""
    order: tuple[str, ...] = ()


def _first_choice(offers: Sequence[WorkspaceOffer], initial: Mapping[str, Any], memory: Unit) -> _First:
    workspace = _begin(sorted(offers, key=lambda offer: not offer.default), initial.get("workspace"))
    profile = _begin(workspace.profiles, initial.get("profile")) if workspace else None
    if workspace is None or profile is None:
        return _First("", "", "", {})
    amounts = {
        "gpus": _amount(initial.get("gpus"), int, ONES),
        "cpu": _amount(initial.get("cpu"), TypeAdapter(Cores).validate_python, ONES),
        "memory": _amount(initial.get("memory"), TypeAdapter(Bytes).validate_python, memory),
        "runtime": _amount(initial.get("runtime"), TypeAdapter(Seconds).validate_python, HOURS),
        "wait": _amount(initial.get("wait"), TypeAdapter(Seconds).validate_python, MINUTES),
    }
    order = _order(profile, initial)
    gpu_class = ANY if order else _gpu_class(profile, initial)
    image = initial.get("image")
    return _First(
        workspace.name,
        profile.name,
        gpu_class,
        {key: value for key, value in amounts.items() if value},
        image if isinstance(image, str) and image != profile.image else "",
        order,
    )


def _begin(offers: Sequence[Offered], wanted: Any) -> Offered | None:
    """The one that was chosen before, if it can be had; else the first that can; else the first."""
    possible = [offer for offer in offers if not offer.reason]
    chosen = [offer for offer in possible if offer.name == wanted]
    return next(iter(chosen or possible or offers), None)


def _gpu_class(profile: ProfileOffer, initial: Mapping[str, Any]) -> str:
    """The class chosen before, if it can be had; empty for what the profile begins with."""
    wanted = initial.get("gpu_class")
    first = wanted[0] if isinstance(wanted, list | tuple) and wanted else wanted
    if str(initial.get("gpus")) == "0":
        return NO_GPU
    if first == ANY or any(first == offer.name and not offer.reason for offer in profile.gpu_classes):
        return str(first)
    return ""


def _order(profile: ProfileOffer, initial: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes chosen before in order of preference, of which at least one can be had; empty unless several."""
    wanted, known = initial.get("gpu_class"), {offer.name: offer for offer in profile.gpu_classes}
    if not isinstance(wanted, list | tuple) or str(initial.get("gpus")) == "0":
        return ()
    found = tuple(dict.fromkeys(name for name in wanted if isinstance(name, str) and name in known))
    return found if len(found) > 1 and any(not known[name].reason for name in found) else ()


def _amount(found: Any, parse: Callable[[Any], float], unit: Unit) -> str:
    """An amount chosen before in the form's unit; empty where there is none or it cannot be understood."""
    try:
        value = parse(found) / unit.size
    except (ValueError, TypeError, ArithmeticError):
        return ""
    return f"{value:.3f}".rstrip("0").rstrip(".") if math.isfinite(value) and 0 < value < 10**9 else ""


def _amounts(memory: Unit) -> list[dict[str, str]]:
    """The rows of amounts: key, form field, label, unit."""
    return [
        {"key": "cpu", "field": "cpu", "label": "CPU cores", "unit": "cores"},
        {"key": "memory", "field": memory.field, "label": "Memory", "unit": memory.label},
        {"key": "runtime", "field": HOURS.field, "label": "Runtime", "unit": HOURS.label},
        {"key": "wait", "field": MINUTES.field, "label": "Wait at most", "unit": MINUTES.label},
    ]

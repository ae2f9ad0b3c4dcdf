"""What a hub offers to somebody: the profiles and GPU classes of some workspaces, and what they cost. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

from gpuspawner.catalog import GPUClass, Profile
from gpuspawner.config import Settings
from gpuspawner.request import grants, profiles_of
from gpuspawner.schema import Range
from gpuspawner.workspace import Workspace

__all__ = ["OnOffer", "on_offer"]


@dataclass(frozen=True, slots=True)
class OnOffer:
    """Some workspaces, with the profiles that each offers on a day and the GPU classes that it grants."""

    workspaces: tuple[tuple[Workspace, tuple[str, ...], tuple[str, ...]], ...]
    profiles: tuple[Profile, ...]
    gpu_classes: tuple[GPUClass, ...]
    cpu_rate: float
    off_peak: dict[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        """For the API: CPU in cores, memory in bytes, times in seconds, rates in service units per hour."""
        return {
            "workspaces": [
                {
                    "name": space.name,
                    "title": space.title,
                    "starts": space.starts and space.starts.isoformat(),
                    "ends": space.ends and space.ends.isoformat(),
                    "profiles": list(profiles),
                    "gpu_classes": list(classes),
                }
                for space, profiles, classes in self.workspaces
            ],
            "profiles": [_profile(profile) for profile in self.profiles],
            "gpu_classes": [
                {
                    "name": one.name,
                    "title": one.title,
                    "description": one.description,
                    "memory": one.memory,
                    "rate": one.rate,
                }
                for one in self.gpu_classes
            ],
            "cpu_rate": self.cpu_rate,
            "off_peak": self.off_peak,
        }


def on_offer(settings: Settings, workspaces: Collection[str], day: date) -> OnOffer:
    """What some workspaces offer on a day, in the order of the configuration."""
    spaces, catalog = (
        [settings.workspaces[name] for name in settings.workspaces if name in workspaces],
        settings.catalog,
    )
    offered = {space.name: profiles_of(space, settings, day) for space in spaces}
    granted = {
        space.name: {name for profile in offered[space.name].values() for name in grants(space, profile, settings, day)}
        for space in spaces
    }
    return OnOffer(
        workspaces=tuple(
            (space, tuple(offered[space.name]), tuple(n for n in catalog.gpu_classes if n in granted[space.name]))
            for space in spaces
        ),
        profiles=tuple(one for name, one in catalog.profiles.items() if any(name in some for some in offered.values())),
        gpu_classes=tuple(
            one for name, one in catalog.gpu_classes.items() if any(name in some for some in granted.values())
        ),
        cpu_rate=settings.cpu_rate,
        off_peak=None
        if settings.off_peak is None
        else {
            "hours": settings.off_peak.hours,
            "rate": settings.off_peak.rate,
            "timezone": settings.off_peak.timezone or settings.timezone.key,
        },
    )


def _profile(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "description": profile.description,
        "image": profile.image,
        "images": list(profile.images),
        "gpu_classes": list(profile.gpu_classes),
        **{key: _range(getattr(profile, key)) for key in ("gpus", "cpu", "memory", "runtime", "wait")},
        "extend_to": profile.extend_to,
        "apps": [{"title": app.display_name, "path": app.place} for app in profile.apps],
    }


def _range(allowed: Range[Any]) -> dict[str, Any]:
    return {"default": allowed.default, "min": allowed.min, "max": allowed.max}

"""What one login could start now on a GPU class, in a sentence: by their workspaces, limits and budgets. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gpuspawner.entitlement import ClassOffer, ProfileOffer, WorkspaceOffer
from gpuspawner.limits.usage import State
from gpuspawner.quantity import say_gpus

__all__ = ["Can", "Standing", "standing_of"]


class Can(StrEnum):
    """Whether a login could start on a class."""

    NOW = "now"
    NODE = "after a node is added"
    WAIT = "after a wait"
    REFUSED = "refused"
    NOT_OFFERED = "not offered"
    IMPOSSIBLE = "impossible"


_ORDER = tuple(Can)
_IMPOSSIBLE = "No node of the cluster can run it as things are; whoever runs this hub can tell more."


@dataclass(frozen=True, slots=True)
class Standing:
    """How many GPUs of a class a login could start on, where, and why not more, or not now."""

    can: Can
    sentence: str
    gpus: int = 0
    workspace: str = ""
    profile: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the API; without a choice, ``workspace`` and ``profile`` are null."""
        return {
            "can": self.can.value,
            "sentence": self.sentence,
            "gpus": self.gpus,
            "workspace": self.workspace or None,
            "profile": self.profile or None,
        }


def standing_of(gpu_class: str, offers: Sequence[WorkspaceOffer]) -> Standing:
    """The best that any workspace of a login allows of a class; ``offers`` are all that it may choose now."""
    found = [
        _standing(space, profile, offer)
        for space in offers
        for profile in space.profiles
        for offer in profile.gpu_classes
        if offer.name == gpu_class and offer.quota != 0
    ]
    if not found:
        whose = "Your workspace does not offer" if len(offers) == 1 else "None of your workspaces offers"
        return Standing(Can.NOT_OFFERED, f"{whose} this class.")
    return min(found, key=lambda one: (_ORDER.index(one.can), -one.gpus))


def _standing(space: WorkspaceOffer, profile: ProfileOffer, offer: ClassOffer) -> Standing:
    reason = space.reason or offer.reason or profile.reason
    state = offer.availability.state if offer.availability is not None else State.FREE
    most = offer.gpus.max
    if state is State.MISCONFIGURED:
        return Standing(Can.IMPOSSIBLE, _IMPOSSIBLE)
    if reason:
        return Standing(Can.REFUSED, reason, 0, space.name, profile.name)
    if state is State.NEEDS_NODE:
        sentence = f"You may start on {_up_to(most)} in {space.title}; a node is added then, which takes minutes."
        return Standing(Can.NODE, sentence, most, space.name, profile.name)
    if state is State.BUSY:
        sentence = f"You may have {_up_to(most)} in {space.title}, as soon as one is free: your launch waits for it."
        return Standing(Can.WAIT, sentence, most, space.name, profile.name)
    together = most if offer.free_together is None else min(most, offer.free_together)
    sentence = f"You can start on {_up_to(max(1, together))} now in {space.title}."
    if together < most:
        sentence += f" You may have {say_gpus(most)}, but no node has more than {together} free."
    return Standing(Can.NOW, sentence, max(1, together), space.name, profile.name)


def _up_to(gpus: int) -> str:
    return "1 GPU" if gpus == 1 else f"up to {say_gpus(gpus)}"

"""What is on offer, as the REST API answers it."""

from datetime import date

from pydantic import Field

from gpuspawner.limits.usage import State
from gpuspawner.web.api.operations import Answer

__all__ = ["ClassOffer", "ProfileOffer", "WorkspaceOffer"]


class Bounds(Answer):
    """An amount to choose."""

    default: float
    min: float
    max: float
    why: str = Field(description="Why it ends at `max`, as one sentence.")


class Availability(Answer):
    """Whether a launch could start now."""

    state: State
    reason: str = Field(description="Why not, as one sentence.")
    wait: float | None = Field(description="Seconds until the GPU is expected back, where that is known.")
    ahead: int = Field(description="Launches that wait for it already.")


class ClassOffer(Answer):
    """A GPU class of a profile in a workspace. What is free is null where the nodes cannot be read."""

    name: str
    title: str
    description: str
    memory: int | None = Field(description="Bytes that a program can count on.")
    reason: str = Field(description="Why it cannot be had now; empty if it can.")
    gpus: Bounds
    held: int = Field(description="GPUs that the workspace holds.")
    quota: int | None = Field(description="Null: not bounded.")
    free: int | None
    total: int | None
    free_together: int | None = Field(description="The most that are free on one node.")
    exact: bool = Field(description="False: what is free is an upper estimate.")
    availability: Availability | None


class ProfileOffer(Answer):
    """A profile in a workspace."""

    name: str
    title: str
    description: str
    reason: str = Field(description="Why not even the smallest launch is possible now; empty if one is.")
    cpu: Bounds
    memory: Bounds
    gpus: Bounds
    runtime: Bounds
    wait: Bounds
    gpu_class: str | None = Field(description="The one to begin with.")
    gpu_classes: list[ClassOffer]
    availability: Availability | None = Field(description="Of a launch without GPU, where there is one.")
    image: str
    images: list[str] = Field(description="Patterns of images that may be named instead; empty: no choice.")


class WorkspaceOffer(Answer):
    """A workspace with what may be started there."""

    name: str
    title: str
    until: date | None = Field(description="Its last day.")
    default: bool = Field(description="Whether a launch that names no workspace is made in this one.")
    reason: str = Field(description="Why nothing can be started there now; empty if something can.")
    profiles: list[ProfileOffer]

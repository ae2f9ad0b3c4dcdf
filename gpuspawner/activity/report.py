"""What a notebook server reports of its own use, as it comes over the network. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, ValidationError

from gpuspawner.errors import BadRequestError
from gpuspawner.sessions.idle import Sample

__all__ = ["Report", "read_report"]

_MOST = 1000
_AHEAD = timedelta(minutes=2)


class UseSample(BaseModel):
    """What a server used at a moment: GPU memory in bytes, CPU in cores; null where that is not known."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    at: Annotated[AwareDatetime, Field(strict=False)]
    gpu_memory: NonNegativeInt | None = None
    cpu: Annotated[NonNegativeFloat | None, Field(strict=False)] = None


class Report(BaseModel):
    """Samples of one server, named as JupyterHub names it."""

    model_config = ConfigDict(strict=True, frozen=True)

    server: str = ""
    samples: tuple[UseSample, ...] = Field(strict=False, min_length=1, max_length=_MOST)

    def within(self, began: datetime, now: datetime) -> Sequence[Sample]:
        """The samples since the server began, in their order.

        A notebook whose clock is ahead says nothing of the future: its samples count as of now.
        """
        mine = sorted(self.samples, key=lambda one: one.at)
        return [Sample(min(one.at, now), one.gpu_memory, one.cpu) for one in mine if began <= one.at <= now + _AHEAD]


def read_report(body: Any) -> Report:
    """The report in a request's body. Raises ``BadRequestError``, naming what cannot be understood."""
    try:
        return Report.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise BadRequestError(
            f"The report of use cannot be understood: {where}: {first['msg']}.",
            "Install the same version of gpuspawner in the image as on the hub.",
        ) from None

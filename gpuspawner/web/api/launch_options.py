"""The options of a launch as the OpenAPI document describes them; ``gpuspawner.request`` reads and checks them."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from gpuspawner.schema import Schema

__all__ = ["LaunchOptions", "Options"]


class LaunchOptions(Schema):
    """What a launch asks for, as in ``user_options``; what is absent takes the profile's default."""

    workspace: str | None = Field(default=None, description="Its name.")
    profile: str | None = Field(default=None, description="Its name.")
    gpu_class: str | list[str] | None = Field(
        default=None, description="One name, several in order of preference, or `any`."
    )
    gpus: int | str | None = Field(default=None, description="How many.")
    cpu: float | str | None = Field(default=None, description="Cores: a number or a quantity such as `500m`.")
    memory: int | str | None = Field(default=None, description="Bytes, or a quantity such as `16G`.")
    runtime: int | str | None = Field(default=None, description="Seconds, or a duration such as `6h`.")
    wait: int | str | None = Field(
        default=None, description="How long it may wait for a GPU: seconds, or a duration such as `30m`."
    )
    image: str | None = Field(default=None, description="Instead of the profile's, where that is allowed.")


Options = Annotated[Mapping[str, Any], BeforeValidator(lambda found: found, json_schema_input_type=LaunchOptions)]
"""Passed on as they are, so that mistakes in them are told in the words of a launch."""

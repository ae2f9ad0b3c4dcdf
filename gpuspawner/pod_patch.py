"""What an administrator may merge into a pod: the patches of the configuration, checked as far as the hub can."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from gpuspawner.quantity import parse_quantity
from gpuspawner.strategic_merge import strategic_merge

__all__ = ["CONTAINER", "PodPatch", "check_pod", "gpus_in"]

CONTAINER = "notebook"
"""The name of the container that runs the notebook server; a patch of it bears this name."""


def _quantity(value: Any) -> Any:
    try:
        parse_quantity(value)
    except (TypeError, ValueError):
        raise ValueError("a Kubernetes quantity such as 500m, 2 or 8G") from None
    return value


_Amounts = dict[str, Annotated[Any, AfterValidator(_quantity)]]


class _Part(BaseModel):
    """Of Kubernetes' types only what gpuspawner itself reads; the rest is for the API server to check."""

    model_config = ConfigDict(extra="allow", frozen=True)


def _ours(why: str) -> AfterValidator:
    def refuse(_: Any) -> Any:
        raise ValueError(f"nothing here: {why}")

    return AfterValidator(refuse)


_Named = Annotated[Any, _ours("the pod is named after its user and server")]
_Namespaced = Annotated[Any, _ours("c.GPUSpawner.namespace says where pods are made")]
_Placed = Annotated[Any, _ours("the scheduler chooses the node; use nodeSelector or affinity")]
_Timed = Annotated[Any, _ours("the runtime of the profile says how long a server may run")]


class _Metadata(_Part):
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    name: _Named = None
    generateName: _Named = None  # noqa: N815
    namespace: _Namespaced = None


class _Resources(_Part):
    limits: _Amounts = {}
    requests: _Amounts = {}


class _Variable(_Part):
    name: str


class _Container(_Part):
    name: str
    env: list[_Variable] = []
    resources: _Resources = _Resources()


class _Term(_Part):
    matchExpressions: list[dict[str, Any]] = []  # noqa: N815


class _NodeSelector(_Part):
    nodeSelectorTerms: list[_Term] = []  # noqa: N815


class _NodeAffinity(_Part):
    requiredDuringSchedulingIgnoredDuringExecution: _NodeSelector = _NodeSelector()  # noqa: N815
    preferredDuringSchedulingIgnoredDuringExecution: list[dict[str, Any]] = []  # noqa: N815


class _Affinity(_Part):
    nodeAffinity: _NodeAffinity = _NodeAffinity()  # noqa: N815


class _Spec(_Part):
    containers: list[_Container] = []
    initContainers: list[_Container] = []  # noqa: N815
    resources: _Resources = _Resources()
    tolerations: list[dict[str, Any]] = []
    affinity: _Affinity = _Affinity()
    nodeName: _Placed = None  # noqa: N815
    activeDeadlineSeconds: _Timed = None  # noqa: N815


class _PodTemplate(_Part):
    metadata: _Metadata = _Metadata()
    spec: _Spec = _Spec()


def _pod_patch(patch: dict[str, Any]) -> dict[str, Any]:
    bare = {"metadata": {}, "spec": {"containers": [{"name": CONTAINER}]}}
    unknown = [str(key) for key in patch if key not in ("metadata", "spec")]
    if unknown:
        raise ValueError(f"a PodTemplateSpec, which has metadata and spec, not {', '.join(unknown)}")
    try:
        merged = strategic_merge(bare, patch)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"a strategic merge patch ({error})") from None
    _PodTemplate.model_validate(merged)
    containers = merged.get("spec", {}).get("containers", [])
    if "metadata" not in merged or CONTAINER not in (container["name"] for container in containers):
        raise ValueError(f"a patch that leaves the metadata and the container {CONTAINER!r} in the pod")
    return patch


def check_pod(pod: Any, resources: frozenset[str]) -> dict[str, Any]:
    """A copy of a whole pod that somebody has changed, to be finished; without what is not theirs to say.

    Raises
    ------
    ValueError
        Where it lacks the notebook's container, names a node, or lets another container ask for a GPU.
    """
    if not isinstance(pod, Mapping):
        raise ValueError(f"{type(pod).__name__} instead of a mapping")
    copy = strategic_merge({}, {"metadata": pod.get("metadata"), "spec": pod.get("spec")})
    for part, keys in (("metadata", ("name", "generateName", "namespace")), ("spec", ("activeDeadlineSeconds",))):
        for key in keys:
            copy.setdefault(part, {}).pop(key, None)
    try:
        _PodTemplate.model_validate(copy)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(map(str, (step for step in first["loc"] if not str(step).startswith("function-"))))
        raise ValueError(f"{path}: {first['msg'].removeprefix('Value error, ')}") from None
    if CONTAINER not in (container["name"] for container in copy["spec"].get("containers", [])):
        raise ValueError(f"the container {CONTAINER!r} is missing")
    others = [container for container in copy["spec"]["containers"] if container["name"] != CONTAINER]
    for resource in gpus_in({"spec": {**copy["spec"], "containers": others}}, resources):
        raise ValueError(f"it asks for {resource}, which no quota would count")
    return copy


def gpus_in(patch: Mapping[str, Any], resources: frozenset[str]) -> Iterator[str]:
    """The GPU resources that containers of a patch ask for: those of the catalog, and whatever else is named so."""
    spec = strategic_merge({}, patch).get("spec", {})
    for part in (spec, *spec.get("containers", []), *spec.get("initContainers", [])):
        for amounts in (part.get("resources") or {}).values():
            for name in amounts if isinstance(amounts, Mapping) else ():
                if name in resources or name.partition("/")[2].startswith(("gpu", "mig-")):
                    yield name


PodPatch = Annotated[dict[str, Any], AfterValidator(_pod_patch)]
"""A strategic merge patch of a PodTemplateSpec: ``{"metadata": {...}, "spec": {...}}``."""

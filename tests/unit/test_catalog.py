"""Which nodes count for which GPU class."""

from typing import Any

import pytest
from pydantic import ValidationError
from small_hub import small_hub

from gpuspawner.catalog import App, NodeRequirement, Offer, Profile, gpu_node_labels, is_picture
from gpuspawner.config import load_settings

# As GPU feature discovery labels nodes: https://github.com/NVIDIA/k8s-device-plugin/tree/main/docs/gpu-feature-discovery
A100 = {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/mig.strategy": "single",
}
SLICED = {
    **A100,
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb",
    "nvidia.com/gpu.slices.gi": "1",
    "nvidia.com/gpu.slices.ci": "1",
}
SHARED = {
    **A100,
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-SHARED",
    "nvidia.com/gpu.sharing-strategy": "time-slicing",
    "nvidia.com/gpu.replicas": "4",
}
MPS = {**SHARED, "nvidia.com/gpu.sharing-strategy": "mps"}
UNSHARED = {**A100, "nvidia.com/gpu.sharing-strategy": "none"}


@pytest.mark.parametrize(
    "offer",
    [Offer(resource="nvidia.com/gpu"), Offer(resource="nvidia.com/gpu", product=A100["nvidia.com/gpu.product"])],
)  # type: ignore[arg-type]
def test_a_whole_card_is_never_a_slice_or_a_share(offer: Offer) -> None:
    assert offer.matches(A100)
    assert offer.matches(UNSHARED)
    for labels in (SLICED, SHARED, MPS):
        assert not offer.matches(labels)
        assert not all(requirement.matches(labels) for requirement in offer.requirements), "the affinity must agree"


def test_a_slice_may_be_asked_for_by_its_product() -> None:
    offer = Offer(resource="nvidia.com/gpu", product=("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb",))
    assert offer.matches(SLICED)
    assert not offer.matches(A100)


@pytest.mark.parametrize(
    ("resource", "label"),
    [
        ("nvidia.com/gpu", "nvidia.com/gpu.product"),
        ("nvidia.com/gpu.shared", "nvidia.com/gpu.product"),
        ("nvidia.com/mig-3g.40gb", "nvidia.com/mig-3g.40gb.product"),
        ("amd.com/gpu", "amd.com/gpu.product-name"),
        ("gpu.intel.com/xe", "gpu.intel.com/product"),
        ("habana.ai/gaudi", "habana.ai/product"),
    ],
)
def test_the_vendor_says_which_label_names_the_product(resource: str, label: str) -> None:
    assert Offer(resource=resource).label == label
    assert Offer(resource=resource, product_label="my/label").label == "my/label"


@pytest.mark.parametrize("offer", [Offer(resource="nvidia.com/mig-3g.40gb"), Offer(resource="amd.com/gpu")])
def test_another_resource_without_products_counts_wherever_it_is(offer: Offer) -> None:
    assert offer.requirements == ()
    assert offer.matches({})


@pytest.mark.parametrize(
    ("operator", "values", "with_a", "with_b", "without"),
    [
        ("In", ("a",), True, False, False),
        ("NotIn", ("a",), False, True, True),
        ("Exists", (), True, True, False),
        ("DoesNotExist", (), False, False, True),
    ],
)
def test_a_requirement_matches_as_kube_scheduler_decides(
    operator: str, values: tuple[str, ...], with_a: bool, with_b: bool, without: bool
) -> None:
    requirement = NodeRequirement("k", operator, values)
    assert [requirement.matches(labels) for labels in ({"k": "a"}, {"k": "b"}, {})] == [with_a, with_b, without]
    manifest: dict[str, Any] = {"key": "k", "operator": operator}
    assert requirement.manifest() == ({**manifest, "values": list(values)} if values else manifest)


def test_gpu_nodes_are_known_by_the_labels_of_every_vendor_of_the_catalog() -> None:
    assert gpu_node_labels(small_hub().catalog) == ("amd.com/gpu.product-name", "nvidia.com/gpu.product")


def test_the_title_is_the_display_name_or_the_name() -> None:
    catalog = small_hub().catalog
    assert catalog.gpu_classes["small"].title == "Small, 16 GB"
    assert catalog.gpu_classes["whole"].title == "whole"
    assert catalog.profiles["anywhere"].title == "anywhere"


@pytest.mark.parametrize(
    ("offer", "expression"),
    [
        ({"device_class": "gpu.nvidia.com"}, []),
        (
            {"device_class": "gpu.nvidia.com", "product": ["NVIDIA L4", "Tesla T4"]},
            ['device.attributes["gpu.nvidia.com"].productName in ["NVIDIA L4", "Tesla T4"]'],
        ),
        (
            {"device_class": "mig.nvidia.com", "selector": "device.attributes['gpu.nvidia.com'].profile == '1g.10gb'"},
            ["device.attributes['gpu.nvidia.com'].profile == '1g.10gb'"],
        ),
        ({"device_class": "gpu.intel.com", "product": "Max"}, ['device.attributes["gpu.intel.com"].model in ["Max"]']),
    ],
)
def test_an_offer_of_a_device_class_selects_devices_not_nodes(offer: dict[str, Any], expression: list[str]) -> None:
    found = Offer(**offer)
    assert list(found.selectors) == expression
    assert found.requirements == ()
    assert not found.matches(A100)
    assert found.source == offer["device_class"]


def test_gpu_nodes_are_known_by_the_vendor_of_a_device_class_too() -> None:
    accepts = [{"device_class": "gpu.amd.com"}, {"device_class": "tpu.example.org"}]
    hub = small_hub(gpu_classes={"small": {"accepts": accepts}}, profiles={}, workspaces={})
    assert gpu_node_labels(hub.catalog) == ("amd.com/gpu.product-name", "nvidia.com/gpu.product")


@pytest.mark.parametrize(
    ("app", "place"),
    [({"port": 6006}, "proxy/6006/"), ({"path": "desktop/"}, "desktop/"), ({"path": "lab/tree/a.md"}, "lab/tree/a.md")],
)
def test_an_app_is_at_its_port_or_at_its_own_path(app: dict[str, Any], place: str) -> None:
    assert App.model_validate({"display_name": "One", **app}).place == place


@pytest.mark.parametrize(
    "app", [{}, {"port": 1, "path": "x"}, {"path": "/x"}, {"path": "../x"}, {"path": "//evil.org"}]
)
def test_an_app_is_at_one_place_below_its_server(app: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        App.model_validate({"display_name": "One", **app})


@pytest.mark.parametrize(
    ("icon", "picture"),
    [("", False), ("brain", False), ("chart-line", False), ("/srv/a picture.SVG", True), ("pytorch.png", True)],
)
def test_the_picture_of_a_profile_is_an_icon_or_a_file(icon: str, picture: bool) -> None:
    assert is_picture(Profile(name="one", image="x", icon=icon).icon) is picture


@pytest.mark.parametrize("icon", ["Brain", "a b", '" onload="x', "/etc/passwd", "picture.gif"])
def test_what_is_neither_an_icon_nor_a_picture_is_refused(icon: str) -> None:
    with pytest.raises(ValidationError, match="the name of an icon such as brain"):
        Profile(name="one", image="x", icon=icon)


def test_profiles_classes_and_workspaces_are_listed_by_their_order_and_else_as_written() -> None:
    image = {"image": "example.org/notebook:1"}
    accepts = {"accepts": [{"resource": "nvidia.com/gpu"}]}
    settings = load_settings(
        {
            "profiles": {"b": {**image, "order": 1}, "z": image, "a": {**image, "order": -1}, "c": image},
            "gpu_classes": {"large": {**accepts, "order": 2}, "small": {**accepts, "order": 1}},
            "workspaces": {"course": {}, "everyone": {"order": -5}},
        }
    )
    assert list(settings.catalog.profiles) == ["a", "z", "c", "b"]
    assert list(settings.catalog.gpu_classes) == ["small", "large"]
    assert list(settings.workspaces) == ["everyone", "course"]

"""What a launch of a device class asks for, and that no patch takes it away."""

from typing import Any

import pytest
from small_hub import MONDAY, ask, small_hub

from gpuspawner.admission import Capacity, Granted, admit
from gpuspawner.config import Settings
from gpuspawner.device_claim import build_claim_template
from gpuspawner.pod import Server, build_pod

SERVER = Server({"JUPYTERHUB_API_TOKEN": "secret"}, None, [])
NVIDIA = "gpu.nvidia.com"


def hub(accepts: dict[str, list[dict[str, Any]]], **patches: Any) -> Settings:
    return small_hub(
        gpu_classes={name: {"accepts": offers} for name, offers in accepts.items()},
        profiles={
            "pytorch": {"image": "image", "gpu_classes": list(accepts), "gpus": {"default": 1, "max": 4}, **patches},
            "cpu": {"image": "image"},
        },
        workspaces={"lab": {"members": "*"}},
    )


def granted(settings: Settings, **options: Any) -> Granted:
    request = ask(settings, {"workspace": "lab", "profile": "pytorch", **options})
    return admit(request, settings, [], Capacity(), MONDAY)


def requests(settings: Settings, **options: Any) -> dict[str, Any]:
    template = build_claim_template(granted(settings, **options), settings)
    assert template is not None
    (request,) = template["spec"]["spec"]["devices"]["requests"]
    return dict(request)


def test_one_class_asks_for_exactly_its_devices() -> None:
    found = requests(hub({"h100": [{"device_class": NVIDIA, "product": "H100"}]}), gpus=2)
    selector = {"cel": {"expression": 'device.attributes["gpu.nvidia.com"].productName in ["H100"]'}}
    exactly = {"deviceClassName": NVIDIA, "allocationMode": "ExactCount", "count": 2, "selectors": [selector]}
    assert found == {"name": "gpu", "exactly": exactly}


def test_several_classes_are_alternatives_in_order_of_preference() -> None:
    settings = hub({"a100": [{"device_class": "a100"}], "h100": [{"device_class": "h100"}]})
    found = requests(settings, gpu_class=["h100", "a100"])
    assert [(way["name"], way["deviceClassName"]) for way in found["firstAvailable"]] == [
        ("h100", "h100"),
        ("a100", "a100"),
    ]


def test_offers_of_one_class_have_names_of_their_own() -> None:
    settings = hub({"big.one": [{"device_class": name} for name in ("a100", "h100", "h200")]})
    names = [way["name"] for way in requests(settings)["firstAvailable"]]
    assert len(set(names)) == 3
    assert all("." not in name for name in names)


def test_kubernetes_takes_eight_alternatives_and_no_more_are_asked_for_or_held() -> None:
    settings = hub({f"c{number}": [{"device_class": f"c{number}"}] for number in range(10)})
    launch = granted(settings, gpu_class="any")
    assert launch.gpu_classes == tuple(f"c{number}" for number in range(8))
    assert len(requests(settings, gpu_class="any")["firstAvailable"]) == 8


def test_devices_and_resources_never_mix_in_one_pod() -> None:
    settings = hub({"mixed": [{"resource": "nvidia.com/gpu"}, {"device_class": NVIDIA}]})
    launch = granted(settings)
    assert len({bool(placement.offer.device_class) for placement in launch.placements}) == 1


@pytest.mark.parametrize("options", [{"profile": "cpu"}, {"gpus": 0}])
def test_a_launch_without_gpu_has_no_claim(options: dict[str, Any]) -> None:
    settings = hub({"h100": [{"device_class": NVIDIA}]}, gpus={"default": 0, "max": 1})
    launch = granted(settings, **options)
    assert build_claim_template(launch, settings) is None
    pod = build_pod(launch, SERVER, settings)
    assert "resourceClaims" not in pod["spec"]
    (term,) = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert {"key": "nvidia.com/gpu.product", "operator": "DoesNotExist"} in term["matchExpressions"]


def test_the_pod_names_the_template_and_no_resource() -> None:
    settings = hub({"h100": [{"device_class": NVIDIA}]})
    launch = granted(settings)
    pod, template = build_pod(launch, SERVER, settings), build_claim_template(launch, settings)
    assert template is not None
    spec = pod["spec"]
    assert spec["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": template["metadata"]["name"]}]
    resources = spec["containers"][0]["resources"]
    assert resources["claims"] == [{"name": "gpu"}]
    assert set(resources["limits"]) == {"cpu", "memory"}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
    assert "nodeSelectorTerms" not in str(spec.get("affinity"))
    assert not any(variable["name"] == "NVIDIA_VISIBLE_DEVICES" for variable in spec["containers"][0]["env"])


def test_a_patch_keeps_its_other_claims_and_cannot_take_ours() -> None:
    container = {"name": "notebook", "resources": {"claims": [{"name": "nic"}, {"name": "gpu", "request": "x"}]}}
    claims = [{"name": "nic", "resourceClaimName": "nic"}, {"name": "gpu", "resourceClaimName": "all-of-them"}]
    patch = {"spec": {"resourceClaims": claims, "containers": [container]}}
    settings = hub({"h100": [{"device_class": NVIDIA}]}, pod=patch)
    pod = build_pod(granted(settings), SERVER, settings)
    assert {claim["name"]: claim for claim in pod["spec"]["resourceClaims"]} == {
        "nic": {"name": "nic", "resourceClaimName": "nic"},
        "gpu": {"name": "gpu", "resourceClaimTemplateName": pod["metadata"]["name"]},
    }
    used = pod["spec"]["containers"][0]["resources"]["claims"]
    assert sorted(used, key=str) == [{"name": "gpu"}, {"name": "nic"}]

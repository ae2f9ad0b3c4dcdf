"""The manifests of a launch: valid, restricted, exactly what was granted."""

import json
import os
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pod_security import violations
from referencing import Registry, Resource
from small_hub import MONDAY, SECTION, ask, section, small_hub

from gpuspawner.admission import Capacity, Granted, OfferCapacity, admit
from gpuspawner.catalog import Offer
from gpuspawner.config import Settings, load_settings
from gpuspawner.pod import HUB_LABEL, Server, build_claim, build_pod, build_secret, held_of, pod_name

HUB = small_hub()
RECORDINGS = Path(__file__).parent.parent / "data" / "kubernetes-api"
TOKEN = "s3cr3t-t0k3n"
SERVER = Server(
    environment={
        "JUPYTERHUB_API_TOKEN": TOKEN,
        "JPY_API_TOKEN": TOKEN,
        "JUPYTERHUB_USER": "ada",
        "PRICE": "$(HOME) costs $5",
        "NVIDIA_VISIBLE_DEVICES": "all",
    },
    command=["jupyterhub-singleuser"],
    arguments=["--debug"],
)
LAB = {"workspace": "lab"}
LAUNCHES: dict[str, dict[str, Any]] = {
    "one GPU": {},
    "two GPUs of a class": {**LAB, "gpu_class": "medium", "gpus": 2},
    "any GPU": {**LAB, "gpu_class": "any"},
    "a preference": {**LAB, "gpu_class": ["medium", "small"]},
    "whole cards": {**LAB, "gpu_class": "whole"},
    "AMD": {**LAB, "gpu_class": "instinct"},
    "no GPU": {"gpus": 0},
    "no GPU, anywhere": {"profile": "anywhere"},
    "half a core": {"profile": "minimal", "cpu": 1.5},
}


def grant(options: dict[str, Any], hub: Settings = HUB, free: Capacity | None = None, **who: Any) -> Granted:
    return admit(ask(hub, options, **who), hub, [], free or Capacity(), MONDAY)


def built(options: dict[str, Any], hub: Settings = HUB, free: Capacity | None = None, **who: Any) -> dict[str, Any]:
    return build_pod(grant(options, hub, free, **who), SERVER, hub)


def notebook(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = [one for one in pod["spec"]["containers"] if one["name"] == "notebook"]
    return container


def variables(pod: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in notebook(pod)["env"] if "value" in one}


@cache
def strict_schema(version: str, kind: str) -> Draft202012Validator:
    folder = files(kubernetes_validate) / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    schema, definitions = (json.loads((folder / name).read_text()) for name in (f"{kind}-v1.json", "_definitions.json"))
    registry: Registry[Any] = Resource.from_contents(definitions) @ Registry()
    return Draft202012Validator(schema, registry=registry)


@pytest.mark.parametrize("version", ["1.30", "1.36", "1.37"])
@pytest.mark.parametrize("options", LAUNCHES.values(), ids=LAUNCHES)
def test_every_manifest_is_valid_against_the_real_schema(options: dict[str, Any], version: str) -> None:
    strict_schema(version, "pod").validate(built(options))
    strict_schema(version, "secret").validate(build_secret("ada", "", SERVER, HUB))
    claim = build_claim("ada", HUB)
    strict_schema(version, "persistentvolumeclaim").validate(claim)


def test_the_schema_refuses_what_kubernetes_would_drop() -> None:
    pod = built({})
    pod["spec"]["containers"][0]["imagee"] = "x"
    assert list(strict_schema("1.36", "pod").iter_errors(pod))
    kubernetes_validate.validate(built({}), "1.36", strict=True)


@pytest.mark.parametrize("options", LAUNCHES.values(), ids=LAUNCHES)
def test_every_pod_passes_pod_security_restricted(options: dict[str, Any]) -> None:
    assert violations(built(options)) == []


def test_the_check_of_pod_security_agrees_with_a_real_api_server() -> None:
    def recorded(name: str) -> tuple[dict[str, Any], int]:
        recording = json.loads((RECORDINGS / name).read_text())
        return recording["request"]["body"], recording["response"]["status"]

    bare, status = recorded("41-pod-security-restricted-refuses-a-bare-pod-403.json")
    assert (len(violations(bare)), status) == (4, 403)
    hardened, status = recorded("42-pod-security-restricted-admits-a-hardened-pod-201.json")
    assert (violations(hardened), status) == ([], 201)
    pod = built({})
    pod["spec"].update(hostNetwork=True, volumes=[{"name": "x", "hostPath": {"path": "/"}}])
    assert violations(pod) == ["hostNetwork is shared", "volume x is hostPath"]


@pytest.mark.parametrize("options", LAUNCHES.values(), ids=LAUNCHES)
def test_requests_equal_limits_and_are_what_was_granted(options: dict[str, Any]) -> None:
    granted = grant(options)
    resources = notebook(build_pod(granted, SERVER, HUB))["resources"]
    assert resources["requests"] == resources["limits"]
    gpus = {name: amount for name, amount in resources["limits"].items() if "/" in name}
    expected = {granted.placements[0].offer.resource: str(granted.request.gpus)} if granted.placements else {}
    assert gpus == expected
    assert resources["limits"]["memory"] == str(granted.request.memory)


def test_fractions_of_a_core_are_written_in_thousandths() -> None:
    assert notebook(built({"profile": "minimal", "cpu": 1.5}))["resources"]["limits"]["cpu"] == "1500m"
    assert notebook(built({"cpu": "2"}))["resources"]["limits"]["cpu"] == "2"


def test_no_service_account_token_is_mounted_and_the_runtime_ends_the_pod() -> None:
    spec = built({"runtime": "1h"})["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["activeDeadlineSeconds"] == 3600
    assert spec["restartPolicy"] == "Never"


def test_the_token_is_only_in_the_secret() -> None:
    pod = built({})
    assert TOKEN not in json.dumps(pod)
    secret = build_secret("ada", "", SERVER, HUB)
    assert secret["stringData"] == {"JUPYTERHUB_API_TOKEN": TOKEN, "JPY_API_TOKEN": TOKEN}
    sources = [one["valueFrom"]["secretKeyRef"] for one in notebook(pod)["env"] if "valueFrom" in one]
    assert sources == [{"name": secret["metadata"]["name"], "key": key} for key in sorted(secret["stringData"])]


def test_a_dollar_from_the_hub_stays_a_dollar() -> None:
    assert variables(built({}))["PRICE"] == "$$(HOME) costs $$5"


@given(st.text(alphabet="$(A)x", max_size=12))
def test_the_value_that_kubernetes_expands_is_the_one_the_hub_gave(text: str) -> None:
    server = Server({"X": text}, None, [])
    written = variables(build_pod(grant({}), server, HUB))["X"]
    # https://git.k8s.io/design-proposals-archive/node/expansion.md: "$$" is "$", "$(NAME)" the variable's value
    expanded = re.sub(r"\$(\$|\([^)]*\))", lambda match: "$" if match[1] == "$" else "EXPANDED", written)
    assert expanded == text


def test_gpus_are_hidden_without_one_and_left_to_the_device_plugin_with_one() -> None:
    assert variables(built({"gpus": 0}))["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert variables(built({"profile": "anywhere"}))["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert "NVIDIA_VISIBLE_DEVICES" not in variables(built({}))


def test_command_and_arguments_are_the_hubs_or_the_images() -> None:
    assert (notebook(built({}))["command"], notebook(built({}))["args"]) == (["jupyterhub-singleuser"], ["--debug"])
    bare = notebook(build_pod(grant({}), Server({}, None, []), HUB))
    assert "command" not in bare
    assert "args" not in bare


def test_homes_are_kept_in_a_claim_per_user_unless_the_hub_keeps_none() -> None:
    pod, claim = built({}), build_claim("ada", HUB)
    assert claim is not None
    assert pod["spec"]["volumes"][0] == {"name": "home", "persistentVolumeClaim": {"claimName": "claim-ada"}}
    assert claim["metadata"]["name"] == "claim-ada"
    assert claim["spec"]["resources"] == {"requests": {"storage": "10737418240"}}
    assert "storageClassName" not in claim["spec"]
    bare = small_hub(storage=None)
    assert build_claim("ada", bare) is None
    assert [volume["name"] for volume in built({}, bare)["spec"]["volumes"]] == ["shared-memory"]
    fast = small_hub(storage={"storage_class": "", "size": "1G", "access_modes": "ReadWriteMany"})
    claim = build_claim("ada", fast)
    assert claim is not None
    assert (claim["spec"]["storageClassName"], claim["spec"]["accessModes"]) == ("", ["ReadWriteMany"])


def test_pull_secrets_are_named() -> None:
    assert built({}, small_hub(image_pull_secrets=["registry"]))["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_labels_say_what_policies_and_people_select_by() -> None:
    metadata = built({**LAB, "gpu_class": "medium"}, server="two", user="Ada Lovelace")["metadata"]
    labels = metadata["labels"]
    assert labels["app"] == "jupyterhub"
    assert labels["component"] == "singleuser-server"
    assert labels["hub.jupyter.org/network-access-hub"] == "true"
    assert labels["hub.jupyter.org/username"].startswith("ada-lovelace---")
    assert labels["hub.jupyter.org/servername"] == "two"
    assert labels[HUB_LABEL] == "jupyterhub"
    assert labels["gpuspawner/workspace"] == "lab"
    assert labels["gpuspawner/profile"] == "pytorch"
    assert labels["gpuspawner/gpu-class"] == "medium"
    assert metadata["annotations"]["hub.jupyter.org/username"] == "Ada Lovelace"
    assert metadata["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert built({"gpus": 0})["metadata"]["labels"]["gpuspawner/gpu-class"] == "none"
    assert built({})["metadata"]["labels"]["hub.jupyter.org/servername"] == ""


@given(st.text(max_size=80), st.text(max_size=40))
def test_every_name_and_label_is_valid_for_any_user_and_server(user: str, server: str) -> None:
    pod = build_pod(grant({}, user=user, server=server), SERVER, HUB)
    claim = build_claim(user, HUB)
    assert claim is not None
    for manifest in (pod, claim, build_secret(user, server, SERVER, HUB)):
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", manifest["metadata"]["name"])
        assert len(manifest["metadata"]["name"]) <= 63
        for value in manifest["metadata"]["labels"].values():
            assert re.fullmatch(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", value)
            assert len(value) <= 63
    assert pod["metadata"]["name"] == pod_name(user, server)


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from(list(LAUNCHES.values())))
def test_what_a_pod_holds_reads_back_from_its_annotations(user: str, server: str, options: dict[str, Any]) -> None:
    granted = grant(options, user=user, server=server)
    pod = build_pod(granted, SERVER, HUB)
    assert held_of(pod["metadata"]["annotations"], HUB) == granted.held


def test_a_class_that_the_configuration_knows_no_more_is_left_out_of_what_a_pod_holds() -> None:
    annotations = built({})["metadata"]["annotations"]
    smaller = load_settings({"workspaces": SECTION["workspaces"] and {"everyone": {}}})
    held = held_of(annotations, smaller)
    assert held is not None
    assert (held.gpus, held.gpu_classes) == (1, ())


HOSTILE = [
    "",
    "{",
    "null",
    "[]",
    "[" * 100_000,
    '{"workspace":"w","gpu_classes":[],"gpus":-1,"cpu":1,"memory":1}',
    '{"workspace":"w","gpu_classes":[],"gpus":1,"cpu":NaN,"memory":1}',
    '{"workspace":"w","gpu_classes":[],"gpus":1,"cpu":1e999,"memory":1}',
    '{"workspace":"w","gpu_classes":[],"gpus":1e999,"cpu":1,"memory":1}',
    '{"workspace":"w","gpu_classes":[],"gpus":true,"cpu":1,"memory":1}',
    '{"workspace":"w","gpu_classes":[],"gpus":"1","cpu":1,"memory":1}',
    '{"workspace":"w","gpu_classes":"small","gpus":1,"cpu":1,"memory":1}',
    '{"workspace":"w","gpu_classes":[["small"]],"gpus":1,"cpu":1,"memory":1}',
    '{"workspace":5,"gpu_classes":[],"gpus":1,"cpu":1,"memory":1}',
    '{"workspace":"w","gpu_classes":[],"gpus":1,"cpu":1}',
    '"\\ud800"',
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_annotations_that_we_did_not_write_hold_nothing(text: str) -> None:
    annotations = built({})["metadata"]["annotations"]
    assert held_of({**annotations, "gpuspawner/held": text}, HUB) is None


@pytest.mark.parametrize("key", ["gpuspawner/held", "hub.jupyter.org/username", "hub.jupyter.org/servername"])
def test_a_pod_without_one_of_our_annotations_holds_nothing(key: str) -> None:
    annotations = dict(built({})["metadata"]["annotations"])
    del annotations[key]
    assert held_of(annotations, HUB) is None


def test_building_is_pure() -> None:
    before = json.dumps(section())
    environment = dict(os.environ)
    assert built({**LAB, "gpu_class": "any"}) == built({**LAB, "gpu_class": "any"})
    assert json.dumps(section()) == before
    assert dict(os.environ) == environment


def test_a_launch_on_slices_asks_for_the_slice_resource() -> None:
    mig = Offer(resource="nvidia.com/mig-3g.40gb")
    free = Capacity({mig: OfferCapacity(2, 2, 2, 2)}, True, True)
    pod = built({**LAB, "gpu_class": "medium"}, free=free)
    assert notebook(pod)["resources"]["limits"]["nvidia.com/mig-3g.40gb"] == "1"
    assert "nvidia.com/gpu" not in notebook(pod)["resources"]["limits"]
    assert "affinity" not in pod["spec"]


def test_a_hub_without_rights_to_secrets_puts_the_token_into_the_pod() -> None:
    hub = small_hub(token_in_secret=False)
    assert variables(built({}, hub))["JUPYTERHUB_API_TOKEN"] == TOKEN
    assert build_secret("ada", "", SERVER, hub) is None

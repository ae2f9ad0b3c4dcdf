"""Whole configurations of KubeSpawner hubs: what gpuspawner makes of them is the same pods."""

from pathlib import Path
from typing import Any

import pytest
from from_kubespawner import Ours, Theirs

from gpuspawner.cli.from_kubespawner import kubespawner_traits, read_config, read_values
from gpuspawner.config import load_settings
from gpuspawner.migration.traits import Remarks, Traits
from gpuspawner.migration.translation import Translation, translate
from gpuspawner.quantity import parse_quantity

HUBS = Path(__file__).parent.parent / "data" / "kubespawner"
# A hub, KubeSpawner's profile and options, and what a member asks of gpuspawner for the same.
LAUNCHES = [
    ("z2jh", {"profile": "no-gpu"}, {"profile": "no-gpu"}),
    ("z2jh", {"profile": "t4"}, {"profile": "t4"}),
    ("profile_options", {"profile": "cpu"}, {"profile": "cpu-pangeo"}),
    ("profile_options", {"profile": "cpu", "image": "rocker", "resources": "large"},
     {"profile": "cpu-rocker", "cpu": 4, "memory": "16Gi"}),
    ("profile_options", {"profile": "gpu", "card": "t4"}, {"profile": "gpu", "gpu_class": "nvidia-tesla-t4"}),
    ("profile_options", {"profile": "gpu", "card": "a100"}, {"profile": "gpu", "gpu_class": "nvidia-tesla-a100"}),
    ("values", {"profile": "standard"}, {"profile": "standard"}),
    ("values", {"profile": "a100-40-gb", "image": "tf"}, {"profile": "a100-40-gb-tf"}),
    ("old_names", {"profile": "b-sudo"}, {"profile": "b-sudo"}),
    ("old_names", {"profile": "a-mig"}, {"profile": "a-mig"}),
    ("old_names", {"profile": "a-mig", "slices": "two"}, {"profile": "a-mig", "gpus": 2}),
    ("old_names", {"profile": "c-busy"}, {"profile": "c-busy"}),
]  # fmt: skip
WHOSE = [("ada", ""), ("Ada.Lovelace@example.org", "two")]
# Labels of which we have a value of our own, and those that every hub of KubeSpawner has by default.
OUR_LABELS = {
    "app.kubernetes.io/component", "app.kubernetes.io/managed-by", "app.kubernetes.io/name", "heritage",
    "hub.jupyter.org/servername", "hub.jupyter.org/username",
}  # fmt: skip


def traits_of(hub: str) -> dict[str, Any]:
    if hub == "values":
        return read_values(HUBS / "values.yaml")[0]
    return kubespawner_traits(read_config(HUBS / f"{hub}.py"))


def translated(hub: str) -> Translation:
    return translate(traits_of(hub))


def callable_free(traits: Any) -> Any:
    """Without the functions, which only KubeSpawner's hub has."""
    if isinstance(traits, dict):
        return {key: callable_free(value) for key, value in traits.items() if not callable(value)}
    return [callable_free(one) for one in traits] if isinstance(traits, list) else traits


def notebook(pod: dict[str, Any]) -> dict[str, Any]:
    return next(one for one in pod["spec"]["containers"] if one["name"] == "notebook")


def mounted(pod: dict[str, Any]) -> dict[str, Any]:
    """What each path of the notebook shows, whatever the volumes are called."""
    volumes = {
        one["name"]: {key: value for key, value in one.items() if key != "name"} for one in pod["spec"]["volumes"]
    }
    for volume in volumes.values():
        if "sizeLimit" in volume.get("emptyDir", {}):
            volume["emptyDir"]["sizeLimit"] = parse_quantity(volume["emptyDir"]["sizeLimit"])
    return {
        mount["mountPath"]: (volumes[mount["name"]], mount.get("subPath"), bool(mount.get("readOnly")))
        for mount in notebook(pod)["volumeMounts"]
    }


def variables(pod: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: {key: value for key, value in one.items() if value} for one in notebook(pod)["env"]}


def where(pod: dict[str, Any]) -> set[tuple[str, tuple[str, ...]]]:
    """Labels of the nodes it may run on, by selector or by required affinity."""
    spec = pod["spec"]
    found = {(key, (value,)) for key, value in spec.get("nodeSelector", {}).items()}
    node = spec.get("affinity", {}).get("nodeAffinity", {})
    terms = node.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
    assert len(terms) <= 1
    for term in terms:
        found |= {(one["key"], tuple(one["values"])) for one in term["matchExpressions"] if one["operator"] == "In"}
    return found


@pytest.mark.parametrize(("user", "server"), WHOSE)
@pytest.mark.parametrize(("hub", "theirs", "ours"), LAUNCHES)
async def test_the_pods_of_every_profile_are_the_same(
    hub: str, theirs: dict[str, str], ours: dict[str, Any], user: str, server: str
) -> None:
    traits = callable_free(Traits(traits_of(hub), Remarks()).set)
    wanted = (await Theirs(traits, user, server).made(**theirs)).pod
    made = Ours(translate(traits).section, user, server, **ours)
    pod, box, its = made.pod, notebook(made.pod), notebook(wanted)
    assert box["image"] == its["image"]
    assert box.get("args") == its.get("args")
    assert box.get("lifecycle") == its.get("lifecycle")
    for kind, amounts in its["resources"].items():
        for name, amount in amounts.items():
            assert parse_quantity(box["resources"][kind][name]) == parse_quantity(amount), (kind, name)
    assert variables(wanted).items() <= variables(pod).items()
    shown = mounted(pod)
    assert {path: shown.get(path) for path in mounted(wanted)} == mounted(wanted)
    assert set(shown) - set(mounted(wanted)) <= {"/dev/shm"}
    assert where(pod) == where(wanted)
    spec, its_spec = pod["spec"], wanted["spec"]
    for name in ("priorityClassName", "schedulerName", "serviceAccountName", "imagePullSecrets", "dnsPolicy"):
        assert spec.get(name) == its_spec.get(name)
    assert all(one in spec["tolerations"] for one in its_spec.get("tolerations", []))
    for one, other in zip(spec.get("initContainers", []), its_spec.get("initContainers", []), strict=True):
        assert {**one, **other, "securityContext": {**one["securityContext"], **other["securityContext"]}} == one
    labels = pod["metadata"]["labels"]
    for name, value in wanted["metadata"]["labels"].items():
        if name not in OUR_LABELS:
            assert labels.get(name) == value


@pytest.mark.parametrize("hub", ["z2jh", "values", "profile_options", "old_names"])
def test_a_translation_has_no_mistake(hub: str) -> None:
    settings = load_settings(translated(hub).section)
    assert not settings.notices


def test_the_default_profile_comes_first() -> None:
    assert next(iter(translated("z2jh").section["profiles"])) == "no-gpu"
    assert next(iter(translated("old_names").section["profiles"])) == "c-busy"


def test_what_options_vary_in_becomes_a_range_where_it_is_an_amount() -> None:
    profiles = translated("profile_options").section["profiles"]
    assert profiles["cpu-rocker"]["cpu"] == {"default": 1, "min": 1, "max": 4}
    assert profiles["cpu-rocker"]["memory"] == {"default": "2Gi", "min": "2Gi", "max": "16Gi"}
    assert translated("old_names").section["profiles"]["a-mig"]["gpus"] == {"default": 1, "min": 1, "max": 2}


def test_the_label_of_a_cloud_names_the_product_of_a_class() -> None:
    (offer,) = translated("profile_options").section["gpu_classes"]["nvidia-tesla-t4"]["accepts"]
    assert offer == {
        "resource": "nvidia.com/gpu",
        "product": "nvidia-tesla-t4",
        "product_label": "cloud.google.com/gke-accelerator",
    }


def test_the_home_and_the_shared_volumes_become_storage() -> None:
    storage = translated("z2jh").section["storage"]
    assert storage["claim"] == "claim-{escaped_user_server}"
    assert storage["volumes"]["shared"]["sub_path"] == "cse151a"
    assert storage["shared_memory"] == "1Gi"
    old = translated("old_names").section["storage"]
    assert old == {"claim": "nb-{escaped_username}", "size": "5Gi", "mount_path": "/home/jovyan/work"} | {
        "delete_with_user": False
    }


def test_text_of_the_form_is_text_and_no_html() -> None:
    assert translated("z2jh").section["profiles"]["no-gpu"]["description"] == "2 GB of memory – for most homework"


@pytest.mark.parametrize(
    ("hub", "place", "words"),
    [
        ("profile_options", "c.KubeSpawner.modify_pod_hook", ""),
        ("profile_options", "profile 'GPU'.environment", "is a function"),
        ("profile_options", "profile 'GPU'.start_timeout", "wait and deadlines"),
        ("profile_options", "profile 'CPU'.profile_options.image.unlisted_choice", "type a value"),
        ("profile_options", "profile 'CPU'.allowed_groups", "workspace"),
        ("z2jh", "c.KubeSpawner.cpu_limit", "always has a limit of CPU; it is 1 core"),
        ("old_names", "c.KubeSpawner.extra_pod_config['restartPolicy']", "stays Never"),
    ],
)
def test_what_has_no_equivalent_is_said(hub: str, place: str, words: str) -> None:
    said = dict(translated(hub).remarks)
    assert words in said[place]


def test_an_unknown_trait_is_told_with_the_nearest_one() -> None:
    said = dict(translate({"imge": "x"}).remarks)
    assert said["c.KubeSpawner.imge"] == "is no trait of KubeSpawner 7.1; did you mean image?"


def test_a_function_in_place_of_a_value_is_named() -> None:
    said = dict(translate({"uid": lambda spawner: 5, "environment": {"X": lambda spawner: "y"}}).remarks)
    assert "function" in said["c.KubeSpawner.uid"]
    assert "function" in said["c.KubeSpawner.environment['X']"]


def test_too_many_combinations_of_choices_are_not_all_written_out() -> None:
    options = {
        f"option{number}": {
            "choices": {str(n): {"kubespawner_override": {"image": f"x{number}:{n}"}} for n in range(7)}
        }
        for number in range(2)
    }
    translation = translate({"profile_list": [{"display_name": "Many", "profile_options": options}]})
    assert list(translation.section["profiles"]) == ["many-0-0"]
    assert "49 combinations" in dict(translation.remarks)["profile 'Many'"]


def test_namespaces_of_users_and_services_are_the_hubs() -> None:
    translation = translate(
        {
            "enable_user_namespaces": True,
            "user_namespace_template": "nb-{username}",
            "user_namespace_labels": {"team": "{username}"},
            "services_enabled": True,
            "dns_name_template": "{name}.{namespace}.svc",
        }
    )
    assert translation.section["user_namespaces"] == {"name": "nb-{username}", "labels": {"team": "{username}"}}
    assert translation.section["services"] is True
    assert translation.section["dns_name"] == "{pod_name}.{namespace}.svc"
    assert "gpuspawner/hub" in dict(translation.remarks)["c.KubeSpawner.enable_user_namespaces"]
    load_settings(translation.section)


def test_how_to_reach_kubernetes_is_taken_over() -> None:
    section = translate({"k8s_api_host": "https://10.0.0.1:6443", "k8s_api_verify_ssl": False}).section
    assert section["connect"] == {"host": "https://10.0.0.1:6443", "verify": False}


def test_a_server_on_gpu_nodes_without_a_gpu_may_still_go_there() -> None:
    section = translate({"image": "x", "node_selector": {"nvidia.com/gpu.product": "Tesla-T4"}}).section
    assert section["profiles"]["default"]["allow_gpu_nodes"] is True


def test_a_home_without_a_claim_of_its_own_keeps_no_claim() -> None:
    assert translate({"image": "x"}).section["storage"] is None
    said = translate({"storage_pvc_ensure": True, "storage_capacity": "1Gi"})
    assert "no home to keep" in dict(said.remarks)["c.KubeSpawner.storage_pvc_ensure"]


@pytest.mark.parametrize(
    ("limit", "memory"),
    [("1G", "1Gi"), ("1.5G", "1536Mi"), ("512M", "512Mi"), (10**9, "1G"), ("100K", "100Ki"), (1234567, "1234567")],
)
def test_jupyterhubs_units_of_memory_are_binary(limit: Any, memory: str) -> None:
    traits = {"mem_limit": limit, "cpu_limit": 1.5}
    profile = translate(traits).section["profiles"]["default"]
    assert profile["memory"] == memory
    assert profile["cpu"] == 1.5
    assert parse_quantity(memory) == Theirs(traits).spawner.mem_limit

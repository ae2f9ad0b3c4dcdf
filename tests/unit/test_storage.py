"""What a server finds on disk: homes, shared volumes, scratch space, /dev/shm."""

from typing import Any

import kubernetes_validate
import pytest
from pod_security import violations
from small_hub import MONDAY, ask, changed, section, small_hub

from gpuspawner.admission import Capacity, admit
from gpuspawner.config import Settings, load_settings
from gpuspawner.errors import ConfigurationError, DeniedError
from gpuspawner.pod import HUB_LABEL, Server, build_claim, build_pod

LAB = {"workspace": "lab"}


def hub(**storage: Any) -> Settings:
    return small_hub(storage=storage)


def built(settings: Settings, options: dict[str, Any] | None = None, **who: Any) -> dict[str, Any]:
    """A pod, which is valid and restricted whatever is mounted."""
    granted = admit(ask(settings, options, **who), settings, [], Capacity(), MONDAY)
    pod = build_pod(granted, Server({}, None, [], user_id=7), settings)
    kubernetes_validate.validate(pod, "1.36", strict=True)
    assert violations(pod) == []
    return pod


def volume(pod: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in pod["spec"]["volumes"] if one["name"] == name]
    return {key: value for key, value in found.items() if key != "name"}


def mount(pod: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in pod["spec"]["containers"][0]["volumeMounts"] if one["name"] == name]
    return {key: value for key, value in found.items() if key != "name"}


def home(settings: Settings, **who: Any) -> str:
    options = {"workspace": who.pop("workspace", "lab")}
    return str(volume(built(settings, options, **who), "home")["persistentVolumeClaim"]["claimName"])


@pytest.mark.parametrize(
    ("storage", "names"),
    [
        ({}, ["claim-ada", "claim-ada", "claim-ada"]),
        ({"per": "workspace"}, ["claim-ada--lab", "claim-ada--everyone", "claim-ada--lab"]),
        ({"per": "server"}, ["claim-ada", "claim-ada", "claim-ada--two"]),
        ({"claim": "claim-{username}"}, ["claim-ada", "claim-ada", "claim-ada"]),
        ({"claim": "claim-{user_server}"}, ["claim-ada", "claim-ada", "claim-ada--two"]),
        ({"claim": "{workspace}-{userid}"}, ["lab-7", "everyone-7", "lab-7"]),
        ({"claim": "homes"}, ["homes", "homes", "homes"]),
    ],
)
def test_there_is_a_home_per_user_per_workspace_or_per_server(storage: dict[str, Any], names: list[str]) -> None:
    settings = hub(**storage)
    launches = [{"workspace": "lab"}, {"workspace": "everyone"}, {"workspace": "lab", "server": "two"}]
    assert [home(settings, **launch) for launch in launches] == names
    for launch, name in zip(launches, names, strict=True):
        claim = build_claim("ada", settings, user_id=7, **launch)
        assert claim is not None
        assert claim["metadata"]["name"] == name
        kubernetes_validate.validate(claim, "1.36", strict=True)


def test_a_claim_says_whose_it_is_as_far_as_it_is_somebodys() -> None:
    def annotations(**storage: Any) -> dict[str, str]:
        claim = build_claim("Ada", hub(**storage), server="two", workspace="lab")
        assert claim is not None
        return dict(claim["metadata"]["annotations"])

    user, server = {"hub.jupyter.org/username": "Ada"}, {"hub.jupyter.org/servername": "two"}
    assert annotations() == user
    assert annotations(per="workspace") == {**user, "gpuspawner/workspace": "lab"}
    assert annotations(per="server") == {**user, **server}
    assert annotations(claim="claim-{user_server}") == {**user, **server}
    assert annotations(claim="homes") == {}


def test_a_workspace_whose_name_no_claim_may_bear_gets_a_slug() -> None:
    config = section(storage={"claim": "claim-{workspace}"})
    config["workspaces"]["cse_151a"] = {"members": "*"}
    name = home(load_settings(config), workspace="cse_151a")
    assert name.startswith("claim-cse-151a---")


def test_the_claim_is_made_as_the_administrator_says() -> None:
    patch = {
        "metadata": {
            "labels": {"team": "{workspace}", "gpuspawner/hub": "x"},
            "annotations": {"hub.jupyter.org/username": "eve", "backup": "yes"},
        },
        "spec": {"selector": {"matchLabels": {"tier": "home"}}},
    }
    claim = build_claim("ada", hub(size="5Gi", storage_class="fast", claim_patch=patch), workspace="lab")
    assert claim is not None
    kubernetes_validate.validate(claim, "1.36", strict=True)
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": str(5 * 2**30)}},
        "storageClassName": "fast",
        "selector": {"matchLabels": {"tier": "home"}},
    }
    assert claim["metadata"]["labels"]["team"] == "lab"
    assert claim["metadata"]["labels"][HUB_LABEL] == "jupyterhub"
    assert claim["metadata"]["annotations"] == {"hub.jupyter.org/username": "ada", "backup": "yes"}


def test_homes_may_be_folders_of_one_volume() -> None:
    pod = built(hub(claim="homes", sub_path="homes/{username}", mount_path="/home/{username}"), user="Ada")
    assert mount(pod, "home")["subPath"].startswith("homes/ada---")
    assert mount(pod, "home")["mountPath"] == pod["spec"]["containers"][0]["workingDir"]
    assert mount(pod, "home")["mountPath"].startswith("/home/ada---")


@pytest.mark.parametrize("user", ["..", ".", "a/b", "../bob", "$(HOME)", "a b", "x/../../bob"])
def test_no_user_name_leads_out_of_its_folder(user: str) -> None:
    settings = hub(claim="homes", sub_path="homes/{unescaped_username}")
    assert mount(built(settings, user="ada@ucsd.edu"), "home")["subPath"] == "homes/ada@ucsd.edu"
    with pytest.raises(DeniedError, match="cannot be the name of a folder"):
        built(settings, user=user)


def test_shared_volumes_are_read_only_unless_said_otherwise_and_may_be_a_workspaces_own() -> None:
    settings = hub(
        volumes={
            "datasets": {"claim": "datasets", "mount_path": "/datasets"},
            "course": {
                "claim": "teaching-{workspace}",
                "sub_path": "{workspace}",
                "mount_path": "/course",
                "read_only": False,
            },
            "models": {"claim": "models", "mount_path": "/models", "workspaces": "lab"},
        }
    )
    pod = built(settings, LAB)
    assert volume(pod, "datasets") == {"persistentVolumeClaim": {"claimName": "datasets"}}
    assert mount(pod, "datasets") == {"mountPath": "/datasets", "readOnly": True}
    assert volume(pod, "course") == {"persistentVolumeClaim": {"claimName": "teaching-lab"}}
    assert mount(pod, "course") == {"mountPath": "/course", "subPath": "lab"}
    names = {one["name"] for one in pod["spec"]["volumes"]}
    assert names - {one["name"] for one in built(settings)["spec"]["volumes"]} == {"models"}


def test_shared_memory_is_the_servers_own_memory_and_never_more() -> None:
    def limit(settings: Settings, options: dict[str, Any] | None = None) -> str:
        pod = built(settings, options)
        assert mount(pod, "shared-memory") == {"mountPath": "/dev/shm"}
        found = volume(pod, "shared-memory")["emptyDir"]
        assert found["medium"] == "Memory"
        return str(found["sizeLimit"])

    assert limit(hub(), {"memory": "9G"}) == str(9 * 10**9)
    assert limit(small_hub(storage=None)) == str(8 * 10**9)
    assert limit(hub(shared_memory="2G")) == str(2 * 10**9)
    assert limit(hub(shared_memory="200G")) == str(8 * 10**9)
    big = load_settings({**changed("profiles/pytorch/shared_memory", "4G"), "storage": {"shared_memory": "1G"}})
    assert limit(big) == str(4 * 10**9)
    none = built(hub(shared_memory=0))
    assert [one["name"] for one in none["spec"]["volumes"]] == ["home"]


def test_scratch_is_a_volume_that_comes_and_goes_with_the_pod() -> None:
    pod = built(hub(scratch={"size": "200Gi", "storage_class": "nvme", "mount_path": "/tmp/{username}"}))
    spec = volume(pod, "scratch")["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert spec == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": str(200 * 2**30)}},
        "storageClassName": "nvme",
    }
    assert mount(pod, "scratch") == {"mountPath": "/tmp/ada"}
    assert "storageClassName" not in volume(built(hub(scratch={"size": "1Gi"})), "scratch")["ephemeral"]


def test_a_profile_has_scratch_and_shared_memory_of_its_own_or_none() -> None:
    def size(value: Any, storage: Any) -> str | None:
        pod = built(load_settings({**changed("profiles/pytorch/scratch", value), "storage": storage}))
        found = [one for one in pod["spec"]["volumes"] if one["name"] == "scratch"]
        if not found:
            return None
        return str(found[0]["ephemeral"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"])

    assert size("5G", None) == "5000000000"
    assert size("5G", {"scratch": {"size": "1G"}}) == "5000000000"
    assert size(None, {"scratch": {"size": "1G"}}) == "1000000000"
    assert size(0, {"scratch": {"size": "1G"}}) is None


def test_without_a_home_the_rest_is_still_mounted() -> None:
    settings = hub(home=False, volumes={"data": {"claim": "data", "mount_path": "/data"}})
    assert build_claim("ada", settings) is None
    pod = built(settings)
    assert [one["name"] for one in pod["spec"]["volumes"]] == ["data", "shared-memory"]
    assert "workingDir" not in pod["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        (
            {"claim": "claim-{usrname}"},
            "storage.claim: found 'claim-{usrname}', allowed: of the variables {username}, ",
        ),
        ({"claim": "claim-{unescaped_username}"}, "of the variables"),
        ({"claim": "Claim_{username}"}, "the name of a PersistentVolumeClaim"),
        ({"claim": "claim-{username"}, "the name of a PersistentVolumeClaim"),
        ({"mount_path": "home"}, "storage.mount_path: found 'home', allowed: an absolute path"),
        ({"sub_path": "../x"}, "a folder within the volume"),
        ({"sub_path": "/x"}, "a folder within the volume"),
        ({"per": "group"}, "storage.per: found 'group', allowed: 'user', 'workspace' or 'server'"),
        ({"volumes": {"home": {"claim": "x", "mount_path": "/x"}}}, "other than home, scratch"),
        ({"volumes": {"x": {"claim": "x"}}}, "storage.volumes.x.mount_path: missing"),
        ({"volumes": {"x": {"clam": "x", "mount_path": "/x"}}}, "did you mean 'claim'?"),
        ({"scratch": {}}, "storage.scratch.size: missing"),
        ({"claim_patch": {"metadata": {"name": "x"}}}, "metadata (labels and annotations) and spec"),
        ({"claim_patch": {"spce": {}}}, "metadata (labels and annotations) and spec"),
        ({"shared_memory": "much"}, "a Kubernetes quantity of bytes"),
    ],
)
def test_mistakes_in_the_storage_are_told(storage: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        hub(**storage)
    assert said in "\n".join(error.value.problems)


def test_a_variable_that_was_hardly_meant_so_is_pointed_out() -> None:
    def notices(text: str) -> tuple[str, ...]:
        env = [{"name": "X", "value": text}]
        return small_hub(pod_template={"spec": {"containers": [{"name": "notebook", "env": env}]}}).notices

    assert set(notices("/data/{usernmae}")) - set(notices("")) == {
        "c.GPUSpawner.pod_template: {usernmae} is no variable and stays as it is; did you mean {username}?"
    }
    for meant in ("{username}", "${HOME} {x}", "{{username}}", "{{ .Values.user }}"):
        assert notices(meant) == notices("")


def test_variables_stand_in_every_patch_and_in_the_environment() -> None:
    config = section(pod_template={"metadata": {"annotations": {"who": "{unescaped_username} in {workspace}"}}})
    env = [{"name": "DATA", "value": "/data/{username}/{profile}/{gpu_class}"}]
    config["profiles"]["pytorch"]["pod"] = {"spec": {"containers": [{"name": "notebook", "env": env}]}}
    config["workspaces"]["lab"]["pod"] = {"spec": {"serviceAccountName": "sa-{workspace}"}}
    settings = load_settings(config)
    granted = admit(ask(settings, LAB, user="Ada"), settings, [], Capacity(), MONDAY)
    secret = {"valueFrom": {"secretKeyRef": {"name": "keys-{username}", "key": "wandb"}}}
    given = {"HOME_OF": "{username}", "KEY": secret, "JUPYTERHUB_USER": "{username}", "PLAIN": "{username}"}
    templates = {"HOME_OF": "{username}", "KEY": secret, "JUPYTERHUB_USER": "mine"}
    pod = build_pod(granted, Server(given, None, [], templates=templates), settings)
    kubernetes_validate.validate(pod, "1.36", strict=True)
    slug = pod["metadata"]["labels"]["hub.jupyter.org/username"]
    assert pod["metadata"]["annotations"]["who"] == "Ada in lab"
    assert pod["spec"]["serviceAccountName"] == "sa-lab"
    variables = {one["name"]: one for one in pod["spec"]["containers"][0]["env"]}
    short = variables["HOME_OF"]["value"]
    assert short.startswith("ada---")
    assert short != slug
    assert variables["DATA"]["value"] == f"/data/{short}/pytorch/small"
    assert variables["KEY"]["valueFrom"]["secretKeyRef"]["name"] == f"keys-{short}"
    assert variables["JUPYTERHUB_USER"]["value"] == "{username}", "what JupyterHub says is not a template"
    assert variables["PLAIN"]["value"] == "{username}"

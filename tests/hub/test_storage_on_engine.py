"""Homes, shared volumes and scratch space of servers that run."""

from pathlib import Path
from typing import Any

import pytest
from launching import environment, launch, named, stop

from gpuspawner.cluster.client import Client
from gpuspawner.local.engine import Engine

CPU = {"profile": "cpu"}
CLAIMS = "persistentvolumeclaims"


def existing(engine: Engine, name: str, owner: str = "", **labels: str) -> None:
    """A claim that somebody else has made, with KubeSpawner's annotation if it is a user's."""
    annotations = {"hub.jupyter.org/username": owner} if owner else {}
    engine.store.create(
        CLAIMS,
        {
            "metadata": {"name": name, "namespace": "default", "annotations": annotations, "labels": labels},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "storageClassName": "standard",
            },
        },
    )


def is_gone(path: Path) -> bool:
    return not path.exists()


async def home(hub: Any, user: str, server: str = "") -> Path:
    return Path((await environment(hub, user, server))["HOME"])


async def test_files_are_there_again_at_the_next_launch_and_in_every_server(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub()
    await hub.login("ada", "x")
    assert await launch(hub, "ada", CPU) == ""
    (await home(hub, "ada") / "notes").write_text("mine")
    await stop(hub, "ada")
    assert await launch(hub, "ada", CPU, "two") == ""
    assert (await home(hub, "ada", "two") / "notes").read_text() == "mine"
    assert list(named(engine, CLAIMS)) == ["claim-ada"]


async def test_each_workspace_has_a_home_of_its_own_where_the_hub_says_so(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub(storage={"per": "workspace"})
    await hub.login("ada", "x")
    assert await launch(hub, "ada", CPU) == ""
    assert await launch(hub, "ada", {**CPU, "workspace": "lab"}, "two") == ""
    assert set(named(engine, CLAIMS)) == {"claim-ada--everyone", "claim-ada--lab"}
    assert await home(hub, "ada") != await home(hub, "ada", "two")


async def test_the_homes_of_a_kubespawner_hub_are_taken_over_by_name(start_gpu_hub: Any, engine: Engine) -> None:
    existing(engine, "claim-ada-ucsd-edu---226f40ca", "ada@ucsd.edu", component="singleuser-storage")
    before = set(named(engine, CLAIMS))
    hub = await start_gpu_hub(storage={"claim": "claim-{user_server}"})
    await hub.login("ada@ucsd.edu", "x")
    assert await launch(hub, "ada@ucsd.edu", CPU) == ""
    assert set(named(engine, CLAIMS)) == before
    assert (await home(hub, "ada@ucsd.edu")).name == "claim-ada-ucsd-edu---226f40ca"


async def test_nobody_is_given_the_home_of_another(start_gpu_hub: Any, engine: Engine) -> None:
    existing(engine, "claim-ada", "eve")
    hub = await start_gpu_hub()
    await hub.login("ada", "x")
    assert "persistentvolumeclaims/claim-ada" in await launch(hub, "ada", CPU)
    assert not named(engine, "pods")


async def test_a_claim_is_looked_for_once_and_made_anew_when_it_has_vanished(
    start_gpu_hub: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    create = Client.create

    async def counted(self: Client, resource: str, namespace: str | None, manifest: Any) -> Any:
        asked.append(resource)
        return await create(self, resource, namespace, manifest)

    monkeypatch.setattr(Client, "create", counted)
    hub = await start_gpu_hub()
    await hub.login("ada", "x")
    for _ in range(3):
        assert await launch(hub, "ada", CPU) == ""
        await stop(hub, "ada")
    assert asked.count(CLAIMS) == 1
    engine.store.delete(CLAIMS, "default", "claim-ada")
    assert "claim-ada" in await launch(hub, "ada", CPU)
    assert await launch(hub, "ada", CPU) == ""
    assert asked.count(CLAIMS) == 2


async def test_a_claim_that_exists_is_used_although_the_quota_is_used_up(start_gpu_hub: Any, engine: Engine) -> None:
    existing(engine, "claim-ada", "ada")
    quota = {"metadata": {"name": "disk", "namespace": "default"}, "spec": {"hard": {"persistentvolumeclaims": "1"}}}
    engine.store.create("resourcequotas", quota)
    hub = await start_gpu_hub()
    for name in ("ada", "bob"):
        await hub.login(name, "x")
    assert await launch(hub, "ada", CPU) == ""
    assert "ResourceQuota disk" in await launch(hub, "bob", CPU)


async def test_a_home_that_the_hub_may_not_make_is_missed_in_words(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub(storage={"claim": "homes", "create": False, "sub_path": "{username}"})
    await hub.login("ada", "x")
    assert "PersistentVolumeClaim homes) does not exist" in await launch(hub, "ada", CPU)
    existing(engine, "homes")
    assert await launch(hub, "ada", CPU) == ""
    assert (await home(hub, "ada")).parts[-2:] == ("homes", "ada")


async def test_shared_volumes_scratch_and_shared_memory_are_there(start_gpu_hub: Any, engine: Engine) -> None:
    existing(engine, "teaching")
    places = {"COURSE": "/course", "SCRATCH": "/scratch", "SHM": "/dev/shm", "WHO": "{username}/{workspace}"}
    hub = await start_gpu_hub(
        storage={
            "volumes": {"course": {"claim": "teaching", "sub_path": "{workspace}", "mount_path": "/course"}},
            "scratch": {"size": "5Gi"},
        },
        environment=places,
    )
    await hub.login("ada", "x")
    assert await launch(hub, "ada", CPU) == ""
    told = await environment(hub, "ada")
    assert Path(told["COURSE"]).parts[-2:] == ("teaching", "everyone")
    assert told["WHO"] == "ada/everyone"
    assert told["SHM"].startswith("/dev/shm/")
    scratch = Path(told["SCRATCH"])
    assert scratch.name == "jupyter-ada-scratch"
    assert "jupyter-ada-scratch" in named(engine, CLAIMS)
    await stop(hub, "ada")
    assert "jupyter-ada-scratch" not in named(engine, CLAIMS)
    assert is_gone(scratch)


async def test_claims_are_kept_or_deleted_with_their_user(start_gpu_hub: Any, engine: Engine) -> None:
    for keep in (True, False):
        hub = await start_gpu_hub(storage={"delete_with_user": not keep})
        for name in ("ada", "bob"):
            await hub.login(name, "x")
            assert await launch(hub, name, CPU) == ""
            await stop(hub, name)
        assert await launch(hub, "ada", CPU, "two") == ""
        await stop(hub, "ada", "two", remove=True)
        assert set(named(engine, CLAIMS)) == {"claim-ada", "claim-bob"}, "the home is of all servers"
        assert (await hub.api("DELETE", "users/ada")).status == 204
        assert set(named(engine, CLAIMS)) == ({"claim-ada", "claim-bob"} if keep else {"claim-bob"})


async def test_a_named_servers_own_claim_goes_with_it(start_gpu_hub: Any, engine: Engine) -> None:
    existing(engine, "claim-ada-of-kubespawner", "ada", component="singleuser-storage")
    existing(engine, "claim-of-another-hub", "ada", component="singleuser-storage", **{"gpuspawner/hub": "other"})
    hub = await start_gpu_hub(storage={"per": "server", "delete_with_user": True})
    await hub.login("ada", "x")
    for server in ("", "two", "three"):
        assert await launch(hub, "ada", CPU, server) == ""
        await stop(hub, "ada", server)
    await stop(hub, "ada", "two", remove=True)
    kept = {"claim-ada", "claim-ada--three", "claim-ada-of-kubespawner", "claim-of-another-hub"}
    assert set(named(engine, CLAIMS)) == kept
    assert (await hub.api("DELETE", "users/ada")).status == 204
    assert set(named(engine, CLAIMS)) == {"claim-of-another-hub"}

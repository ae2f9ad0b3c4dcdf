"""The operator's day on the engine, with the real Helm and proxy: each test goes on where the last one ended."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from release import DEBIAN_NODE_MODULES, NAMESPACE, Release, release_on_engine
from running_hub import Person

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "operate.md").read_text()
GPUS = {"gpu": {"rate": 1, "accepts": [{"resource": "nvidia.com/gpu"}]}}
PROFILES = {
    "gpu": {
        "display_name": "Notebook with a GPU",
        "image": "example.org/notebook:1",
        "gpu_classes": ["gpu"],
        "gpus": {"default": 1, "min": 1, "max": 1},
        "runtime": "1h",
    }
}


def values(title: str = "Everyone") -> dict[str, Any]:
    """The values of an institution, whose one workspace is called so."""
    budget = {"per_member": 100, "renews": "never"}
    everyone = {"display_name": title, "members": "*", "budget": budget}
    section = {"gpu_classes": GPUS, "profiles": PROFILES, "workspaces": {"everyone": everyone}}
    placeholders = {"replicas": 1, "schedule": [{"cron": "0 20 * * FRI", "replicas": 0}]}
    capacity = {"priorityClasses": {"create": True}, "placeholders": {"gpu": placeholders}}
    return {"gpuspawner": section, "prePuller": {"hook": {"enabled": True}}, **capacity}


@dataclass
class Day:
    """A release, its administrator's browser, and what was noted earlier in the day."""

    release: Release
    admin: Person = field(init=False)
    noted: dict[str, Any] = field(default_factory=dict)

    async def server_answers(self) -> bool:
        """Whether the administrator's server is reached through the proxy."""
        async with self.admin.session.get(self.release.public / "user/admin/env") as answer:
            return answer.status == 200 and "JUPYTERHUB_SERVICE_PREFIX" in await answer.text()

    async def asked(self, path: str) -> Any:
        """What the REST API tells the administrator."""
        async with self.admin.session.get(self.release.url / "api/gpuspawner" / path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def workspace_titles(self) -> list[str]:
        """What the workspaces are called."""
        return [one["title"] for one in (await self.asked("workspaces"))["items"]]

    async def sessions(self) -> list[Any]:
        """What the ledger knows of the servers there were."""
        return list((await self.asked("usage/sessions"))["items"])


@pytest.fixture(scope="module")
async def day(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Day]:
    if shutil.which("configurable-http-proxy") is None:
        pytest.fail("configurable-http-proxy is not installed: tools/need.sh configurable-http-proxy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NODE_PATH", DEBIAN_NODE_MODULES)
        async with release_on_engine(tmp_path_factory.mktemp("day")) as release:
            yield Day(release)


async def test_install_gives_a_hub_where_the_administrator_logs_in_and_launches(day: Day) -> None:
    release = day.release
    await release.install(values())
    deployments = {f"gpuspawner-{part}" for part in ("hub", "proxy", "placeholder-gpu")}
    assert release.names("deployments.apps") == deployments
    day.admin = await release.log_in()
    await release.launch(day.admin, {"profile": "gpu"})
    assert await day.server_answers()
    account = release.get("pods", day_pod(release))["spec"]["serviceAccountName"]
    assert (
        account != release.get("deployments.apps", "gpuspawner-hub")["spec"]["template"]["spec"]["serviceAccountName"]
    )


def day_pod(release: Release) -> str:
    """The name of the one server's pod."""
    [name] = [name for name in release.names("pods") if not name.startswith("gpuspawner-")]
    return name


async def test_helm_test_launches_the_smallest_profile_and_leaves_nothing_of_it(day: Day) -> None:
    release = day.release
    servers = [day_pod(release)]
    said = await release.test()
    assert "smoke-test" in said
    events = [stored.obj for stored in release.store.items("events", NAMESPACE)]
    [gave_way] = [event["involvedObject"]["name"] for event in events if event["reason"] == "Preempted"]
    assert gave_way.startswith("gpuspawner-placeholder-gpu-")
    await release.until(
        lambda: release.get("deployments.apps", "gpuspawner-placeholder-gpu")["status"].get("readyReplicas")
    )
    assert [name for name in release.names("pods") if not name.startswith("gpuspawner-")] == servers


async def test_a_schedule_takes_placeholders_away_with_the_rights_it_has(day: Day) -> None:
    release = day.release
    [schedule] = release.names("cronjobs.batch")
    job = release.get("cronjobs.batch", schedule)["spec"]["jobTemplate"]["spec"]
    await release.create("Job", "now", apiVersion="batch/v1", spec=job)
    await release.kubectl("wait", "--for=condition=complete", "job/now", "--timeout=60s")
    assert release.get("deployments.apps", "gpuspawner-placeholder-gpu")["spec"]["replicas"] == 0
    await release.kubectl("delete", "job", "now")


async def test_an_upgrade_changes_values_and_keeps_secrets_logins_and_servers(day: Day) -> None:
    release = day.release
    secrets, hub, proxy = release.secrets(), release.pod("hub"), release.pod("proxy")
    server = release.get("pods", day_pod(release))["metadata"]["uid"]
    selector = release.get("deployments.apps", "gpuspawner-hub")["spec"]["selector"]
    upgrade = asyncio.create_task(release.upgrade(values("All of us")))
    while not upgrade.done():
        assert await day.server_answers()  # also while there is no hub
        await asyncio.wait([upgrade], timeout=0.5)
    await upgrade
    assert release.secrets() == secrets
    assert release.pod("hub") != hub
    assert release.pod("proxy") == proxy  # nobody's connection to a notebook is cut
    assert release.get("deployments.apps", "gpuspawner-hub")["spec"]["selector"] == selector
    assert release.get("pods", day_pod(release))["metadata"]["uid"] == server
    assert await day.server_answers()
    assert (await day.admin.get("home", allow_redirects=False)).status == 200
    assert await day.workspace_titles() == ["All of us"]


async def test_a_rollback_is_an_upgrade_to_the_old_values(day: Day) -> None:
    secrets = day.release.secrets()
    await day.release.rollback()
    assert day.release.secrets() == secrets
    assert await day.workspace_titles() == ["Everyone"]
    assert await day.server_answers()


async def test_rotated_secrets_reach_hub_and_proxy_and_servers_run_on(day: Day) -> None:
    release = day.release
    before, server = release.secrets(), release.get("pods", day_pod(release))["metadata"]["uid"]
    proxy = release.pod("proxy")
    for key in ("proxy-token", "cookie-secret"):
        patch = [{"op": "remove", "path": f"/data/{key}"}]
        await release.kubectl("patch", "secret", "gpuspawner-secrets", "--type", "json", "-p", json.dumps(patch))
    await release.upgrade(values())
    after = release.secrets()
    assert {key for key in before if before[key] != after[key]} == {"proxy-token", "cookie-secret"}
    assert release.pod("proxy") != proxy
    out = await day.admin.get("home", allow_redirects=False)
    assert "/hub/login" in out.headers.get("Location", "")
    day.admin = await release.log_in()
    assert release.get("pods", day_pod(release))["metadata"]["uid"] == server
    assert await day.server_answers()


async def test_a_drain_ends_servers_whose_members_read_why_and_pay_for_what_ran(day: Day) -> None:
    release = day.release
    node = release.get("pods", day_pod(release))["spec"]["nodeName"]
    [drain] = re.findall(r"kubectl (drain gpu-7 .* --force)", section("Service a node"))
    await release.kubectl(*drain.replace("gpu-7", node).split())
    await release.until(lambda: not any(name.startswith("jupyter-") for name in release.names("pods")))
    await release.kubectl("uncordon", node)
    assert [(session["cause"], session["settled"]) for session in await day.sessions()][:1] == [("evicted", True)]
    async with asyncio.timeout(30):
        while "moved off" not in await (await day.admin.get("home")).text():
            pass  # the hub asks the cluster, then tells


async def test_a_backup_taken_while_the_hub_works_brings_the_ledger_back(day: Day) -> None:
    release = day.release
    before = await day.sessions()
    assert [session["user"] for session in before] == ["admin"]
    code = re.findall(r"python -c '\n(.*?)'\n", section("Back up and restore"), re.DOTALL)[0]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await release.create("PersistentVolumeClaim", "copies", spec=claim)
    await release.run_on_volumes("backup", ["python", "-c", code])
    await release.launch(day.admin, {"profile": "gpu"})
    await release.stop_server(day.admin)
    assert len(await day.sessions()) == 2
    await release.kubectl("scale", "deployment/gpuspawner-hub", "--replicas", "0")
    await release.until(lambda: not any(name.startswith("gpuspawner-hub") for name in release.names("pods")))
    put_back = "rm -f $name.sqlite-wal $name.sqlite-shm && cat > $name.sqlite"
    assert put_back in section("Back up and restore")
    steps = f"for name in jupyterhub gpuspawner; do cat /tmp/$name.sqlite | ({put_back}); done; "
    check = "gpuspawner ledger check --url sqlite:////srv/jupyterhub/gpuspawner.sqlite"
    assert check in section("Back up and restore")
    await release.run_on_volumes("restore", ["sh", "-ec", steps + check])
    await release.kubectl("delete", "pvc", "copies")
    await release.kubectl("scale", "deployment/gpuspawner-hub", "--replicas", "1")
    await release.kubectl("rollout", "status", "deployment/gpuspawner-hub")
    assert await day.sessions() == before


def section(heading: str) -> str:
    """The text of the operator's page below a heading."""
    return re.split(r"\n## ", PAGE.partition(f"\n## {heading}\n")[2])[0]


async def exported(day: Day) -> list[Any]:
    async with day.admin.session.get(day.release.url / "api/gpuspawner/usage/sessions") as answer:
        return list((await answer.json())["sessions"])


async def test_uninstalling_leaves_the_hubs_volume_and_homes_and_nothing_else(day: Day) -> None:
    release = day.release
    await release.uninstall()
    await release.until(lambda: release.names("pods") == {"gpuspawner-smoke-test"})  # Helm leaves what tests left
    assert release.names("persistentvolumeclaims") == {"gpuspawner-hub", "claim-admin", "claim-smoke-test"}
    for resource in (
        "deployments.apps",
        "replicasets.apps",
        "services",
        "endpoints",
        "secrets",
        "roles.rbac.authorization.k8s.io",
    ):
        assert not release.names(resource), resource

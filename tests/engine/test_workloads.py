"""Deployments, ReplicaSets, DaemonSets and Jobs on the engine."""

import asyncio
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_engine import Lab, running_engine
from workloads import APPS, BATCH, conditions, job, pods, rolled_out, settled, template, workload

from gpuspawner.local.controllers.rollout import next_replicas

Object = dict[str, Any]
BUDGETS = "poddisruptionbudgets.policy"
MERGE = "application/merge-patch+json"


async def patch(lab: Lab, path: str, body: Object) -> Object:
    status, answer = await lab.call("PATCH", path, body, MERGE)
    assert status == 200, answer
    return dict(answer)


def sets(lab: Lab) -> dict[str, int]:
    """Replicas asked of each ReplicaSet, by revision."""
    found = [stored.obj for stored in lab.store.items("replicasets.apps", "demo")]
    revision = "deployment.kubernetes.io/revision"
    return {one["metadata"]["annotations"][revision]: one["spec"]["replicas"] for one in found}


async def test_a_deployment_runs_its_pods_and_replaces_one_that_goes(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.ok("POST", f"{APPS}/deployments", workload("web", replicas=2))
        done = await rolled_out(lab, "web")
        assert conditions(done) == {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"}
        first = pods(lab)
        assert len(first) == 2
        owner = first[0]["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["controller"]) == ("ReplicaSet", True)
        gone = first[0]["metadata"]["name"]
        await lab.ok("DELETE", f"/api/v1/namespaces/demo/pods/{gone}")
        await lab.gone(gone)
        await rolled_out(lab, "web")
        assert len(pods(lab)) == 2


async def test_recreate_ends_the_old_pod_before_it_makes_the_new_one(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        body = workload("hub", strategy={"type": "Recreate"})
        await lab.ok("POST", f"{APPS}/deployments", body)
        await rolled_out(lab, "hub")
        most = 0

        def count(resource: str, type_: str, obj: Object) -> None:
            nonlocal most
            most = max(most, len(lab.store.items("pods", "demo")))

        lab.store.subscribe(count)
        before = pods(lab)[0]["metadata"]["uid"]
        labels = {"spec": {"template": {"metadata": {"annotations": {"checksum": "2"}}}}}
        await patch(lab, f"{APPS}/deployments/hub", labels)
        await rolled_out(lab, "hub", 2)
        assert pods(lab)[0]["metadata"]["uid"] != before
        assert most == 1
        assert sets(lab) == {"1": 0, "2": 1}


async def test_a_rolling_update_keeps_as_many_pods_available_as_promised(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await lab.ok("POST", f"{APPS}/deployments", workload("web", replicas=3, strategy=rolling))
        await rolled_out(lab, "web")
        seen: list[tuple[int, int]] = []

        def count(resource: str, type_: str, obj: Object) -> None:
            status = lab.store.get("deployments.apps", "demo", "web")["status"]
            seen.append((status.get("availableReplicas", 0), status.get("replicas", 0)))

        lab.store.subscribe(count)
        await patch(lab, f"{APPS}/deployments/web", {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})
        await rolled_out(lab, "web", 2)
        assert min(available for available, _ in seen) >= 3
        assert max(replicas for _, replicas in seen) <= 4


async def test_a_rollback_raises_the_old_replica_set_again(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.ok("POST", f"{APPS}/deployments", workload("web", strategy={"type": "Recreate"}))
        await rolled_out(lab, "web")
        for generation, version in ((2, "2"), (3, None)):
            change = {"spec": {"template": {"metadata": {"labels": {"v": version}}}}}
            await patch(lab, f"{APPS}/deployments/web", change)
            await rolled_out(lab, "web", generation)
        assert sets(lab) == {"2": 0, "3": 1}


async def test_a_rollout_that_the_namespace_refuses_says_so(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        await patch(lab, "/api/v1/namespaces/demo", labels)
        await lab.ok("POST", f"{APPS}/deployments", workload("web"))
        failed = await lab.until("web", lambda obj: "ReplicaFailure" in conditions(obj), "deployments.apps")
        said = next(one for one in failed["status"]["conditions"] if one["type"] == "ReplicaFailure")
        assert 'violates PodSecurity "restricted:latest"' in said["message"]
        assert failed["status"]["unavailableReplicas"] == 1


async def test_a_rollout_that_gets_nowhere_exceeds_its_deadline(tmp_path: Path) -> None:
    async with running_engine(tmp_path, images={"nothing": ["true"]}) as lab:
        await lab.ok("POST", f"{APPS}/deployments", workload("web", progressDeadlineSeconds=1))

        def late(obj: Object) -> bool:
            found = obj.get("status", {}).get("conditions", [])
            return any(one["reason"] == "ProgressDeadlineExceeded" and one["status"] == "False" for one in found)

        await lab.until("web", late, "deployments.apps")


async def test_a_workload_that_is_deleted_takes_its_pods_along(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.ok("POST", f"{APPS}/deployments", workload("web"))
        await rolled_out(lab, "web")
        await lab.ok("DELETE", f"{APPS}/deployments/web")
        await settled(lab, lambda: not lab.store.items("pods", "demo"))
        assert not lab.store.items("replicasets.apps", "demo")


async def test_kubectl_scales_restarts_and_undoes_a_deployment(tmp_path: Path) -> None:
    async with running_engine(tmp_path / "engine") as lab:
        lab.engine.write_kubeconfig(tmp_path / "kubeconfig", namespace="demo")
        await lab.ok("POST", f"{APPS}/deployments", workload("web"))

        async def kubectl(*words: str) -> str:
            command = ["kubectl", "--kubeconfig", str(tmp_path / "kubeconfig"), *words]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert "successfully rolled out" in await kubectl("rollout", "status", "deployment/web")
        await kubectl("scale", "deployment/web", "--replicas=2")
        assert "successfully rolled out" in await kubectl("rollout", "status", "deployment/web")
        assert len(pods(lab)) == 2
        await kubectl("rollout", "restart", "deployment/web")
        assert "successfully rolled out" in await kubectl("rollout", "status", "deployment/web")
        assert "REVISION" in await kubectl("rollout", "history", "deployment/web")
        await kubectl("rollout", "undo", "deployment/web")
        assert "successfully rolled out" in await kubectl("rollout", "status", "deployment/web")
        assert sets(lab) == {"2": 0, "3": 2}
        assert (await kubectl("get", "deployments")).split()[:5] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]


async def test_a_daemon_set_has_one_pod_on_each_node_that_takes_it(tmp_path: Path) -> None:
    async with running_engine(tmp_path, nodes="t4=2x1 cpu=1") as lab:
        gpu_only = template(nodeSelector={"nvidia.com/gpu.product": "Tesla-T4"}, tolerations=[{"operator": "Exists"}])
        await lab.ok("POST", f"{APPS}/daemonsets", workload("pull", pods=gpu_only))
        ready = await lab.until("pull", lambda obj: obj["status"].get("numberAvailable") == 2, "daemonsets.apps")
        assert ready["status"]["desiredNumberScheduled"] == ready["status"]["updatedNumberScheduled"] == 2
        nodes = {pod["spec"]["nodeName"] for pod in pods(lab)}
        assert len(nodes) == 2
        old = {pod["metadata"]["uid"] for pod in pods(lab)}
        await patch(lab, f"{APPS}/daemonsets/pull", {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})

        def renewed(obj: Object) -> bool:
            status = obj["status"]
            counts = {status.get(key) for key in ("updatedNumberScheduled", "numberAvailable")}
            return status["observedGeneration"] == 2 and counts == {2}

        await lab.until("pull", renewed, "daemonsets.apps")
        assert not old & {pod["metadata"]["uid"] for pod in pods(lab)}
        await lab.ok("DELETE", f"/api/v1/nodes/{nodes.pop()}")
        await lab.until("pull", lambda obj: obj["status"]["desiredNumberScheduled"] == 1, "daemonsets.apps")


async def test_a_job_counts_the_pods_that_succeed(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.ok("POST", f"{BATCH}/jobs", job("sum", "echo done", completions=3, parallelism=2))
        done = await lab.until("sum", lambda obj: "Complete" in conditions(obj), "jobs.batch")
        assert (done["status"]["succeeded"], done["status"].get("active", 0)) == (3, 0)
        assert done["status"]["completionTime"]
        everyone = [stored.obj for stored in lab.store.items("pods", "demo")]
        await settled(lab, lambda: not any("finalizers" in pod["metadata"] and pod["metadata"]["finalizers"]
                                           for pod in (s.obj for s in lab.store.items("pods", "demo"))))  # fmt: skip
        assert len(everyone) == 3
        await lab.ok("DELETE", f"{BATCH}/jobs/sum")
        await settled(lab, lambda: not lab.store.items("pods", "demo"))


@pytest.mark.parametrize("restart", ["Never", "OnFailure"])
async def test_a_job_that_fails_too_often_has_failed(tmp_path: Path, restart: str) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.ok("POST", f"{BATCH}/jobs", job("bad", "exit 3", backoffLimit=1, restart=restart))
        done = await lab.until("bad", lambda obj: "Failed" in conditions(obj), "jobs.batch")
        assert conditions(done)["Failed"] == "BackoffLimitExceeded"


async def test_a_job_ends_at_its_deadline_and_goes_when_its_time_is_up(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        body = job("slow", "exec sleep 1000", activeDeadlineSeconds=1, ttlSecondsAfterFinished=0)
        await lab.ok("POST", f"{BATCH}/jobs", body)
        await lab.gone("slow", "jobs.batch")
        await settled(lab, lambda: not lab.store.items("pods", "demo"))


async def test_a_suspended_job_runs_nothing_until_it_is_resumed(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.ok("POST", f"{BATCH}/jobs", job("later", "true", suspend=True))
        await lab.until("later", lambda obj: "ready" in obj.get("status", {}), "jobs.batch")
        assert not lab.store.items("pods", "demo")
        await patch(lab, f"{BATCH}/jobs/later", {"spec": {"suspend": False}})
        await lab.until("later", lambda obj: "Complete" in conditions(obj), "jobs.batch")


@pytest.mark.parametrize(
    ("plural", "change", "words"),
    [
        ("deployments", {"selector": {"matchLabels": {"app": "other"}}}, "field is immutable"),
        ("deployments", {"template": {"spec": {"restartPolicy": "Never"}}}, 'supported values: "Always"'),
        ("deployments", {"replicas": -1}, "must be greater than or equal to 0"),
        ("deployments", {"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}, "may not be specified"),
        ("daemonsets", {"template": {"metadata": {"labels": {"app": "x"}}}}, "does not match template `labels`"),
    ],
)
async def test_a_change_that_kubernetes_refuses_is_refused(
    tmp_path: Path, plural: str, change: Object, words: str
) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.ok("POST", f"{APPS}/{plural}", workload("it"))
        status, answer = await lab.call("PATCH", f"{APPS}/{plural}/it", {"spec": change}, MERGE)
        assert status == 422
        assert words in answer["message"]


COUNTS = st.integers(0, 6).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count)))


@given(st.integers(0, 6), st.integers(0, 3), st.integers(0, 3), COUNTS, st.lists(COUNTS, max_size=3))
def test_a_step_of_a_rolling_update_takes_nothing_away_that_was_promised(
    wanted: int, surge: int, unavailable: int, new: tuple[int, int], old: list[tuple[int, int]]
) -> None:
    grown, reduced = next_replicas(wanted, surge, unavailable, new, old)
    assert all(0 <= after <= before for after, (before, _) in zip(reduced, old, strict=True))
    if grown > new[0]:
        assert grown + sum(reduced) <= wanted + surge
    surviving = min(new[1], grown) + sum(min(now, was) for now, (_, was) in zip(reduced, old, strict=True))
    standing = new[1] + sum(available for _, available in old)
    assert surviving >= min(standing, wanted - unavailable)


async def test_a_stateful_set_makes_its_pods_in_order_with_a_claim_each(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
                 "resources": {"requests": {"storage": "1Gi"}}}}  # fmt: skip
        mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
        made: list[str] = []
        lab.store.subscribe(lambda kind, type_, obj: made.append(f"{type_} {obj['metadata']['name']}")
                            if kind == "pods" and type_ in ("ADDED", "DELETED") else None)  # fmt: skip
        body = workload("db", pods=template("exec sleep 1000", container=mounts), replicas=2)
        body["spec"] |= {"serviceName": "db", "volumeClaimTemplates": [claim]}
        await lab.ok("POST", f"{APPS}/statefulsets", body)
        await lab.until("db", lambda obj: obj["status"].get("readyReplicas") == 2, "statefulsets.apps")
        assert made == ["ADDED db-0", "ADDED db-1"]
        assert {stored.name for stored in lab.store.items("persistentvolumeclaims", "demo")} == {
            "data-db-0",
            "data-db-1",
        }
        assert lab.store.get("pods", "demo", "db-1")["spec"]["hostname"] == "db-1"
        await patch(lab, f"{APPS}/statefulsets/db", {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})

        def renewed(obj: Object) -> bool:
            status = obj["status"]
            return status["observedGeneration"] == 2 and status["updatedReplicas"] == status["readyReplicas"] == 2

        await lab.until("db", renewed, "statefulsets.apps")
        assert made[2:] == ["DELETED db-1", "ADDED db-1", "DELETED db-0", "ADDED db-0"]
        await patch(lab, f"{APPS}/statefulsets/db", {"spec": {"replicas": 1}})
        await lab.gone("db-1")
        assert len(lab.store.items("persistentvolumeclaims", "demo")) == 2


async def test_a_drain_takes_no_more_pods_than_their_budget_allows(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        spec = {"selector": {"matchLabels": {"app": "it"}}, "maxUnavailable": 1}
        path = "/apis/policy/v1/namespaces/demo/poddisruptionbudgets"
        await lab.ok("POST", path, {"metadata": {"name": "most"}, "spec": spec})
        ready = {"readinessProbe": {"exec": {"command": ["true"]}, "initialDelaySeconds": 1, "periodSeconds": 1}}
        await lab.ok("POST", f"{APPS}/deployments", workload("web", pods=template(container=ready), replicas=2))
        budget = await lab.until("most", lambda obj: obj["status"].get("disruptionsAllowed") == 1, BUDGETS)
        assert {key: budget["status"][key] for key in ("currentHealthy", "desiredHealthy", "expectedPods")} == {
            "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2}  # fmt: skip
        first, second = (pod["metadata"]["name"] for pod in pods(lab))
        await evict(lab, first)
        status, answer = await evict(lab, second)
        assert (status, answer["reason"]) == (429, "TooManyRequests")
        assert "needs 1 healthy pods and has 1 currently" in answer["details"]["causes"][0]["message"]
        await lab.until("most", lambda obj: obj["status"].get("disruptionsAllowed") == 1, BUDGETS)
        assert (await evict(lab, second))[0] == 201


async def evict(lab: Lab, name: str) -> tuple[int, Any]:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    status, answer = await lab.call("POST", f"/api/v1/namespaces/demo/pods/{name}/eviction", body)
    return status, answer


async def test_a_cron_job_makes_a_job_whenever_it_is_due_and_keeps_the_last_ones(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        moment = datetime(2026, 11, 21, 5, 59, 59, 900_000, tzinfo=UTC)
        lab.store.clock = lambda: moment
        spec = job("backup", "echo done")["spec"]
        body = {"metadata": {"name": "nightly"}, "spec": {"schedule": "0 22 * * *", "timeZone": "America/Los_Angeles"}}
        body["spec"] |= {"jobTemplate": {"spec": spec}, "successfulJobsHistoryLimit": 1}
        await lab.ok("POST", f"{BATCH}/cronjobs", body)
        await lab.until("nightly", lambda obj: obj["status"].get("active") == [], "cronjobs.batch")
        assert not lab.store.items("jobs.batch", "demo")
        for day in (21, 22):
            moment = datetime(2026, 11, day, 6, 0, 0, tzinfo=UTC)  # 22:00 in California
            await patch(lab, f"{BATCH}/cronjobs/nightly", {"metadata": {"labels": {"day": str(day)}}})
            name = f"nightly-{int(moment.timestamp()) // 60}"
            await lab.until(name, lambda obj: "Complete" in conditions(obj), "jobs.batch")
        await settled(lab, lambda: len(lab.store.items("jobs.batch", "demo")) == 1)
        status = lab.store.get("cronjobs.batch", "demo", "nightly")["status"]
        assert status["lastScheduleTime"] == "2026-11-22T06:00:00Z"


@pytest.mark.parametrize(
    ("spec", "words"),
    [({"schedule": "61 * * * *"}, "spec.schedule: Invalid value"),
     ({"schedule": "@hourly", "timeZone": "Mars/Olympus"}, "unknown time zone Mars/Olympus"),
     ({}, "spec.schedule: Required value")],
)  # fmt: skip
async def test_a_schedule_that_cannot_be_read_is_refused(tmp_path: Path, spec: Object, words: str) -> None:
    async with running_engine(tmp_path) as lab:
        body = {"metadata": {"name": "it"}, "spec": spec | {"jobTemplate": {"spec": job("it", "true")["spec"]}}}
        status, answer = await lab.call("POST", f"{BATCH}/cronjobs", body)
        assert status == 422
        assert words in answer["message"]

"""Generic ephemeral volumes: a claim from the template in the pod, there for the pod and gone with it."""

from pathlib import Path
from typing import Any

from running_engine import running_engine

TEMPLATE = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}}
SCRATCH: dict[str, Any] = {
    "volumes": [
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}}, **TEMPLATE}}}
    ],
    "container": {"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]},
}


async def test_a_pod_gets_a_volume_of_its_own_and_takes_it_along(tmp_path: Path) -> None:
    container = {**SCRATCH["container"], "env": [{"name": "PLACE", "value": "/scratch"}]}
    async with running_engine(tmp_path) as lab:
        script = "echo here > $PLACE/file && cat $PLACE/file && exec sleep 1000"
        await lab.run("job", script, volumes=SCRATCH["volumes"], container=container)
        assert await lab.first_line("job") == "here"
        claim = lab.store.get("persistentvolumeclaims", "demo", "job-scratch")
        (owner,) = claim["metadata"]["ownerReferences"]
        assert owner == {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "job",
            "uid": lab.store.get("pods", "demo", "job")["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        assert claim["metadata"]["labels"] == {"a": "b"}
        assert claim["status"]["phase"] == "Bound"
        assert claim["spec"]["resources"] == {"requests": {"storage": "5Gi"}}
        await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/job?gracePeriodSeconds=0")
        await lab.gone("job-scratch", "persistentvolumeclaims")


async def test_a_claim_over_the_quota_keeps_the_pod_waiting_and_says_so(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        quota = {"metadata": {"name": "disk"}, "spec": {"hard": {"requests.storage": "1Gi"}}}
        await lab.create("resourcequotas", quota)
        await lab.run("job", "exit 0", **SCRATCH)
        said = 'waiting for ephemeral volume controller to create the persistentvolumeclaim "job-scratch"'
        await lab.event("job", "FailedScheduling", said)

"""Probes and hooks act on their containers as the kubelet's do."""

from pathlib import Path

from running_engine import is_ready, running_engine, state


async def test_a_pod_is_ready_while_its_probe_says_so(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        volumes, mounts = [{"name": "v", "emptyDir": {}}], [{"name": "v", "mountPath": "/v"}]
        probe = {"exec": {"command": ["cat", "/v/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
        await lab.run("slow", volumes=volumes, container={"readinessProbe": probe, "volumeMounts": mounts})
        running = await lab.until("slow", lambda pod: pod["status"]["phase"] == "Running")
        assert not is_ready(running)
        event = await lab.event("slow", "Unhealthy")
        assert event["message"].startswith("Readiness probe failed: cat: ")
        flag = tmp_path / "pods" / running["metadata"]["uid"] / "volumes" / "v" / "ready"
        flag.touch()
        since = (await lab.ready("slow"))["metadata"]["resourceVersion"]
        flag.unlink()
        pod = await lab.until("slow", lambda pod: int(pod["metadata"]["resourceVersion"]) > int(since))
        assert not is_ready(pod)
        assert "running" in state(pod)


async def test_an_http_probe_takes_2xx_and_3xx_only(tmp_path: Path) -> None:
    serve = ["python", "-u", "-m", "http.server", "8767", "--bind", "0.0.0.0"]  # noqa: S104  (becomes the pod's own)
    async with running_engine(tmp_path) as lab:
        good = {"httpGet": {"path": "/", "port": 8767}, "periodSeconds": 1}
        bad = {"httpGet": {"path": "missing", "port": 8767}, "periodSeconds": 1, "failureThreshold": 1000}
        await lab.run("web", container={"command": serve, "readinessProbe": good, "livenessProbe": bad})
        await lab.ready("web")
        await lab.event("web", "Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 404")


async def test_a_probe_that_cannot_be_carried_out_fails(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        probes = {
            "absent": ({"exec": {"command": ["no-such-program"]}}, "executable file not found in $PATH"),
            "slow": ({"exec": {"command": ["sleep", "1000"]}, "timeoutSeconds": 1}, "command timed out after 1s"),
            "port": ({"httpGet": {"port": "nameless"}}, "couldn't find port: nameless"),
        }
        for name, (probe, _) in probes.items():
            await lab.run(name, container={"readinessProbe": probe})
        for name, (_, words) in probes.items():
            await lab.event(name, "Unhealthy", words)


async def test_a_refused_connection_is_told_as_the_kubelet_does(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        probes = {
            "http": {"httpGet": {"path": "/api", "port": "web"}},
            "tcp": {"tcpSocket": {"port": 8766}},
        }
        for name, probe in probes.items():
            container = {"readinessProbe": probe, "ports": [{"name": "web", "containerPort": 8766}]}
            await lab.run(name, container=container)
        address = (await lab.until("http", lambda pod: pod["status"].get("podIP")))["status"]["podIP"]
        event = await lab.event("http", "Unhealthy")
        refused = f"dial tcp {address}:8766: connect: connection refused"
        assert event["message"] == f'Readiness probe failed: Get "http://{address}:8766/api": {refused}'
        assert (await lab.event("tcp", "Unhealthy"))["message"].endswith(":8766: connect: connection refused")


async def test_a_container_that_fails_its_liveness_probe_is_restarted(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
        await lab.run("sick", restartPolicy="Always", container={"livenessProbe": probe})
        pod = await lab.until(
            "sick", lambda pod: pod["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) > 0
        )
        assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 143
        assert "Killing: Container main failed liveness probe, will be restarted" in lab.events("sick")


async def test_a_startup_probe_holds_the_others_back(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        volumes, mounts = [{"name": "v", "emptyDir": {}}], [{"name": "v", "mountPath": "/v"}]
        startup = {"exec": {"command": ["test", "-e", "/v/started"]}, "periodSeconds": 1, "failureThreshold": 60}
        readiness = {"exec": {"command": ["true"]}, "periodSeconds": 1}
        container = {"startupProbe": startup, "readinessProbe": readiness, "volumeMounts": mounts}
        await lab.run("slow", volumes=volumes, container=container)
        event = await lab.event("slow", "Unhealthy")
        assert event["message"].startswith("Startup probe failed:")
        pod = lab.store.get("pods", "demo", "slow")
        status = pod["status"]["containerStatuses"][0]
        assert (status["started"], status["ready"]) == (False, False)
        started = tmp_path / "pods" / pod["metadata"]["uid"] / "volumes" / "v" / "started"
        started.touch()
        assert (await lab.ready("slow"))["status"]["containerStatuses"][0]["started"] is True


async def test_a_failing_post_start_hook_ends_the_container(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        hook = {"postStart": {"exec": {"command": ["/bin/sh", "-c", "echo no repository; exit 4"]}}}
        await lab.run("hooked", container={"lifecycle": hook})
        pod = await lab.ended("hooked")
        assert pod["status"]["phase"] == "Failed"
        event = await lab.event("hooked", "FailedPostStartHook")
        assert event["message"] == "PostStartHook failed: no repository"


async def test_a_pod_runs_only_after_its_post_start_hook(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        volumes, mounts = [{"name": "v", "emptyDir": {}}], [{"name": "v", "mountPath": "/v"}]
        hook = {"postStart": {"exec": {"command": ["/bin/sh", "-c", "sleep 0.2; touch /v/done"]}}}
        await lab.run("hooked", volumes=volumes, container={"lifecycle": hook, "volumeMounts": mounts})
        pod = await lab.until("hooked", lambda pod: pod["status"]["phase"] == "Running")
        assert (tmp_path / "pods" / pod["metadata"]["uid"] / "volumes" / "v" / "done").exists()

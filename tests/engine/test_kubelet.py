"""Pods run as processes, and their states tell what became of them."""

import asyncio
import base64
import os
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest
from running_engine import ANYWHERE, PATIENCE, gpus, is_ready, running_engine, state, waits_for

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
HOME = {
    "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}],
    "container": {"volumeMounts": [{"name": "home", "mountPath": "/home/jovyan"}]},
}


async def process_gone(pid: int) -> None:
    """Wait until a process has ended (a zombie has)."""
    try:
        await asyncio.to_thread(psutil.Process(pid).wait, PATIENCE)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_pod_that_does_its_work_succeeds(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        assert await lab.output("worker", "echo done; echo well >&2") == "done\nwell\n"
        pod = lab.store.get("pods", "demo", "worker")
        ended = state(pod)["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
        ready = next(one for one in pod["status"]["conditions"] if one["type"] == "Ready")
        assert (ready["status"], ready["reason"]) == ("False", "PodCompleted")
        assert lab.events("worker") == [
            "Scheduled: Successfully assigned demo/worker to cpu-0",
            'Pulled: Container image "example.org/tool:1" already present on machine',
            "Created: Created container: main",
            "Started: Started container main",
        ]


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -KILL $$$$", 137), ("kill -TERM $$$$", 143)])
async def test_a_pod_that_fails_tells_its_exit_code_and_last_words(script: str, code: int, tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        policy = {"terminationMessagePolicy": "FallbackToLogsOnError"}
        await lab.run("worker", f"echo starting; echo 'no licence' >&2; {script}", container=policy)
        pod = await lab.ended("worker")
        ended = state(pod)["terminated"]
        assert pod["status"]["phase"] == "Failed"
        assert (ended["exitCode"], ended["reason"]) == (code, "Error")
        assert sorted(ended["message"].splitlines()) == ["no licence", "starting"]


async def test_a_termination_message_goes_before_the_log(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        policy = {"terminationMessagePolicy": "FallbackToLogsOnError"}
        await lab.run("worker", "echo log; echo 'disk full' > /dev/termination-log; exit 1", container=policy)
        assert state(await lab.ended("worker"))["terminated"]["message"] == "disk full\n"


async def test_an_image_that_does_not_exist_is_told_in_the_kubelets_words(tmp_path: Path) -> None:
    async with running_engine(tmp_path, images={"example.org/*": ["sleep", "1000"]}) as lab:
        await lab.run("typo", container={"image": "pytroch"})
        seen = await lab.until("typo", waits_for("ErrImagePull"))
        full = "docker.io/library/pytroch:latest"
        why = f'rpc error: code = NotFound desc = failed to pull and unpack image "{full}": '
        why += f'failed to resolve reference "{full}": {full}: not found'
        assert state(seen)["waiting"]["message"] == why
        seen = await lab.until("typo", waits_for("ImagePullBackOff"))
        assert seen["status"]["phase"] == "Pending"
        assert state(seen)["waiting"]["message"] == f'Back-off pulling image "pytroch": ErrImagePull: {why}'
        again = await lab.event("typo", "BackOff")
        assert again["message"] == 'Back-off pulling image "pytroch"'
        found = lab.events("typo")
        assert f'Failed: Failed to pull image "pytroch": {why}' in found
        assert "Failed: Error: ErrImagePull" in found
        assert "Failed: Error: ImagePullBackOff" in found
        await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/typo")
        await lab.gone("typo")


async def test_an_image_is_pulled_as_its_policy_says(tmp_path: Path) -> None:
    async with running_engine(tmp_path, images={"there": ["true"]}) as lab:
        await lab.run("never", container={"image": "gone", "imagePullPolicy": "Never"})
        seen = await lab.until("never", waits_for("ErrImageNeverPull"))
        assert state(seen)["waiting"]["message"] == 'Container image "gone" is not present with pull policy of Never'
        await lab.run("always", "true", container={"image": "there", "imagePullPolicy": "Always"})
        await lab.ended("always")
        assert 'Pulling: Pulling image "there"' in lab.events("always")


async def test_an_image_runs_its_own_command_unless_the_pod_has_one(tmp_path: Path) -> None:
    async with running_engine(tmp_path, images={"*": ["echo", "the image's"]}) as lab:
        container = {"name": "main", "image": "x"}
        for name, own in (
            ("image", {}),
            ("args", {"args": ["echo", "the args"]}),
            ("command", {"command": ["echo"], "args": ["both $(X)"], "env": [{"name": "X", "value": "1"}]}),
            ("alone", {"command": ["echo"]}),
        ):
            await lab.run(name, containers=[container | own])
            await lab.ended(name)
        logs = [await lab.log(name) for name in ("image", "args", "command", "alone")]
        assert logs == ["the image's\n", "the args\n", "both 1\n", "\n"]


async def test_a_command_that_does_not_exist_is_told_as_containerd_does(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.run("typo", container={"command": ["jupytre-lab"]})
        ended = state(await lab.ended("typo"))["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
        assert ended["message"].endswith('exec: "jupytre-lab": executable file not found in $PATH: unknown')
        failed = await lab.event("typo", "Failed")
        assert failed["message"] == f"Error: {ended['message']}"


async def test_the_environment_is_clean_and_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERVISOR_SECRET", "hush")
    async with running_engine(tmp_path) as lab:
        env = [
            {"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "URL", "value": "http://0.0.0.0:$(PORT)/$(WHO)"},
        ]
        text = await lab.output("worker", "env", container={"env": [{"name": "PORT", "value": "8888"}, *env]})
        found = dict(line.split("=", 1) for line in text.splitlines())
        address = lab.store.get("pods", "demo", "worker")["status"]["podIP"]
        assert "SUPERVISOR_SECRET" not in found
        assert (found["WHO"], found["IP"], found["URL"]) == ("worker", address, f"http://{address}:8888/worker")
        assert found["HOSTNAME"] == "worker"
        assert found["CUDA_VISIBLE_DEVICES"] == ""
        assert address.startswith("127.")


async def test_a_missing_secret_is_told_and_the_pod_starts_when_it_comes(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        reference = {"secretKeyRef": {"name": "token", "key": "t"}}
        container = {"env": [{"name": "TOKEN", "valueFrom": reference}]}
        await lab.run("worker", "echo $TOKEN", container=container)
        seen = await lab.until("worker", waits_for("CreateContainerConfigError"))
        assert state(seen)["waiting"]["message"] == 'secret "token" not found'
        assert (await lab.event("worker", "Failed"))["message"] == 'Error: secret "token" not found'
        await lab.create("secrets", {"metadata": {"name": "token"}, "data": {"t": base64.b64encode(b"hush").decode()}})
        await lab.ended("worker")
        assert await lab.log("worker") == "hush\n"


async def test_a_missing_config_map_keeps_a_volume_waiting(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        volume = {"name": "cm", "configMap": {"name": "late"}}
        container = {"volumeMounts": [{"name": "cm", "mountPath": "/etc/late"}]}
        await lab.run("worker", "cat /etc/late/key", volumes=[volume], container=container)
        event = await lab.event("worker", "FailedMount")
        assert event["message"] == 'MountVolume.SetUp failed for volume "cm" : configmap "late" not found'
        await lab.create("configmaps", {"metadata": {"name": "late"}, "data": {"key": "here"}})
        await lab.ended("worker")
        assert await lab.log("worker") == "here"


async def test_a_home_outlives_its_pod_and_goes_with_its_claim(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.create("persistentvolumeclaims", {"metadata": {"name": "home"}, "spec": CLAIM})
        folder = tmp_path / "volumes" / "demo" / "home"
        assert (
            await lab.output("one", "echo hello > /home/jovyan/note; pwd; echo $HOME", **HOME)
            == f"{folder}\n{folder}\n"
        )
        assert await lab.output("two", "cat note", **HOME) == "hello\n"
        await lab.run("three", **HOME)
        await lab.ready("three")
        await lab.ok("DELETE", "/api/v1/namespaces/demo/persistentvolumeclaims/home")
        assert folder.is_dir()
        await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/three")
        await lab.gone("home", "persistentvolumeclaims")
        assert not folder.exists()


async def test_what_belongs_to_a_pod_only_goes_with_it(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        volumes = [{"name": "shm", "emptyDir": {"medium": "Memory"}}, {"name": "scratch", "emptyDir": {}}]
        mounts = [{"name": "shm", "mountPath": "/dev/shm"}, {"name": "scratch", "mountPath": "/scratch"}]
        text = await lab.output(
            "worker", "echo /dev/shm /scratch $HOME", volumes=volumes, container={"volumeMounts": mounts}
        )
        folders = [Path(word) for word in text.split()]
        assert all(folder.is_dir() for folder in folders)
        await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/worker")
        await lab.gone("worker")
    assert not any(folder.exists() for folder in folders)


async def test_no_two_pods_get_the_same_gpu(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "t4=1x4") as lab:
        script = 'echo "$CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES"; exec sleep 1000'
        for name, count in (("one", 1), ("two", 2)):
            await lab.run(name, script, tolerations=ANYWHERE, container={"resources": gpus(count)})
            await lab.ready(name)
        await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/one")
        await lab.gone("one")
        await lab.run("three", script, tolerations=ANYWHERE, container={"resources": gpus(2)})
        await lab.ready("three")
        given = {}
        for name in ("two", "three"):
            given[name] = await lab.first_line(name)
        indexes = {name: line.split()[0] for name, line in given.items()}
        assert indexes == {"two": "1,2", "three": "0,3"}
        uuids = [uuid for line in given.values() for uuid in line.split()[1].split(",")]
        assert len(set(uuids)) == 4
        assert all(uuid.startswith("GPU-") for uuid in uuids)


async def test_a_pod_bound_to_a_full_node_is_rejected(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "t4=1x1") as lab:
        await lab.run("one", tolerations=ANYWHERE, container={"resources": gpus(1)})
        await lab.ready("one")
        await lab.run("two", nodeName="t4-0", container={"resources": gpus(1)})
        pod = await lab.ended("two")
        assert pod["status"]["reason"] == "UnexpectedAdmissionError"
        assert "Requested: 1, Available: 0, which is unexpected" in pod["status"]["message"]


async def test_deleting_ends_a_process_with_all_its_descendants(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        # One child in the process group, one in a session of its own, one that outlived its parent.
        script = "sleep 1001 & setsid sleep 1002 & (sleep 1003 &) ; echo begun; trap 'exit 0' TERM; "
        await lab.run("worker", script + "while :; do sleep 0.01; done")
        await lab.first_line("worker")
        pod = await lab.ready("worker")
        uid = pod["metadata"]["uid"]

        def family() -> list[psutil.Process]:
            found = []
            for process in psutil.process_iter():
                try:
                    if f"/{uid}/" in process.environ().get("GPUSPAWNER_CONTAINER", ""):
                        found.append(process)
                except psutil.Error:
                    continue
            return found

        members = family()
        await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/worker")
        await lab.gone("worker")
        assert len(members) >= 4
        assert family() == []
        assert "Killing: Stopping container main" in lab.events("worker")


async def test_a_process_that_ignores_the_request_to_end_is_killed_after_its_grace(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.run("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.01; done")
        await lab.ready("stubborn")
        await lab.first_line("stubborn")
        await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/stubborn", {"gracePeriodSeconds": 1})
        assert state(await lab.ended("stubborn"))["terminated"]["exitCode"] == 137
        await lab.gone("stubborn")


async def test_a_process_has_time_to_say_goodbye(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
        hook = {"preStop": {"exec": {"command": ["/bin/sh", "-c", "echo stopping > $HOME/hook"]}}}
        await lab.create("persistentvolumeclaims", {"metadata": {"name": "home"}, "spec": CLAIM})
        container = HOME["container"] | {"lifecycle": hook}  # type: ignore[operator]
        await lab.run("polite", script, volumes=HOME["volumes"], container=container)
        await lab.ready("polite")
        await lab.first_line("polite")
        await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/polite")
        pod = await lab.ended("polite")
        assert pod["status"]["phase"] == "Succeeded"
        assert state(pod)["terminated"]["exitCode"] == 0
        assert (tmp_path / "volumes" / "demo" / "home" / "hook").read_text() == "stopping\n"


async def test_a_forced_deletion_kills_at_once(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.run("stubborn", "trap '' TERM; echo $$$$; while :; do sleep 0.01; done")
        await lab.ready("stubborn")
        pid = int(await lab.first_line("stubborn"))
        await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/stubborn", {"gracePeriodSeconds": 0})
        assert lab.store.find("pods", "demo", "stubborn") is None
        await process_gone(pid)


async def test_two_pods_listen_on_the_same_port_of_their_own_addresses(tmp_path: Path) -> None:
    serve = ["python", "-u", "-m", "http.server", "8765", "--bind", "0.0.0.0"]  # noqa: S104  (becomes each pod's own)
    async with running_engine(tmp_path) as lab:
        probe = {"readinessProbe": {"tcpSocket": {"port": 8765}, "periodSeconds": 1}}
        for name in ("one", "two"):
            await lab.run(name, container={"command": serve} | probe)
        addresses = {(await lab.ready(name))["status"]["podIP"] for name in ("one", "two")}
        assert len(addresses) == 2
        for address in addresses:
            with socket.create_connection((address, 8765), timeout=5):
                pass


async def test_init_containers_run_in_order_before_the_others(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        volumes = [{"name": "shared", "emptyDir": {}}]
        mounts = [{"name": "shared", "mountPath": "/shared"}]

        def step(name: str, script: str) -> dict[str, Any]:
            return {"name": name, "image": "x", "command": ["/bin/sh", "-c", script], "volumeMounts": mounts}

        init = [step("first", "echo 1 >> /shared/log"), step("second", "echo 2 >> /shared/log")]
        await lab.run("pod", volumes=volumes, initContainers=init, containers=[step("main", "cat /shared/log")])
        pod = await lab.ended("pod")
        assert await lab.log("pod", "?container=main") == "1\n2\n"
        assert [one["state"]["terminated"]["reason"] for one in pod["status"]["initContainerStatuses"]] == [
            "Completed"
        ] * 2
        assert all(one["ready"] for one in pod["status"]["initContainerStatuses"])


async def test_a_failed_init_container_fails_the_pod(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        watch = lab.store.watch("pods", "demo", lab.store.version)
        init = [{"name": "setup", "image": "x", "command": ["/bin/sh", "-c", "exit 7"]}]
        await lab.run("pod", "true", initContainers=init)
        pod = await lab.ended("pod")
        assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
        assert state(pod) == {"waiting": {"reason": "PodInitializing"}}
        phases = [change.new.obj["status"]["phase"] for change in await watch.next_changes(limit=100)]
        assert set(phases) == {"Pending", "Failed"}


async def test_a_sidecar_serves_the_others_and_ends_after_them(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        sidecar = {
            "name": "side",
            "image": "x",
            "command": ["/bin/sh", "-c", "exec sleep 1000"],
            "restartPolicy": "Always",
        }
        await lab.run("pod", "echo work", initContainers=[sidecar])
        pod = await lab.ended("pod")
        assert pod["status"]["phase"] == "Succeeded"
        assert state(pod)["terminated"]["exitCode"] == 0
        assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 143


async def test_extra_containers_run_beside_the_first(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        containers = [
            {"name": name, "image": "x", "command": ["/bin/sh", "-c", f"echo {name}; exec sleep 1000"]}
            for name in ("main", "extra")
        ]
        await lab.run("pod", containers=containers)
        pod = await lab.ready("pod")
        assert [one["name"] for one in pod["status"]["containerStatuses"]] == ["main", "extra"]
        assert await lab.first_line("pod", "extra") == "extra"


async def test_a_crashing_container_is_restarted_with_growing_pauses(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.run("crash", "echo run; exit 1", restartPolicy="OnFailure")
        pod = await lab.until("crash", waits_for("CrashLoopBackOff"))
        who = f"crash_demo({pod['metadata']['uid']})"
        assert state(pod)["waiting"]["message"] == f"back-off 0.05s restarting failed container=main pod={who}"
        status = pod["status"]["containerStatuses"][0]
        assert status["restartCount"] >= 1
        assert status["lastState"]["terminated"]["exitCode"] == 1
        assert pod["status"]["phase"] == "Running"
        event = await lab.event("crash", "BackOff")
        assert event["message"] == f"Back-off restarting failed container main in pod {who}"
        await lab.until("crash", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] >= 3)
        assert await lab.log("crash", "?previous=true") == "run\n"


async def test_on_failure_lets_a_success_stand(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        volumes = [{"name": "v", "emptyDir": {}}]
        script = "test -e /v/tried && exit 0; touch /v/tried; exit 5"
        mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
        await lab.run("second", script, restartPolicy="OnFailure", volumes=volumes, container=mounts)
        pod = await lab.ended("second")
        status = pod["status"]["containerStatuses"][0]
        assert (pod["status"]["phase"], status["restartCount"]) == ("Succeeded", 1)
        assert status["lastState"]["terminated"]["exitCode"] == 5


async def test_always_restarts_even_a_success(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.run("loop", "exit 0", restartPolicy="Always")
        pod = await lab.until(
            "loop", lambda pod: pod["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) >= 2
        )
        assert pod["status"]["phase"] == "Running"


async def test_a_deadline_ends_a_pod(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.run("late", activeDeadlineSeconds=1)
        pod = await lab.ended("late")
        words = "Pod was active on the node longer than the specified deadline"
        assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")
        assert pod["status"]["message"] == words
        assert state(pod)["terminated"]["exitCode"] == 143
        assert f"DeadlineExceeded: {words}" in lab.events("late")


async def test_a_container_over_its_memory_limit_is_killed(tmp_path: Path) -> None:
    async with running_engine(tmp_path, memory_interval=0.05) as lab:
        script = 'exec python -c "x = bytearray(300 << 20)\nimport time; time.sleep(1000)"'
        limits = {"memory": "100Mi", "cpu": "1"}
        await lab.run("greedy", script, container={"resources": {"limits": limits, "requests": limits}})
        await lab.run("modest", container={"resources": {"limits": limits, "requests": limits}})
        ended = state(await lab.ended("greedy"))["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")
        assert "running" in state(await lab.ready("modest"))


async def test_memory_of_child_processes_counts(tmp_path: Path) -> None:
    async with running_engine(tmp_path, memory_interval=0.05) as lab:
        child = 'python -c "x = bytearray(70 << 20)\nimport time; time.sleep(1000)"'
        limits = {"memory": "120Mi", "cpu": "1"}
        script = f"setsid {child} & setsid {child} & wait"
        await lab.run("greedy", script, container={"resources": {"limits": limits, "requests": limits}})
        assert state(await lab.ended("greedy"))["terminated"]["reason"] == "OOMKilled"


async def test_a_pod_of_the_same_name_can_follow_at_once(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "t4=1x1") as lab:
        seen = set()
        for _ in range(5):
            created = await lab.run("again", tolerations=ANYWHERE, container={"resources": gpus(1)})
            pod = await lab.until(
                "again", lambda pod, uid=created["metadata"]["uid"]: pod["metadata"]["uid"] == uid and is_ready(pod)
            )
            seen.add(pod["metadata"]["uid"])
            await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/again")
            await lab.gone("again")
        assert len(seen) == 5


async def test_pods_of_a_node_that_is_deleted_go_with_it(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "cpu=1") as lab:
        await lab.run("stranded")
        await lab.ready("stranded")
        await lab.ok("DELETE", "/api/v1/nodes/cpu-0")
        await lab.gone("stranded")


def test_the_tests_leave_no_process_behind() -> None:
    mine = psutil.Process(os.getpid()).children(recursive=True)
    assert [process for process in mine if process.name() in ("sleep", "sh")] == []

"""The engine starts, keeps what is to be kept, and leaves nothing behind however it ends."""

import asyncio
import json
import os
import signal
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from kubernetes.aio import client, config
from running_engine import PATIENCE, running_engine
from test_kubelet import CLAIM, HOME, process_gone

from gpuspawner.local.engine import Engine, EngineError
from gpuspawner.local.kubelet.process import MARKER
from gpuspawner.local.nodes.description import NodesError


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_objects_and_homes_outlive_the_engine_and_pods_do_not(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        token = lab.engine.token
        await lab.create("persistentvolumeclaims", {"metadata": {"name": "home"}, "spec": CLAIM})
        await lab.create("secrets", {"metadata": {"name": "kept"}, "stringData": {"k": "v"}})
        await lab.run("pod", "echo first > /home/jovyan/note; echo written; exec sleep 1000", **HOME)
        assert await lab.first_line("pod") == "written"
    async with running_engine(tmp_path) as lab:
        assert lab.engine.token == token
        assert [stored.name for stored in lab.store.items("pods")] == []
        assert lab.store.get("secrets", "demo", "kept")["data"] == {"k": "dg=="}
        assert await lab.output("again", "cat /home/jovyan/note", **HOME) == "first\n"


async def test_an_object_is_kept_even_if_the_engine_is_killed(tmp_path: Path) -> None:
    async with running_engine(tmp_path / "data") as lab:
        await lab.create("configmaps", {"metadata": {"name": "kept"}, "data": {"k": "v"}})
        async with asyncio.timeout(PATIENCE):
            while '"kept"' not in _saved(tmp_path / "data"):  # noqa: ASYNC110  (a file tells nobody)
                await asyncio.sleep(0.01)


def _saved(folder: Path) -> str:
    return (folder / "objects.json").read_text()


async def test_only_the_owner_can_read_what_the_engine_keeps(tmp_path: Path) -> None:
    async with running_engine(tmp_path / "data") as lab:
        lab.engine.write_kubeconfig(tmp_path / "kubeconfig")
        modes = {path.name: mode(path) for path in _secrets(tmp_path)}
        assert modes == {
            "data": 0o700,
            "kubeconfig": 0o600,
            "token": 0o600,
            "objects.json": 0o600,
            "apiserver.key": 0o600,
        }


def _secrets(folder: Path) -> list[Path]:
    kept = [folder / "data" / name for name in ("token", "objects.json", "apiserver.key")]
    return [folder / "data", folder / "kubeconfig", *kept]


async def test_the_official_client_works_with_the_kubeconfig(tmp_path: Path) -> None:
    async with running_engine(tmp_path / "data", "a100=1x8 cpu=1") as lab:
        lab.engine.write_kubeconfig(tmp_path / "kubeconfig", namespace="demo")
        settings = client.Configuration()
        await config.load_kube_config(str(tmp_path / "kubeconfig"), client_configuration=settings)
        async with client.ApiClient(settings) as api:
            nodes = await client.CoreV1Api(api).list_node()
        assert [node.metadata.name for node in nodes.items] == ["a100-0", "cpu-0"]
        assert nodes.items[0].status.allocatable["nvidia.com/gpu"] == "8"
        assert {one.type: one.status for one in nodes.items[0].status.conditions} == {"Ready": "True"}


async def test_a_stranger_is_refused(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        lab.engine.token = "guessed"
        status, body = await lab.call("GET", "/api/v1/namespaces/demo/pods")
        assert (status, body["reason"]) == (401, "Unauthorized")


async def test_two_engines_do_not_share_a_folder(tmp_path: Path) -> None:
    async with running_engine(tmp_path):
        second = Engine("cpu=1", data_dir=tmp_path)
        with pytest.raises(EngineError, match=r"Another engine uses .* Stop it first, or choose another data folder"):
            await second.start()
    async with running_engine(tmp_path):
        pass


async def test_a_taken_port_is_told_and_nothing_stays_behind(tmp_path: Path) -> None:
    async with running_engine(tmp_path / "one") as lab:
        port = int(lab.engine.url.rsplit(":", 1)[1])
        second = Engine("cpu=1", data_dir=tmp_path / "two", port=port)
        with pytest.raises(EngineError, match=rf"cannot listen on 127.0.0.1:{port} .* Choose another port"):
            await second.start()
    async with running_engine(tmp_path / "two"):
        pass


def test_a_bad_description_of_nodes_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(NodesError, match="Did you mean a100"):
        Engine("a1000=1x8", data_dir=tmp_path / "data")
    assert not (tmp_path / "data").exists()


async def test_stopping_the_engine_ends_every_process(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.run("stubborn", "trap '' TERM; (setsid sleep 1001 &) ; echo $$$$; while :; do sleep 0.01; done")
        await lab.run("polite", "echo $$$$; exec sleep 1000")
        pids = [int(await lab.first_line(name)) for name in ("stubborn", "polite")]
        lab.engine._stop_grace = 0.5
    for pid in pids:
        await process_gone(pid)
    assert _marked(json.loads(_saved(tmp_path))["objects"] and (tmp_path / "engine-id").read_text()) == []


def _marked(engine_id: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER, "").startswith(engine_id):
                found.append(process)
        except psutil.Error:
            continue
    return found


KILLED_ENGINE = """
    import asyncio, sys
    from pathlib import Path
    from running_engine import running_engine

    async def main():
        async with running_engine(Path(sys.argv[1])) as lab:
            await lab.run("pod", "setsid sh -c 'echo child $$$$; exec sleep 1001' & echo main $$$$; exec sleep 1000")
            pod = await lab.ready("pod")
            lines, log = [], f"/api/v1/namespaces/demo/pods/pod/log?follow=true"
            async with lab.request("GET", log) as response:
                while len(lines) < 2:
                    lines.append((await response.content.readline()).decode().strip())
            print(*lines, flush=True)
            await asyncio.Event().wait()

    asyncio.run(main())
"""


async def test_nothing_outlives_an_engine_that_was_killed(tmp_path: Path) -> None:
    script = textwrap.dedent(KILLED_ENGINE)
    engine = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    )
    assert engine.stdout is not None
    async with asyncio.timeout(PATIENCE):
        words = (await engine.stdout.readline()).decode().split()
    pids = {name: int(pid) for name, pid in zip(words[::2], words[1::2], strict=True)}
    assert sorted(pids) == ["child", "main"]
    engine.send_signal(signal.SIGKILL)
    await engine.wait()
    engine_id = (tmp_path / "engine-id").read_text()
    await process_gone(pids["main"])
    async with running_engine(tmp_path):
        await process_gone(pids["child"])
    assert _marked(engine_id) == []


async def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="loopback only"):
        await Engine(data_dir=tmp_path, host="0.0.0.0").start()  # noqa: S104

"""What the extension of the notebook server reads: NVML for the GPU, cgroups or processes for the CPU."""

import os
import subprocess
import sys
from pathlib import Path

import pynvml
import pytest
from fake_driver import MIB, Card, Driver, install

from gpuspawner.notebook.cpu import CPUMeter, cgroup_seconds, process_seconds
from gpuspawner.notebook.gpu import Gpu, gpu_memory, gpus


def test_what_the_driver_reserves_for_itself_is_not_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = install(monkeypatch, Driver([Card(used=4, reserved=630)]))
    assert gpu_memory({}) == 4 * MIB
    assert driver.initialized == 0


def test_of_several_gpus_the_busiest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Driver([Card("GPU-a", 4), Card("GPU-b", 9000), Card("GPU-c", 17)]))
    assert gpu_memory({}) == 9000 * MIB


def test_where_all_gpus_of_a_machine_are_seen_the_server_s_own_count(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Driver([Card("GPU-a", 4), Card("GPU-b", 9000)]))
    assert gpu_memory({"NVIDIA_VISIBLE_DEVICES": "GPU-a"}) == 4 * MIB
    assert gpu_memory({"NVIDIA_VISIBLE_DEVICES": "void"}) == 9000 * MIB


def test_of_a_card_in_slices_the_server_s_slices_count(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = (Card("MIG-1", 30), None, Card("MIG-2", 70))
    install(monkeypatch, Driver([Card("GPU-a", 20000, slices=slices)]))
    assert gpu_memory({}) == 70 * MIB
    assert gpu_memory({"NVIDIA_VISIBLE_DEVICES": "MIG-1"}) == 30 * MIB
    assert gpu_memory({"NVIDIA_VISIBLE_DEVICES": "GPU-a"}) == 70 * MIB


def test_of_each_gpu_its_memory_and_its_load_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = install(monkeypatch, Driver([Card("GPU-a", 4096, total=15360, load=45), Card("GPU-b", 17, total=15360)]))
    assert gpus({}) == [
        Gpu("Card GPU-a", 4096 * MIB, 15360 * MIB, 0.45),
        Gpu("Card GPU-b", 17 * MIB, 15360 * MIB, None),
    ]
    assert [gpu.name for gpu in gpus({"NVIDIA_VISIBLE_DEVICES": "GPU-b"})] == ["Card GPU-b"]
    assert driver.initialized == 0
    driver.broken = pynvml.NVML_ERROR_GPU_IS_LOST
    assert gpus({}) == []


def test_an_old_driver_tells_too_much_rather_than_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Driver([Card(used=4, reserved=30)], old=True))
    assert gpu_memory({}) == 34 * MIB


def test_under_mps_nobody_can_tell_whose_memory_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Driver([Card(used=4)]))
    assert gpu_memory({"CUDA_MPS_PIPE_DIRECTORY": "/tmp/nvidia-mps"}) is None
    assert gpus({"CUDA_MPS_PIPE_DIRECTORY": "/tmp/nvidia-mps"}) == []


@pytest.mark.parametrize("trouble", [pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_NO_PERMISSION])
def test_a_driver_in_trouble_tells_nothing(monkeypatch: pytest.MonkeyPatch, trouble: int) -> None:
    driver = install(monkeypatch, Driver([Card(used=4)], broken=trouble))
    assert gpu_memory({}) is None
    assert driver.initialized == 0


def test_without_driver_gpu_or_library_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Driver([]))
    assert gpu_memory({}) is None
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", _no_library)
    assert gpu_memory({}) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpu_memory({}) is None


def _no_library(name: str) -> None:
    raise OSError(name)


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


CPU_STAT = "usage_usec 7250000\nuser_usec 7000000\nsystem_usec 250000\n"


def test_a_container_of_cgroups_2_knows_its_cpu(tmp_path: Path) -> None:
    assert cgroup_seconds(written(tmp_path, {"cpu.stat": CPU_STAT, "cpu.max": "100000 100000\n"})) == 7.25


@pytest.mark.parametrize("group", ["cpu,cpuacct", "cpuacct"])
def test_a_container_of_cgroups_1_knows_its_cpu(tmp_path: Path, group: str) -> None:
    quota = "cpu" if group == "cpuacct" else group
    files = {f"{group}/cpuacct.usage": "7250000000\n", f"{quota}/cpu.cfs_quota_us": "100000\n"}
    assert cgroup_seconds(written(tmp_path, files)) == 7.25


@pytest.mark.parametrize(
    "files",
    [
        {"cpu.stat": CPU_STAT},
        {"cpu,cpuacct/cpuacct.usage": "7250000000\n"},
        {"cpu.stat": "nr_periods 0\n", "cpu.max": "max 100000\n"},
        {"cpu.stat": "usage_usec many\n", "cpu.max": "max 100000\n"},
        {},
    ],
    ids=["the machine, version 2", "the machine, version 1", "no usage", "garbled", "no cgroups"],
)
def test_the_cpu_of_the_whole_machine_is_not_the_server_s(tmp_path: Path, files: dict[str, str]) -> None:
    assert cgroup_seconds(written(tmp_path, files)) is None


def test_the_cpu_of_processes_is_theirs_and_that_of_all_they_started(tmp_path: Path) -> None:
    def stat(pid: int, parent: int, *ticks: int) -> tuple[str, str]:
        return f"{pid}/stat", f"{pid} (a (bad) name) S {parent} 1 1 0 -1 0 0 0 0 0 {' '.join(map(str, ticks))} 20 0"

    files = dict(
        [stat(1, 0, 9, 9, 9, 9), stat(7, 1, 100, 50, 20, 30), stat(8, 7, 200, 0, 0, 0), stat(9, 1, 5, 5, 5, 5)]
    )
    written(tmp_path, {**files, "10/stat": "gone", "self": ""})
    per_second = os.sysconf("SC_CLK_TCK")
    assert process_seconds(7, tmp_path) == 400 / per_second
    assert process_seconds(4, tmp_path) is None


def test_the_cpu_of_a_real_child_counts() -> None:
    before = process_seconds()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    after = process_seconds()
    assert before is not None
    assert after is not None
    assert after - before >= 0.25


def test_a_meter_tells_cores_between_two_readings() -> None:
    used, now = iter([10.0, 25.0, 24.0, None, 30.0, 33.0]), iter([0.0, 60.0, 120.0, 180.0, 240.0, 300.0])
    meter = CPUMeter(lambda: next(used), lambda: next(now))
    assert [meter.read() for _ in range(6)] == [None, 0.25, 0.0, None, None, 0.05]

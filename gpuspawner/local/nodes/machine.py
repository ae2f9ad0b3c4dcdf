"""This machine as a node: its cores, its memory and its real GPUs through NVML or nvidia-smi."""

import csv
import os
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass

import psutil

from gpuspawner.local.nodes.description import Device, LocalNode, make_node

__all__ = ["Card", "machine_node", "parse_nvidia_smi", "real_cards"]

_QUERY = ("index", "uuid", "name", "memory.total")
_TIMEOUT = 20
# CUDA compute capability to the architecture that GPU feature discovery writes.
_FAMILIES = {"6": "pascal", "7.0": "volta", "7.5": "turing", "8": "ampere", "8.9": "ada-lovelace", "9": "hopper"}
_NEWEST_FAMILY = "blackwell"


@dataclass(frozen=True, slots=True)
class Card:
    """One real GPU."""

    index: int
    uuid: str
    name: str
    """As the driver says it: ``NVIDIA A100-SXM4-80GB``."""
    memory: int
    """MiB."""
    family: str = ""


def machine_node() -> tuple[LocalNode, str]:
    """Return this machine as a node, and a sentence about what was found."""
    cards, sentence = real_cards()
    name = re.sub(r"[^a-z0-9.-]+", "-", socket.gethostname().lower()).strip("-.") or "this-machine"
    resources = {
        "cpu": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1),
        "memory": f"{psutil.virtual_memory().total // 1024}Ki",
        "ephemeral-storage": f"{shutil.disk_usage('/').total // 1024}Ki",
        "pods": "110",
    }
    if not cards:
        return LocalNode(make_node(name, resources, {}, {})), sentence
    devices = [Device(card.index, card.uuid, card.uuid) for card in cards]
    node = make_node(name, resources, {"nvidia.com/gpu": len(cards)}, _labels(cards))
    # This machine is the only node: what needs no GPU runs here as well.
    node["spec"] = {}
    return LocalNode(node, {"nvidia.com/gpu": devices}), sentence


def real_cards() -> tuple[list[Card], str]:
    """Return the machine's NVIDIA GPUs, and a sentence that says what was found or why none was."""
    cards, trouble = _from_nvml()
    if not cards:
        cards, smi_trouble = _from_nvidia_smi()
        trouble = trouble or smi_trouble
    if not cards:
        return [], f"No NVIDIA GPU was found on this machine ({trouble}), so it serves as a node without GPUs."
    names = ", ".join(sorted({card.name for card in cards}))
    return cards, f"Found {len(cards)} GPU{'s' if len(cards) > 1 else ''} on this machine: {names}."


def _labels(cards: list[Card]) -> dict[str, str]:
    """GPU feature discovery labels a node after its first card."""
    first = cards[0]
    return {
        "nvidia.com/gpu.count": str(len(cards)),
        "nvidia.com/gpu.memory": str(first.memory),
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.product": re.sub(r"[^A-Za-z0-9._-]+", "-", first.name).strip("-._"),
        "nvidia.com/gpu.replicas": "1",
        "nvidia.com/gpu.sharing-strategy": "none",
    } | ({"nvidia.com/gpu.family": first.family} if first.family else {})


def _family(major: int, minor: int) -> str:
    return _FAMILIES.get(f"{major}.{minor}") or _FAMILIES.get(str(major)) or (_NEWEST_FAMILY if major >= 10 else "")


def _from_nvml() -> tuple[list[Card], str]:
    try:
        import pynvml
    except ImportError:
        return [], ""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return [], f"NVML: {error}"
    try:
        cards = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
            memory = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) // 1024**2
            family = _family(*pynvml.nvmlDeviceGetCudaComputeCapability(handle))
            cards.append(Card(index, _text(uuid), _text(name), memory, family))
        return cards, "" if cards else "NVML counts none"
    except pynvml.NVMLError as error:
        return [], f"NVML: {error}"
    finally:
        pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _from_nvidia_smi() -> tuple[list[Card], str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return [], "there is no nvidia-smi"
    command = [program, f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
        return parse_nvidia_smi(done.stdout), "nvidia-smi lists none"
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return [], f"nvidia-smi: {error}"


def parse_nvidia_smi(text: str) -> list[Card]:
    """Read ``nvidia-smi --query-gpu=index,uuid,name,memory.total --format=csv,noheader,nounits``."""
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    return [Card(int(row[0]), row[1], row[2], int(row[3])) for row in rows if len(row) == len(_QUERY)]

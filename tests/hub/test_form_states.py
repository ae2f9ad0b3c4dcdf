"""What the launch form of a real hub says of GPUs that are free, taken, or nowhere."""

from copy import deepcopy
from typing import Any

from cluster import SECTION
from test_spawner import launch

from gpuspawner.local.engine import Engine


async def form(hub: Any, user: str) -> str:
    person = await hub.login(user, "x")
    page = await person.get("spawn")
    assert page.status == 200
    return " ".join((await page.text()).split())


async def test_the_form_says_what_is_free_when_the_next_turn_comes_and_what_can_never_be(
    start_gpu_hub: Any, engine: Engine
) -> None:
    classes = deepcopy(SECTION["gpu_classes"])
    classes["medium"]["accepts"][0]["product"] = "NVIDIA-H100"
    workspaces = {"everyone": {"members": "*"}}
    hub = await start_gpu_hub(gpu_classes=classes, workspaces=workspaces)
    shown = await form(hub, "eve")
    assert "2 of 2 free now" in shown
    assert "not available here: no node can run it" in shown
    for name in ("ada", "bob"):
        await hub.login(name, "x")
        await launch(hub, name, {"profile": "pytorch", "gpu_class": "small", "runtime": "30m"})
    assert "all 2 taken, your turn in about 30 min" in await form(hub, "eve")

"""Nodes that are taken out of service: members are told, and their servers end when the operator said."""

from datetime import timedelta
from typing import Any

from launching import named
from sitting import PROFILES, Started, annotations, gone, lease, page, sentences, sessions, start, until

from gpuspawner.local.engine import Engine
from gpuspawner.sessions.notices import Notice

__all__ = ["start"]

TOLD = "gpuspawner/maintenance"


def node_of(engine: Engine) -> str:
    name: str = named(engine, "pods")["jupyter-ada"]["spec"]["nodeName"]
    return name


def cordon(engine: Engine, closed: bool = True) -> None:
    """As ``kubectl cordon`` and ``kubectl uncordon`` do."""
    engine.store.modify("nodes", None, node_of(engine), lambda node: node["spec"].update(unschedulable=closed))


def plan(engine: Engine, at: str) -> None:
    """As ``kubectl annotate node`` does."""

    def change(node: dict[str, Any]) -> None:
        node["metadata"].setdefault("annotations", {})[TOLD] = at

    engine.store.modify("nodes", None, node_of(engine), change)


async def test_who_has_a_server_on_a_cordoned_node_is_told_once_and_when_it_is_open_again_no_more(
    start: Started, engine: Engine, start_gpu_hub: Any
) -> None:
    sent: list[Notice] = []
    hub, _ = await start(notify_hook=sent.append)
    cordon(engine)
    await until(lambda: sent and annotations(engine).get(TOLD) == "cordoned")
    [told] = sentences(hub)
    assert told.startswith("Your server runs on a machine that is being taken out of service. It goes on for now.")
    assert sent[0].kind == "maintenance"
    assert told in await page(await hub.login("ada", "x"))

    hub = await start_gpu_hub(profiles=PROFILES, notify_hook=sent.append)
    await until(lambda: sentences(hub) == [told])
    assert len(sent) == 1

    cordon(engine, closed=False)
    await until(lambda: not sentences(hub) and TOLD not in annotations(engine))
    cordon(engine)
    await until(lambda: len(sent) == 2)


async def test_a_node_that_says_when_it_is_serviced_ends_its_servers_then_after_warnings(
    start: Started, engine: Engine
) -> None:
    sent: list[Notice] = []
    hub, clock = await start(notify_hook=sent.append)
    at = clock.at + timedelta(minutes=40)
    plan(engine, at.isoformat())
    await until(lambda: len(sent) == 1)
    assert f"it ends on {at:%d %B} at {at:%H:%M}" in sent[0].sentence
    assert sessions(hub).ends(lease(hub))[0].kind == "maintenance"
    clock.at = at - timedelta(minutes=5)
    sessions(hub).look()
    await until(lambda: len(sent) == 2)
    assert "the machine it runs on is taken out of service. Save your work." in sent[1].sentence
    clock.at = at
    sessions(hub).look()
    await gone(hub, engine)
    told = await page(await hub.login("ada", "x"))
    assert "<strong>The machine it ran on was taken out of service.</strong> Start it again; your files" in told


async def test_another_time_replaces_the_first_and_one_that_cannot_be_read_ends_nothing(
    start: Started, engine: Engine, caplog: Any
) -> None:
    hub, clock = await start()
    plan(engine, (clock.at + timedelta(minutes=40)).isoformat())
    await until(lambda: sessions(hub).ends(lease(hub))[0].kind == "maintenance")
    later = clock.at + timedelta(minutes=50)
    plan(engine, later.isoformat())
    await until(lambda: sessions(hub).ends(lease(hub))[0].at == later)
    for wrong in ("tomorrow", "2026-12-01T18:00:00"):
        plan(engine, wrong)
        await until(lambda wrong=wrong: repr(wrong) in caplog.text)
        assert sessions(hub).ends(lease(hub))[0].kind == "runtime"
    assert not sentences(hub)


async def test_servers_on_other_nodes_are_left_alone(start: Started, engine: Engine) -> None:
    hub, _ = await start()
    [other, *_] = [name for name in named(engine, "nodes", None) if name != node_of(engine)]
    engine.store.modify("nodes", None, other, lambda node: node["spec"].update(unschedulable=True))
    view = hub.app.tornado_settings["gpuspawner_launcher"].view
    await until(lambda: not view.nodes[other].usable)
    assert not sentences(hub)
    assert sessions(hub).ends(lease(hub))[0].kind == "runtime"

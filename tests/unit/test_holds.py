"""What is held from the moment a launch is admitted until its pod is gone."""

import asyncio

import pytest
from small_hub import MONDAY, ask, changed

from gpuspawner.admission import Capacity, Granted, Held, admit
from gpuspawner.config import load_settings
from gpuspawner.errors import DeniedError
from gpuspawner.ledger.holds import Holds

HUB = load_settings(changed("workspaces/everyone/quota", {"small": 4}))
KEY = ("ada", "")


def decide(holds: Holds, user: str, gpus: int = 1) -> Granted:
    request = ask(HUB, {"gpus": gpus}, user=user)
    return holds.admit(lambda usage: admit(request, HUB, usage, Capacity(), MONDAY))


def gpus(holds: Holds) -> list[int]:
    return sorted(held.gpus for held in holds.usage())


async def test_of_fifty_launches_at_the_same_instant_exactly_one_takes_the_last_gpu() -> None:
    holds = Holds()
    decide(holds, "grace", 3)
    together = asyncio.Barrier(50)
    denials: list[str] = []

    async def launch(user: str) -> bool:
        request = ask(HUB, {"gpus": 1}, user=user)
        await together.wait()
        try:
            holds.admit(lambda usage: admit(request, HUB, usage, Capacity(), MONDAY))
        except DeniedError as error:
            denials.append(error.reason)
            return False
        await asyncio.sleep(0)
        return True

    granted = await asyncio.gather(*(launch(f"user{number}") for number in range(50)))
    assert granted.count(True) == 1
    assert set(denials) == {"Everyone holds 4 of 4 “Small, 16 GB” GPUs; you asked for 1 more."}
    assert sum(gpus(holds)) == 4


def test_a_denied_launch_holds_nothing() -> None:
    holds = Holds()
    decide(holds, "ada", 4)
    with pytest.raises(DeniedError):
        decide(holds, "grace")
    assert gpus(holds) == [4]


def test_a_hold_becomes_its_pod_and_ends_with_it() -> None:
    holds = Holds()
    held = decide(holds, "ada", 2).held
    holds.pod_runs(held)
    assert gpus(holds) == [2]
    holds.pod_ended(KEY)
    assert gpus(holds) == []


def test_a_released_hold_ends_but_its_pod_counts_until_it_is_gone() -> None:
    holds = Holds()
    holds.pod_runs(decide(holds, "ada", 2).held)
    holds.release(KEY)
    assert gpus(holds) == [2]
    holds.pod_ended(KEY)
    assert gpus(holds) == []


def test_the_pod_of_an_earlier_launch_and_the_new_launch_count_both_until_that_pod_is_gone() -> None:
    holds = Holds()
    holds.pod_runs(decide(holds, "ada", 2).held)
    holds.release(KEY)
    decide(holds, "ada", 1)
    assert gpus(holds) == [1, 2]
    holds.pod_ended(KEY)
    assert gpus(holds) == [1], "the end of the old pod does not end the new hold"
    with pytest.raises(DeniedError):
        decide(holds, "grace", 4)
    holds.pod_ended(KEY)
    assert gpus(holds) == []


def test_a_pod_of_another_hub_process_counts_without_a_hold() -> None:
    holds = Holds()
    holds.pod_runs(Held("ada", "", "everyone", ("small",), 4, 1.0, 10**9))
    with pytest.raises(DeniedError):
        decide(holds, "grace")


def test_to_release_or_end_what_is_unknown_is_nothing() -> None:
    holds = Holds()
    holds.release(KEY)
    holds.pod_ended(KEY)
    assert holds.usage() == []

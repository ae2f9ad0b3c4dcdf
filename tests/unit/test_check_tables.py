"""What `gpuspawner check` prints of a configuration's budgets, rates and cohorts."""

from typing import Any

import pytest
from small_hub import section, small_hub

from gpuspawner.cli.check import describe
from gpuspawner.config import load_settings


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (None, "none"),
        ({"renews": "weekly"}, "none"),
        ({"per_member": 10}, "10 SU a member, weekly"),
        ({"per_member": 2.5, "pool": 2000, "renews": "monthly"}, "2.5 SU a member, 2,000 SU in all, monthly"),
        ({"pool": 5, "renews": "rolling", "days": 14}, "5 SU in all, in 14 days"),
        ({"pool": 5, "renews": "terms", "terms": ["2026-09-24"]}, "5 SU in all, each term"),
        ({"pool": 5, "renews": "never"}, "5 SU in all, once"),
    ],
)
def test_the_table_of_workspaces_tells_their_budgets(budget: dict[str, Any] | None, words: str) -> None:
    hub = section()
    hub["workspaces"] = {"lab": {"members": "*", **({"budget": budget} if budget else {})}}
    workspaces, *_ = describe(load_settings(hub))
    header, row = workspaces.splitlines()
    assert row[header.index("BUDGET") :] == words


def test_the_table_of_gpu_classes_tells_what_an_hour_costs() -> None:
    hub = section()
    hub["gpu_classes"]["small"]["rate"] = 0.25
    classes = list(describe(load_settings(hub)))[2]
    header, row, *_ = classes.splitlines()
    assert row[header.index("AN HOUR") :].startswith("0.25 SU ")


def test_cohorts_are_shown_with_what_they_lend() -> None:
    cohorts = {"teaching": {"workspaces": ["everyone", "cse151a"], "borrowing": True, "reserve": {"small": 1}}}
    shown = "\n".join(describe(small_hub(cohorts=cohorts)))
    assert "COHORT" in shown
    assert "everyone, cse151a   what their quotas add up to   yes         1 small" in shown
    assert "COHORT" not in "\n".join(describe(small_hub()))

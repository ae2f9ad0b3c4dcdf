"""docs/how-to/budgets.md: its example loads without a note, its commands are commands, and its grant is one."""

import json
import re
import shlex
from pathlib import Path

import pytest
from traitlets.config import Config

from gpuspawner.budgets.granting import GrantRequest
from gpuspawner.cli import build_parser
from gpuspawner.config import load_settings, section_of
from gpuspawner.workspace import Budget

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "budgets.md").read_text(encoding="utf-8")
COMMANDS = [found for found in re.findall(r"(?:`|\$ )(gpuspawner [^`\n]+)", PAGE) if not found.endswith("...")]


def test_its_examples_are_valid_and_nothing_in_them_is_hardly_meant() -> None:
    c = Config()
    for example in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(example.replace("configure(c)", ""), {"c": c})  # noqa: S102  # our own page
    settings = load_settings(section_of(c))
    assert settings.notices == ()
    assert settings.workspaces["cse151a-fa26"].budget == Budget.model_validate(
        {"per_member": 10, "pool": 2000, "renews": "weekly", "carry_over": {"per_member": 5}}
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_on_it_is_one(command: str) -> None:
    build_parser().parse_args(shlex.split(command)[1:])


def test_its_grant_is_one() -> None:
    [body] = re.findall(r"/grants -d '\s*(\{.*?\})'", PAGE, re.DOTALL)
    GrantRequest.model_validate(json.loads(body))


def test_it_names_every_way_to_renew() -> None:
    table = PAGE.partition("| `renews` |")[2].partition("\n\n")[0]
    renews = Budget.model_fields["renews"].annotation
    assert set(re.findall(r'`"(\w+)"`', table)) == set(renews.__args__)  # type: ignore[union-attr]


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 2

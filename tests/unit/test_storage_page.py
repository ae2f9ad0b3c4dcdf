"""docs/how-to/storage.md: its examples load, and it names every variable."""

import re
from pathlib import Path
from types import SimpleNamespace

from small_hub import section

from gpuspawner.config import load_settings
from gpuspawner.names import LAUNCH_VARIABLES

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "storage.md").read_text(encoding="utf-8")


def test_its_examples_are_valid() -> None:
    spawner = SimpleNamespace()
    for example in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(example, {"c": SimpleNamespace(GPUSpawner=spawner)})  # noqa: S102  # our own page
    settings = load_settings(section(**vars(spawner)))
    assert settings.storage is not None
    assert settings.storage.scratch is not None
    assert settings.user_namespaces is not None


def test_it_names_every_variable() -> None:
    table = PAGE.partition("## Variables")[2].partition("\n## ")[0]
    synonyms = {"safe_username", "safe_servername", "safe_user_server"}
    assert set(re.findall(r"`\{(\w+)\}`", table)) == set(LAUNCH_VARIABLES) - synonyms

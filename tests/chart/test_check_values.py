"""`gpuspawner check` reads values of the chart: what Helm refuses, and what the hub would, with what was meant."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendered_servers import settings_of
from rendering import CHART, render
from wrong_values import WRONG

from gpuspawner.cli import main
from gpuspawner.config import load_settings
from gpuspawner.migration.chart import HERE
from gpuspawner.values.document import of_chart

EVERY_KEY = Path(__file__).parents[1] / "data" / "chart" / "every-key.yaml"


def check(folder: Path, *values: dict[str, Any]) -> int:
    files = []
    for index, one in enumerate(values):
        files.append(str(folder / f"{index}.yaml"))
        Path(files[-1]).write_text(yaml.safe_dump(one), encoding="utf-8")
    return main(["check", *files])


def test_the_charts_own_values_have_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(CHART / "values.yaml")]) == 0
    assert "the chart offers its own to begin with" in capsys.readouterr().out


def test_values_with_every_key_are_described_as_a_configuration_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(EVERY_KEY)]) == 0
    said = capsys.readouterr().out
    assert "cse151a     1 name, 8 rules   pytorch, cpu   16 small, 2 large" in said
    assert "Note: gpuspawner.workspaces['cse151a'].members[1]: can never match" in said
    assert "Note: roster /srv/cse151a.csv: not looked at; it has to be in the hub's container" in said


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"hub": {"imgae": {}}}, "hub.imgae: unknown key; did you mean 'image'?"),
        ({"hub": {"replicas": 2}}, "hub.replicas: unknown key; known: "),
        ({"hubb": {}}, "hubb: unknown key; did you mean 'hub'?"),
        (
            {"singleuser": {"profileList": []}},
            "singleuser.profileList: unknown key, one of Zero-to-JupyterHub's chart; here it is gpuspawner.profiles",
        ),
        (
            {"cull": {"enabled": True}},
            "cull: unknown key, one of Zero-to-JupyterHub's chart; here it is gpuspawner.idle",
        ),
        (
            {"serviceAccount": {"create": False}},
            "serviceAccount.name: missing; with create: false it names the hub's service account",
        ),
        (
            {"hub": {"database": {"type": "external"}}},
            "hub.database.existingSecret: missing; it names the Secret with the URL of the external database",
        ),
        ({"hub": {"image": {"tag": 1.5}}}, "hub.image.tag: found 1.5, allowed: text"),
        ({"hub": {"baseUrl": "jupyter"}}, "hub.baseUrl: found 'jupyter', allowed: / or a path such as /jupyter/"),
        ({"hub": {"database": {"type": "mysql"}}}, "hub.database.type: found 'mysql', allowed: 'sqlite', 'external'"),
        ({"hub": {"extraFiles": {"a": {"data": {}}}}}, "hub.extraFiles.a.mountPath: missing; it is required"),
        (
            {"hub": {"resources": {"limits": {"memory": "2 Gi"}}}},
            "hub.resources.limits.memory: found '2 Gi', allowed: a Kubernetes quantity such as 500m, 2 or 8Gi",
        ),
        ({"ingress": {"hosts": "hub.example.edu"}}, "ingress.hosts: found 'hub.example.edu', allowed: a list"),
        ({"proxy": {"service": {"port": 0}}}, "proxy.service.port: found 0, allowed: 1 or more"),
        ({"hub": {"pdb": {"maxUnavailable": "half"}}}, "allowed: a number or a percentage such as 50%"),
        (
            {"gpuspawner": {"profiles": {"cpu": {"image": "a:1", "memroy": "8G"}}}},
            "gpuspawner.profiles['cpu'].memroy: unknown key; did you mean 'memory'?",
        ),
        (
            {"gpuspawner": {"workspaces": {"lab": {"quota": {"small": 1}}}}},
            "gpuspawner.workspaces['lab'].quota: found 'small', which is no GPU class; none is defined",
        ),
        (
            {"login": {"authenticator": "genric-oauth"}},
            "login.authenticator: no authenticator is called 'genric-oauth'",
        ),
        ({"hub": {"config": {"JupyterHub": {"nosuch": 1}}}}, "hub.config.JupyterHub.nosuch: unknown key"),
        (
            {"hub": {"config": {"DummyAuthenticator": {"password": "a"}}}},
            "hub.config.DummyAuthenticator.password: a Conf",
        ),
        ({"hub": {"extraConfig": {"10-mine": "c.x = 1\n1/0"}}}, "hub.extraConfig.10-mine, line 2: ZeroDivisionError"),
    ],
)
def test_a_mistake_is_told_with_its_path_and_what_is_allowed(
    values: dict[str, Any], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, values) == 1
    said = capsys.readouterr().out
    assert line in said
    assert said.endswith("0.yaml: 1 mistake.\n")


def test_what_another_charts_values_are_here_is_there() -> None:
    chart = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    for theirs, ours in HERE.items():
        assert _known(chart, theirs.split(".")) is False, theirs
        for path in re.findall(r"(?:hub|proxy|ingress|gpuspawner)\.[\w.]+", ours):
            assert _known(chart, path.split(".")) is not False, path


def _known(schema: dict[str, Any], path: list[str]) -> bool | None:
    """Whether the chart has a value; None where the schema leaves what is below it open."""
    for key in path:
        if "properties" not in schema:
            return None
        if key not in schema["properties"]:
            return False
        schema = schema["properties"][key]
    return True


def test_mistakes_of_the_chart_and_of_the_hub_are_told_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, {"zone": "secure", "gpuspawner": {"timezone": "Mars/Base"}}) == 1
    said = capsys.readouterr().out
    assert "zone: found 'secure', allowed: 'open', 'restricted'" in said
    assert "gpuspawner.timezone: found 'Mars/Base'" in said


@pytest.mark.parametrize("values", [values for values, _, _ in WRONG], ids=lambda values: json.dumps(values)[:80])
def test_what_helm_refuses_the_check_refuses(values: dict[str, Any], tmp_path: Path) -> None:
    assert check(tmp_path, values) == 1


def test_later_files_are_over_earlier_ones_and_null_takes_an_entry_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = {"gpuspawner": {"profiles": {"old": {"image": "a:1", "gpus": 1}, "cpu": {"image": "a:1"}}}}
    assert check(tmp_path, first) == 1, "gpus without gpu_classes"
    capsys.readouterr()
    assert check(tmp_path, first, {"gpuspawner": {"profiles": {"old": None, "cpu": {"image": "a:2"}}}}) == 0
    said = capsys.readouterr().out
    assert "a:2" in said
    assert "old" not in said


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [("missing.yaml", None, "there is no file"), ("a.yaml", "a: [", "is no YAML"), ("b.yaml", "- a", "found a list")],
)
def test_a_file_that_is_no_values_file_is_told_from_a_mistake(
    name: str, text: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    assert main(["check", str(tmp_path / name)]) == 2
    assert words in capsys.readouterr().err


def test_several_files_are_values_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(EVERY_KEY), "jupyterhub_config.py"]) == 2
    assert "several values files" in capsys.readouterr().err


def test_the_hub_reads_of_the_rendered_chart_what_the_values_say() -> None:
    values = yaml.safe_load(EVERY_KEY.read_text(encoding="utf-8"))
    section = json.loads(json.dumps(values["gpuspawner"], default=str))
    read, said = settings_of(render(values)), load_settings(section)
    assert replace(read, user_namespaces=None) == replace(said, user_namespaces=None)
    assert read.user_namespaces.model_copy(update={"objects": ()}) == said.user_namespaces.model_copy(
        update={"objects": ()}
    )


def test_the_hub_leaves_out_what_a_later_values_file_has_taken_away() -> None:
    values = {
        "gpuspawner": {"profiles": {"old": None, "cpu": {"image": "a:1"}}, "storage": None},
        "hub": {"extraConfig": {"old": None}, "services": {"old": None}},
    }
    rendered = settings_of(render(values))
    assert list(rendered.catalog.profiles) == ["cpu"]
    assert rendered.storage is None
    read = of_chart(values).hub
    assert (read.extra_config, read.services) == ({}, {})

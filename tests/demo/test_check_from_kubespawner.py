"""`gpuspawner check --from-kubespawner`, as somebody types it."""

from pathlib import Path

import pytest

from gpuspawner.cli import main

HUBS = sorted((Path(__file__).parent.parent / "data" / "kubespawner").glob("*.*"))


@pytest.mark.parametrize("hub", HUBS, ids=lambda path: path.stem)
def test_what_it_prints_is_a_configuration_without_mistakes(
    hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--from-kubespawner", str(hub)]) == 0
    said = capsys.readouterr()
    printed = tmp_path / "jupyterhub_config.py"
    printed.write_text(said.out)
    assert max(map(len, said.out.splitlines())) < 140
    assert main(["check", str(printed)]) == 0
    told = capsys.readouterr().out
    assert "no mistake" in told
    assert "everyone" in told


def test_what_is_left_to_do_is_in_comments_and_told_apart_from_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    hub = next(path for path in HUBS if path.stem == "profile_options")
    assert main(["check", "--from-kubespawner", str(hub)]) == 0
    said = capsys.readouterr()
    assert "# - c.KubeSpawner.modify_pod_hook is a function" in said.out
    assert said.err.startswith(f"{hub}: said for gpuspawner; ")
    assert "remarks at its end" in said.err


def test_a_mistake_that_is_left_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub = tmp_path / "jupyterhub_config.py"
    hub.write_text("c.KubeSpawner.namespace = 'Not_A_Namespace'\nc.KubeSpawner.image = 'notebook'\n")
    assert main(["check", "--from-kubespawner", str(hub)]) == 1
    said = capsys.readouterr()
    assert "# What has to be put right" in said.out
    assert "c.GPUSpawner.namespace: found 'Not_A_Namespace'" in said.out


def test_a_file_that_says_nothing_of_kubespawner_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub = tmp_path / "jupyterhub_config.py"
    hub.write_text("c.JupyterHub.spawner_class = 'simple'\nc.Spawner.default_url = '/lab'\n")
    assert main(["check", "--from-kubespawner", str(hub)]) == 1
    assert "no c.KubeSpawner section" in capsys.readouterr().err


def test_a_subclass_of_kubespawner_is_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub = tmp_path / "jupyterhub_config.py"
    hub.write_text(
        "c.JupyterHub.spawner_class = 'my.hub.OurSpawner'\n"
        "c.KubeSpawner.image = 'one'\nc.OurSpawner.image = 'two'\n"
        "c.OurSpawner.cpu_limit = 3\n"
    )
    assert main(["check", "--from-kubespawner", str(hub)]) == 0
    said = capsys.readouterr().out
    assert '"image": "two"' in said
    assert '"cpu": 3' in said


def test_models_of_the_kubernetes_client_are_manifests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub = tmp_path / "jupyterhub_config.py"
    hub.write_text(
        "from kubernetes.client import V1Capabilities, V1Container, V1SecurityContext\n"
        "c.KubeSpawner.init_containers.append(V1Container(name='block', image='tools', "
        "security_context=V1SecurityContext(run_as_user=0, capabilities=V1Capabilities(add=['NET_ADMIN']))))\n"
    )
    assert main(["check", "--from-kubespawner", str(hub)]) == 0
    said = capsys.readouterr().out
    assert '"capabilities": {"add": ["NET_ADMIN"]}' in said
    assert '"runAsNonRoot": False' in said


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("values.yaml", "proxy: {}", "no values of Zero-to-JupyterHub"),
        ("values.yaml", "a: [", "is no YAML"),
        ("hub.py", "c.KubeSpawner.volumes = [1]", "KubeSpawner could not use it either"),
        ("hub.py", "import no_such_module", "line 1, cannot be run: ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_translated_is_said_in_one_sentence(
    name: str, text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = tmp_path / name
    hub.write_text(text)
    assert main(["check", "--from-kubespawner", str(hub)]) > 0
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_values_of_the_chart_are_translated_as_far_as_they_are_values(capsys: pytest.CaptureFixture[str]) -> None:
    hub = next(path for path in HUBS if path.suffix == ".yaml")
    assert main(["check", "--from-kubespawner", str(hub)]) == 0
    said = capsys.readouterr().out
    assert "# - hub.extraConfig is Python" in said
    assert '"claim": "claim-{username}"' in said

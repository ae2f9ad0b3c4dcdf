"""`gpuspawner` itself and `gpuspawner check`, as somebody types them."""

import subprocess
import sys
from pathlib import Path

import pytest

from gpuspawner.cli import demo, main
from gpuspawner.cli.proxy import Proxy
from gpuspawner.cli.supervisor import restart_delay

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL_HUB = """
c.JupyterHub.spawner_class = "gpuspawner"
c.GPUSpawner.gpu_classes = {"small": {"accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}]}}
c.GPUSpawner.profiles = {"pytorch": {"image": "pytorch", "gpu_classes": ["small"], "gpus": {"default": 1, "max": 2}}}
c.GPUSpawner.workspaces = {"everyone": {"members": "*", "quota": {"small": 4}}}
c.GPUSpawner.start_timeout = 600
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "jupyterhub_config.py"
    file.write_text(SMALL_HUB)
    return file


def test_help_imports_nothing_heavy() -> None:
    heavy = ("aiohttp", "asyncio", "jupyterhub", "kubernetes", "pydantic", "psutil")
    program = (
        f"import sys; from gpuspawner.cli import build_parser; build_parser(); print(set({heavy}) & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"


@pytest.mark.parametrize("command", ["demo", "engine", "check", "ledger"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "default" in capsys.readouterr().out


def test_check_lists_what_a_sound_configuration_offers(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(config)]) == 0
    said = capsys.readouterr().out
    assert "no mistake" in said
    for word in ("everyone", "4 small", "pytorch", "Tesla-T4"):
        assert word in said


def test_in_a_pod_of_the_chart_the_mounted_configuration_is_meant(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPUSPAWNER_VALUES", str(config.parent))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["check"]) == 0
    assert f"{config}: no mistake." in capsys.readouterr().out


def test_check_finds_no_mistake_in_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    proxy = Proxy(("127.0.0.1", 1), 2, tmp_path, "password")
    for name, value in demo.hub_environment(proxy, 3).items():
        monkeypatch.setenv(name, value)
    assert main(["check", str(demo.CONFIG)]) == 0
    assert "cse151a" in capsys.readouterr().out


SITE = {
    "HUB_PROXY_SECRET": "a-secret-of-proxy-and-hub-that-is-long",
    "LDAP_SERVER": "ldap.example.edu",
    "LMS_ISSUER": "https://lms.example.edu",
    "LMS_AUTHORIZE_URL": "https://lms.example.edu/authorize",
    "LMS_JWKS_URL": "https://lms.example.edu/jwks",
    "LMS_CLIENT_ID": "10000000000001",
}
"""What the examples read from the hub's environment."""


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*/jupyterhub_config.py")), ids=lambda path: path.parent.name)
def test_check_finds_no_mistake_in_the_examples(example: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {**SITE, "ROSTERS": str(tmp_path), "STUDIES": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    for people in ("cse151a-fa26", "cogs118b-fa26", "cardiac-ct", "stroke-mri"):
        (tmp_path / f"{people}.csv").write_text("user,email,role,from,to\n")
    assert main(["check", str(example)]) == 0


@pytest.mark.parametrize("last_line", ["", "from gpuspawner import configure; configure(c)"])
def test_check_names_every_mistake_and_not_only_the_first(
    config: Path, capsys: pytest.CaptureFixture[str], last_line: str
) -> None:
    with config.open("a") as file:
        file.write('c.GPUSpawner.workspaces["everyone"]["quota"] = {"smal": 4}\nc.GPUSpawner.profile = {}\n')
        file.write(last_line)
    assert main(["check", str(config)]) == 1
    said = capsys.readouterr().out
    assert "'smal'" in said
    assert "c.GPUSpawner.profile: unknown key" in said
    assert "2 mistakes" in said


def test_check_understands_entries_added_to_a_setting(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(SMALL_HUB.replace("workspaces = {", "workspaces.update({").replace("4}}}", "4}}})"))
    assert main(["check", str(config)]) == 0
    assert "everyone" in capsys.readouterr().out


def test_check_says_which_line_of_the_file_fails(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("c.JupyterHub.bind_url = 'http://:8000'\nimport no_such_module\n")
    assert main(["check", str(config)]) == 2
    assert f"{config}, line 2, cannot be run: ModuleNotFoundError" in capsys.readouterr().err
    config.write_text("c.JupyterHub.bind_url = = 1\n")
    assert main(["check", str(config)]) == 2
    assert f"{config}, line 1, cannot be run: SyntaxError" in capsys.readouterr().err


def test_check_says_when_there_is_nothing_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing, empty = tmp_path / "missing.py", tmp_path / "empty.py"
    empty.touch()
    assert main(["check", str(missing)]) == 2
    assert f"no file {missing}" in capsys.readouterr().err
    assert main(["check", str(empty)]) == 1
    assert "no c.GPUSpawner section" in capsys.readouterr().err


def test_restarts_come_ever_later_up_to_half_a_minute() -> None:
    assert [restart_delay(failures) for failures in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]

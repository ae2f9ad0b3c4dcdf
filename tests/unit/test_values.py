"""``load_values(c)``: the files that the Helm chart mounts, to the configuration of a hub."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.authenticators.shared import SharedPasswordAuthenticator
from traitlets.config import Config

from gpuspawner import load_values
from gpuspawner.authenticator import WorkspaceAuthenticator
from gpuspawner.config import section_of
from gpuspawner.errors import ConfigurationError

RELEASE = {
    "name": "gpuspawner",
    "namespace": "jupyter",
    "userNamespace": "servers",
    "hubPort": 8081,
    "hubUrl": "http://gpuspawner-hub.jupyter:8081",
    "proxyApiUrl": "http://gpuspawner-proxy-api.jupyter:8001",
}
PASSWORD = "correct-horse-battery-staple-0123"
GPUSPAWNER_SERVES = "servers are gpuspawner's here, which reads the section gpuspawner"
NOT_IN_USE = "found settings of an authenticator that is not in use"

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load values as mounted: ``load(values, secret=..., cookie_secret="...")``."""

    def write(values: Mapping[str, Any], secret: Mapping[str, Any] | None = None, **files: str) -> Config:
        (tmp_path / "values.json").write_text(json.dumps({"release": RELEASE, **values}))
        if secret is not None:
            (tmp_path / "secret-values.json").write_text(json.dumps(secret))
        for name, text in files.items():
            (tmp_path / name.replace("_", "-")).write_text(text)
        c = Config()
        load_values(c, tmp_path)
        return c

    return write


def mistakes(load: Load, values: Mapping[str, Any], secret: Mapping[str, Any] | None = None, **files: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(values, secret, **files)
    return raised.value.problems


def test_the_hub_finds_its_proxy_and_is_found_by_name_from_every_namespace(load: Load) -> None:
    c = load({"hub": {"baseUrl": "/jupyter/"}}, proxy_token="token-of-the-proxy\n")
    assert c.JupyterHub.hub_bind_url == "http://:8081"
    assert c.JupyterHub.hub_connect_url == "http://gpuspawner-hub.jupyter:8081"
    assert c.JupyterHub.base_url == "/jupyter/"
    assert c.ConfigurableHTTPProxy == {
        "should_start": False,
        "api_url": "http://gpuspawner-proxy-api.jupyter:8001",
        "auth_token": "token-of-the-proxy",
    }
    assert c.JupyterHub.cleanup_servers is False
    assert section_of(c)["hub_name"] == "gpuspawner"
    assert section_of(c)["namespace"] == "servers"


def test_without_a_login_only_the_generated_administrator_gets_in(load: Load) -> None:
    c = load({}, admin_password=PASSWORD)
    kind = c.JupyterHub.authenticator_class
    assert issubclass(kind, WorkspaceAuthenticator)
    assert issubclass(kind, SharedPasswordAuthenticator)
    assert c.SharedPasswordAuthenticator.admin_password == PASSWORD
    assert c.Authenticator == {"admin_users": ["admin"], "allowed_users": ["admin"], "allow_existing_users": False}


def test_with_another_login_nobody_becomes_an_administrator_by_the_name_admin(load: Load) -> None:
    c = load({"login": {"authenticator": "pam"}}, admin_password=PASSWORD)
    assert "Authenticator" not in c
    assert "SharedPasswordAuthenticator" not in c


def test_what_the_user_says_wins_over_what_the_chart_derives_and_a_snippet_over_both(load: Load) -> None:
    hub = {"config": {"JupyterHub": {"cleanup_servers": True, "log_level": "INFO"}}}
    snippets = {"20-last": "c.JupyterHub.log_level += 'G'", "10-first": "get_config().JupyterHub.log_level = 'DEBU'"}
    c = load({"hub": hub}, {"hub": {"extraConfig": snippets}})
    assert c.JupyterHub.cleanup_servers is True
    assert c.JupyterHub.log_level == "DEBUG"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"hub": {"config": {"JupyterHub": {"nosuch": 1}}}}, "hub.config.JupyterHub.nosuch: unknown key"),
        (
            {"hub": {"config": {"JupyterHub": {"prot": 1}}}},
            "hub.config.JupyterHub.prot: unknown key; did you mean 'port'?",
        ),
        ({"hub": {"config": {"JupyterHub": {"port": "x"}}}}, "hub.config.JupyterHub.port: found 'x', allowed: an int"),
        ({"gpuspawner": {"profiles": {"lab": {}}}}, "gpuspawner.profiles['lab'].image: missing; it is required"),
        (
            {"hub": {"config": {"JupyterHub": {"base_url": "/jupyter/"}}}},
            "hub.config.JupyterHub.base_url: say it as hub.baseUrl, which the chart reads, too",
        ),
        (
            {"login": {"authenticator": "mediawiki"}},
            "login.authenticator: cannot import 'mediawiki': No module named 'mwoauth'",
        ),
        ({"hub": {"baseUrl": "jupyter"}}, "hub.baseUrl: found 'jupyter', allowed: a path such as / or /jupyter/"),
        ({"login": {"authenticators": "pam"}}, "login.authenticators: unknown key; did you mean 'authenticator'?"),
    ],
)
def test_a_mistake_is_told_with_its_path_in_the_values(load: Load, values: Any, told: str) -> None:
    assert mistakes(load, values) == [told]


def test_a_snippet_that_fails_is_told_by_its_name_and_line(load: Load) -> None:
    secret = {"hub": {"extraConfig": {"mail": "import smtplib\nc.Hub.nosuch = boom\n"}}}
    assert mistakes(load, {}, secret) == ["hub.extraConfig.mail, line 2: NameError: name 'boom' is not defined"]


# --- secrets


def test_secrets_are_read_from_their_files_and_reach_the_traits_they_are_for(load: Load) -> None:
    c = load(
        {"hub": {"services": {"reports": {"url": "http://reports"}, "cull": {"api_token": "its-own"}}}},
        cookie_secret="ab" * 32 + "\n",
        crypt_keys=f"{'cd' * 32}\nq83vq83vq83vq83vq83vq83vq83vq83vq83vq83vq80=\n",
        **{"service-token.reports": "generated", "service-token.cull": "generated, too"},
    )
    assert c.JupyterHub.cookie_secret == b"\xab" * 32
    assert [len(key) for key in c.CryptKeeper["keys"]] == [32, 32]
    assert c.JupyterHub.services == [
        {"name": "cull", "api_token": "its-own"},
        {"name": "reports", "url": "http://reports", "api_token": "generated"},
    ]


def test_secrets_that_are_no_good_are_told_without_being_shown(load: Load) -> None:
    told = mistakes(load, {}, cookie_secret="too-short", crypt_keys="cd" * 32 + "\nnonsense")
    assert told == [
        "cookie-secret: found 9 characters, allowed: 64 hexadecimal digits or more",
        "crypt-keys, line 2: found 8 characters, allowed: 32 bytes as 64 hexadecimal digits or as base64",
    ]


def test_a_database_of_ones_own_is_the_hubs_and_the_ledgers(load: Load) -> None:
    c = load({}, database_url="postgresql://hub:secret@db/hub")
    assert c.JupyterHub.db_url == "postgresql+psycopg://hub:secret@db/hub"
    assert section_of(c)["ledger_url"] == "postgresql://hub:secret@db/hub"


def test_without_a_database_both_are_files_in_the_hubs_working_directory(load: Load) -> None:
    c = load({})
    assert c.JupyterHub.db_url == "sqlite:///jupyterhub.sqlite"
    assert "ledger_url" not in section_of(c)


@pytest.mark.parametrize(("url", "found"), [("mysql://hub:secret@db/hub", "'mysql'"), ("secret", "'no URL'")])
def test_a_database_that_the_ledger_cannot_use_is_told_without_its_password(load: Load, url: str, found: str) -> None:
    told = mistakes(load, {}, database_url=url)
    assert told == [f"database-url: found {found}, allowed: postgresql://USER:PASSWORD@HOST/DATABASE"]


def test_a_secret_part_of_a_trait_is_joined_with_the_rest_of_it(load: Load) -> None:
    values = {"JupyterHub": {"template_vars": {"title": "Hub"}}}
    secret = {"JupyterHub": {"template_vars": {"key": "secret"}}, "GPUSpawner": {"ledger_url": "sqlite:///l.sqlite"}}
    c = load({"hub": {"config": values}}, {"hub": {"secretConfig": secret}})
    assert c.JupyterHub.template_vars["title"] == "Hub"
    assert c.JupyterHub.template_vars["key"] == "secret"
    assert section_of(c)["ledger_url"] == "sqlite:///l.sqlite"


def test_a_secret_variable_of_servers_joins_the_others(load: Load) -> None:
    secret = {"hub": {"secretConfig": {"GPUSpawner": {"environment": {"WANDB_API_KEY": "secret"}}}}}
    c = load({"gpuspawner": {"environment": {"LANG": "C"}}}, secret)
    assert section_of(c)["environment"] == {"LANG": "C", "WANDB_API_KEY": "secret"}


def test_a_secret_of_ones_own_may_hold_traits_and_values_none(load: Load) -> None:
    config = {"GenericOAuthenticator": {"client_id": "hub"}}
    login = {"authenticator": "generic-oauth"}
    secret = json.dumps({"GenericOAuthenticator": {"client_secret": "secret"}, "GPUSpawner": {"cpu_rate": 2}})
    c = load({"login": login, "hub": {"config": config}}, **{"secret-config.json": secret})
    assert c.GenericOAuthenticator == {"client_id": "hub", "client_secret": "secret"}
    assert section_of(c)["cpu_rate"] == 2


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("canary", 'secret-config.json: found something else, allowed: JSON such as {"Class": {"trait": 1}}'),
        ('{"JupyterHub": "canary"}', "secret-config.json: found something else, allowed: JSON such as"),
        ('{"JupyterHub": {"port": "canary"}}', "secret-config.json.JupyterHub.port: found a value of type str"),
        (
            '{"GPUSpawner": {"cpu_rate": "canary"}}',
            "secret-config.json.GPUSpawner.cpu_rate: found something else, allowed: a",
        ),
    ],
)
def test_a_secret_of_ones_own_that_is_no_good_is_told(load: Load, secret: str, told: str) -> None:
    [found] = mistakes(load, {}, **{"secret-config.json": secret})
    assert found.startswith(told)
    assert "canary" not in found


def test_values_of_ones_own_are_there_for_snippets(load: Load) -> None:
    snippet = {"title": "c.JupyterHub.template_vars = {'title': custom['title']}"}
    c = load({}, {"custom": {"title": "Ours"}, "hub": {"extraConfig": snippet}})
    assert c.JupyterHub.template_vars["title"] == "Ours"


def test_a_value_of_secret_config_that_is_no_good_is_not_shown(load: Load) -> None:
    told = mistakes(load, {}, {"hub": {"secretConfig": {"JupyterHub": {"port": "canary"}}}})
    assert told == ["hub.secretConfig.JupyterHub.port: found a value of type str, allowed: an int"]


# --- logins


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ("generic-oauth", "GenericOAuthenticator"),
        ("ldap", "LDAPAuthenticator"),
        ("ltiauthenticator.lti13.auth.LTI13Authenticator", "LTI13Authenticator"),
        ("trusted-header", "TrustedHeaderAuthenticator"),
    ],
)
def test_any_login_is_a_name_in_the_values_and_becomes_workspaces(load: Load, named: str, kind: str) -> None:
    c = load({"login": {"authenticator": named, "administrators": ["ada"]}}, admin_password=PASSWORD)
    assert c.JupyterHub.authenticator_class.__name__ == kind
    assert issubclass(c.JupyterHub.authenticator_class, WorkspaceAuthenticator)
    assert c.Authenticator == {"admin_users": ["ada"], "allowed_users": ["ada"], "allow_existing_users": False}
    assert "SharedPasswordAuthenticator" not in c


def test_a_login_named_as_zero_to_jupyterhub_does_or_by_a_snippet_becomes_workspaces_too(load: Load) -> None:
    c = load({"hub": {"config": {"JupyterHub": {"authenticator_class": "pam"}}}})
    assert issubclass(c.JupyterHub.authenticator_class, WorkspaceAuthenticator)
    assert "SharedPasswordAuthenticator" not in c
    own = "from jupyterhub.auth import DummyAuthenticator\nclass Mine(DummyAuthenticator): pass\n"
    c = load({}, {"hub": {"extraConfig": {"login": own + "c.JupyterHub.authenticator_class = Mine"}}})
    assert c.JupyterHub.authenticator_class.__name__ == "Mine"
    assert issubclass(c.JupyterHub.authenticator_class, WorkspaceAuthenticator)


def test_naming_administrators_lets_nobody_in_whom_the_login_would_not(load: Load) -> None:
    login = {"authenticator": "generic-oauth", "administrators": ["ada"]}
    groups = {"GenericOAuthenticator": {"allowed_groups": ["gpu"], "manage_groups": True}}
    c = load({"login": login, "hub": {"config": groups}})
    assert c.JupyterHub.authenticator_class(config=c).allow_existing_users is False


def test_where_users_are_allowed_by_name_those_that_an_administrator_adds_are_too_as_in_jupyterhub(load: Load) -> None:
    config = {"DummyAuthenticator": {"allowed_users": ["grace"]}}
    c = load({"login": {"authenticator": "dummy", "administrators": ["ada"]}, "hub": {"config": config}})
    assert c.JupyterHub.authenticator_class(config=c).allow_existing_users is True


def test_administrators_named_by_a_trait_win_over_the_generated_one(load: Load) -> None:
    c = load({"hub": {"config": {"Authenticator": {"admin_users": ["grace"]}}}}, admin_password=PASSWORD)
    assert c.Authenticator.admin_users == ["grace"]


# --- what is put together


def test_services_and_roles_of_the_chart_are_added_to_those_of_the_configuration(load: Load) -> None:
    hub = {
        "config": {"JupyterHub": {"services": [{"name": "a"}], "load_roles": [{"name": "b", "scopes": ["self"]}]}},
        "services": {"a": {"url": "http://lost"}, "c": {}},
        "loadRoles": {"d": {"services": ["c"], "scopes": ["read:users"]}},
    }
    c = load({"hub": hub})
    assert c.JupyterHub.services == [{"name": "a"}, {"name": "c"}]
    assert [role["name"] for role in c.JupyterHub.load_roles] == ["b", "d"]


def test_patches_of_the_chart_lie_below_the_users_also_below_a_snippets(load: Load) -> None:
    release = {**RELEASE, "podTemplates": [_env("HTTP_PROXY", "http://proxy"), {"spec": {"schedulerName": "packed"}}]}
    user = {"pod_template": {"spec": {"schedulerName": "own"}}}
    snippet = "c.GPUSpawner.pod_template = {'spec': {'nodeSelector': {'pool': 'gpu'}}}"
    c = load({"release": release, "gpuspawner": user})
    assert section_of(c)["pod_template"]["spec"] == {
        "schedulerName": "own",
        "containers": [{"name": "notebook", "env": [{"name": "HTTP_PROXY", "value": "http://proxy"}]}],
    }
    c = load({"release": release, "gpuspawner": user}, {"hub": {"extraConfig": {"pods": snippet}}})
    assert section_of(c)["pod_template"]["spec"]["nodeSelector"] == {"pool": "gpu"}
    assert section_of(c)["pod_template"]["spec"]["schedulerName"] == "packed"


def test_images_of_servers_are_pulled_with_the_charts_secrets_unless_others_are_named(load: Load) -> None:
    release = {**RELEASE, "imagePullSecrets": ["registry"]}
    assert section_of(load({"release": release}))["image_pull_secrets"] == ["registry"]
    own = {"image_pull_secrets": ["mine"]}
    assert section_of(load({"release": release, "gpuspawner": own}))["image_pull_secrets"] == ["mine"]


def test_what_is_said_before_the_values_are_loaded_stays_where_they_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "values.json").write_text(json.dumps({"hub": {"config": {"JupyterHub": {"port": 1}}}}))
    c = Config()
    c.JupyterHub.log_level, c.JupyterHub.port = "DEBUG", 2
    load_values(c, tmp_path)
    assert (c.JupyterHub.log_level, c.JupyterHub.port) == ("DEBUG", 1)


def test_the_environment_says_where_the_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "values.json").write_text(json.dumps({"release": RELEASE}))
    monkeypatch.setenv("GPUSPAWNER_VALUES", str(tmp_path))
    c = Config()
    load_values(c)
    assert section_of(c)["hub_name"] == "gpuspawner"


# --- mistakes


def test_no_files_is_told_with_where_they_are_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has no values\.json\. The chart mounts it; elsewhere"):
        load_values(Config(), tmp_path)
    with pytest.raises(ConfigurationError, match=r"nowhere: .*No such file"):
        load_values(Config(), tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "values.json, line 1: Expecting property name enclosed in double quotes, allowed: JSON"),
        ("[]", "values.json: found a list, allowed: a mapping"),
        ('{"hubs": {}}', "hubs: unknown key; did you mean 'hub'?"),
        ('{"hub": {"config": {"JupyterHub": 1}}}', "hub.config.JupyterHub: found 1, allowed: a mapping"),
        ('{"hub": {"extraConfig": {"a": 1}}}', "hub.extraConfig.a: found 1, allowed: text"),
        ('{"release": {}}', "release.name: missing; it is required"),
        ('{"release": {"colour": 1}}', "release.colour: unknown key; the chart is newer than the image of the hub"),
    ],
)
def test_files_that_are_no_values_are_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "values.json").write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load_values(Config(), tmp_path)
    assert told in raised.value.problems


def test_all_mistakes_are_told_at_once(load: Load) -> None:
    hub = {"config": {"JupyterHub": {"nosuch": 1}, "Spawner": {"start_timeout": "soon"}}}
    assert mistakes(load, {"hub": hub, "gpuspawner": {"timezone": "Mars"}}) == [
        "hub.config.JupyterHub.nosuch: unknown key",
        "hub.config.Spawner.start_timeout: found 'soon', allowed: an int",
        "gpuspawner.timezone: found 'Mars', allowed: an IANA time zone such as America/Los_Angeles",
    ]


def test_a_trait_of_the_spawner_is_said_in_one_place(load: Load) -> None:
    values = {"gpuspawner": {"timezone": "UTC"}, "hub": {"config": {"GPUSpawner": {"timezone": "UTC"}}}}
    assert mistakes(load, values) == [
        "hub.config.GPUSpawner.timezone: gpuspawner.timezone says it, too; keep one of them"
    ]


def test_a_mistake_in_a_trait_is_told_where_it_is_said(load: Load) -> None:
    said = {"GPUSpawner": {"timezone": "Mars"}}
    assert mistakes(load, {"hub": {"config": said}})[0].startswith("hub.config.GPUSpawner.timezone: found 'Mars'")
    snippet = {"hub": {"extraConfig": {"zone": "c.GPUSpawner.namespace = 'No Name'"}}}
    assert mistakes(load, {}, snippet)[0].startswith("c.GPUSpawner.namespace: found 'No Name'")


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("JupterHub", "no class of this hub is called 'JupterHub'; did you mean 'JupyterHub'?"),
        ("KubeSpawner", f"{GPUSPAWNER_SERVES}; 'gpuspawner check --from-kubespawner VALUES.yaml' translates it"),
        ("GitHubOAuthenticator", f"{NOT_IN_USE}; set login.authenticator to 'github', or take them out"),
        ("LTI13Authenticator", f"{NOT_IN_USE}; set login.authenticator to its class, or take them out"),
        (
            "SharedPaswordAuthenticator",
            "no class of this hub is called 'SharedPaswordAuthenticator'; did you mean 'SharedPasswordAuthenticator'?",
        ),
    ],
)
def test_a_section_that_nobody_reads_is_told(load: Load, section: str, told: str) -> None:
    assert mistakes(load, {"hub": {"config": {section: {"a": 1}}}}) == [f"hub.config.{section}: {told}"]


def test_settings_of_an_authenticator_that_a_snippet_chooses_are_left_to_it(load: Load) -> None:
    snippet = "from oauthenticator.github import GitHubOAuthenticator\n"
    snippet += "class Ours(GitHubOAuthenticator): pass\nc.JupyterHub.authenticator_class = Ours\n"
    config = {"GitHubOAuthenticator": {"client_id": "a"}, "Authenticator": {"allowed_organizations": ["b"]}, "Ours": {}}
    c = load({"hub": {"config": config}}, {"hub": {"extraConfig": {"login": snippet}}})
    assert c.JupyterHub.authenticator_class(config=c).allowed_organizations == {"b"}


def test_a_section_that_a_snippet_may_read_is_passed_over(load: Load) -> None:
    hub = {"config": {"RegistrarExport": {"url": "https://registrar.example.edu"}}}
    assert load({"hub": hub}).RegistrarExport.url == "https://registrar.example.edu"


@pytest.mark.parametrize("snippet", ["c.JupyterHub.port = ", "1 / 0", "import nosuch", "raise SystemError('x')"])
def test_a_snippet_that_cannot_be_run_stops_the_hub_with_its_name(load: Load, snippet: str) -> None:
    [told] = mistakes(load, {}, {"hub": {"extraConfig": {"a": "ok = 1\n" + snippet}}})
    assert told.startswith("hub.extraConfig.a, line 2: ")


def test_snippets_share_what_they_define(load: Load) -> None:
    snippets = {"1": "def title(): return 'Hub'", "2": "c.JupyterHub.template_vars = {'title': title()}"}
    assert load({}, {"hub": {"extraConfig": snippets}}).JupyterHub.template_vars["title"] == "Hub"


def _env(name: str, value: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "notebook", "env": [{"name": name, "value": value}]}]}}

"""Template variables, and the slugs by which a KubeSpawner hub named what it left behind."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubespawner import KubeSpawner, slugs

from gpuspawner.names import (
    LAUNCH_VARIABLES,
    expand,
    scope_of,
    server_variables,
    user_variables,
    variables_in,
    z2jh_slug,
)

NAMES = [
    "ada", "Ada", "ada-lovelace", "ada--lovelace", "ada.lovelace", "ada@ucsd.edu", "1ada", "9", "-ada", "ada-", "x",
    "", "é", "日本", "a" * 45, "a" * 46, "a" * 47, "a" * 48, "a" * 49, "a" * 200, "A" * 60, "a_b", "a b", "ada\n", "-",
    "…",
]  # fmt: skip
encodable = st.sampled_from(NAMES) | st.text(alphabet=st.characters(codec="utf-8"), max_size=70)


def ours(user: str, server: str, namespace: str = "jhub") -> dict[str, str]:
    return {
        **user_variables(user, hub_namespace=namespace, hub_name="jupyterhub"),
        **server_variables(user, server),
        "userid": "7",
    }


def theirs(template: str, user: str, server: str, namespace: str = "jhub", scheme: str = "safe") -> str:
    """What KubeSpawner 7 makes of a template."""
    spawner: Any = SimpleNamespace(
        name=server,
        user=SimpleNamespace(name=user, id=7),
        slug_scheme=scheme,
        _namespace_default=lambda: namespace,
    )
    return str(KubeSpawner._expand_user_properties(spawner, template))


TEMPLATES = [
    "claim-{username}",
    "claim-{user_server}",
    "claim-{username}--{servername}",
    "{hubnamespace}-{username}",
    "home/{escaped_username}",
    "claim-{escaped_user_server}",
    "{escaped_user_server}/x",
    "{unescaped_username}",
    "u{userid}",
    "{safe_username}{safe_servername}",
    "{safe_user_server}-",
]


@pytest.mark.parametrize("template", TEMPLATES)
@given(user=encodable, server=encodable, namespace=st.sampled_from(["jhub", "default"]))
def test_templates_give_the_names_that_kubespawner_gives(template: str, user: str, server: str, namespace: str) -> None:
    assert expand(template, ours(user, server, namespace)) == theirs(template, user, server, namespace)


@given(encodable)
def test_the_legacy_scheme_is_there_by_its_own_variables(user: str) -> None:
    assert expand("claim-{escaped_username}", ours(user, "")) == theirs("claim-{username}", user, "", scheme="escape")


@given(encodable, st.sampled_from([32, 48, 63]))
def test_a_slug_is_kubespawners(text: str, limit: int) -> None:
    assert z2jh_slug(text, limit) == slugs.safe_slug(text, max_length=limit)


@pytest.mark.parametrize(
    ("template", "expanded"),
    [
        ("{username}", "ada"),
        ("{{username}}", "{username}"),
        ('{"user": "{username}"}', '{"user": "ada"}'),
        ("${HOME}/{username}", "${HOME}/ada"),
        ("$(HOME) {{ .Values.x }} {unknown} {} {{other}}", "$(HOME) {{ .Values.x }} {unknown} {} {{other}}"),
        ("{username}--{servername}", "ada"),
        ("{username}-{servername}-", "ada--"),
        ("no variable-", "no variable-"),
        ("trailing-", "trailing-"),
        ({"a": ["{username}", 1, None, True], "{username}": "x"}, {"a": ["ada", 1, None, True], "{username}": "x"}),
    ],
)
def test_only_known_variables_are_replaced(template: Any, expanded: Any) -> None:
    assert expand(template, ours("ada", "")) == expanded


def test_what_a_variable_brings_in_is_not_expanded_again() -> None:
    assert expand("{unescaped_username}", ours("{userid}", "")) == "{userid}"


def test_variables_of_a_template_are_found_and_what_they_tell_apart() -> None:
    assert variables_in("{username} {{userid}} { x } {nope}") == ["username", "nope"]
    assert scope_of("claim-{username}") == (True, False, False)
    assert scope_of("claim-{user_server}") == (True, False, True)
    assert scope_of("{workspace}-{servername}") == (False, True, True)
    assert scope_of("claim-{userid}") == (True, False, False)
    assert scope_of("homes") == (False, False, False)


def test_every_variable_is_known_by_name() -> None:
    assert set(ours("ada", "x")) <= set(LAUNCH_VARIABLES)

"""The names that the home page gives to servers from what a member calls them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.web.options import options_from_form
from gpuspawner.web.pages.servers import slug


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("thesis", "thesis"),
        ("My 2nd Experiment!", "my-2nd-experiment"),
        ("2nd try", "s-2nd-try"),
        ("--a//b--", "a-b"),
        ("Ünï", "n"),
        ("…", ""),
        ("a" * 29 + " b", "a" * 29),
    ],
)
def test_a_title_becomes_a_name(title: str, name: str) -> None:
    assert slug(title) == name


@given(st.text(max_size=80))
def test_every_name_is_one_that_jupyterhub_6_takes(title: str) -> None:
    assert re.fullmatch(r"([a-z]([a-z0-9]|-(?!-)){0,28}[a-z0-9]|[a-z])?", slug(title))


def test_a_button_posts_a_whole_launch() -> None:
    options = {"workspace": "lab", "gpu_class": ["small", "medium"], "gpus": 1}
    field = '{"gpu_class": ["small", "medium"], "gpus": 1, "workspace": "lab"}'
    assert options_from_form({"options": [field], "_xsrf": ["x"], "profile": ["other"]}) == options


@pytest.mark.parametrize("field", ["", "[1]", "null", "{", "[" * 100_000])
def test_a_field_that_holds_no_launch_is_one_option_like_others(field: str) -> None:
    found = options_from_form({"options": [field], "profile": ["p"]})
    assert found == ({"profile": "p", "options": field} if field else {"profile": "p"})

"""Names of pods, secrets and claims: safe for any text, and never the same for two."""

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.pod import claim_name, pod_name, safe_slug

ADVERSARIAL = [
    "", "a", "b", "a-b", "a--b", "a---b", "-a", "a-", "-", "--", "---", "A", "á", "a.b", "a_b", "a b", "a@b", "ab", "x",
    "jupyter", "jupyter-a", "claim-a", "a" * 24, "a" * 25, "a" * 32, "a" * 33, "a" * 63, "a" * 300, "0", "1.0",
    "\x00", "\n", "a\n", "ａ", "ß", "ss", "İ", "i̇", "\ud800", "\udfff", "😀", "../etc", "%61", "default",
    "user-1", "user_1",
]  # fmt: skip
SLUGS = [safe_slug(text) for text in ADVERSARIAL]


@pytest.mark.parametrize("limit", [24, 32, 63])
def test_adversarial_texts_get_different_slugs(limit: int) -> None:
    texts = [*ADVERSARIAL, *SLUGS, *(safe_slug(text, 24) for text in ADVERSARIAL)]
    slugs = {text: safe_slug(text, limit) for text in texts}
    for one, other in combinations(slugs, 2):
        assert slugs[one] != slugs[other], (one, other)


def test_adversarial_pairs_of_user_and_server_get_different_pods() -> None:
    texts = [
        "",
        "a",
        "b",
        "a-b",
        "a--b",
        "a---b",
        "b--c",
        "a--b--c",
        "A",
        "á",
        "a" * 25,
        safe_slug("A"),
        safe_slug("á", 24),
    ]
    pairs = [(user, server) for user in texts for server in texts]
    assert len({pod_name(*pair) for pair in pairs}) == len(pairs)


texts = st.text(max_size=70) | st.text(alphabet="ab-", max_size=30) | st.sampled_from([*ADVERSARIAL, *SLUGS])


@given(texts, texts, texts, texts)
def test_two_servers_never_share_a_pod(user: str, server: str, other_user: str, other_server: str) -> None:
    if (user, server) != (other_user, other_server):
        assert pod_name(user, server) != pod_name(other_user, other_server)
    if user != other_user:
        assert claim_name(user) != claim_name(other_user)


@given(st.text(), st.integers(24, 63))
def test_a_slug_is_a_dns_label_within_its_limit(text: str, limit: int) -> None:
    slug = safe_slug(text, limit)
    assert len(slug) <= limit
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", slug)


@given(st.from_regex(r"[a-z0-9](-?[a-z0-9]){0,11}", fullmatch=True))
def test_a_name_that_is_safe_already_is_kept(text: str) -> None:
    assert safe_slug(text) == text
    assert pod_name(text, "") == f"jupyter-{text}"
    assert pod_name(text, "two") == f"jupyter-{text}--two"


@given(texts, texts)
def test_a_name_is_the_same_at_every_launch(user: str, server: str) -> None:
    assert pod_name(user, server) == pod_name(user, server)
    assert len(pod_name(user, server)) <= 63

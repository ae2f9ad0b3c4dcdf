"""A roster's file: what is read, and what refuses the whole of it."""

from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.membership.roles import Role
from gpuspawner.membership.roster import Line, RosterError, parse_roster

ADA = Line("ada", "", Role.MANAGER, date(2026, 9, 21), date(2026, 12, 18))


@pytest.mark.parametrize(
    "content",
    [
        b"user,role,from,to\nada,manager,2026-09-21,2026-12-18\n",
        b"\xef\xbb\xbfuser,role,from,to\r\nada,Manager,2026-09-21,2026-12-18\r\n\r\n",
        b"User;Role;From;To\n ada ; MANAGER;2026-09-21;2026-12-18\n",
        b"to\tuser\tfrom\trole\tname\n2026-12-18\tada\t2026-09-21\tmanager\tAda, Countess\n",
        b'user,name,role,from,to\nada,"Lovelace,\nAda",manager,2026-09-21,2026-12-18\n',
        b'[{"user": "ada", "role": "manager", "from": "2026-09-21", "to": "2026-12-18", "seat": 4}]',
        b'\n{"user": "ada", "role": "manager", "from": "2026-09-21", "to": "2026-12-18"}\n\n',
    ],
)
def test_the_same_person_in_every_form_of_the_file(content: bytes) -> None:
    assert parse_roster(content).lines == {ADA}


def test_a_name_or_an_address_will_do_and_names_become_those_of_logins() -> None:
    roster = parse_roster(b"user,email\nAda,\n,Grace@UCSD.edu\n", str.lower)
    assert roster.lines == {Line("ada"), Line(email="grace@ucsd.edu")}
    assert [*roster.of("ada")] == [Line("ada")]
    assert [*roster.of("g", {"grace@ucsd.edu"})] == [Line(email="grace@ucsd.edu")]
    assert not [*roster.of("", {""})]


def test_a_json_entry_may_leave_values_out_or_null() -> None:
    assert parse_roster(b'[{"user": "ada", "email": null, "role": ""}]').lines == {Line("ada")}


def test_a_header_alone_is_a_roster_without_people() -> None:
    assert parse_roster(b"user,role\n").lines == frozenset()
    assert parse_roster(b"[]").lines == frozenset()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty; not even a header names its columns"),
        (b"\n \n", "the file is empty"),
        (b"name,role\nada,member\n", "line 1: no column is called 'user' or 'email'"),
        (b"users\nada\n", "line 1: no column is called 'user' or 'email'; is 'users' meant?"),
        (b"ada\nbob\n", "line 1: no column is called 'user' or 'email'"),
        (b"user,user\nada,bob\n", "line 1: the column 'user' is there twice"),
        (b"user,role\nada\n", "line 2: found 1 columns, allowed: the 2 of the header"),
        (b"user,role\n\nada,boss\n", "line 3: found 'boss' as role, allowed: member, manager, auditor, administrator"),
        (b"user,from\nada,21.9.2026\n", "line 2: found '21.9.2026' as from, allowed: a day such as 2026-09-21"),
        (b"user,from,to\nada,2026-09-21,2026-09-20\n", "line 2: the day in to is before the day in from"),
        (b"user,email,role\n,,member\nada,,\n", "line 2: neither user nor email"),
        (b"email\nada\n", "line 2: found 'ada' as email, allowed: an address such as ada@example.edu"),
        (b'user,name\nada,"Ada\n', "line 2: unexpected end of data"),
        (b"user\nada\nJos\xe9\n", "line 3: not in UTF-8; save the file in that encoding"),
        (b'[{"user": "ada"}', "no JSON: "),
        (b'{"user": "ada"}\n{"user": ', "line 2: no JSON: "),
        (b'["ada"]', "entry 1: found 'ada', allowed: an object such as"),
        (b'[{"user": 5}]', "entry 1: found 5 as user, allowed: text"),
    ],
)
def test_a_file_with_a_mistake_is_refused_with_its_line(content: bytes, said: str) -> None:
    with pytest.raises(RosterError) as error:
        parse_roster(content)
    assert error.value.problems[0].startswith(said)


def test_of_many_mistakes_the_first_are_told() -> None:
    with pytest.raises(RosterError) as error:
        parse_roster(b"user,role\n" + b"ada,boss\n" * 30)
    assert len(error.value.problems) == 6
    assert error.value.problems[-1] == "and 25 lines more"


def test_a_column_that_is_probably_meant_is_noted_and_others_are_passed_over() -> None:
    assert parse_roster(b"user,rol,section\nada,manager,A01\n").notes == (
        "the column 'rol' is not read; is 'role' meant?",
    )
    assert parse_roster(b"user,user_id,name\nada,7,Ada\n").notes == ()


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_content_is_a_roster_or_refused(content: bytes) -> None:
    lines: frozenset[Line] = frozenset()
    with suppress(RosterError):
        lines = parse_roster(content).lines
    assert all(line.user or line.email for line in lines)

"""`gpuspawner simulate`: which past launches a changed configuration would have refused."""

import argparse
import json
from collections.abc import Iterator
from datetime import tzinfo
from pathlib import Path

from gpuspawner.cli.check import inherited, load_any, table
from gpuspawner.cli.errors import CommandError
from gpuspawner.cli.ledger_database import Ledger, instant, ledger_of, reading
from gpuspawner.cli.ledger_export import every
from gpuspawner.config import Settings, load_settings, section_of
from gpuspawner.errors import ConfigurationError
from gpuspawner.ledger import rows, search
from gpuspawner.ledger.errors import StoreUnavailableError
from gpuspawner.ledger.records import Session, SessionFilter
from gpuspawner.limits.replay import Replay, replay

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Print what would have been refused; 0 where nothing would, 1 where something would."""
    settings, ledger = _settings(Path(options.new_config)), ledger_of(options)
    try:
        found = _replayed(settings, ledger, options)
    except StoreUnavailableError as error:
        raise CommandError(f"{error.reason} {error.detail}", status=2) from error
    finally:
        ledger.database.dispose()
    if options.json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        print("\n\n".join(_told(found, options.limit, settings.timezone)))
    return 1 if found.refused else 0


def _settings(path: Path) -> Settings:
    try:
        section = section_of(load_any(path))
        settings = load_settings(section, inherited())
    except ConfigurationError as error:
        raise CommandError("\n".join(error.problems), status=2) from error
    if not section:
        raise CommandError(f"{path} has no c.GPUSpawner section.", status=2)
    if settings.profiles_by_user:
        raise CommandError(
            f"{path} works out the profiles of each user by a function, which needs a running hub. Simulate with "
            "c.GPUSpawner.profiles as a mapping.",
            status=2,
        )
    return settings


def _replayed(settings: Settings, ledger: Ledger, options: argparse.Namespace) -> Replay:
    since, until = instant(options.since, settings.timezone), instant(options.until, settings.timezone)

    def shown(session: Session) -> bool:
        return (
            (since is None or session.opened >= since)
            and options.user in (None, session.user)
            and options.workspace in (None, session.workspace)
        )

    with reading(ledger) as connection:
        sessions = every(search.sessions, connection, SessionFilter(hub=ledger.hub, until=until), None)
        return replay(sessions, settings, rows.grants(connection, ledger.hub), shown)


def _told(found: Replay, limit: int, timezone: tzinfo) -> Iterator[str]:
    count = f"{found.launches} past launch{'' if found.launches == 1 else 'es'}"
    if not found.launches:
        yield "The ledger holds no such launch."
        return
    if not found.refused:
        yield f"Of {count}, none would have been refused."
        return
    yield f"Of {count}, {len(found.refused)} would have been refused."
    for title, part in (("RULE", "rule"), ("WORKSPACE", "workspace"), ("USER", "user")):
        yield table((title, "REFUSED"), [(name or "none", number) for name, number in found.by(part).items()][:limit])
    named = [
        (
            one.session.opened.astimezone(timezone).isoformat(" ", "minutes"),
            one.session.user,
            one.session.workspace,
            one.session.profile,
            one.reason,
        )
        for one in found.refused[:limit]
    ]
    yield table(("TIME", "USER", "WORKSPACE", "PROFILE", "WHY"), named)
    if len(found.refused) > limit:
        yield f"{len(found.refused) - limit} more are not named; see --limit and --json."

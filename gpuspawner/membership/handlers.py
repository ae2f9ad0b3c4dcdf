"""JupyterHub's own requests that change groups or delete users: as they are, but the audit log learns who asked."""

from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers import groups, users

from gpuspawner.membership.log import asked_by

__all__ = ["group_handlers"]


class _Named:
    async def prepare(self: Any) -> None:
        await super().prepare()  # type: ignore[misc]  # of the handler that this is mixed into
        who = self.current_user
        if who is not None:
            asked_by(f"service:{who.name}" if isinstance(who, orm.Service) else who.name)


def group_handlers() -> list[tuple[str, type[Any]]]:
    """To be found before JupyterHub's own, which they extend."""
    paths = {r"/api/groups", r"/api/groups/([^/]+)", r"/api/groups/([^/]+)/users", r"/api/users/([^/]+)"}
    found = [(path, handler) for path, handler in (*groups.default_handlers, *users.default_handlers) if path in paths]
    return [(path, type(handler.__name__, (_Named, handler), {})) for path, handler in found]

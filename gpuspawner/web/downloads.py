"""Tables as downloads: CSV that is sent while it is read, however long it is."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from tornado.web import RequestHandler

from gpuspawner.reports.spreadsheet import CONTENT_TYPE, csv_text

__all__ = ["send_csv"]


async def send_csv(
    handler: RequestHandler, name: str, columns: Sequence[str], pages: AsyncIterator[Iterable[Mapping[str, Any]]]
) -> None:
    """Answer with a file of this name, of ASCII letters. What fails before the first page is an error as any other."""
    first = True
    async for rows in pages:
        if first:
            handler.set_header("Content-Type", CONTENT_TYPE)
            handler.set_header("Content-Disposition", f'attachment; filename="{name}"')
            handler.set_header("Cache-Control", "no-store")
        handler.write(csv_text(columns, rows, header=first))
        first = False
        await handler.flush()

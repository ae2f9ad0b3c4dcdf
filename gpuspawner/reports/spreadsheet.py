"""Tables as CSV that a spreadsheet opens and that cannot run anything there. Pure."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

__all__ = ["CONTENT_TYPE", "cell", "csv_text"]

CONTENT_TYPE = "text/csv; charset=utf-8; header=present"
"""Of RFC 4180."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: Any) -> Any:
    """A value as a cell. Members choose some of the texts, and a spreadsheet runs those that begin like a formula
    (https://owasp.org/www-community/attacks/CSV_Injection)."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return format(value, ".6f").rstrip("0").rstrip(".") if isinstance(value, float) else value


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, header: bool = True) -> str:
    """Rows as CSV of RFC 4180; ``header`` False for those that follow others."""
    file = io.StringIO()
    writer = csv.writer(file)
    if header:
        writer.writerow(columns)
    writer.writerows([cell(row[name]) for name in columns] for row in rows)
    return file.getvalue()

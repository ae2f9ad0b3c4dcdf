"""Version 2: how long each session ran, for reports of GPU-hours; grants are found by hub."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_RAN = {
    "sqlite": "CAST(ROUND((julianday(ended) - julianday(started)) * 86400) AS INTEGER)",
    "postgresql": "ROUND(EXTRACT(EPOCH FROM ended - started))",
}


def upgrade() -> None:
    """Add the column, and fill it for what was settled before."""
    op.add_column("gpuspawner_sessions", sa.Column("seconds", sa.BigInteger))
    ran = _RAN[op.get_bind().dialect.name]
    op.execute(
        "UPDATE gpuspawner_sessions SET seconds = "  # noqa: S608 - of constants
        f"CASE WHEN started IS NULL OR ended < started THEN 0 ELSE {ran} END WHERE charged IS NOT NULL"
    )
    op.create_index("gpuspawner_grants_by_hub", "gpuspawner_grants", ["hub", "at"])

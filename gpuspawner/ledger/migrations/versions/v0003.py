"""Version 3: how many GPUs of each class the cluster had, for reports of capacity over time."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "gpuspawner_capacity",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True, nullable=False),
        sa.Column("hub", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("gpu_class", sa.Text, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="gpuspawner_capacity_pkey"),
        sa.CheckConstraint("total >= 0", name=op.f("gpuspawner_capacity_total")),
    )
    op.create_index("gpuspawner_capacity_by_class", "gpuspawner_capacity", ["hub", "gpu_class", "at"])

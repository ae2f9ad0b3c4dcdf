"""Version 1: sessions, grants, and an audit log that can only grow."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_JSON = sa.JSON().with_variant(JSONB(), "postgresql")
_HELD = sa.text("charged IS NULL")


def upgrade() -> None:
    """Make the tables."""
    _sessions()
    _grants()
    _audit()
    for statement in _append_only(op.get_bind().dialect.name):
        op.execute(statement)


def _sessions() -> None:
    op.create_table(
        "gpuspawner_sessions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("hub", sa.Text, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("server", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("options", _JSON, nullable=False),
        sa.Column("gpu_classes", _JSON, nullable=False),
        sa.Column("gpus", sa.Integer, nullable=False),
        sa.Column("cpu", sa.Float, nullable=False),
        sa.Column("memory", sa.BigInteger, nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("runtime", sa.BigInteger, nullable=False),
        sa.Column("price", _JSON, nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
        sa.Column("opened", _TIME, nullable=False),
        sa.Column("started", _TIME),
        sa.Column("ended", _TIME),
        sa.Column("gpu_class", sa.Text),
        sa.Column("charged", sa.BigInteger),
        sa.Column("cause", sa.Text),
        sa.PrimaryKeyConstraint("id", name="gpuspawner_sessions_pkey"),
        sa.CheckConstraint("held >= 0", name=op.f("gpuspawner_sessions_held")),
        sa.CheckConstraint("charged >= 0", name=op.f("gpuspawner_sessions_charged")),
        sa.CheckConstraint("charged IS NULL OR ended IS NOT NULL", name=op.f("gpuspawner_sessions_ended")),
    )
    op.create_index("gpuspawner_sessions_by_time", "gpuspawner_sessions", ["opened", "id"])
    op.create_index("gpuspawner_sessions_by_user", "gpuspawner_sessions", ["username", "opened", "id"])
    op.create_index("gpuspawner_sessions_by_workspace", "gpuspawner_sessions", ["workspace", "opened", "id"])
    op.create_index(
        "gpuspawner_sessions_unsettled", "gpuspawner_sessions", ["hub"], sqlite_where=_HELD, postgresql_where=_HELD
    )


def _grants() -> None:
    op.create_table(
        "gpuspawner_grants",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("hub", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("username", sa.Text),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("until", _TIME),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("granted_by", sa.Text, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("revoked", _TIME),
        sa.PrimaryKeyConstraint("id", name="gpuspawner_grants_pkey"),
        sa.CheckConstraint("units > 0", name=op.f("gpuspawner_grants_units")),
    )
    op.create_index("gpuspawner_grants_by_workspace", "gpuspawner_grants", ["workspace", "username"])


def _audit() -> None:
    op.create_table(
        "gpuspawner_audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("hub", sa.Text, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("username", sa.Text),
        sa.Column("workspace", sa.Text),
        sa.Column("details", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="gpuspawner_audit_pkey"),
        sa.UniqueConstraint("id", name="gpuspawner_audit_id_key"),
    )
    op.create_index("gpuspawner_audit_by_time", "gpuspawner_audit", ["at", "seq"])
    for column, name in (("username", "user"), ("workspace", "workspace"), ("actor", "actor"), ("action", "action")):
        op.create_index(f"gpuspawner_audit_by_{name}", "gpuspawner_audit", [column, "at", "seq"])


def _append_only(dialect: str) -> tuple[str, ...]:
    """Triggers that refuse to change or delete entries; in SQLite ``INSERT OR REPLACE`` would delete unseen."""
    if dialect == "sqlite":
        refuse = "BEGIN SELECT RAISE(ABORT, 'the audit log can only grow'); END"
        return (
            f"CREATE TRIGGER gpuspawner_audit_no_update BEFORE UPDATE ON gpuspawner_audit {refuse}",
            f"CREATE TRIGGER gpuspawner_audit_no_delete BEFORE DELETE ON gpuspawner_audit {refuse}",
            """CREATE TRIGGER gpuspawner_audit_no_replace BEFORE INSERT ON gpuspawner_audit
            WHEN EXISTS (SELECT 1 FROM gpuspawner_audit WHERE id = NEW.id OR seq = NEW.seq)
            BEGIN SELECT RAISE(IGNORE); END""",
        )
    return (
        """CREATE FUNCTION gpuspawner_audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit log can only grow'; END $$""",
        """CREATE TRIGGER gpuspawner_audit_no_change BEFORE UPDATE OR DELETE ON gpuspawner_audit
        FOR EACH ROW EXECUTE FUNCTION gpuspawner_audit_only_grows()""",
        """CREATE TRIGGER gpuspawner_audit_no_truncate BEFORE TRUNCATE ON gpuspawner_audit
        FOR EACH STATEMENT EXECUTE FUNCTION gpuspawner_audit_only_grows()""",
    )

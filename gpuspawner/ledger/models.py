"""The tables of the ledger, as SQLAlchemy models.

They are prefixed, so that the ledger may share a database with JupyterHub. A change here needs a migration.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = ["AuditRow", "Base", "CapacityRow", "Document", "GrantRow", "Instant", "SessionRow", "Words", "clean"]


def clean(value: Any) -> Any:
    """``value`` as every database can store it: PostgreSQL knows no NUL in texts, and JSON no NaN.

    Texts come from members; none of them may keep a session from being written.
    """
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else _readable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean(inner) for inner in value]
    return value


def _readable(words: str) -> str:
    return words.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


class Words(TypeDecorator[str]):
    """Text of any length."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else clean(str(value))


class Document(TypeDecorator[Any]):
    """JSON; on PostgreSQL it can be searched."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(JSONB() if dialect.name == "postgresql" else JSON())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return clean(value)


class Instant(TypeDecorator[datetime]):
    """An aware datetime, stored in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """All of the ledger's tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s",
            "pk": "%(table_name)s_pkey",
        }
    )
    type_annotation_map = {str: Words, datetime: Instant, dict[str, Any]: Document, list[str]: Document}  # noqa: RUF012


class SessionRow(Base):
    """:class:`~gpuspawner.ledger.records.Session`; one that has no charge is held."""

    __tablename__ = "gpuspawner_sessions"

    id: Mapped[str] = mapped_column(primary_key=True)
    hub: Mapped[str]
    user: Mapped[str] = mapped_column("username", key="user")
    server: Mapped[str]
    workspace: Mapped[str]
    profile: Mapped[str]
    options: Mapped[dict[str, Any]]
    gpu_classes: Mapped[list[str]]
    gpus: Mapped[int] = mapped_column(Integer)
    cpu: Mapped[float] = mapped_column(Float)
    memory: Mapped[int] = mapped_column(BigInteger)
    image: Mapped[str]
    runtime: Mapped[int] = mapped_column(BigInteger)
    price: Mapped[dict[str, Any]]
    held: Mapped[int] = mapped_column(BigInteger)
    opened: Mapped[datetime]
    started: Mapped[datetime | None]
    ended: Mapped[datetime | None]
    gpu_class: Mapped[str | None]
    charged: Mapped[int | None] = mapped_column(BigInteger)
    cause: Mapped[str | None]
    seconds: Mapped[int | None] = mapped_column(BigInteger)
    """How long its container ran; None until it is settled."""

    __table_args__ = (
        CheckConstraint("held >= 0", "held"),
        CheckConstraint("charged >= 0", "charged"),
        CheckConstraint("charged IS NULL OR ended IS NOT NULL", "ended"),
        Index("gpuspawner_sessions_by_time", "opened", "id"),
        Index("gpuspawner_sessions_by_user", "user", "opened", "id"),
        Index("gpuspawner_sessions_by_workspace", "workspace", "opened", "id"),
        Index(
            "gpuspawner_sessions_unsettled",
            "hub",
            sqlite_where=text("charged IS NULL"),
            postgresql_where=text("charged IS NULL"),
        ),
    )


class GrantRow(Base):
    """:class:`~gpuspawner.ledger.records.Grant`."""

    __tablename__ = "gpuspawner_grants"

    id: Mapped[str] = mapped_column(primary_key=True)
    hub: Mapped[str]
    workspace: Mapped[str]
    user: Mapped[str | None] = mapped_column("username", key="user")
    units: Mapped[int] = mapped_column(BigInteger)
    until: Mapped[datetime | None]
    reason: Mapped[str]
    by: Mapped[str] = mapped_column("granted_by", key="by")
    at: Mapped[datetime]
    revoked: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("units > 0", "units"),
        Index("gpuspawner_grants_by_workspace", "workspace", "user"),
        Index("gpuspawner_grants_by_hub", "hub", "at"),
    )


class AuditRow(Base):
    """:class:`~gpuspawner.ledger.records.AuditEntry`. Triggers of the database refuse to change or delete it."""

    __tablename__ = "gpuspawner_audit"

    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(unique=True)
    hub: Mapped[str]
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    user: Mapped[str | None] = mapped_column("username", key="user")
    workspace: Mapped[str | None]
    details: Mapped[dict[str, Any]]

    __table_args__ = (
        Index("gpuspawner_audit_by_time", "at", "seq"),
        Index("gpuspawner_audit_by_user", "user", "at", "seq"),
        Index("gpuspawner_audit_by_workspace", "workspace", "at", "seq"),
        Index("gpuspawner_audit_by_actor", "actor", "at", "seq"),
        Index("gpuspawner_audit_by_action", "action", "at", "seq"),
    )


class CapacityRow(Base):
    """:class:`~gpuspawner.ledger.records.CapacityChange`: a row only where the number has changed."""

    __tablename__ = "gpuspawner_capacity"

    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    hub: Mapped[str]
    at: Mapped[datetime]
    gpu_class: Mapped[str]
    total: Mapped[int] = mapped_column(Integer)

    __table_args__ = (
        CheckConstraint("total >= 0", "total"),
        Index("gpuspawner_capacity_by_class", "hub", "gpu_class", "at"),
    )

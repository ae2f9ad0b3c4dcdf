"""How Alembic migrates: on the connection, and in the transaction, of ``gpuspawner.ledger.database``."""

from alembic import context

from gpuspawner.ledger.database import VERSION_TABLE
from gpuspawner.ledger.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

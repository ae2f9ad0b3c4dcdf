"""The versions of the ledger's tables, for Alembic. A version that was released never changes."""

"""The ledger: what servers hold now, what was used and charged, what was granted, and the audit log."""

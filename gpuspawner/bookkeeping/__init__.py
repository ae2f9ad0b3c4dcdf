"""Between launcher, balances, ledger and cluster: every session is held before its pod, and charged exactly once."""

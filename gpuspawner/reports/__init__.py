"""What pages and API tell, computed once as plain values: use, budgets, sessions, the state of the GPUs."""

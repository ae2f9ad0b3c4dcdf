"""Who a request comes from and what it may do: service account tokens, RBAC, and the reviews that tell of both."""

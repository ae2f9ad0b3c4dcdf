"""One module a version; each names the one before it."""

"""The pages: handlers, templates and static files."""

"""The handlers of our pages, one file per page. Each shows what a room below has worked out, and takes its forms."""

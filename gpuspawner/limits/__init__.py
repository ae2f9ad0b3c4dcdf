"""The limits of launches, members, workspaces and cohorts: which apply, what is used, and why not."""

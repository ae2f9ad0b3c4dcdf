"""Service units: what a launch costs, what is left to pay it, and what changes that."""

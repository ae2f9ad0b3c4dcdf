"""Nodes of the engine: pretended ones from a description, or this machine."""

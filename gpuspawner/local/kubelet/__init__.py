"""Bound pods as processes of this machine."""

"""Fixtures of the tests of a real JupyterHub."""

from hub_fixtures import engine, kubespawner_on_engine, no_hub_in_the_environment, start_gpu_hub, start_hub

__all__ = ["engine", "kubespawner_on_engine", "no_hub_in_the_environment", "start_gpu_hub", "start_hub"]

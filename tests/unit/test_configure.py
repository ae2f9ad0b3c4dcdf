"""``configure(c)``: what it does to a hub's configuration."""

from traitlets.config import Config

from gpuspawner import configure
from gpuspawner.config import load_settings, section_of
from gpuspawner.spawner import GPUSpawner


def test_all_spawners_of_a_hub_share_one_catalog_instead_of_copying_it() -> None:
    c = Config()
    c.GPUSpawner.profiles = {"cpu": {"display_name": "CPU", "image": "example.org/notebook:1"}}
    c.GPUSpawner.workspaces = {"everyone": {"members": "*"}}
    before = load_settings(section_of(c))
    configure(c)
    one, other = GPUSpawner(config=c), GPUSpawner(config=c)
    assert one.profiles is other.profiles
    assert one.workspaces is other.workspaces
    assert one.profiles == {"cpu": {"display_name": "CPU", "image": "example.org/notebook:1"}}
    assert load_settings(section_of(c)) == before

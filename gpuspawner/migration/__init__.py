"""From a KubeSpawner hub's configuration to the one of gpuspawner that means the same. Pure."""

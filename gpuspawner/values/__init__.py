"""The values of the Helm chart, as its hub finds them in mounted files, turned into the hub's configuration."""

"""What Prometheus reads on the hub's ``/metrics``: read from memory at each scrape, without names of users."""

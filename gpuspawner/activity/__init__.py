"""Where the use of GPUs and CPUs is read: Prometheus, and the reports of notebook servers."""

"""The controllers of workloads and Services: what a kube-controller-manager does for the objects of a chart."""

"""What Zero-to-JupyterHub's own jupyterhub_config.py makes of a course hub's values."""

c = get_config()  # noqa: F821

c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.JupyterHub.cleanup_servers = False
c.KubeSpawner.common_labels = {
    "app": "jupyterhub",
    "heritage": "jupyterhub",
    "chart": "jupyterhub-4.2.0",
    "release": "teaching",
}
c.KubeSpawner.namespace = "teaching"
c.Spawner.consecutive_failure_limit = 5
c.KubeSpawner.start_timeout = 300
c.KubeSpawner.image_pull_policy = "IfNotPresent"
c.KubeSpawner.events_enabled = True
c.KubeSpawner.extra_labels = {"hub.jupyter.org/network-access-hub": "true"}
c.KubeSpawner.allow_privilege_escalation = False
c.KubeSpawner.uid = 1000
c.KubeSpawner.fs_gid = 100
c.KubeSpawner.mem_limit = "2G"
c.KubeSpawner.mem_guarantee = "1G"
c.KubeSpawner.environment = {"COURSE": "cse151a", "GRANT_SUDO": "no", "MODELS": "/shared/models/{username}"}
c.KubeSpawner.image = "quay.io/jupyter/scipy-notebook:2025-08-01"
c.KubeSpawner.image_pull_secrets = [{"name": "registry"}]
c.KubeSpawner.scheduler_name = "teaching-user-scheduler"
c.KubeSpawner.priority_class_name = "teaching-default-priority"
c.KubeSpawner.node_affinity_preferred.append(
    {
        "weight": 100,
        "preference": {
            "matchExpressions": [{"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}]
        },
    }
)
for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated"):
    c.KubeSpawner.tolerations.append({"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"})
c.KubeSpawner.pvc_name_template = "claim-{escaped_user_server}"
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_class = "fast"
c.KubeSpawner.storage_capacity = "20Gi"
c.KubeSpawner.storage_extra_labels = {"backup": "daily"}
c.KubeSpawner.volumes = {
    "home": {"name": "volume-{user_server}", "persistentVolumeClaim": {"claimName": "{pvc_name}"}},
    "shared": {"name": "shared", "persistentVolumeClaim": {"claimName": "course-material"}},
    "shm": {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    "scripts": {"name": "scripts", "configMap": {"name": "start-scripts"}},
}
c.KubeSpawner.volume_mounts = {
    "home": {"name": "volume-{user_server}", "mountPath": "/home/jovyan"},
    "shared": {"name": "shared", "mountPath": "/home/jovyan/shared", "subPath": "cse151a", "readOnly": True},
    "shm": {"name": "shm", "mountPath": "/dev/shm"},
    "scripts": {"name": "scripts", "mountPath": "/usr/local/bin/before-notebook.d/course.sh", "subPath": "course.sh"},
}
c.KubeSpawner.init_containers.append(
    {
        "name": "block-cloud-metadata",
        "image": "quay.io/jupyterhub/k8s-network-tools:4.2.0",
        "command": ["iptables", "--append", "OUTPUT", "--destination", "169.254.169.254", "--jump", "DROP"],
        "securityContext": {"runAsUser": 0, "privileged": True, "capabilities": {"add": ["NET_ADMIN"]}},
    }
)
c.Spawner.cmd = "jupyterhub-singleuser"
c.Spawner.default_url = "/lab"
c.KubeSpawner.profile_list = [
    {
        "display_name": "No GPU",
        "description": "2 GB of memory &ndash; for <b>most</b> homework",
        "default": True,
    },
    {
        "display_name": "One T4",
        "slug": "t4",
        "kubespawner_override": {
            "image": "quay.io/jupyter/pytorch-notebook:cuda12-2025-08-01",
            "cpu_limit": 4,
            "cpu_guarantee": 2,
            "mem_limit": "16G",
            "mem_guarantee": "16G",
            "environment": {"MIXED_PRECISION": "1"},
            "extra_resource_limits": {"nvidia.com/gpu": "1"},
            "node_selector": {"nvidia.com/gpu.product": "Tesla-T4"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        },
    },
]

"""A lab's hub that has been upgraded since KubeSpawner 0.8: old names, lists that profiles replace, root, MIG."""

c = get_config()  # noqa: F821

c.KubeSpawner.image_spec = "lab/notebook:7"
c.KubeSpawner.user_storage_pvc_ensure = True
c.KubeSpawner.user_storage_capacity = "5Gi"
c.KubeSpawner.slug_scheme = "escape"
c.KubeSpawner.pvc_name_template = "nb-{username}"
c.KubeSpawner.volumes = [
    {"name": "nb", "persistentVolumeClaim": {"claimName": "nb-{username}"}},
    {"name": "raw", "nfs": {"server": "nas", "path": "/raw"}},
]
c.KubeSpawner.volume_mounts = [
    {"name": "nb", "mountPath": "/home/jovyan/work"},
    {"name": "raw", "mountPath": "/raw", "readOnly": True},
]
c.KubeSpawner.node_selector = {"pool": "lab"}
c.KubeSpawner.cpu_guarantee = 0.25
c.KubeSpawner.mem_limit = 3 * 2**30
c.KubeSpawner.environment = {"B": "$(A)/b", "A": "a", "BRACES": "{{username}} {{x}}"}
c.KubeSpawner.lifecycle_hooks = {"preStop": {"exec": {"command": ["sh", "-c", "echo ${HOME} {username}"]}}}
c.KubeSpawner.extra_pod_config = {"restart_policy": "Always", "host_network": False, "dnsPolicy": "Default"}
c.KubeSpawner.extra_container_config = {"tty": True}
c.KubeSpawner.delete_pvc = False
c.KubeSpawner.profile_list = {
    "b-sudo": {
        "display_name": "Root",
        "slug": "b-sudo",
        "kubespawner_override": {
            "uid": 0,
            "allow_privilege_escalation": True,
            "environment": {"GRANT_SUDO": "yes", "A": None, "C": "$(B)/c"},
        },
    },
    "a-mig": {
        "display_name": "Slices of an A100",
        "slug": "a-mig",
        "kubespawner_override": {
            "volumes": [{"name": "nb", "persistentVolumeClaim": {"claimName": "nb-{username}"}}],
            "volume_mounts": [{"name": "nb", "mountPath": "/home/jovyan/work"}],
            "node_selector": {"pool": "gpu"},
            "cpu_limit": 2,
            "extra_resource_limits": {"nvidia.com/mig-3g.20gb": 1},
        },
        "profile_options": {
            "slices": {
                "display_name": "Slices",
                "choices": {
                    "one": {"display_name": "1", "kubespawner_override": {}},
                    "two": {
                        "display_name": "2",
                        "kubespawner_override": {"extra_resource_limits": {"nvidia.com/mig-3g.20gb": 2}},
                    },
                },
            }
        },
    },
    "c-busy": {
        "display_name": "Whole cards",
        "slug": "c-busy",
        "default": True,
        "kubespawner_override": {
            "image": "lab/cuda:7",
            "extra_resource_guarantees": {"nvidia.com/gpu": "1"},
            "node_affinity_required": [
                {
                    "matchExpressions": [
                        {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-L4", "NVIDIA-L40S"]},
                        {"key": "room", "operator": "In", "values": ["b12"]},
                    ]
                }
            ],
        },
    },
}

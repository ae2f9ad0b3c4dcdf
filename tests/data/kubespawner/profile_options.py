"""A research hub in the manner of 2i2c: profiles with options, groups, and a callable."""

c = get_config()  # noqa: F821


def pod_hook(spawner, pod):
    return pod


def only_for_staff(spawner):
    return {"STAFF": "1"}


c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.modify_pod_hook = pod_hook
c.KubeSpawner.service_account = "user-sa"
c.KubeSpawner.storage_pvc_ensure = False
c.KubeSpawner.volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "home-nfs"}}]
c.KubeSpawner.volume_mounts = [
    {"name": "home", "mountPath": "/home/jovyan", "subPath": "{escaped_username}"},
    {"name": "home", "mountPath": "/home/jovyan/shared", "subPath": "_shared", "readOnly": True},
]
c.KubeSpawner.mem_limit = "4G"
c.KubeSpawner.mem_guarantee = "1G"
c.KubeSpawner.environment.update({"SCRATCH_BUCKET": "s3://scratch/$(JUPYTERHUB_USER)"})
c.KubeSpawner.slow_spawn_message_threshold = 30
c.KubeSpawner.profile_list = [
    {
        "display_name": "CPU",
        "description": "Up to 16 GB of memory",
        "default": True,
        "allowed_groups": ["staff"],
        "profile_options": {
            "image": {
                "display_name": "Image",
                "unlisted_choice": {
                    "enabled": True,
                    "display_name": "Custom image",
                    "validation_regex": "^.+:.+$",
                    "kubespawner_override": {"image": "{value}"},
                },
                "choices": {
                    "pangeo": {
                        "display_name": "Pangeo",
                        "default": True,
                        "kubespawner_override": {"image": "pangeo/pangeo-notebook:2025.08.14", "default_url": "/lab"},
                    },
                    "rocker": {
                        "display_name": "RStudio",
                        "kubespawner_override": {
                            "image": "rocker/binder:4.5",
                            "default_url": "/rstudio",
                            "environment": {"RSESSION": "1"},
                        },
                    },
                },
            },
            "resources": {
                "display_name": "Resources",
                "choices": {
                    "small": {
                        "display_name": "2 GB",
                        "kubespawner_override": {
                            "mem_guarantee": "2G",
                            "mem_limit": "2G",
                            "cpu_guarantee": 1,
                            "cpu_limit": 1,
                        },
                    },
                    "large": {
                        "display_name": "16 GB",
                        "kubespawner_override": {
                            "mem_guarantee": "16G",
                            "mem_limit": "16G",
                            "cpu_guarantee": 4,
                            "cpu_limit": 4,
                        },
                    },
                },
            },
        },
    },
    {
        "display_name": "GPU",
        "slug": "gpu",
        "kubespawner_override": {
            "image": "pangeo/pytorch-notebook:2025.08.14",
            "cpu_limit": 8,
            "mem_limit": "30G",
            "mem_guarantee": "28G",
            "environment": only_for_staff,
            "start_timeout": 1200,
        },
        "profile_options": {
            "card": {
                "display_name": "Card",
                "choices": {
                    "t4": {
                        "display_name": "T4",
                        "kubespawner_override": {
                            "extra_resource_limits": {"nvidia.com/gpu": "1"},
                            "node_selector": {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"},
                        },
                    },
                    "a100": {
                        "display_name": "A100",
                        "kubespawner_override": {
                            "extra_resource_limits": {"nvidia.com/gpu": "1"},
                            "node_selector": {"cloud.google.com/gke-accelerator": "nvidia-tesla-a100"},
                        },
                    },
                },
            }
        },
    },
]

"""The traits of ``c.GPUSpawner``: what an administrator configures, and its reference manual."""

from pathlib import Path
from typing import Any

from jupyterhub.traitlets import Command
from traitlets import Any as AnyTrait
from traitlets import Bool, Callable, Dict, Float, List, Unicode, Union, default
from traitlets.config import LoggingConfigurable

from gpuspawner.config import DNS_NAME, FALLBACK_AFTER, LEDGER_URL

__all__ = ["SpawnerTraits"]

_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class SpawnerTraits(LoggingConfigurable):
    """The configuration of :class:`~gpuspawner.spawner.GPUSpawner`."""

    gpu_classes = Dict(
        help="""GPU classes by name: bands of GPUs that members ask for.

        For example::

            c.GPUSpawner.gpu_classes = {
                "small": {
                    "display_name": "Small, 16 GB",
                    "memory": "16Gi",
                    "accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}],
                },
            }
        """
    ).tag(config=True)
    profiles = Union(
        [Dict(), Callable()],
        default_value={},
        help="""Profiles by name: an image, and how much of the machine it may take. Or a function, async or not, of
        the spawner that returns them, so that each user has their own.

        For example::

            c.GPUSpawner.profiles = {
                "pytorch": {
                    "display_name": "PyTorch",
                    "image": "quay.io/jupyter/pytorch-notebook:cuda12",
                    "cpu": {"default": 2, "max": 8},
                    "memory": {"default": "8G", "max": "32G"},
                    "gpu_classes": ["small"],
                    "gpus": {"default": 1, "max": 1},
                },
            }
        """,
    ).tag(config=True)
    workspaces = Dict(
        help="""Workspaces by name: who may have what.

        For example::

            c.GPUSpawner.workspaces = {
                "everyone": {"members": "*", "quota": {"small": 4}, "per_member": {"gpus": 1, "servers": 2}},
            }
        """
    ).tag(config=True)
    administrators: List[Any] = List(
        help="""Who may see and administer all workspaces through gpuspawner's pages and API, by user names and
        membership rules. JupyterHub's own administrators may anyway. Neither is a member of a workspace by that alone.

        For example::

            c.GPUSpawner.administrators = ["ada", {"claim": "groups", "equals": "research-it"}]
        """
    ).tag(config=True)
    longest_login = AnyTrait(
        None,
        help="""How long what a login said counts, with authenticators that never ask again; then the next page asks to
        log in anew, so that whoever has lost a claim leaves. Servers go on meanwhile. None: as long as JupyterHub's own
        cookie. OAuth providers are asked again anyway, as ``Authenticator.auth_refresh_age`` says.

        For example::

            c.GPUSpawner.longest_login = "12h"
        """,
    ).tag(config=True)
    cohorts = Dict(
        help="""Cohorts by name: workspaces that share hardware, what they may hold together, and whether one may
        borrow what the others leave idle.

        For example::

            c.GPUSpawner.cohorts = {
                "teaching": {
                    "workspaces": ["cse151a", "cse251u"],
                    "quota": {"medium": 24},
                    "borrowing": True,
                    "reserve": {"medium": 2},
                },
            }
        """
    ).tag(config=True)
    per_member = Dict(
        help="""The most one member may hold at once in all workspaces together: ``gpus``, ``cpu``, ``memory``,
        ``servers``, and dated ``exceptions`` from them.

        For example::

            c.GPUSpawner.per_member = {"gpus": 4, "servers": 3}
        """
    ).tag(config=True)
    off_peak = Dict(
        allow_none=True,
        default_value=None,
        help="""Hours in which service units cost less.

        For example::

            c.GPUSpawner.off_peak = {"hours": "01:00-16:00", "rate": 0.5, "timezone": "America/Los_Angeles"}
        """,
    ).tag(config=True)
    cpu_rate = Float(
        0.0,
        help="""Service units per CPU core and hour of a server without GPU. 0: servers without GPU cost nothing.

        For example::

            c.GPUSpawner.cpu_rate = 0.01
        """,
    ).tag(config=True)
    timezone = Unicode(
        "UTC",
        help="""IANA time zone in which days begin: those a workspace starts and ends on, those of its exceptions, and
        those its budgets renew on.

        For example::

            c.GPUSpawner.timezone = "America/Los_Angeles"
        """,
    ).tag(config=True)
    namespace = Unicode(
        help="""Namespace of the pods and claims; without it the hub's own, or ``default`` outside of a cluster.

        For example::

            c.GPUSpawner.namespace = "jupyter"
        """,
    ).tag(config=True)
    hub_name = Unicode(
        "jupyterhub",
        help="""Name of this hub on its pods' labels; give each hub of a namespace its own.

        For example::

            c.GPUSpawner.hub_name = "teaching"
        """,
    ).tag(config=True)
    pod_template = Dict(
        help="""PodTemplateSpec merged into every pod, as ``kubectl patch`` merges. The server's container is
        called ``notebook``.

        For example::

            c.GPUSpawner.pod_template = {"spec": {"priorityClassName": "interactive"}}
        """
    ).tag(config=True)
    storage = Dict(
        allow_none=True,
        help="""Home of a member, kept in a PersistentVolumeClaim, shared volumes, scratch space and /dev/shm. None: no
        volume but /dev/shm.

        For example::

            c.GPUSpawner.storage = {
                "size": "20Gi",
                "storage_class": "fast",
                "volumes": {"datasets": {"claim": "datasets", "mount_path": "/datasets"}},
                "scratch": {"size": "200Gi", "storage_class": "local-nvme"},
            }
        """,
    ).tag(config=True)
    image_pull_secrets = List(
        Unicode(),
        help="""Names of Secrets with the credentials of image registries.

        For example::

            c.GPUSpawner.image_pull_secrets = ["registry"]
        """,
    ).tag(config=True)
    token_in_secret = Bool(
        True,
        help="""Keep each server's API token in a Secret of its own, which is gone with the server, so that whoever may
        read pods cannot read it. That is one request more at each launch and at each stop. False: it is in the pod's
        environment, as KubeSpawner has it, and the hub needs no rights to Secrets.

        For example::

            c.GPUSpawner.token_in_secret = False
        """,
    ).tag(config=True)
    fallback_after = AnyTrait(
        FALLBACK_AFTER,
        help="""How long a launch waits for the GPU class of its first choice while another class of its choice, which
        has another resource name, is free; then it moves there. None: it never does.

        For example::

            c.GPUSpawner.fallback_after = "2m"
        """,
    ).tag(config=True)
    idle = Dict(
        allow_none=True,
        default_value=None,
        help="""When servers end that nobody uses. None: never, but for profiles with an ``idle`` of their own. ``{}``:
        servers whose GPU is idle, by the rules of UCSD's DSMLP.

        The use of a GPU is read from Prometheus where NVIDIA's DCGM exporter feeds it, or reported by notebook servers
        with the extension ``gpuspawner.notebook``. Without either it is not known, and no server ends for it.

        For example::

            c.GPUSpawner.idle = {
                "after": "30m",
                "cpu_servers": "2h",
                "prometheus": {"url": "http://prometheus.monitoring:9090"},
            }
        """,
    ).tag(config=True)
    user_namespaces = Dict(
        allow_none=True,
        default_value=None,
        help="""A namespace for each user, made at their first launch, instead of one for all. The hub needs a
        ClusterRole for it.

        For example::

            c.GPUSpawner.user_namespaces = {
                "name": "{hubnamespace}-{username}",
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            }
        """,
    ).tag(config=True)
    services = Bool(
        False,
        help="""Give each server a Service, and reach it by DNS name instead of by IP address: for meshes that want
        it. With JupyterHub's ``internal_ssl`` each server has one anyway.

        For example::

            c.GPUSpawner.services = True
        """,
    ).tag(config=True)
    dns_name = Unicode(
        DNS_NAME,
        help="""DNS name of a server's Service, with ``{pod_name}`` and ``{namespace}``.

        For example::

            c.GPUSpawner.dns_name = "{pod_name}.{namespace}.svc.example.org"
        """,
    ).tag(config=True)
    ledger_url = Unicode(
        LEDGER_URL,
        help="""Database of the ledger: what was used, held, charged and granted, and the audit log. A SQLite file,
        relative to the hub's working directory as JupyterHub's own is, or PostgreSQL, which needs
        ``pip install 'gpuspawner[postgresql]'``. It may be JupyterHub's own database on PostgreSQL, and several hubs
        may share it, each with a ``hub_name`` of its own.

        For example::

            c.GPUSpawner.ledger_url = "postgresql://gpuspawner:secret@db.example.org/gpuspawner"
        """,
    ).tag(config=True)
    connect = Dict(
        help="""How to reach the Kubernetes API: ``kubeconfig``, ``context``, or ``host``, ``token_file``, ``ca``,
        ``verify``. Without it the pod's own service account, else the default kubeconfig.

        For example::

            c.GPUSpawner.connect = {"kubeconfig": "/etc/gpuspawner/kubeconfig"}
        """
    ).tag(config=True)

    modify_pod_hook = Callable(
        None,
        allow_none=True,
        help="""A function, async or not, of the spawner and the pod's manifest (a dict) that returns the manifest to
        make, or changes it in place. What quota and placement rest on is put back afterwards.

        For example::

            async def add_team(spawner, pod):
                pod["metadata"]["labels"]["team"] = await team_of(spawner.user.name)
                return pod

            c.GPUSpawner.modify_pod_hook = add_team
        """,
    ).tag(config=True)
    notify_hook = Callable(
        None,
        allow_none=True,
        help="""A function, async or not, that is given each :class:`~gpuspawner.sessions.notices.Notice` to a member: a
        server of theirs ends soon, has ended, or a budget runs low. For mail or chat; on the hub's pages members see
        them anyway. One that is not async runs in a thread of its own.

        For example::

            def mail(notice):
                message = EmailMessage()
                message["To"], message["Subject"] = f"{notice.user}@example.edu", "Your server"
                message.set_content(notice.sentence)
                with SMTP("mail.example.edu") as smtp:
                    smtp.send_message(message)

            c.GPUSpawner.notify_hook = mail
        """,
    ).tag(config=True)
    cmd = Command(
        None,
        allow_none=True,
        minlen=0,
        help="""Command of the notebook server; without it the image's own.

        For example::

            c.GPUSpawner.cmd = ["jupyterhub-singleuser"]
        """,
    ).tag(config=True)

    @default("namespace")
    def _default_namespace(self) -> str:
        return _OWN_NAMESPACE.read_text().strip() if _OWN_NAMESPACE.exists() else "default"

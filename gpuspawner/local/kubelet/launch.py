"""From a container's specification to a command line, environment and folder of this machine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from gpuspawner.local.apiserver.store import Object
from gpuspawner.local.kubelet.devices import device_env
from gpuspawner.local.kubelet.env import ConfigError, Lookup, expand, resolve_env
from gpuspawner.local.kubelet.identity import TOKEN_PATH, write_kubeconfig
from gpuspawner.local.kubelet.rewrite import Rewriter
from gpuspawner.local.kubelet.service_names import ServiceNames, service_variables
from gpuspawner.local.kubelet.volumes import mount_points
from gpuspawner.local.nodes.description import Device

__all__ = ["Images", "Launch", "PodPlace", "prepare_launch"]

_HOME_PARENT = Path("/home")
_IMAGE_HOME = "/home/jovyan"
"""The home of Jupyter's images; a pod that mounts nothing there has one of its own until it ends."""

_TERMINATION_LOG = "/dev/termination-log"


class Images:
    """Which images exist, and what each runs by default.

    Parameters
    ----------
    commands
        Default command by image, or by a pattern as of `fnmatch`. An exact name goes before a pattern, an earlier
        pattern before a later one. The command is the image's CMD: there is no ENTRYPOINT, so ``args`` alone
        replace it.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]]) -> None:
        self._commands = {pattern: list(command) for pattern, command in commands.items()}

    def find(self, image: str) -> list[str] | None:
        """The image's default command; None if there is no such image."""
        if image in self._commands:
            return self._commands[image]
        return next((command for pattern, command in self._commands.items() if fnmatchcase(image, pattern)), None)


@dataclass(slots=True)
class PodPlace:
    """Where a pod lives on this machine."""

    root: Path
    """Folder that goes with the pod."""
    address: str
    node: Object
    lookup: Lookup
    environment: Mapping[str, str]
    """What every container finds in its environment unless its pod says otherwise."""
    event: Callable[[str, str, str, str], None]
    """(type, reason, message, field path)"""
    api_url: Callable[[], str]
    """Where its containers reach the API."""
    names: ServiceNames
    """What the names of Services are here."""
    folders: dict[str, Path] = field(default_factory=dict)
    """By volume name."""
    devices: dict[str, dict[str, list[Device]]] = field(default_factory=dict)
    """By container and resource."""

    @property
    def home(self) -> Path:
        """The pod's own home folder, for containers that mount none."""
        return self.root / "home"


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that starts a container's process."""

    argv: list[str]
    env: dict[str, str]
    cwd: Path
    rewriter: Rewriter
    variables: dict[str, str]
    """The container's own variables, for ``$(VAR)`` in the commands of its hooks and probes."""
    termination_file: Path

    def command(self, command: Sequence[str]) -> list[str]:
        """A hook's or probe's command in the terms of this machine."""
        return self.rewriter.arguments([expand(word, self.variables) for word in command])


def prepare_launch(container: Object, pod: Object, place: PodPlace, image_command: Sequence[str]) -> Launch:
    """Work out how a container starts here, and make the folders it needs. Raises `ConfigError`."""
    variables = resolve_env(container, pod, place.node, place.lookup)
    points = mount_points(container, place.folders, variables)
    home = next((folder for mount, folder in points.items() if Path(mount).parent == _HOME_PARENT), None)
    if home is None:
        place.home.mkdir(parents=True, exist_ok=True)
        home = place.home
        if not any(Path(_IMAGE_HOME).is_relative_to(mount) for mount in points):
            points = {**points, _IMAGE_HOME: home}
    termination_file = place.root / "containers" / container["name"] / "termination-log"
    termination_file.parent.mkdir(parents=True, exist_ok=True)
    termination_file.write_bytes(b"")
    files = {container.get("terminationMessagePath") or _TERMINATION_LOG: termination_file}
    rewriter = Rewriter(points | files, place.address, place.names.resolve)
    given = device_env(place.devices.get(container["name"], {}))
    hidden_only = given == {"CUDA_VISIBLE_DEVICES": ""}
    own = rewriter.environment(variables)
    env = {**place.environment, "HOME": str(home), "HOSTNAME": pod["spec"].get("hostname") or pod["metadata"]["name"]}
    env |= service_variables(place.api_url()) | place.names.variables(pod)
    if TOKEN_PATH in points:
        env["KUBECONFIG"] = str(write_kubeconfig(points[TOKEN_PATH], place.root, place.api_url()))
    env |= (given | own) if hidden_only else (own | given)
    command = container.get("command") or []
    arguments = container.get("args") or ([] if command else image_command)
    argv = rewriter.arguments([expand(word, variables) for word in (*command, *arguments)])
    if not argv:
        raise ConfigError("failed to generate container spec: no command specified")
    cwd = _working_folder(container.get("workingDir") or "", rewriter, home, place.root)
    return Launch(argv, env, cwd, rewriter, variables, termination_file)


def _working_folder(wanted: str, rewriter: Rewriter, home: Path, root: Path) -> Path:
    if not wanted:
        return home
    folder = Path(rewriter.path(wanted))
    if not folder.is_dir():
        # A container runtime makes the folder in the image; here it goes with the pod, or into the mounted volume.
        if str(folder) == wanted:
            folder = root / "files" / wanted.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
    return folder

"""A real PostgreSQL server of the tests' own, on a Unix socket in a folder of its own, as a user without rights."""

import os
import pwd
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path

_NEEDS = "The tests use PostgreSQL's server. On Debian: sudo apt-get install postgresql"


def programs() -> Path:
    """The folder of PostgreSQL's server programs; Debian keeps them off PATH, one folder a version."""
    on_path = shutil.which("pg_config") and subprocess.run(
        ["pg_config", "--bindir"], check=True, capture_output=True, text=True
    )
    folders = [Path(on_path.stdout.strip())] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = [folder for folder in folders if (folder / "initdb").exists()]
    if not found:
        raise RuntimeError(_NEEDS)
    return found[-1]


class RunningPostgres:
    """Starts with :meth:`start`, and may be stopped and started again; each database and schema it gives is new."""

    def __init__(self, *, durable: bool = False) -> None:
        """``durable``: a commit is on the disk, as outside of tests."""
        self._durable = durable
        self._programs = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="gpuspawner-pg-"))
        # PostgreSQL refuses to run as root.
        nobody = pwd.getpwnam("nobody")
        as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}
        self._user = as_nobody if os.geteuid() == 0 else {}
        if self._user:
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        self._names = count()
        self._shares = ""
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", self.data)

    @property
    def data(self) -> str:
        """The folder of the server's files."""
        return str(self.folder / "data")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c max_connections=50"
        options += "" if self._durable else " -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "--wait", "-D", self.data, "-l", log, "-o", options)

    def stop(self) -> None:
        """Stop it at once, as a crash does."""
        self._run("pg_ctl", "stop", "--wait", "-m", "immediate", "-D", self.data)

    def remove(self) -> None:
        """Stop it and delete its files."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self) -> str:
        """The URL of a new database."""
        name = f"ledger{next(self._names)}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def schema(self) -> str:
        """The URL of a new schema, in a database that tests share; a new database is 300 files and a quarter second."""
        name = f"schema{next(self._names)}"
        if not self._shares:
            self._shares = self.database()
        self.sql(self._shares, f"CREATE SCHEMA {name}")
        return f"{self._shares}&options=-csearch_path%3D{name}"

    def url(self, name: str) -> str:
        """The URL of a database."""
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def sql(self, database: str, *statements: str) -> str:
        """Run statements in a database, given by name or URL; returns what psql prints: a row a line, ``|`` between."""
        commands = [part for statement in statements for part in ("-c", statement)]
        place = ("-h", str(self.folder), "-U", "postgres", "-d", database)
        return self._run("psql", *place, "-qtAX", "-v", "ON_ERROR_STOP=1", *commands)

    def dump(self, database: str) -> str:
        """All of a database as SQL."""
        return self._run("pg_dump", "-h", str(self.folder), "-U", "postgres", "--inserts", "--no-owner", database)

    def _run(self, program: str, *arguments: str) -> str:
        # To a file: pg_ctl's server keeps its output open.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                check=False,
                **self._user,  # type: ignore[call-overload]
            )
            output.seek(0)
            text = output.read()
        if done.returncode:
            raise RuntimeError(f"{program} {arguments}: {text}")
        return text.strip()

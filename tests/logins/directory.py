"""OpenLDAP's slapd on loopback, with people and groups, and certificates of its own for StartTLS."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ldap3
from certipy import Certipy
from jupyterhub.utils import random_port

BASE = "dc=example,dc=edu"
PEOPLE, GROUPS = f"ou=people,{BASE}", f"ou=groups,{BASE}"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{BASE}", "of-the-directory"
SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/local/sbin:/usr/bin") or "slapd"
MODULES = next(Path("/usr/lib").glob("**/ldap/memberof.la"), Path("/usr/lib/ldap/memberof.la")).parent
MEMBERS: Mapping[str, tuple[str, ...]] = {"cse151a": ("ada", "grace"), "gpu-lab": ("grace",), "gym": ("ada",)}
PASSWORD = "correct-horse-battery"

CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {folder}/slapd.pid
modulepath {modules}
moduleload back_mdb
moduleload memberof
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
security simple_bind=128
database mdb
suffix "{base}"
rootdn "{admin}"
rootpw {admin_password}
directory {folder}/data
overlay memberof
memberof-group-oc groupOfNames
access to attrs=userPassword by anonymous auth by * none
access to * by users read
"""


@dataclass(frozen=True)
class Directory:
    """A running directory: where it listens, and the certificate of the authority that vouches for it."""

    port: int
    ca: str

    def traits(self, **more: Any) -> dict[str, Mapping[str, Any]]:
        """The configuration of a hub whose people log in here."""
        mine = {
            "server_address": "localhost",
            "server_port": self.port,
            "tls_kwargs": {"ca_certs_file": self.ca},
            "bind_dn_template": [f"uid={{username}},{PEOPLE}"],
            "user_search_base": PEOPLE,
            "user_attribute": "uid",
        }
        return {"LDAPAuthenticator": mine | {"allow_all": True} | more}

    async def add(self, group: str, name: str) -> None:
        """Make somebody a member of a group."""
        await asyncio.to_thread(self._modify, group, ldap3.MODIFY_ADD, name)

    async def remove(self, group: str, name: str) -> None:
        """Take somebody out of a group."""
        await asyncio.to_thread(self._modify, group, ldap3.MODIFY_DELETE, name)

    def _modify(self, group: str, change: str, name: str) -> None:
        server = ldap3.Server("localhost", self.port, tls=ldap3.Tls(ca_certs_file=self.ca, validate=ssl.CERT_REQUIRED))
        with ldap3.Connection(
            server, ADMIN, ADMIN_PASSWORD, auto_bind=ldap3.AUTO_BIND_TLS_BEFORE_BIND, raise_exceptions=True
        ) as administrator:
            administrator.modify(f"cn={group},{GROUPS}", {"member": [(change, [f"uid={name},{PEOPLE}"])]})


@asynccontextmanager
async def directory(folder: Path) -> AsyncIterator[Directory]:
    """Start slapd with its data below ``folder``; stopped at the end."""
    (folder / "data").mkdir(parents=True)
    authority = Certipy(store_dir=str(folder / "certificates"))
    authority.create_ca("directory")
    made = authority.create_signed_pair("localhost", "directory", alt_names=["DNS:localhost"])
    files = made["files"]
    configuration = folder / "slapd.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            modules=MODULES,
            ca=files["ca"],
            certificate=files["cert"],
            key=files["key"],
            base=BASE,
            admin=ADMIN,
            admin_password=ADMIN_PASSWORD,
        )
    )
    (folder / "people.ldif").write_text("\n\n".join(_entries()))
    await _run(SLAPD.removesuffix("slapd") + "slapadd", "-f", str(configuration), "-l", str(folder / "people.ldif"))
    port = random_port()
    # -d 0 keeps it in the foreground; it says nothing.
    arguments = ("-d", "0", "-f", str(configuration), "-h", f"ldap://localhost:{port}")
    with (folder / "slapd.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(SLAPD, *arguments, stdout=log, stderr=log)
    try:
        await _until_it_listens(process, port, folder / "slapd.log")
        yield Directory(port, files["ca"])
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _entries() -> list[str]:
    people = sorted({name for names in MEMBERS.values() for name in names} | {"mallory"})
    return [
        f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example",
        *(f"dn: {unit}\nobjectClass: organizationalUnit" for unit in (PEOPLE, GROUPS)),
        *(
            f"dn: uid={name},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
            f"mail: {name}@cs.example.edu\nemployeeType: student\nuserPassword: {PASSWORD}"
            # The overlay writes memberOf when a group changes, not when slapadd loads it.
            + "".join(f"\nmemberOf: cn={group},{GROUPS}" for group, names in MEMBERS.items() if name in names)
            for name in people
        ),
        *(
            f"dn: cn={group},{GROUPS}\nobjectClass: groupOfNames\ncn: {group}\n"
            + "\n".join(f"member: uid={name},{PEOPLE}" for name in names)
            for group, names in MEMBERS.items()
        ),
    ]


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said.decode()}")


async def _until_it_listens(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    while process.returncode is None:
        try:
            _, writer = await asyncio.open_connection("localhost", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    said = await asyncio.to_thread(log.read_text)
    raise RuntimeError(f"slapd ended with {process.returncode}: {said}")

"""Service account tokens: signed, bound to the objects they name, and gone with them.

Sources: pkg/serviceaccount/claims.go and pkg/registry/core/serviceaccount/storage/token.go of Kubernetes 1.36.
"""

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gpuspawner.local.apiserver.access.attributes import User
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store, timestamp

__all__ = ["AUDIENCE", "Bound", "ServiceAccountTokens", "signing_key"]

Object = dict[str, Any]
AUDIENCE = "https://kubernetes.default.svc.cluster.local"
"""Whom a token is for that is for the API server, and who issues all."""
_ALGORITHM = "ES256"
_SHORTEST, _LONGEST = 600, 1 << 32
_OF_A_VOLUME = 3607
"""Seconds that the volume ``kube-api-access`` asks for; for clients that never read it again it lives a year."""
_YEAR = 365 * 24 * 3600
_CLAIMS = ("exp", "nbf", "sub", "jti", "kubernetes.io")
_BINDABLE = {"Pod": "pods", "Secret": "secrets"}


@dataclass(frozen=True, slots=True)
class Bound:
    """What a token lives and dies with."""

    kind: str
    """``Pod`` or ``Secret``."""
    name: str
    uid: str = ""
    """Empty for whichever object has the name now."""


def signing_key(path: Path | None = None) -> ec.EllipticCurvePrivateKey:
    """The key that signs tokens, kept in ``path`` (readable by the owner only); without a path, a new one."""
    if path is not None and path.exists():
        found = serialization.load_pem_private_key(path.read_bytes(), None)
        if isinstance(found, ec.EllipticCurvePrivateKey):
            return found
    private = ec.generate_private_key(ec.SECP256R1())
    if path is not None:
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(private.private_bytes(*form))
    return private


class ServiceAccountTokens:
    """Issues and recognises the tokens of the service accounts of a store."""

    def __init__(self, store: Store, key: ec.EllipticCurvePrivateKey) -> None:
        self._store, self._key = store, key

    def issue(
        self,
        namespace: str,
        name: str,
        *,
        audiences: Sequence[str] = (AUDIENCE,),
        seconds: int = 3600,
        bound: Bound | None = None,
    ) -> tuple[str, datetime]:
        """A new token of a service account and when it expires; StatusError 400, 404 or 409."""
        account = self._store.stored("serviceaccounts", namespace, name).obj
        now = self._store.clock()
        own: Object = {"namespace": namespace, "serviceaccount": _reference(account)}
        if bound is not None:
            own |= self._binding(namespace, name, bound)
        if seconds == _OF_A_VOLUME and AUDIENCE in audiences:
            own["warnafter"] = int(now.timestamp()) + seconds
            seconds = _YEAR
        expires = now + timedelta(seconds=seconds)
        times = {"exp": int(expires.timestamp()), "iat": int(now.timestamp()), "nbf": int(now.timestamp())}
        claims: Object = {"aud": list(audiences), "iss": AUDIENCE, "jti": str(uuid.uuid4())}
        claims |= times | {"kubernetes.io": own, "sub": f"system:serviceaccount:{namespace}:{name}"}
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM), expires

    def user(self, token: str) -> User | None:
        """Whose token it is; None if it is not ours, has expired, is for others, or what it is bound to is gone."""
        try:
            claims = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=[_ALGORITHM],
                audience=AUDIENCE,
                issuer=AUDIENCE,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": list(_CLAIMS)},
            )
        except jwt.InvalidTokenError:
            return None
        own, now = claims["kubernetes.io"], self._store.clock().timestamp()  # the store's clock, not the machine's
        if not claims["nbf"] <= now < claims["exp"]:
            return None
        namespace, account = own["namespace"], own["serviceaccount"]
        bindings = {_BINDABLE[kind]: own[kind.lower()] for kind in _BINDABLE if kind.lower() in own}
        named = {"serviceaccounts": account} | bindings
        if not all(self._lives(plural, namespace, one) for plural, one in named.items()):
            return None
        extra = {"credential-id": [f"JTI={claims['jti']}"]}
        extra |= {f"{kind}-{key}": [own[kind][key]] for kind in ("node", "pod") if kind in own for key in own[kind]}
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        prefixed = {f"authentication.kubernetes.io/{key}": value for key, value in extra.items()}
        return User(claims["sub"], groups, account["uid"], prefixed)

    def answer(self, namespace: str, name: str, request: Object) -> Object:
        """Answer a ``TokenRequest`` with the token in its status; StatusError 400, 404, 409 or 422."""
        spec = request.setdefault("spec", {})
        seconds = spec.setdefault("expirationSeconds", 3600)
        if not _SHORTEST <= seconds <= _LONGEST:
            shorter = seconds < _SHORTEST
            limit = "less than 10 minutes" if shorter else "larger than 2^32 seconds"
            cause = {"reason": "FieldValueInvalid", "field": "spec.expirationSeconds"}
            cause["message"] = f"Invalid value: {seconds}: may not specify a duration {limit}"
            raise StatusError.invalid("TokenRequest.authentication.k8s.io", name, [cause])
        bound, reference = None, spec.get("boundObjectRef")
        if reference:
            bound = Bound(reference.get("kind", ""), reference.get("name", ""), reference.get("uid", ""))
        audiences = spec.setdefault("audiences", [AUDIENCE]) or [AUDIENCE]
        token, expires = self.issue(namespace, name, audiences=audiences, seconds=seconds, bound=bound)
        status = {"token": token, "expirationTimestamp": timestamp(expires.astimezone(UTC))}
        metadata = {"name": name, "namespace": namespace, "creationTimestamp": timestamp(self._store.clock())}
        head = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
        return head | {"metadata": metadata, "spec": spec, "status": status}

    def _binding(self, namespace: str, account: str, bound: Bound) -> Object:
        if bound.kind not in _BINDABLE:
            raise StatusError.bad_request(f"cannot bind token to object of type {bound.kind}")
        found = self._store.stored(_BINDABLE[bound.kind], namespace, bound.name).obj
        uid = found["metadata"]["uid"]
        if bound.uid and bound.uid != uid:
            why = f"the UID in the bound object reference ({bound.uid}) does not match the UID in record. "
            why += "The object might have been deleted and then recreated"
            raise StatusError.conflict(_BINDABLE[bound.kind], bound.name, why)
        claims: Object = {bound.kind.lower(): _reference(found)}
        if bound.kind == "Pod":
            if found["spec"].get("serviceAccountName") != account:
                why = f'cannot bind token for serviceaccount "{account}" to pod'
                raise StatusError.bad_request(f"{why} running with different serviceaccount name.")
            node = self._store.find("nodes", None, found["spec"].get("nodeName") or "")
            claims |= {"node": _reference(node)} if node else {}
        return claims

    def _lives(self, plural: str, namespace: str, named: Object) -> bool:
        found = self._store.find(plural, namespace, named["name"])
        return found is not None and found["metadata"]["uid"] == named["uid"]


def _reference(obj: Object) -> Object:
    return {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}

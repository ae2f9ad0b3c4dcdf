"""Values that the chart refuses, each with the words that its message must hold: where it is, and what is allowed."""

from typing import Any

__all__ = ["WRONG"]


def _profile(**keys: Any) -> dict[str, Any]:
    return {"gpuspawner": {"profiles": {"pytorch": {"image": "quay.io/lab/pytorch:1", **keys}}}}


def _class(**keys: Any) -> dict[str, Any]:
    return {"gpuspawner": {"gpu_classes": {"small": keys}}}


def _space(**keys: Any) -> dict[str, Any]:
    return {"gpuspawner": {"workspaces": {"cse151a": keys}}}


def _hub(**keys: Any) -> dict[str, Any]:
    return {"hub": keys}


def _pvc(**keys: Any) -> dict[str, Any]:
    return {"hub": {"database": {"pvc": keys}}}


def _file(**keys: Any) -> dict[str, Any]:
    return {"hub": {"extraFiles": {"motd": keys}}}


def _service(**keys: Any) -> dict[str, Any]:
    return {"proxy": {"service": keys}}


_PROFILE = "/gpuspawner/profiles/pytorch"
_SPACE = "/gpuspawner/workspaces/cse151a"

WRONG: list[tuple[dict[str, Any], str, str]] = [
    # Keys that there are not.
    ({"hubb": {}}, "", "'hubb' not allowed"),
    (_hub(replicas=2), "/hub", "'replicas' not allowed"),
    ({"singleuser": {"profileList": []}}, "/singleuser", "'profileList' not allowed"),
    ({"proxy": {"secretToken": "x"}}, "/proxy", "'secretToken' not allowed"),
    (_hub(database={"url": "postgresql://db/hub"}), "/hub/database", "'url' not allowed"),
    (_hub(resources={"request": {"cpu": 1}}), "/hub/resources", "'request' not allowed"),
    (_hub(affinity={"nodeAfinity": {}}), "/hub/affinity", "'nodeAfinity' not allowed"),
    (_hub(livenessProbe={"httpGet": {}}), "/hub/livenessProbe", "'httpGet' not allowed"),
    ({"resourceQuota": {"requests.nvidia.com/gpu": 4}}, "/resourceQuota", "'requests.nvidia.com/gpu' not allowed"),
    ({"gpuspawner": {"profile": {}}}, "/gpuspawner", "'profile' not allowed"),
    ({"gpuspawner": {"modify_pod_hook": "x"}}, "/gpuspawner", "'modify_pod_hook' not allowed"),
    (_profile(memroy="8G"), _PROFILE, "'memroy' not allowed"),
    (_profile(memory={"default": "8G", "maximum": "9G"}), f"{_PROFILE}/memory", "'maximum' not allowed"),
    (_space(per_member={"gpu": 1}), f"{_SPACE}/per_member", "'gpu' not allowed"),
    (_space(members={"clam": "groups"}), f"{_SPACE}/members", "'clam' not allowed"),
    (_space(members={"claim": "groups", "equal": "x"}), f"{_SPACE}/members", "'equal' not allowed"),
    # Keys that are missing.
    (_profile(memory={"max": "8G"}), f"{_PROFILE}/memory", "missing property 'default'"),
    ({"gpuspawner": {"profiles": {"pytorch": {"cpu": 2}}}}, _PROFILE, "missing property 'image'"),
    (_class(memory="16Gi"), "/gpuspawner/gpu_classes/small", "missing property 'accepts'"),
    (_space(exceptions=[{"from": "2026-09-21"}]), f"{_SPACE}/exceptions/0", "missing property 'to'"),
    (_file(stringData="Hello"), "/hub/extraFiles/motd", "missing property 'mountPath'"),
    (_hub(extraVolumes=[{"configMap": {}}]), "/hub/extraVolumes/0", "missing property 'name'"),
    ({"httpRoute": {"parentRefs": [{"namespace": "x"}]}}, "/httpRoute/parentRefs/0", "missing property 'name'"),
    ({"placeholders": {"small": {"gpus": 2}}}, "/placeholders/small", "missing property 'replicas'"),
    # What is of another type.
    (_hub(image="quay.io/lab/hub:1"), "/hub/image", "got string, want object"),
    (_hub(image={"tag": 1.5}), "/hub/image/tag", "got number, want string"),
    (_hub(config={"JupyterHub": "x"}), "/hub/config/JupyterHub", "got string, want object"),
    (_hub(extraConfig="c.JupyterHub.admin_access = True"), "/hub/extraConfig", "got string, want object"),
    (_hub(extraEnv=[{"name": "A", "value": "b"}]), "/hub/extraEnv", "got array, want object"),
    (_hub(tolerations={"key": "gpu"}), "/hub/tolerations", "got object, want array"),
    (_hub(nodeSelector={"pool": True}), "/hub/nodeSelector/pool", "got boolean, want null or string"),
    (
        _hub(resources={"limits": {"memory": True}}),
        "/hub/resources/limits/memory",
        "got boolean, want number or string",
    ),
    (_hub(livenessProbe={"periodSeconds": "30s"}), "/hub/livenessProbe/periodSeconds", "got string, want integer"),
    (_service(port="http"), "/proxy/service/port", "got string, want integer"),
    ({"ingress": {"enabled": "yes"}}, "/ingress/enabled", "got string, want boolean"),
    ({"ingress": {"hosts": "hub.example.edu"}}, "/ingress/hosts", "got string, want array"),
    ({"imagePullSecrets": ["registry"]}, "/imagePullSecrets/0", "got string, want object"),
    ({"limitRange": {"type": "Container"}}, "/limitRange", "got object, want array"),
    ({"placeholders": {"small": 2}}, "/placeholders/small", "got number, want object"),
    (_profile(gpus="1"), f"{_PROFILE}/gpus", "got string, want integer or object"),
    (_profile(image=5), f"{_PROFILE}/image", "got number, want string"),
    (_profile(gpu_classes={"small": 1}), f"{_PROFILE}/gpu_classes", "got object, want string or array"),
    (_class(accepts={"resource": "nvidia.com/gpu"}), "/gpuspawner/gpu_classes/small/accepts", "got object, want array"),
    (_space(members=True), f"{_SPACE}/members", "got boolean, want string or object"),
    (_space(quota={"small": "4"}), f"{_SPACE}/quota/small", "got string, want integer"),
    (_space(budget=100), f"{_SPACE}/budget", "got number, want null or object"),
    ({"gpuspawner": {"profiles": []}}, "/gpuspawner/profiles", "got array, want object"),
    ({"gpuspawner": {"idle": True}}, "/gpuspawner/idle", "got boolean, want null or object"),
    ({"gpuspawner": {"storage": "10Gi"}}, "/gpuspawner/storage", "got string, want null or object"),
    ({"gpuspawner": {"token_in_secret": "perhaps"}}, "/gpuspawner/token_in_secret", "got string, want boolean"),
    ({"gpuspawner": {"start_timeout": "5m"}}, "/gpuspawner/start_timeout", "got string, want number"),
    # What is of the right type, and yet nothing that is known.
    (_hub(image={"pullPolicy": "always"}), "/hub/image/pullPolicy", "one of 'Always', 'IfNotPresent', 'Never'"),
    (_hub(image={"digest": "sha256:12"}), "/hub/image/digest", "'sha256:12' does not match"),
    (_hub(baseUrl="jupyter"), "/hub/baseUrl", "'jupyter' does not match pattern '^/"),
    (_hub(database={"type": "mysql"}), "/hub/database/type", "one of 'sqlite', 'external'"),
    (_hub(tolerations=[{"key": "gpu", "effect": "NoRun"}]), "/hub/tolerations/0/effect", "one of 'NoSchedule'"),
    (_pvc(size="10 GB"), "/hub/database/pvc/size", "'10 GB' does not match"),
    (_pvc(accessModes=["RWO"]), "/hub/database/pvc/accessModes/0", "one of 'ReadWriteOnce'"),
    (_file(mountPath="etc/motd", stringData="x"), "/hub/extraFiles/motd/mountPath", "'etc/motd' does not match"),
    (_service(type="Loadbalancer"), "/proxy/service/type", "one of 'ClusterIP', 'LoadBalancer', 'NodePort'"),
    (_service(port=0), "/proxy/service/port", "minimum: got 0, want 1"),
    (_service(loadBalancerSourceRanges=["10.0.0.1"]), "/proxy/service/loadBalancerSourceRanges/0", "'10.0.0.1'"),
    ({"ingress": {"hosts": ["https://hub.example.edu"]}}, "/ingress/hosts/0", "'https://hub.example.edu'"),
    ({"zone": "secure"}, "/zone", "one of 'open', 'restricted'"),
    ({"restrictedZone": {"httpProxy": "http://proxy:3128"}}, "/restrictedZone/httpProxy", "got string, want object"),
    ({"singleuser": {"namespace": "Jupyter"}}, "/singleuser/namespace", "'Jupyter' does not match"),
    (_profile(memory="8X"), f"{_PROFILE}/memory", "'8X' does not match"),
    (_profile(cpu="two"), f"{_PROFILE}/cpu", "'two' does not match"),
    (_profile(runtime="6 hours"), f"{_PROFILE}/runtime", "'6 hours' does not match"),
    (_profile(idle="nie"), f"{_PROFILE}/idle", "'nie' does not match pattern '^(never|"),
    (_class(accepts=[{"resource": "gpu"}]), "/gpuspawner/gpu_classes/small/accepts/0/resource", "'gpu' does not match"),
    (_class(accepts=[]), "/gpuspawner/gpu_classes/small/accepts", "minItems: got 0, want 1"),
    (_space(quota={"small": -1}), f"{_SPACE}/quota/small", "minimum: got -1, want 0"),
    (_space(starts="21.09.2026"), f"{_SPACE}/starts", "'21.09.2026' is not valid date"),
    (_space(leavers="go"), f"{_SPACE}/leavers", "one of 'keep', 'stop'"),
    (_space(budget={"renews": "daily"}), f"{_SPACE}/budget/renews", "one of 'weekly', 'monthly'"),
    ({"gpuspawner": {"ledger_url": "mysql://db"}}, "/gpuspawner/ledger_url", "'mysql://db' does not match"),
    ({"gpuspawner": {"cpu_rate": -1}}, "/gpuspawner/cpu_rate", "minimum: got -1, want 0"),
    ({"gpuspawner": {"off_peak": {"hours": "1-2", "rate": 1}}}, "/gpuspawner/off_peak/hours", "'1-2' does not match"),
]
"""Values, the place in the message, and what it says of it."""

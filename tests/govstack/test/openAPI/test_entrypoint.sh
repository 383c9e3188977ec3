#!/usr/bin/env bash
# Runs the features against a service that is ready and seeded.
#
#   GENIE_URL         where it is (default: http://127.0.0.1:8080)
#   GENIE_API_KEY     an operator's key (default: what the application's entry
#                     point wrote; none is sent where there is none)
#   GOVSTACK_REPORT   Cucumber messages (default: report.ndjson in GOVSTACK_CACHE)
#   GOVSTACK_CACHE    npm packages (default: the cache folder of the account)
#
# Nothing is written into the checkout: the packages are installed beside a copy
# of the package list and found there by NODE_PATH.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"

cache=${GOVSTACK_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/genie-tests/govstack}
export GENIE_URL=${GENIE_URL:-http://127.0.0.1:${GENIE_PORT:-8080}}
export GOVSTACK_REPORT=${GOVSTACK_REPORT:-$cache/report.ndjson}
key_file=${GENIE_KEY_FILE:-${TMPDIR:-/tmp}/genie-govstack-$(id -u).key}
if [ -z "${GENIE_API_KEY+set}" ] && [ -r "$key_file" ]; then
    GENIE_API_KEY=$(cat "$key_file")
    export GENIE_API_KEY
fi

mkdir -p "$cache" "$(dirname "$GOVSTACK_REPORT")"
if ! cmp -s package-lock.json "$cache/installed.json"; then
    cp package.json package-lock.json "$cache/"
    npm --prefix "$cache" ci --no-audit --no-fund --loglevel=error --fetch-retries=1 || {
        echo "the npm packages could not be fetched" >&2
        exit 75
    }
    cp package-lock.json "$cache/installed.json"
fi
rm -f "$GOVSTACK_REPORT"
NODE_PATH=$cache/node_modules exec node "$cache/node_modules/@cucumber/cucumber/bin/cucumber.js" "$@"

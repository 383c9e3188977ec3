#!/usr/bin/env bash
# Starts the application for GovStack's harness and returns when it is ready
# and has its document. The key that the features use goes to a file that only
# this account can read: GENIE_KEY_FILE.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

url=http://127.0.0.1:${GENIE_PORT:-8080}
key_file=${GENIE_KEY_FILE:-${TMPDIR:-/tmp}/genie-govstack-$(id -u).key}

docker compose build
# The one step that needs the Internet; models stay in their volume.
docker compose run --rm --no-deps genie models pull multilingual-e5-small
docker compose up --detach

umask 077
docker compose exec -T genie \
    /usr/local/bin/genie key create --operator --name govstack >"$key_file"
GENIE_API_KEY=$(cat "$key_file") ./seed.sh "$url"

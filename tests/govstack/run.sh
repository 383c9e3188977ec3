#!/usr/bin/env bash
# GovStack's features against a `genie` program, without a container engine.
#
#   tests/govstack/run.sh [PROGRAM] [CUCUMBER'S ARGUMENTS…]
#
# PROGRAM is target/release/genie unless given. It serves from a folder that is
# thrown away, on a free port of this machine, without a language model, with
# the embedding model of GENIE_MODELS. The report is in GOVSTACK_REPORT, the
# npm packages are in GOVSTACK_CACHE; see test/openAPI/test_entrypoint.sh.
#
# The last line is `N scenarios passed, N failed`. Exit codes: 0 all passed, 1
# some failed, 2 nothing could be tested, 75 the packages could not be fetched.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

program=$here/../../target/release/genie
if [ $# -gt 0 ] && [ -x "$1" ]; then
    program=$1
    shift
fi
[ -x "$program" ] || {
    echo "there is no program $program" >&2
    exit 2
}

# The service is set up here and nowhere else; only models are looked for where
# the caller says.
for name in ${!GENIE_@}; do
    case $name in
        GENIE_MODELS | GENIE_REGISTRY | GENIE_LOG) ;;
        *) unset "$name" ;;
    esac
done

cache=${GOVSTACK_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/genie-tests/govstack}
export GOVSTACK_CACHE=$cache
export GOVSTACK_REPORT=${GOVSTACK_REPORT:-$cache/report.ndjson}
mkdir -p "$cache" || exit 2
folder=$(mktemp -d "${TMPDIR:-/tmp}/genie-govstack.XXXXXX") || exit 2
service=
end() {
    if [ -n "$service" ]; then
        kill "$service" 2>/dev/null
        wait "$service" 2>/dev/null
    fi
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 130' INT TERM

# Features are many requests of one caller in a few seconds; what is measured
# here is what they answer, not how many are let through.
printf '[server]\nrequests_per_minute = 0\n' >"$folder/config.toml"

# Taken and let go again: another program may take it meanwhile, which the wait
# below notices.
port=$(node -e '
const server = require("node:net").createServer();
server.listen(0, "127.0.0.1", () => {
    console.log(server.address().port);
    server.close();
});') || exit 2
url=http://127.0.0.1:$port
"$program" --home "$folder" --chat-model none serve \
    --listen "127.0.0.1:$port" >"$folder/service.log" 2>&1 &
service=$!

fail() {
    echo "$1" >&2
    tail -n 20 "$folder/service.log" >&2
    exit 2
}

"$here/examples/genie/seed.sh" "$url" || fail "the service did not take its document"
kill -0 "$service" 2>/dev/null || fail "the service has ended"

# An operator's key, so that the features walk the way that every caller but
# the machine's only user has to.
GENIE_API_KEY=$(curl --fail --silent --max-time 10 --header 'Content-Type: application/json' \
    --data '{"name": "govstack", "role": "owner"}' "$url/api/v1/keys" |
    node -e 'process.stdout.write(JSON.parse(require("node:fs").readFileSync(0)).secret)') ||
    fail "the service made no key"
export GENIE_API_KEY
export GENIE_URL=$url

"$here/test/openAPI/test_entrypoint.sh" "$@"
status=$?
[ "$status" -eq 75 ] && exit 75
[ -s "$GOVSTACK_REPORT" ] || fail "cucumber ended with $status and without a report"

# What the report says counts, not what was printed.
node - "$GOVSTACK_REPORT" <<'COUNT'
const lines = require("node:fs").readFileSync(process.argv[2], "utf8").trim().split("\n");
const failedStarts = new Set();
let passed = 0;
let failed = 0;
for (const line of lines) {
  const { testStepFinished: step, testCaseFinished: end } = JSON.parse(line);
  if (step && step.testStepResult.status !== "PASSED") {
    failedStarts.add(step.testCaseStartedId);
  } else if (end && !end.willBeRetried) {
    failedStarts.has(end.testCaseStartedId) ? (failed += 1) : (passed += 1);
  }
}
console.log(`${passed} scenarios passed, ${failed} failed`);
process.exit(passed > 0 && failed === 0 ? 0 : 1);
COUNT
counted=$?
# Cucumber also fails on what is no scenario, such as a hook of the whole run.
[ "$counted" -eq 0 ] && [ "$status" -eq 0 ]

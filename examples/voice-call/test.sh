#!/usr/bin/env bash
# Tests the whole of voice-call on loopback: signalling under load, calls between two headless Chromium directly, through
# TURN and through the server, a bad network, a server that dies, two servers with one Redis. Some six minutes, and the build.
#
# usage: examples/voice-call/test.sh [PART...]
#   PART   some of (switches and degraded go on with the call of server): unit direct relay server switches degraded restart native shared errors phone (default: all)
#
# Needs chromium, coturn, redis-server and node with playwright-core: scripts/setup.sh --call. What is missing is said,
# and left out. For DNSMOS: a Python with scripts/score/requirements.txt, as $VOICE_CALL_PYTHON or target/score/bin/python.
# Recordings and screenshots stay in target/call-test.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)

parts=${*:-unit direct relay server switches degraded restart native shared errors phone}
out=$PWD/target/call-test
rm -rf "$out"
mkdir -p "$out"
pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done' EXIT

have() { command -v "$1" >/dev/null 2>&1; }
wants() { [[ " $parts " == *" $1 "* ]]; }
if ! wants server && { wants switches || wants degraded; }; then parts="server $parts"; fi
failed=0

cargo build --release --quiet
export VOICE_CALL=$PWD/target/release/voice-call VOICE_CALL_OUT=$out

if have redis-server; then
    redis-server --port 8379 --bind 127.0.0.1 --save '' --appendonly no --dir "$out" >"$out/redis.log" 2>&1 &
    pids+=($!)
    export VOICE_CALL_TEST_REDIS=redis://127.0.0.1:8379/
else
    echo 'skip: no redis-server (scripts/setup.sh --call)'
fi

if wants unit; then
    VOICE_CALL_STORM_SECONDS=${VOICE_CALL_STORM_SECONDS:-60} cargo test --release --quiet -- --nocapture || failed=1
fi

node=${VOICE_CALL_NODE:-$PWD/target/node}
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || true)}
if [ -z "$chromium" ] || ! have node || [ ! -d "$node/node_modules/playwright-core" ]; then
    echo 'skip calls: no chromium, node or playwright-core (scripts/setup.sh --call)'
    exit $failed
fi
export CHROMIUM=$chromium VOICE_CALL_NODE=$node

if have turnserver; then
    VOICE_CALL_SECRET=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
    # As deploy/turnserver.conf, but for loopback.
    turnserver -n --listening-ip=127.0.0.1 --relay-ip=127.0.0.1 --listening-port=8478 --realm=local --use-auth-secret \
        --static-auth-secret="$VOICE_CALL_SECRET" --allow-loopback-peers --no-tls --no-dtls --no-cli --log-file=stdout \
        --pidfile="$out/turn.pid" --userdb="$out/turn.db" >"$out/turn.log" 2>&1 &
    pids+=($!)
    export VOICE_CALL_SECRET VOICE_CALL_TURN_PORT=8478
else
    echo 'skip relay: no turnserver (scripts/setup.sh --call)'
fi

python=
for candidate in "${VOICE_CALL_PYTHON:-}" "$root/target/score/bin/python" python3; do
    if [ -n "$candidate" ] && "$candidate" -c 'import numpy' 2>/dev/null; then python=$candidate; break; fi
done

# Real speech with noise, and without: recordings that are part of the repository.
export VOICE_CALL_NOISY=$root/fixtures/speech_noisy.wav VOICE_CALL_CLEAN=$root/fixtures/speech_clean.wav
# shellcheck disable=SC2086  # a list
VOICE_CALL_PARTS=$parts node tests/browser/run.mjs || failed=1
if [ -z "$python" ]; then
    echo 'skip scores: no Python with numpy (scripts/score/README.md)'
elif [ -f "$out/facts.json" ]; then
    "$python" tests/browser/score.py "$out" || failed=1
fi
echo "load: $(cat /proc/loadavg 2>/dev/null || true)"
[ $failed = 0 ] || echo "recordings, screenshots and logs: $out"
exit $failed

#!/usr/bin/env bash
# Checks the deployment without a container engine: Dockerfile, compose.yaml, Kubernetes manifests, coturn's configuration.
#
# usage: examples/voice-call/deploy/check.sh [--image]
#   --image   also does the Dockerfile's steps in a folder, and runs the program in a root of nothing but what the image has
#
# Uses hadolint, `docker compose config`, kubernetes-validate (PyPI) and coturn where they are installed, and says what is not.
set -euo pipefail
cd "$(dirname "$0")"
folder=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$folder"' EXIT
have() { command -v "$1" >/dev/null 2>&1; }

if have hadolint; then
    # DL3008: versions of Debian's packages are those of the image's date.
    hadolint --ignore DL3008 Dockerfile
    echo 'ok   hadolint'
else
    echo 'skip hadolint: not installed'
fi
if docker compose version >/dev/null 2>&1; then
    PUBLIC_ADDRESS=203.0.113.7 TURN_SECRET=secret docker compose -f compose.yaml config --quiet
    echo 'ok   docker compose config'
else
    echo 'skip docker compose config: not installed'
fi
python=${VOICE_CALL_DEPLOY_PYTHON:-python3}
if "$python" -c 'import yaml' 2>/dev/null; then
    "$python" check.py
else
    echo 'skip compose.yaml and Kubernetes: no Python with PyYAML'
fi

if have turnserver && have turnutils_uclient; then
    turnserver -c "$PWD/turnserver.conf" --static-auth-secret=north --listening-ip=127.0.0.1 --relay-ip=127.0.0.1 \
        --listening-port=8479 --pidfile="$folder/turn.pid" --userdb="$folder/turn.db" >"$folder/turn.log" 2>&1 &
    pids+=($!)
    sleep 1
    ask() { timeout 20 turnutils_uclient -p 8479 -e 127.0.0.1 -r 8480 -n 1 -c "$@" 127.0.0.1 2>&1 || true; }
    if grep -qi 'bad configuration\|unknown option\|error in' "$folder/turn.log"; then cat "$folder/turn.log"; exit 1; fi
    ask -W south | grep -qi 'cannot complete allocation' || { echo 'FAIL coturn takes a wrong secret'; exit 1; }
    ask -W north | grep -qi '403' || { echo 'FAIL coturn relays to loopback'; exit 1; }
    echo 'ok   turnserver.conf: a wrong secret and a loopback peer are refused'
else
    echo 'skip turnserver.conf: no coturn'
fi

[ "${1:-}" = --image ] || exit 0
root=$(cd ../../.. && pwd)
build=$folder/src
mkdir -p "$build"
while read -r -a words; do
    # What is tracked: the image's .dockerignore leaves out the rest.
    (cd "$root" && git ls-files -z -- "${words[@]:0:${#words[@]}-1}" | xargs -0 cp --parents -t "$build")
done < <(sed -n 's/^COPY \([^-]\)/\1/p' Dockerfile)
CARGO_TARGET_DIR=$root/examples/voice-call/target/image cargo build --release --locked --quiet \
    --manifest-path "$build/examples/voice-call/Cargo.toml"

# The image has the C library and libgcc, and this.
image=$folder/image
mkdir -p "$image"
cp "$root/examples/voice-call/target/image/release/voice-call" "$image/"
ldd "$image/voice-call" | grep -o '/[^ ]*' | while read -r library; do
    case $(basename "$library") in
        libc.so.6 | libm.so.6 | libgcc_s.so.1 | ld-linux-*) ;;
        *) echo "FAIL the image has no $library"; exit 1 ;;
    esac
    mkdir -p "$image$(dirname "$library")"
    cp -L "$library" "$image$library"
done
if [ "$(id -u)" = 0 ]; then
    run() { chroot --userspec=65532:65532 "$image" /voice-call "$@"; }
    run serve --listen 127.0.0.1:8399 --media-address 127.0.0.1 2>"$folder/serve.log" &
    pids+=($!)
    for _ in 1 2 3 4 5 6 7 8 9 10; do run health 127.0.0.1:8399 2>/dev/null && break; sleep 0.3; done
    run health 127.0.0.1:8399
    echo "ok   image: $(du -sh "$image" | cut -f1), runs as user 65532 in a root of its own"
else
    echo 'skip running the image: needs root for chroot'
fi

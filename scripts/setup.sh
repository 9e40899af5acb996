#!/bin/sh
# Makes this machine able to build and test the crate: a C compiler, cmake, make and a recent cargo.
# Installs only what is missing, with apt-get, dnf, pacman, apk or brew, and rustup.
#
# usage: scripts/setup.sh [--ci] [--call]
#   --ci     also rustfmt, clippy, opus-tools, ffmpeg and, on Linux, valgrind, which the checks and some tests use
#   --call   also chromium, coturn, redis-server, and node with playwright-core, which examples/voice-call/test.sh uses
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."

RUSTUP_SCRIPT=https://static.rust-lang.org/rustup/rustup-init.sh
LINKS=/usr/local/bin
did=no

say() { did=yes; echo "setup: $*"; }
die() { echo "setup: error: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

ci=no
call=no
for arg; do
    case $arg in
        --ci) ci=yes ;;
        --call) call=yes ;;
        -h | --help) sed -n '2,/^set /{ /^#/s/^# \{0,1\}//p; }' scripts/setup.sh; exit 0 ;;
        *) die "unknown argument '$arg' (usage: scripts/setup.sh [--ci] [--call])" ;;
    esac
done

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$tmp"

# Runs a command without its output, which is kept for cause().
quiet() { "$@" >"$tmp/log" 2>&1 </dev/null; }
# The line of that output that says what went wrong.
cause() {
    line=$(grep -iE '^(E:|error|fatal)' "$tmp/log" | head -n 1) || true
    [ -n "$line" ] || line=$(grep -v '^ *$' "$tmp/log" | tail -n 1) || true
    echo "${line:-no output}" | cut -c1-240
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
can_root() { [ "$(id -u)" = 0 ] || have sudo; }

# Under sudo, Rust belongs to the user who called it, not to root.
if [ "$(id -u)" = 0 ] && [ "${SUDO_USER:-root}" != root ]; then
    as_user() { sudo -H -u "$SUDO_USER" "$@"; }
    # shellcheck disable=SC2016  # that user's home
    cargo_bin=$(as_user sh -c 'echo "$HOME/.cargo/bin"')
else
    as_user() { "$@"; }
    cargo_bin=${CARGO_HOME:-${HOME:?}/.cargo}/bin
fi

pm=none
for arg in apt-get dnf pacman apk brew; do
    if have "$arg"; then pm=$arg; break; fi
done

# What a tool's package is called here.
package() {
    case $1:$pm in
        cc:apt-get) echo gcc libc6-dev ;;
        cc:apk) echo gcc musl-dev ;;
        cc:*) echo gcc ;;
        curl:*) echo curl ca-certificates ;;
        opus-tools:*) echo opus-tools ;;
        ffmpeg:dnf) echo ffmpeg-free ;;
        node:apt-get | node:apk | node:dnf | node:pacman) echo nodejs npm ;;
        redis-server:apt-get) echo redis-server ;;
        redis-server:*) echo redis ;;
        clippy:apt-get | clippy:apk) echo rust-clippy ;;
        rustfmt:pacman | clippy:pacman | rustfmt:brew | clippy:brew) echo rust ;;
        *) echo "$1" ;;
    esac
}

refreshed=no
# Installs packages; the caller says so and handles failure.
pm_install() {
    if [ "$pm" != brew ] && ! can_root; then
        echo "error: needs root or sudo" >"$tmp/log"
        return 1
    fi
    case $pm in
        apt-get)
            if [ $refreshed = no ]; then
                refreshed=yes
                quiet as_root apt-get update || say "apt-get update failed, going on with the lists at hand: $(cause)"
            fi
            quiet as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@" ;;
        dnf) quiet as_root dnf install -y "$@" ;;
        pacman)
            quiet as_root pacman -S --needed --noconfirm "$@" \
                || quiet as_root pacman -Sy --needed --noconfirm "$@" ;;
        apk) quiet as_root apk add --no-cache "$@" ;;
        brew) quiet brew install "$@" ;;
        *) echo "error: no apt-get, dnf, pacman, apk or brew here" >"$tmp/log"; return 1 ;;
    esac
}

install_tools() {
    say "installing $* ($pm)"
    packages=
    for arg; do packages="$packages $(package "$arg")"; done
    # shellcheck disable=SC2086  # a list
    pm_install $packages || die "cannot install $*: $(cause)"
}

# cc must also find the C library's headers, and link.
works() {
    case $1 in
        cc)
            if [ "$(uname -s)" = Darwin ] && ! xcode-select -p >/dev/null 2>&1; then return 1; fi
            have cc && printf '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n' >"$tmp/t.c" \
                && cc "$tmp/t.c" -o "$tmp/t" >/dev/null 2>&1 ;;
        opus-tools) have opusdec && have opusinfo ;;
        node) have node && have npm ;;
        coturn) have turnserver ;;
        chromium) have chromium || have chromium-browser ;;
        *) have "$1" ;;
    esac
}

wanted="cc cmake make"
[ $ci = no ] || wanted="$wanted opus-tools ffmpeg"
if [ $ci = yes ] && [ "$(uname -s)" = Linux ]; then wanted="$wanted valgrind"; fi
[ $call = no ] || wanted="$wanted chromium coturn redis-server node"
missing=
for arg in $wanted; do works "$arg" || missing="$missing $arg"; done
if [ -n "$missing" ]; then
    if [ "$(uname -s)" = Darwin ] && ! works cc; then die "no C compiler: run 'xcode-select --install' first"; fi
    # shellcheck disable=SC2086  # a list
    install_tools $missing
    for arg in $missing; do works "$arg" || die "$arg does not work though it was installed"; done
fi

# The oldest Rust that will do is the one Cargo.toml names.
least=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml)
least=${least:-1.88}
number() { echo "$1" | awk -F. '{ print $1 * 10000 + $2 }'; }
recent() {
    version=$(as_user "$1" --version 2>/dev/null) || return 1
    version=${version#cargo }
    [ "$(number "${version%% *}")" -ge "$(number "$least")" ]
}

find_rustup() {
    if have rustup; then echo rustup; elif [ -x "$cargo_bin/rustup" ]; then echo "$cargo_bin/rustup"; else return 1; fi
}

rustup_init() {
    quiet as_user env RUSTUP_INIT_SKIP_PATH_CHECK=yes "$@" -y --profile minimal --default-toolchain stable \
        || die "cannot install Rust: $(cause)"
}

install_rust() {
    if ! find_rustup >/dev/null; then
        if [ "$pm" = brew ]; then
            say "installing rust (brew)"
            quiet brew install rust || die "cannot install Rust: $(cause)"
            return
        fi
        # shellcheck disable=SC2046  # a list
        if pm_install rustup $([ "$pm" != apt-get ] || echo ca-certificates); then
            say "installed rustup ($pm)"
        else
            if ! have curl; then install_tools curl; fi
            say "installing Rust $least or newer (rustup from static.rust-lang.org)"
            quiet curl --proto '=https' --tlsv1.2 -sSfL --retry 3 -o "$tmp/rustup-init.sh" "$RUSTUP_SCRIPT" \
                || die "cannot download $RUSTUP_SCRIPT: $(cause)"
            rustup_init sh "$tmp/rustup-init.sh"
            return
        fi
        if ! have rustup; then # some distributions package only the installer
            say "installing Rust $least or newer (rustup-init)"
            rustup_init rustup-init
            return
        fi
    fi
    rustup=$(find_rustup)
    say "installing the stable Rust toolchain (rustup)"
    quiet as_user "$rustup" toolchain install stable --profile minimal || die "cannot install Rust: $(cause)"
    quiet as_user "$rustup" default stable || die "cannot make stable Rust the default: $(cause)"
}

# So that the calling shell's next command finds cargo too.
link_rust() {
    say "linking cargo and its companions into $LINKS"
    run=as_root
    [ ! -w "$LINKS" ] || run=
    hint="add $cargo_bin to PATH instead"
    if [ -n "$run" ] && ! can_root; then die "no root or sudo to link them: $hint"; fi
    quiet $run mkdir -p "$LINKS" || die "cannot make $LINKS ($hint): $(cause)"
    for arg in cargo rustc rustfmt cargo-clippy cargo-fmt clippy-driver rustdoc rustup; do
        [ -x "$cargo_bin/$arg" ] || continue
        if [ -e "$LINKS/$arg" ] && [ ! -L "$LINKS/$arg" ]; then continue; fi # never over a real file
        quiet $run ln -sf "$cargo_bin/$arg" "$LINKS/$arg" || die "cannot link $LINKS/$arg ($hint): $(cause)"
    done
}

if ! recent cargo; then
    older=$(command -v cargo) || older=
    recent "$cargo_bin/cargo" || install_rust
    hash -r
    if ! recent cargo && [ -x "$cargo_bin/cargo" ]; then link_rust; fi
    hash -r
    recent cargo || die "cargo $least or newer is needed, PATH finds $(command -v cargo || echo none)"
    [ "${older:-$(command -v cargo)}" = "$(command -v cargo)" ] \
        || say "a shell that has already run the older $older needs 'hash -r'"
fi

if [ $ci = yes ]; then
    missing=
    as_user cargo fmt --version >/dev/null 2>&1 || missing="$missing rustfmt"
    as_user cargo clippy --version >/dev/null 2>&1 || missing="$missing clippy"
    if [ -n "$missing" ]; then
        if rustup=$(find_rustup); then
            say "installing$missing (rustup)"
            # shellcheck disable=SC2086  # a list
            quiet as_user "$rustup" component add $missing || die "cannot install$missing: $(cause)"
        else
            # shellcheck disable=SC2086  # a list
            install_tools $missing
        fi
    fi
fi

if [ $call = yes ]; then
    folder=examples/voice-call/target/node
    if [ ! -d "$folder/node_modules/playwright-core" ]; then
        say "installing playwright-core into $folder (npm)"
        # It drives the browser of the system, and fetches none.
        quiet as_user npm install --prefix "$folder" --no-save --no-audit --no-fund playwright-core@1 \
            || die "cannot install playwright-core: $(cause)"
    fi
fi

[ $did = yes ] || echo "setup: nothing to install"

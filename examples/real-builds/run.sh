#!/usr/bin/env bash
# Builds and tests published projects of several kinds: each is pushed to a server of its own, unattended.
#
#   examples/real-builds/run.sh [--towpath PROGRAM] [--keep] [KIND…]
#
# Exits with 0 only if every Run passed. A kind whose tools are missing is skipped, and said.
set -euo pipefail

readonly PATIENCE=1500
here=$(cd "$(dirname "$0")" && pwd)
towpath=towpath
keep=no
kinds=()
while [ $# -gt 0 ]; do
    case $1 in
        --towpath) towpath=$(realpath "$2"); shift 2 ;;
        --keep) keep=yes; shift ;;
        -*) echo "usage: $0 [--towpath PROGRAM] [--keep] [KIND…]" >&2; exit 2 ;;
        *) kinds+=("$1"); shift ;;
    esac
done
[ ${#kinds[@]} -gt 0 ] || kinds=(rust python npm c container)

scratch=$(mktemp -d "${TMPDIR:-/tmp}/towpath-real-builds-XXXXXX")
# Nothing of the user's own settings is used or changed.
for name in "${!TOWPATH_@}"; do unset "$name"; done
export TOWPATH_DATA_DIR=$scratch/data XDG_CONFIG_HOME=$scratch/config
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 NO_PROXY=127.0.0.1
begun=$SECONDS
skipped=()

say() { printf '%4d s  %s\n' $((SECONDS - begun)) "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
indent() { sed -E -e 's/[[:space:]]+$//' -e '/./s/^/        /'; }

finish() {
    local code=$?
    trap - EXIT
    "$towpath" shutdown || code=1
    if [ "$keep" = yes ] || [ "$code" -ne 0 ]; then echo "the scratch directory stays: $scratch"; else rm -rf "$scratch"; fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

start_server() {
    "$towpath" serve --listen 127.0.0.1:0 >"$scratch/server.out" 2>"$scratch/server.log" &
    local server=$!
    until grep -qs /setup/ "$scratch/server.out"; do
        kill -0 "$server" 2>/dev/null || fail "the server did not start: $(cat "$scratch/server.log")"
        sleep 0.1
    done
    url=$(sed -n 's/^towpath serves //p' "$scratch/server.out")
    local password
    password=$(head -c 18 /dev/urandom | base64)
    "$towpath" user create ada --name "Ada Lovelace" --email ada@example.com --role developer <<<"$password" | indent
    # With settings of her own: what is not said to be hers is done by the server's own user.
    XDG_CONFIG_HOME=$scratch/ada "$towpath" login "$url" --login ada <<<"$password" 2>&1 | indent
    local token
    token=$(XDG_CONFIG_HOME=$scratch/ada "$towpath" token create git 2>/dev/null)
    (umask 077; echo "${url/:\/\//://ada:$token@}" >"$scratch/git-credentials")
}

# Whether the tools of a kind are there; says which one is not.
has() {
    local kind=$1 tool
    shift
    for tool in "$@"; do
        if ! command -v "$tool" >/dev/null; then
            say "SKIPPED: $kind, as $tool is missing"
            skipped+=("$kind")
            return 1
        fi
    done
}

# Each prints nothing and leaves the published source under $1; fails where the registry does not answer.
fetch_rust() {
    mkdir -p "$scratch/probe/src"
    touch "$scratch/probe/src/lib.rs"
    printf '[package]\nname = "probe"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies]\nsemver = "=1.0.26"\n' >"$scratch/probe/Cargo.toml"
    (cd "$scratch/probe" && cargo fetch --quiet)
    cp -R "$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -mindepth 2 -maxdepth 2 -name semver-1.0.26 | head -n 1)" "$1"
    rm -f "$1/.cargo-ok"
}

fetch_python() {
    python3 -m pip download --quiet --no-deps --no-binary :all: --dest "$scratch/sdist" more-itertools==10.5.0
    mkdir "$1"
    tar -xzf "$scratch"/sdist/more*10.5.0.tar.gz --strip-components=1 -C "$1"
}

fetch_npm() {
    (cd "$scratch" && npm pack --silent minimist@1.2.8 >/dev/null)
    mkdir "$1"
    tar -xzf "$scratch/minimist-1.2.8.tgz" --strip-components=1 -C "$1"
}

# With sources of Debian's own mirror, whatever it is here, and without changing apt's lists.
fetch_c() {
    local apt=$scratch/apt file
    mkdir -p "$apt/parts" "$apt/lists/partial" "$1"
    for file in /etc/apt/sources.list.d/*.sources; do
        sed 's/^Types:.*/Types: deb-src/' "$file" >"$apt/parts/${file##*/}"
    done
    local options=(-qq -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/parts" -o "Dir::State::lists=$apt/lists" -o APT::Sandbox::User=root)
    (cd "$apt" && apt-get "${options[@]}" update && apt-get "${options[@]}" source --download-only hello)
    tar -xzf "$apt"/hello_*.orig.tar.gz --strip-components=1 -C "$1"
}

# Published by this repository.
fetch_container() { cp -R "$here/../image" "$1"; }

# Commits what was published with the kind's own files, pushes it, and waits for the end of its Run.
build() {
    local kind=$1 project shown
    "fetch_$kind" "$scratch/$kind" >"$scratch/$kind.log" 2>&1 || fail "the source of $kind: $(cat "$scratch/$kind.log")"
    if [ -d "$here/$kind" ]; then cp -R "$here/$kind/." "$scratch/$kind/"; fi
    project=$(sed -n 's/^name: //p' "$scratch/$kind/towpath.yaml")
    "$towpath" project create "$project" >/dev/null
    (
        cd "$scratch/$kind"
        git init --quiet --initial-branch=main
        git config user.name "Ada Lovelace"
        git config user.email ada@example.com
        git config credential.helper "store --file=$scratch/git-credentials"
        git remote add origin "${url}git/$project.git"
        git add --all --force
        git commit --quiet --message "$project, as published"
        git push --quiet origin main 2>&1 | indent
    )
    while :; do
        shown=$("$towpath" runs "$project" 1 || true)
        case ${shown%%$'\n'*} in
            *" passed"*) break ;;
            *" failed"* | *" cancelled"* | *" invalid"*) "$towpath" logs "$project" 1 | tail -n 40 | indent; fail "$shown" ;;
        esac
        [ $((SECONDS - begun)) -lt "$PATIENCE" ] || fail "not done in $PATIENCE s: $shown"
        sleep 0.5
    done
    say "$project:"
    indent <<<"$shown"
}

start_server
say "a server at $url"
for kind in "${kinds[@]}"; do
    case $kind in
        rust) has rust cargo cc || continue ;;
        python) has python python3 || continue ;;
        npm) has npm npm node || continue ;;
        c) has c apt-get cc make || continue ;;
        container)
            has container docker cc || continue
            if ! docker info >/dev/null 2>&1; then
                say "SKIPPED: container, as no Docker engine answers"
                skipped+=(container)
                continue
            fi
            ;;
        *) fail "no such kind: $kind" ;;
    esac
    build "$kind"
done
say "every Run passed${skipped[*]:+; skipped: ${skipped[*]}}"

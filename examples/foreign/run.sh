#!/usr/bin/env bash
# Brings two published versions of a public crate from git push to judged production, unattended.
#
#   examples/foreign/run.sh [--towpath PROGRAM] [--keep]
#
# Needs Rust, a C compiler, git, curl, and the network for the package registry. Exits with 0 only if both versions were
# built, promoted and served, the second one by a canary under load, and no request failed.
set -euo pipefail

readonly CRATE=simple-http-server STABLE=0.8.0 CANDIDATE=0.8.1
# As in environments.yaml.
readonly PROJECT=files PRODUCTION=127.0.0.1:18792
# The candidate sends this header with every file and the stable version never does: so the load knows who answered.
readonly TELLING_HEADER=x-content-type-options
readonly RATE=400
readonly PATIENCE=2400

here=$(cd "$(dirname "$0")" && pwd)
towpath=towpath
keep=no
while [ $# -gt 0 ]; do
    case $1 in
        --towpath) towpath=$(realpath "$2"); shift 2 ;;
        --keep) keep=yes; shift ;;
        *) echo "usage: $0 [--towpath PROGRAM] [--keep]" >&2; exit 2 ;;
    esac
done

scratch=$(mktemp -d "${TMPDIR:-/tmp}/towpath-foreign-XXXXXX")
# Nothing of the user's own settings is used or changed.
for name in "${!TOWPATH_@}"; do unset "$name"; done
export TOWPATH_DATA_DIR=$scratch/data XDG_CONFIG_HOME=$scratch/config
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 NO_PROXY=127.0.0.1
load=
begun=$SECONDS

say() { printf '%4d s  %s\n' $((SECONDS - begun)) "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

# Between two looks at something that is awaited.
pause() {
    [ $((SECONDS - begun)) -lt "$PATIENCE" ] || fail "not done in $PATIENCE s: $("$towpath" status "$PROJECT")"
    sleep 0.5
}

finish() {
    local code=$?
    trap - EXIT
    if [ -n "$load" ]; then kill "$load" 2>/dev/null || true; fi
    "$towpath" shutdown || code=1
    if [ "$keep" = yes ] || [ "$code" -ne 0 ]; then
        echo "the scratch directory stays: $scratch"
    else
        rm -rf "$scratch"
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# Acts as somebody who has signed in: `as grace approve …`.
as() { local who=$1; shift; XDG_CONFIG_HOME=$scratch/people/$who "$towpath" "$@"; }

start_server() {
    "$towpath" serve --listen 127.0.0.1:0 >"$scratch/server.out" 2>"$scratch/server.log" &
    local server=$!
    until grep -qs /setup/ "$scratch/server.out"; do
        kill -0 "$server" 2>/dev/null || fail "the server did not start: $(cat "$scratch/server.log")"
        sleep 0.1
    done
    url=$(sed -n 's/^towpath serves //p' "$scratch/server.out")
    say "a server at $url"
}

# Makes somebody, and signs them in.
hire() {
    local login=$1 name=$2 role=$3 password
    password=$(head -c 18 /dev/urandom | base64)
    "$towpath" user create "$login" --name "$name" --email "$login@example.com" --role "$role@$PROJECT" \
        <<<"$password" | indent
    as "$login" login "$url" --login "$login" <<<"$password" 2>&1 | indent
}

# Downloads a published version, with the package manager, and prints where its source is.
published() {
    local version=$1 probe=$scratch/probe-$1
    mkdir -p "$probe/src"
    touch "$probe/src/lib.rs"
    printf '[package]\nname = "probe"\nversion = "0.0.0"\nedition = "2024"\n\n[dependencies]\n%s = "=%s"\n' \
        "$CRATE" "$version" >"$probe/Cargo.toml"
    (cd "$probe" && cargo fetch --quiet) 2>"$probe/log" || fail "cargo fetch: $(cat "$probe/log")"
    # Cargo keeps what it has downloaded and verified in a directory for each registry.
    find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -mindepth 2 -maxdepth 2 -name "$CRATE-$version" | head -n 1
}

# Commits a published version: its source as it is, and the two files that make it a project of Towpath.
commit() {
    local version=$1 source
    source=$(published "$version")
    [ -f "$source/Cargo.lock" ] || fail "the source of $CRATE $version was not found, or has no lock file"
    find "$scratch/shop" -mindepth 1 -maxdepth 1 ! -name .git -exec rm -rf {} +
    cp -R "$source/." "$here/overlay/." "$scratch/shop/"
    rm -f "$scratch/shop/.cargo-ok"
    git -C "$scratch/shop" add --all --force
    git -C "$scratch/shop" commit --quiet --message "$CRATE $version"
    say "$CRATE $version, as published: $(git -C "$scratch/shop" ls-files | wc -l) files," \
        "$(grep -c '^\[\[package\]\]' "$scratch/shop/Cargo.lock") packages in its lock file"
}

# Pushes the commit and the tag that starts the Run and names the Release. Git shows what Towpath answers.
push() {
    local version=$1
    git -C "$scratch/shop" tag "v$version"
    git -C "$scratch/shop" push --quiet origin main "v$version" 2>&1 | indent
}

indent() { sed -E -e 's/[[:space:]]+$//' -e '/./s/^/        /'; }

# Waits until a Run has sealed its Release.
await_release() {
    local number=$1 shown
    while shown=$("$towpath" runs "$PROJECT" "$number"); do
        case ${shown%%$'\n'*} in
            *" passed: "*) break ;;
            *" failed: "* | *" cancelled: "* | *" invalid: "*) fail "$shown" ;;
        esac
        pause
    done
    say "Run $number is over:"
    indent <<<"$shown"
}

# Waits until a version waits for approval in production, and lets Grace approve it.
approve() {
    local version=$1 code
    while :; do
        code=0
        shown=$(as grace approve "$PROJECT/production" --yes -m "$CRATE $version may serve" 2>&1) || code=$?
        # 3: nothing waits there yet.
        if [ "$code" -ne 3 ]; then break; fi
        check_staging "$version"
        pause
    done
    [ "$code" -eq 0 ] || fail "$shown"
    say "Grace has read this, and approved:"
    sed '/^approved/,$d' <<<"$shown" | indent
}

# Fails where a version did not pass staging.
check_staging() {
    local entry
    entry=$("$towpath" env history "$PROJECT/staging" | awk -v version="$1" '$1 == version')
    case $entry in *"rolled back"* | *cancelled*) fail "staging: $entry" ;; esac
}

# Shows each new share and each new verdict in production until the promotion of a version has ended well.
await_production() {
    local version=$1 seen='' shown split rollout entry
    while :; do
        shown=$("$towpath" env show "$PROJECT/production")
        split=$(sed -n -E 's/^ +traffic +//p' <<<"$shown")
        rollout=$(sed -n -E 's/^ +rollout +[^ ]+: //p' <<<"$shown")
        # The numbers of a verdict change each second; its first word is what is told once.
        if [ -n "$rollout" ] && [ "$split|${rollout%%:*}" != "$seen" ]; then
            seen="$split|${rollout%%:*}"
            say "${split:+$split; }$rollout"
        fi
        entry=$("$towpath" env history "$PROJECT/production" | awk -v version="$version" '$1 == version')
        case $entry in
            *succeeded*) break ;;
            *"rolled back"* | *rejected* | *expired* | *superseded* | *cancelled*) fail "$entry" ;;
        esac
        pause
    done
    say "production serves $version:"
    "$towpath" env show "$PROJECT/production" | indent
}

echo "From git push to judged production: $CRATE $STABLE, then $CANDIDATE, with $("$towpath" --version)"
start_server
hire ada "Ada Lovelace" developer
hire grace "Grace Hopper" release-manager
"$towpath" project create "$PROJECT" >/dev/null
"$towpath" apply "$PROJECT" "$here/environments.yaml" --yes | indent

mkdir "$scratch/shop"
git -C "$scratch/shop" init --quiet --initial-branch=main
git -C "$scratch/shop" config user.name "Ada Lovelace"
git -C "$scratch/shop" config user.email ada@example.com
git -C "$scratch/shop" config credential.helper "store --file=$scratch/git-credentials"
git -C "$scratch/shop" remote add origin "${url}git/$PROJECT.git"
token=$(as ada token create git 2>/dev/null)
(umask 077; echo "${url/:\/\//://ada:$token@}" >"$scratch/git-credentials")

commit "$STABLE"
push "$STABLE"
await_release 1
approve "$STABLE"
await_production "$STABLE"

"$towpath" load "http://$PRODUCTION/LICENSE" --rate "$RATE" --connections 64 --timeout 10s \
    --version-header "$TELLING_HEADER" >"$scratch/load" &
load=$!
say "customers: $RATE requests each second, from now to the end"

commit "$CANDIDATE"
push "$CANDIDATE"
await_release 2
approve "$CANDIDATE"
await_production "$CANDIDATE"
sleep 5

kill "$load"
code=0
wait "$load" || code=$?
load=
[ "$code" -le 1 ] || fail "the load ended with $code"
say "the customers saw:"
sed -E -e "s/^(version +)-          /\1$STABLE     /" -e "s/^(version +)nosniff    /\1$CANDIDATE      /" "$scratch/load" | indent

answered_by() { awk -v name="$1" '$1 == "version" && $2 == name { print $3 }' "$scratch/load"; }
[ "$code" -eq 0 ] || fail "requests failed"
[ "$(answered_by -)" -gt 0 ] || fail "$STABLE answered nothing"
[ "$(answered_by nosniff)" -gt 0 ] || fail "$CANDIDATE answered nothing"
say "both versions were built from their published source and promoted, and no request failed"

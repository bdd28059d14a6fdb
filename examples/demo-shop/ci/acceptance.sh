#!/bin/sh
# Can a customer shop here? Runs after each deployment to staging, on the sealed source tree.
set -eu
check="${TMPDIR:-/tmp}/shop-check"
rustc --edition 2024 -o "$check" ci/check.rs
"$check" acceptance "$URL"

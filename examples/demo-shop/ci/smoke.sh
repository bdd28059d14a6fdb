#!/bin/sh
# Is it up, does it know its version? Runs after each deployment to dev, on the sealed source tree.
set -eu
check="${TMPDIR:-/tmp}/shop-check"
rustc --edition 2024 -o "$check" ci/check.rs
"$check" smoke "$URL"

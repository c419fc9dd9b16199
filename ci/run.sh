#!/usr/bin/env bash
# What CI runs, and nothing that a person would not type: the README's two commands. Both run whatever the first one found;
# the totals of the tests are the last line.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# Nothing is built twice here, so cargo need not keep what would make that quicker.
export CARGO_INCREMENTAL=0

status=0
cargo xtask check || status=1
cargo xtask test || status=1
exit "$status"

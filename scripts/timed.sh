#!/bin/sh
# SPDX-License-Identifier: MIT
# timed.sh COMMAND...: runs a test and appends to its output how long it took, as a comment of TAP,
# which scripts/slowest.sh reads from the logs.
clock=$(mktemp "${TMPDIR:-/tmp}/percpu-clock.XXXXXX") || exit 1
trap 'rm -f "$clock"' EXIT
started=$(date +%s)
"$@"
status=$?
times >"$clock"
awk -v wall=$(($(date +%s) - started)) '
	function seconds(text) { split(text, part, /[ms]/); return part[1] * 60 + part[2] }
	NR == 2 { printf "# took %d s, %.0f s of CPU\n", wall, seconds($1) + seconds($2) }' "$clock"
exit $status

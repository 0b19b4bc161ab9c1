#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the tests of per-CPU memory in every mode and with other numbers of CPUs, and reports each of
# their cases.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

# under OPTIONS TEST...: prints the TAP of each test, renumbered.
under()
{
	options=$1
	shift
	for test; do
		program=$top_builddir/tests/percpu/test_$test
		PERCPU_OPTIONS=$options "$program" >"$tap_dir/tap" 2>"$tap_dir/said"
		status=$?
		awk -v at="$tap_count" -v options="$options" '
			/^(not )?ok / {
				not = $1 == "not" ? "not " : ""
				sub(/^(not )?ok [0-9]+ - /, "")
				sub(/^[^ ]*\.c:/, "")
				printf "%sok %d - %s: %s\n", not, ++at, options, $0
			}
		' "$tap_dir/tap"
		tap_count=$((tap_count + $(grep -c -E '^(not )?ok ' "$tap_dir/tap")))
		if [ $status -ne 0 ]; then
			report "$options: test_$test" "status $status
$(grep -v '^ok' "$tap_dir/tap")
$(head -n 20 "$tap_dir/said")"
		fi
	done
}

under mode:atomic errors copies pool model threads
under cpus:1 errors copies pool model threads
under mode:atomic,cpus:1 copies model threads
under cpus:17 errors copies pool model threads
under cpus:64 copies pool model
under cpus:512 copies pool model
under check errors copies pool model threads
under leaks,check,cpus:17 copies model
under huge,cpus:16 copies model
finish

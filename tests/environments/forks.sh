#!/bin/sh
# SPDX-License-Identifier: MIT
# Ten thousand forks beside threads that allocate.
: "${top_builddir:?run by make check-long}"
program=$top_builddir/tests/environments/test_lives
[ -x "$program" ] || {
	echo "1..0 # SKIP Check was not found by configure"
	exit
}
FORKS=${FORKS:-10000} exec "$program"

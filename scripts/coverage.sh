#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the library for gcov in coverage/ of the build tree, runs all tests there, and prints what lines
# and branches of src/ they came by, file by file; COVERAGE_LINES is the share that lines must have, in per
# cent. Processes that end by abort() leave no counts, so what only they do counts as not covered.
set -eu

: "${top_srcdir:?run by make coverage}"
: "${top_builddir:?run by make coverage}"
export LC_ALL=C
unset CDPATH MAKEFLAGS MAKELEVEL MFLAGS CC CXX CFLAGS LDFLAGS
dir=$top_builddir/coverage
least=${COVERAGE_LINES:-95}

command -v lcov >/dev/null || {
	echo "make coverage: lcov is not installed" >&2
	exit 77
}
mkdir -p "$dir"
cd "$dir"
[ -f config.status ] ||
	"$top_srcdir/configure" --quiet CFLAGS="-O0 -g --coverage -fprofile-update=atomic" CXXFLAGS="-O0 -g"
make -s -j"$(nproc)"
find . -name '*.gcda' -exec rm -f {} +
make -s -j"$(nproc)" check >check.out 2>&1 || tail -n 40 check.out
lcov --quiet --rc lcov_branch_coverage=1 --capture --directory . --base-directory . --output-file all.info 2>lcov.out
lcov --quiet --rc lcov_branch_coverage=1 --extract all.info "$(realpath "$top_srcdir")/src/*" --output-file src.info
lcov --rc lcov_branch_coverage=1 --list src.info
lcov --rc lcov_branch_coverage=1 --summary src.info 2>&1 | awk -v least="$least" '
	/lines|functions|branches/ { print }
	/lines/ { sub(/%.*/, "", $2); share = $2 }
	END { if (share + 0 < least) { print "lines: less than " least " %"; exit 1 } }'

#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds src/ for gcov in coverage/ of the build tree, runs the tests there, and prints which lines and
# branches they executed, file by file. COVERAGE_LINES is the percentage of lines that must be
# executed. Tests themselves are built as usual. Left out are tests that run nothing of this build
# (checks of sources, tests with compilers and flags of their own), tests that step through critical
# sections, and long histories of a layer that has shorter ones.
set -eu

: "${top_srcdir:?run by make coverage}"
: "${top_builddir:?run by make coverage}"
export LC_ALL=C
export TESTS_RUN_ONCE=yes
unset CDPATH MAKEFLAGS MAKELEVEL MFLAGS CC CXX CFLAGS LDFLAGS
dir=$top_builddir/coverage
least=${COVERAGE_LINES:-95}

command -v lcov >/dev/null || {
	echo "make coverage: lcov is not installed" >&2
	exit 1
}
mkdir -p "$dir"
cd "$dir"
[ -f config.status ] || "$top_srcdir/configure" --quiet CFLAGS="-O1 -g" CXXFLAGS="-O1 -g" LDFLAGS=--coverage
counting="-O0 -g --coverage -fprofile-update=atomic -include $top_srcdir/scripts/coverage.h"
make -s -j"$(nproc)" CFLAGS="$counting" libpercpu.la libpercpu-internal.la percpu
make -s -j"$(nproc)"

find . -name '*.gcda' -exec rm -f {} +
tests=
# shellcheck disable=SC2016 # for make
for test in $(printf 'include Makefile\nlist:\n\t@echo $(TESTS)\n' | make -s -f - list); do
	case $test in
	scripts/* | tests/sections/* | tests/ops/types.sh | tests/fuzz/fuzz_area_map* | tests/area/test_packing*) ;;
	*) tests="$tests $test" ;;
	esac
done
# Counting takes memory and time: a test that fails here may pass in make check, which decides.
make -s -j"$(nproc)" check TESTS="$tests" >check.out 2>&1 || grep '^FAIL' check.out || tail -n 40 check.out

lcov_too()
{
	lcov --rc lcov_branch_coverage=1 "$@"
}
lcov_too --quiet --capture --directory . --base-directory . --output-file all.info 2>lcov.out
lcov_too --quiet --extract all.info "$(realpath "$top_srcdir")/src/*" --output-file src.info
lcov_too --list src.info
lcov_too --summary src.info 2>&1 | awk -v least="$least" '
	/lines|functions|branches/ { print }
	/lines/ { sub(/%.*/, "", $2); share = $2 }
	END { if (share + 0 < least) { print "lines: less than " least " %"; exit 1 } }'

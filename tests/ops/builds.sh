#!/bin/sh
# SPDX-License-Identifier: MIT
# Operations under each compiler, optimisation and code model: portable.c, and in C++ inline.cc, whose
# operations stand in inline functions that the linker folds.
set -u

# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
once

library="-L$top_builddir/.libs -lpercpu -Wl,-rpath,$top_builddir/.libs -pthread"
flags="-D_GNU_SOURCE -DFEW_TYPES -Wall -I$top_srcdir/include -I$top_srcdir/tests"
tests=$top_srcdir/tests/ops
dir=$tap_dir

# The flags are words.
# shellcheck disable=SC2086
for cc in gcc clang; do
	command -v $cc >/dev/null || continue
	for how in "-O0 -UFEW_TYPES" "-O3 -fPIC" "-O2 -fno-pie -no-pie" "-Og -flto" "-O1 -DPERCPU_GENERIC" \
		"-O1 -fsanitize=address"; do
		$cc -std=gnu11 $flags -fwrapv $how "$tests/portable.c" -o "$dir/portable" $library >"$dir/said" 2>&1 &&
			"$dir/portable" >"$dir/said" 2>&1
		judge $? "$cc $how"
	done
done
# shellcheck disable=SC2086
for cxx in g++ clang++; do
	command -v $cxx >/dev/null || continue
	for how in "-O0" "-O2 -fPIC" "-O2 -flto" "-O2 -ffunction-sections"; do
		$cxx -std=c++17 $flags -Wextra -Werror $how -DPART=1 -c "$tests/inline.cc" -o "$dir/1.o" >"$dir/said" 2>&1 &&
			$cxx -std=c++17 $flags $how -DPART=2 -c "$tests/inline.cc" -o "$dir/2.o" >"$dir/said" 2>&1 &&
			$cxx $how -Wl,--gc-sections "$dir/1.o" "$dir/2.o" -o "$dir/inline" $library >"$dir/said" 2>&1 &&
			"$dir/inline" >"$dir/said" 2>&1
		judge $? "$cxx $how"
	done
done
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# A program that was compiled for another layout of the structs, by the first headers, and calls the
# functions without a layout: its caches work by the slow path, and objects whose storage may be too
# small are refused.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

: "${CC:=cc}" "${CXX:=c++}"
here=$top_srcdir/tests/modules
shared="-L$top_builddir/.libs -Wl,-rpath,$top_builddir/.libs -lpercpu"
private=$(sed -n 's/^Libs.private: *//p' "$top_builddir/libpercpu.pc")
static="$top_builddir/.libs/libpercpu.a $private -ldl"

# shellcheck disable=SC2086
old()
{
	name=$1
	shift
	"$@" ${CFLAGS-} ${LDFLAGS-} -pthread -o "$tap_dir/old" 2>"$tap_dir/said" || {
		report "$name" "$(cat "$tap_dir/said")"
		return
	}
	try "$name" "$tap_dir/old"
	try "$name, atomic" env PERCPU_OPTIONS=mode:atomic "$tap_dir/old"
	try "$name, checked" env PERCPU_OPTIONS=check "$tap_dir/old"
}

# shellcheck disable=SC2086
for level in -O0 -O2; do
	old "a program of the first headers, $level" $CC $level -std=gnu11 "$here/old.c" $shared
	old "a program of the first headers, $level, the library inside" $CC $level -std=gnu11 "$here/old.c" $static
	old "a program of the first headers in C++, $level" $CXX $level -std=c++17 -x c++ "$here/old.c" -x none $shared
done
finish

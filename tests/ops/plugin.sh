#!/bin/sh
# SPDX-License-Identifier: MIT
# Per-CPU variables of plugins, and of libraries that a process starts with; see plugin_host.c.
set -u

# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
once

library="-L$top_builddir/.libs -lpercpu -Wl,-rpath,$top_builddir/.libs -pthread"
flags="-std=gnu11 -D_GNU_SOURCE -O2 -Wall -I$top_srcdir/include"
tests=$top_srcdir/tests/ops
dir=$tap_dir
cc=${CC:-cc}

# The flags are words.
# shellcheck disable=SC2086
{
	$cc $flags -fPIC -shared "$tests/plugin.c" -o "$dir/libplugin.so" $library &&
		$cc $flags "$tests/plugin_host.c" -o "$dir/host" $library -ldl &&
		$cc $flags -DLINKED "$tests/plugin_host.c" -o "$dir/linked" -L"$dir" -lplugin -Wl,-rpath,"$dir" $library
} >"$dir/said" 2>&1
judge $? "build"
for options in "" mode:atomic; do
	PERCPU_OPTIONS=$options "$dir/host" "$dir/libplugin.so" >"$dir/said" 2>&1
	judge $? "opened and closed, threads left at exit, PERCPU_OPTIONS=$options"
	for turn in 1 2 3 4 5; do
		PERCPU_OPTIONS=$options "$dir/linked" >"$dir/said" 2>&1
		judge $? "linked, threads left at exit, PERCPU_OPTIONS=$options, turn $turn"
	done
done
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# Per-CPU variables of plugins, and of libraries that a process starts with; see plugin_host.c.
set -u

if [ "${TESTS_RUN_ONCE-}" = yes ]; then
	echo "1..0 # SKIP compilers and flags of its own, run before"
	exit 0
fi

library="-L$top_builddir/.libs -lpercpu -Wl,-rpath,$top_builddir/.libs -pthread"
flags="-std=gnu11 -D_GNU_SOURCE -O2 -Wall -I$top_srcdir/include"
tests=$top_srcdir/tests/ops
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cc=${CC:-cc}

report() { # status name
	nr=$((nr + 1))
	if [ "$1" = 0 ]; then echo "ok $nr - $2"; else echo "not ok $nr - $2 (status $1)" && sed 's/^/# /' "$dir/log"; fi
}

nr=0
# The flags are words.
# shellcheck disable=SC2086
{
	$cc $flags -fPIC -shared "$tests/plugin.c" -o "$dir/libplugin.so" $library &&
		$cc $flags "$tests/plugin_host.c" -o "$dir/host" $library -ldl &&
		$cc $flags -DLINKED "$tests/plugin_host.c" -o "$dir/linked" -L"$dir" -lplugin -Wl,-rpath,"$dir" $library
} >"$dir/log" 2>&1
report $? "build"
for options in "" mode:atomic; do
	PERCPU_OPTIONS=$options "$dir/host" "$dir/libplugin.so" >"$dir/log" 2>&1
	report $? "opened and closed, threads left at exit, PERCPU_OPTIONS=$options"
	for turn in 1 2 3 4 5; do
		PERCPU_OPTIONS=$options "$dir/linked" >"$dir/log" 2>&1
		report $? "linked, threads left at exit, PERCPU_OPTIONS=$options, turn $turn"
	done
done
echo "1..$nr"

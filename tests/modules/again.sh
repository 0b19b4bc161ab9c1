#!/bin/sh
# SPDX-License-Identifier: MIT
# A plugin that contains the library, and frees nothing, is loaded and unloaded again and again; see
# again.c. LOADS is the number of loads.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
once

case "${CFLAGS-} ${LDFLAGS-}" in
*-fsanitize*) skip_all "sanitizers keep memory of unloaded modules" ;;
esac
: "${CC:=cc}"
here=$top_srcdir/tests/modules
include="-D_GNU_SOURCE -I$top_srcdir/include -pthread -O2"
private=$(sed -n 's/^Libs.private: *//p' "$top_builddir/libpercpu.pc")
static="$top_builddir/.libs/libpercpu.a $private -ldl -pthread"
[ -e "$top_builddir/.libs/libpercpu.a" ] || skip_all "built without an archive"

# shellcheck disable=SC2086
{
	$CC $include -shared -fPIC "$here/own.c" $static -o "$tap_dir/own.so" &&
		$CC $include -shared -fPIC "$here/part.c" $static -o "$tap_dir/part.so" &&
		$CC $include "$here/again.c" -ldl -o "$tap_dir/again"
} >"$tap_dir/said" 2>&1
judge $? "build"
for options in "" mode:atomic check,leaks; do
	PERCPU_OPTIONS=$options "$tap_dir/again" "$tap_dir/own.so" "${LOADS:-150}" "$tap_dir/part.so" 2>&1 |
		grep -v '^libpercpu: leak' >"$tap_dir/said"
	grep -q '^all is as it was' "$tap_dir/said"
	judge $? "loaded ${LOADS:-150} times, PERCPU_OPTIONS=$options"
done

# Poison and root regions of unloaded copies are withdrawn from AddressSanitizer and its leak
# checker.
# shellcheck disable=SC2086
if {
	$CC $include -fsanitize=address -shared -fPIC "$here/own.c" $static -o "$tap_dir/own.so" &&
		$CC $include -fsanitize=address -shared -fPIC "$here/part.c" $static -o "$tap_dir/part.so" &&
		$CC $include -fsanitize=address "$here/again.c" -ldl -o "$tap_dir/again"
} >"$tap_dir/said" 2>&1; then
	"$tap_dir/again" "$tap_dir/own.so" 12 "$tap_dir/part.so" any-memory >"$tap_dir/said" 2>&1
	judge $? "loaded 12 times, AddressSanitizer"
else
	skip "loaded 12 times, AddressSanitizer" "no AddressSanitizer here"
fi
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# An archive that was built with --with-pic and -DPIC works as any archive: in a plugin it exports
# no symbols, and its critical sections are disarmed when the plugin is unloaded.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
once

[ ! -e "$top_srcdir/config.status" ] || skip_all "configured inside the sources"
case "${CFLAGS-} ${LDFLAGS-}" in
*-fsanitize*) skip_all "it makes a build of its own, without sanitizers" ;;
esac
: "${CC:=cc}"
here=$top_srcdir/tests/modules
include="-D_GNU_SOURCE -I$top_srcdir/include -pthread"

# survive_with ARCHIVE NAME: a thread outlives a plugin that contains the archive.
survive_with()
{
	private=$(sed -n 's/^Libs.private: *//p' "$tap_dir/build/libpercpu.pc")
	# shellcheck disable=SC2086
	$CC -O2 -shared -fPIC $include "$here/part.c" "$1" $private -ldl -o "$tap_dir/plugin.so" >"$tap_dir/said" 2>&1 &&
		$CC -O2 $include "$here/survive.c" -ldl -o "$tap_dir/survive" >>"$tap_dir/said" 2>&1 &&
		"$tap_dir/survive" "$tap_dir/plugin.so" 60 >>"$tap_dir/said" 2>&1
	case $? in
	0) report "$2" ;;
	77) skip "$2" "one CPU here" ;;
	*) report "$2" "it did not
$(head -n 30 "$tap_dir/said")" ;;
	esac
}

mkdir "$tap_dir/build"
(
	cd "$tap_dir/build" &&
		"$top_srcdir/configure" -q --with-pic --disable-shared --disable-dependency-tracking \
			CC="$CC" CFLAGS="-O1 -DPIC" && make -s libpercpu.la
) >"$tap_dir/said" 2>&1
judge $? "build"
if [ -e "$tap_dir/build/.libs/libpercpu.a" ]; then
	readelf -sW "$tap_dir/build/.libs/libpercpu.a" | awk '$5 ~ /GLOBAL|WEAK/ && $7 != "UND" { print $6, $8 }' |
		sort -u >"$tap_dir/symbols"
	report "nothing is visible to other modules" "$(grep '^DEFAULT' "$tap_dir/symbols" | head -n 5)"
	report "it has its symbols" "$(grep -q ' percpu_alloc$' "$tap_dir/symbols" || echo "no percpu_alloc")"
	survive_with "$tap_dir/build/.libs/libpercpu.a" "a thread outlives the plugin"
fi
finish

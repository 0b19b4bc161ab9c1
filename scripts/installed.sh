#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds programs in C and in C++17 against the installed library, by pkg-config alone. Installs into
# a temporary DESTDIR, unless installed_at names the prefix of a library that is installed already.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

program=$top_srcdir/examples/counters.c
cp "$program" "$tap_dir/program.c"
cp "$program" "$tap_dir/program.cc"
cd "$tap_dir" || exit 1

if [ -n "$installed_at" ]; then
	found=$(find "$installed_at" -name libpercpu.pc)
else
	try "make install, DESTDIR" make -s -C "$top_builddir" install DESTDIR="$tap_dir/stage"
	found=$(find "$tap_dir/stage" -name libpercpu.pc)
	PKG_CONFIG_SYSROOT_DIR=$tap_dir/stage
	export PKG_CONFIG_SYSROOT_DIR
fi
PKG_CONFIG_PATH=${found%/*}
PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1
PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
export PKG_CONFIG_PATH PKG_CONFIG_ALLOW_SYSTEM_CFLAGS PKG_CONFIG_ALLOW_SYSTEM_LIBS
libdir=${PKG_CONFIG_PATH%/pkgconfig}

report "libpercpu.pc is installed, once" "$([ -f "$found" ] || printf 'found: %s\n' "$found")"
report "its version is the library's" "$(
	want=$(sed -n 's/^AC_INIT(\[libpercpu\], \[\([^]]*\)\].*/\1/p' "$top_srcdir/configure.ac")
	[ "$(pkg-config --modversion libpercpu)" = "$want" ] || pkg-config --modversion libpercpu)"
report "the file that GDB loads is installed" "$(
	library=$(readlink -f "$libdir/libpercpu.so")
	library=${library#"$tap_dir/stage"}
	find "${installed_at:-$tap_dir/stage}" -path "*/gdb/auto-load$library-gdb.py" | grep -q . || echo "not for $library")"
report "manual pages are installed" "$(for page in man7/percpu.7 man3/percpu_alloc.3 man3/percpu_add.3; do
	find "${installed_at:-$tap_dir/stage}" -path "*/$page" | grep -q . || echo "$page"
done)"

# run_program COMPILER FLAGS LINK: builds the program and checks its output.
# shellcheck disable=SC2046,SC2086
run_program()
{
	case $3 in
	shared) libs="$(pkg-config --libs libpercpu) -pthread" ;;
	archive) libs="$libdir/libpercpu.a $(pkg-config --static --libs-only-l libpercpu | sed 's/-lpercpu//') -pthread" ;;
	static) libs="-static $(pkg-config --static --libs libpercpu)" ;;
	esac
	rm -f program
	$1 $2 $CFLAGS -Wall -Wextra -Werror $(pkg-config --cflags libpercpu) $LDFLAGS -o program $libs &&
		said=$(LD_LIBRARY_PATH=$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} ./program) &&
		echo "$said" && [ "$said" = "4000000 hits" ]
}

for how in shared archive static; do
	for language in C C++17; do
		name="a program in $language, $how"
		case $how:$language in
		*:C) compiler="${CC:-cc}" flags="-std=gnu11 program.c" ;;
		*) compiler="${CXX:-c++}" flags="-std=c++17 program.cc" ;;
		esac
		case "$how $CC $CFLAGS $LDFLAGS" in
		static*-fsanitize*)
			skip "$name" "sanitizers do not link statically"
			continue
			;;
		esac
		if [ $how = shared ] && [ ! -e "$libdir/libpercpu.so" ] || [ $how != shared ] && [ ! -e "$libdir/libpercpu.a" ]; then
			skip "$name" "not built"
		else
			try "$name" run_program "$compiler" "$flags" $how
		fi
	done
done
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# The library in programs and plugins of all kinds: linked in every way, loaded, unloaded, used
# early.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

: "${CC:=cc}" "${CXX:=c++}"
here=$top_srcdir/tests/modules
include="-D_GNU_SOURCE -I$top_srcdir/include -pthread"
shared="-L$top_builddir/.libs -Wl,-rpath,$top_builddir/.libs -lpercpu"
private=$(sed -n 's/^Libs.private: *//p' "$top_builddir/libpercpu.pc")
static="$top_builddir/.libs/libpercpu.a $private -ldl -pthread"
app="$here/app.c $here/part.c"
sources=$(cd "$top_srcdir" && sed -n 's/^include //p' src/Makefile.inc | grep -v '^src/tool/' | xargs grep -ho 'src/[a-z_/0-9]*\.c' |
	sed "s,^,$top_srcdir/,")
with_flags=$(printf '%s' "${CFLAGS-} ${LDFLAGS-}")
case $with_flags in
*-fsanitize*) sanitized=yes ;;
*) sanitized= ;;
esac

# The mode of a program that this compiler makes.
printf '%s\n' '#include <percpu/percpu.h>' 'int main(void) { return percpu_mode() != PERCPU_MODE_RSEQ; }' >"$tap_dir/mode.c"
# shellcheck disable=SC2086
$CC $with_flags $include -o "$tap_dir/mode" "$tap_dir/mode.c" $shared
if "$tap_dir/mode"; then mode=rseq; else mode=atomic; fi

# build NAME COMMAND...: builds a program or plugin in $tap_dir; a failure is a failed test.
build()
{
	built=$tap_dir/$1
	shift
	"$@" -o "$built" >"$tap_dir/said" 2>&1 && return
	report "build $(basename "$built")" "failed: $*
$(head -n 30 "$tap_dir/said")"
	return 1
}

# shellcheck disable=SC2086
cc_app()
{
	name=$1
	compiler=$2
	shift 2
	build app $compiler $with_flags $include "$@" && try "$name" "$tap_dir/app" "$mode" &&
		try "$name, atomic" env PERCPU_OPTIONS=mode:atomic "$tap_dir/app" atomic
}

can()
{
	command -v "$1" >/dev/null
}

# ---- programs ----

# shellcheck disable=SC2086
programs()
{
	for level in -O0 -Og -O1 -O2 -O3 -Os; do
		for compiler in $CC clang; do
			if [ "$compiler" = clang ] && { [ -n "$sanitized" ] || ! can clang; }; then
				continue
			fi
			cc_app "$compiler $level" "$compiler" $level $app $shared
			cc_app "$compiler $level, code that may go" "$compiler" $level -fPIC $app $shared
		done
	done
	cc_app "no PIE" "$CC" -O2 -no-pie -fno-pie $app $shared
	cc_app "PIE" "$CC" -O2 -pie -fPIE $app $shared
	cc_app "the library inside" "$CC" -O2 $app $static
	cc_app "the library inside, -rdynamic" "$CC" -O2 -rdynamic $app $static
	cc_app "-rdynamic" "$CC" -O2 -rdynamic $app $shared
	cc_app "link-time optimisation" "$CC" -O2 -flto $app $shared
	cc_app "no procedure linkage table" "$CC" -O2 -fno-plt $app $shared
	cc_app "every function a section, what is not used collected" "$CC" -O2 -ffunction-sections -fdata-sections \
		-Wl,--gc-sections $app $shared
	cc_app "the library inside, what is not used collected" "$CC" -O2 -ffunction-sections -fdata-sections \
		-Wl,--gc-sections $app $static
	cc_app "link-time optimisation of all" "$CC" -O2 -flto -std=gnu11 -DHAVE_CONFIG_H -DPERCPU_BUILDING \
		-I"$top_builddir" -iquote "$top_srcdir/src" $app $sources $private -ldl
	if [ -z "$sanitized" ] && $CC -static -o "$tap_dir/none" "$tap_dir/mode.c" $include $static 2>/dev/null; then
		cc_app "fully static" "$CC" -O2 -static $app $static
		cc_app "fully static PIE" "$CC" -O2 -static-pie -fPIE $app $static
	else
		skip "fully static" "no static libraries here"
	fi
}

# ---- programs without a per-CPU variable ----

# shellcheck disable=SC2086
without_variables()
{
	for flags in -O0 -O2 "-O2 -flto" "-O2 -fPIC"; do
		build other.o $CC $with_flags $include -DOTHER_FILE $flags -c "$here/none.c" &&
			build none $CC $with_flags $include $flags "$here/none.c" "$tap_dir/other.o" $shared &&
			try "the kernel's names without a variable, $flags" "$tap_dir/none"
	done
	for linker in bfd gold lld; do
		printf 'int main(void) { return 0; }\n' >"$tap_dir/any.c"
		if ! $CC -fuse-ld=$linker -o "$tap_dir/any" "$tap_dir/any.c" 2>/dev/null; then
			skip "the kernel's names without a variable, $linker --gc-sections" "no such linker here"
			continue
		fi
		build none $CC $with_flags $include -O2 -ffunction-sections -fdata-sections -fuse-ld=$linker -Wl,--gc-sections \
			"$here/none.c" "$tap_dir/other.o" $shared &&
			try "the kernel's names without a variable, $linker --gc-sections" "$tap_dir/none"
	done
}

# ---- musl ----

# shellcheck disable=SC2086
musl()
{
	if ! can musl-gcc || [ -n "$sanitized" ]; then
		skip "musl" "no musl-gcc here"
		return
	fi
	: >"$tap_dir/config.h"
	kernel_headers="-idirafter /usr/include -idirafter /usr/include/$(${CC%% *} -dumpmachine)"
	for way in -static -dynamic; do
		[ $way = -static ] && way_flags=-static || way_flags=
		build app musl-gcc -O2 -std=gnu11 -DHAVE_CONFIG_H -DPERCPU_BUILDING -I"$tap_dir" $include \
			-iquote "$top_srcdir/src" $kernel_headers $way_flags $app $sources &&
			try "musl, $way" "$tap_dir/app" atomic
	done
}

# ---- C++ ----

# shellcheck disable=SC2086
inline_functions()
{
	for flags in -O0 -O2 "-O2 -flto" "-O2 -fPIC"; do
		build inline $1 $with_flags -std=c++17 $flags $include -I"$here" "$here/inline_one.cpp" \
			"$here/inline_two.cpp" $shared && try "inline functions, $1 $flags" "$tap_dir/inline"
	done
}

cplusplus()
{
	inline_functions "$CXX"
	for compiler in g++ clang++; do
		case " $CXX " in
		*" $compiler "*) continue ;;
		esac
		if can $compiler && [ -z "$sanitized" ]; then
			inline_functions $compiler
		else
			skip "inline functions, $compiler" "no $compiler here, or it has other sanitizers"
		fi
	done
}

# ---- early use ----

# shellcheck disable=SC2086
early()
{
	build early $CC $with_flags -O2 $include "$here/early.c" $shared && try "before any constructor" "$tap_dir/early"
	build early $CC $with_flags -O2 $include "$here/early.c" $static &&
		try "before any constructor, linked into the program" "$tap_dir/early"
	try "before any constructor, atomic" env PERCPU_OPTIONS=mode:atomic "$tap_dir/early"
	if [ -z "$sanitized" ] && build early $CC -O2 -static $include "$here/early.c" $static 2>/dev/null; then
		try "before any constructor, fully static" "$tap_dir/early"
	fi
	build libearly.so $CC $with_flags -O2 -shared -fPIC -DNO_PREINIT -Dmain=early_main $include "$here/early.c" $shared
	echo 'int early_main(void); int main(void) { return early_main(); }' >"$tap_dir/main.c"
	build early $CC $with_flags -o "$tap_dir/early" "$tap_dir/main.c" -L"$tap_dir" -Wl,-rpath,"$tap_dir" -learly &&
		try "constructors of a shared object" "$tap_dir/early"
}

# ---- plugins ----

# shellcheck disable=SC2086
plugins()
{
	build plugin.so $CC $with_flags -O2 -shared -fPIC $include "$here/part.c" $shared || return
	build plugin-inside.so $CC $with_flags -O2 -shared -fPIC $include "$here/part.c" $static \
		-Wl,--exclude-libs,ALL || return
	build load $CC $with_flags -O2 $include "$here/load.c" $shared -ldl || return
	if [ -n "$sanitized" ]; then
		try "a plugin, 50 times" "$tap_dir/load" "$tap_dir/plugin.so" 50 any-memory
	else
		try "a plugin, a thousand times" "$tap_dir/load" "$tap_dir/plugin.so" 1000
		try "a plugin, a thousand times, atomic" env PERCPU_OPTIONS=mode:atomic "$tap_dir/load" "$tap_dir/plugin.so" 1000
	fi

	build survive $CC $with_flags -O2 $include "$here/survive.c" -ldl || return
	"$tap_dir/survive" "$tap_dir/plugin.so" >"$tap_dir/said" 2>&1
	case $? in
	0) report "a thread outlives the plugin that it ran in" ;;
	77) skip "a thread outlives the plugin that it ran in" "one CPU here" ;;
	*) report "a thread outlives the plugin that it ran in" "status $?
$(cat "$tap_dir/said")" ;;
	esac
	"$tap_dir/survive" "$tap_dir/plugin-inside.so" >"$tap_dir/said" 2>&1
	case $? in
	0) report "a thread outlives a plugin that contains the library" ;;
	77) skip "a thread outlives a plugin that contains the library" "one CPU here" ;;
	*) report "a thread outlives a plugin that contains the library" "it did not
$(cat "$tap_dir/said")" ;;
	esac

	for options in "" mode:atomic; do
		build both $CC $with_flags -O2 $include "$here/both.c" $static &&
			try "two copies of the library${options:+, $options}" env PERCPU_OPTIONS=$options "$tap_dir/both" \
				"$tap_dir/plugin-inside.so"
		build both $CC $with_flags -O2 -rdynamic $include "$here/both.c" $static &&
			try "two copies, -rdynamic${options:+, $options}" env PERCPU_OPTIONS=$options "$tap_dir/both" \
				"$tap_dir/plugin-inside.so" &&
			try "one copy inside, one beside${options:+, $options}" env PERCPU_OPTIONS=$options "$tap_dir/both" \
				"$tap_dir/plugin.so"
		build both $CC $with_flags -O2 $include "$here/both.c" $shared &&
			try "one copy beside, one in the plugin${options:+, $options}" env PERCPU_OPTIONS=$options \
				"$tap_dir/both" "$tap_dir/plugin-inside.so"
	done
}

# ---- the end of the process ----

# shellcheck disable=SC2086
leaving()
{
	of="$with_flags -O2 $include $here/leave.c -L$tap_dir -Wl,-rpath,$tap_dir"
	for library in "$shared" "$static"; do
		[ "$library" = "$static" ] && inside=", the library inside each" || inside=
		build liblate.so $CC -shared -fPIC -DLATE $of $library &&
			build leave-plugin.so $CC -shared -fPIC -DPLUGIN $of -llate $library &&
			build libearly.so $CC -shared -fPIC -DEARLY $of $library -ldl &&
			build other.so $CC $with_flags -O2 -shared -fPIC $include "$here/part.c" $library &&
			build leave $CC $of -learly -llate $shared || return
		for turn in 1 2 3; do
			try "threads count in a plugin at exit$inside, turn $turn" env LEAVE_PLUGIN="$tap_dir/leave-plugin.so" \
				"$tap_dir/leave" "$tap_dir/other.so"
		done
	done
}

programs
without_variables
musl
cplusplus
early
plugins
leaving
finish

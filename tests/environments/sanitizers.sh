#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs built with a sanitizer, or run by Valgrind, with the library as it is installed: the use
# of freed per-CPU memory is reported in every copy, with the stacks of allocation and free; blocks
# that only copies point to are not reported as leaks, nor memory that passes from thread to thread
# through the library as a race.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

case ${CFLAGS-} in
*sanitize*) skip_all "the library itself is built with a sanitizer" ;;
esac
library="-L$top_builddir/.libs -lpercpu -Wl,-rpath,$top_builddir/.libs -pthread"
flags="-g -O1 -std=gnu11 -D_GNU_SOURCE -Wall -I$top_srcdir/include"
program=$tap_dir/freed

# reports CASE WORD...: the program fails, and its output has all of these words.
reports()
{
	if "$@" >"$tap_dir/said" 2>&1; then
		echo "it ran to the end: $(cat "$tap_dir/said")"
		return
	fi
	for word in $words; do
		grep -q -e "$word" "$tap_dir/said" || echo "no word of $word in: $(cat "$tap_dir/said")"
	done
}

# shellcheck disable=SC2086
for cc in gcc clang; do
	echo 'int main(void) { return 0; }' >"$tap_dir/none.c"
	if ! $cc -fsanitize=address "$tap_dir/none.c" -o "$program" 2>/dev/null || ! "$program"; then
		skip "$cc -fsanitize=address" "not available"
		continue
	fi
	try "$cc: built with AddressSanitizer" $cc $flags -fsanitize=address "$top_srcdir/tests/environments/freed.c" -o "$program" $library
	try "$cc: a correct program" env ASAN_OPTIONS=detect_leaks=0 "$program" good
	words="use-after-poison of.the.freed.allocation freed.here allocated.here in.free_them in.allocate_them"
	for what in first fallback write operation; do
		report "$cc: use after free: $what" "$(reports env ASAN_OPTIONS=detect_leaks=0 "$program" $what)"
	done
	words="use-after-poison of.the.freed.allocation freed.here allocated.here in.main"
	report "$cc: use after free, of two owners" "$(reports env ASAN_OPTIONS=detect_leaks=0 "$program" reused)"
	words=leaked
	found=$(reports "$program" lost)
	if [ -z "$found" ]; then
		try "$cc: no leak is reported for blocks that only copies point to" "$program" good
	else
		skip "$cc: no leak is reported for blocks that only copies point to" "LeakSanitizer finds nothing here"
	fi
done

# shellcheck disable=SC2086
for cc in gcc clang; do
	words=data.race
	if ! $cc $flags -fsanitize=thread "$top_srcdir/tests/environments/handed.c" -o "$program" $library 2>/dev/null ||
		[ -n "$(reports "$program" plainly)" ]; then
		skip "$cc -fsanitize=thread" "not available, or it finds nothing here"
		continue
	fi
	for way in list pointers cache areas; do
		try "$cc: no race is reported for memory passed on: $way" "$program" $way
	done
done

# shellcheck disable=SC2086
if command -v valgrind >/dev/null && grep -q 'define HAVE_VALGRIND_MEMCHECK_H 1' "$top_builddir/config.h"; then
	try "built for Valgrind" ${CC:-cc} $flags "$top_srcdir/tests/environments/freed.c" -o "$program" $library
	try "Valgrind: a correct program, and no leaks" valgrind -q --leak-check=full --error-exitcode=9 "$program" good
	words="Invalid.read free'd free_them Block.was.alloc'd allocate_them"
	for what in first fallback; do
		report "Valgrind: use after free: $what" "$(reports valgrind -q --error-exitcode=9 "$program" $what)"
	done
	words="Invalid free'd free_them allocate_them"
	for what in write operation; do
		report "Valgrind: use after free: $what" "$(reports valgrind -q --error-exitcode=9 "$program" $what)"
	done
else
	skip "Valgrind" "not installed, or without headers when the library was built"
fi
finish

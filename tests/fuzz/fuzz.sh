#!/bin/sh
# SPDX-License-Identifier: MIT
# libFuzzer on each target for FUZZ_SECONDS (five minutes), starting from the corpus, under
# sanitizers and with all assertions and walkers. FUZZ_TARGETS names some of them. Inputs that fail
# are printed as lines for the corpus.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

seconds=${FUZZ_SECONDS:-300}
targets=${FUZZ_TARGETS:-"alloc cache publish reader area_map statics text page"}
tests=$top_srcdir/tests
flags="-std=gnu11 -D_GNU_SOURCE -DPERCPU_CHECKS -DPERCPU_UNMARKED -g -O1 -pthread -fsanitize=address,undefined
	-fno-sanitize-recover=undefined -iquote $top_srcdir/src -I$top_srcdir/include -I$tests"
# The leak checker would report blocks that only copies point to.
export ASAN_OPTIONS=detect_leaks=0

echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' >"$tap_dir/none.c"
if ! clang -fsanitize=fuzzer,address "$tap_dir/none.c" -o "$tap_dir/none" 2>/dev/null; then
	skip "fuzzing" "no clang with libFuzzer"
	finish
	exit
fi

set --
for layer in platform topology area ops percpu counter cache publish; do
	set -- "$@" "$top_srcdir/src/$layer"/*.c
done
sources=$*

# found: prints the inputs that failed, as lines of the corpus.
found()
{
	for file in "$tap_dir"/found-*; do
		[ -f "$file" ] && echo "add to tests/fuzz/$target.corpus: $(od -An -v -tx1 "$file" | tr -d ' \n')"
	done
	tail -n 40 "$tap_dir/said"
}

for target in $targets; do
	# The files of the command that make pages.
	tool=
	[ "$target" != page ] || for part in export names ledger value text domain; do
		tool="$tool $top_srcdir/src/tool/$part.c"
	done
	mkdir -p "$tap_dir/$target"
	rm -f "$tap_dir"/found-*
	# The flags and the sources are to be split.
	# shellcheck disable=SC2086
	if ! clang $flags -fsanitize=fuzzer "$tests/fuzz/$target.c" $sources $tool -o "$tap_dir/fuzz" >"$tap_dir/said" 2>&1 ||
		! clang $flags "$tests/fuzz/$target.c" "$tests/fuzz/replay.c" $sources $tool -o "$tap_dir/replay" >"$tap_dir/said" 2>&1; then
		report "$target is built" "$(cat "$tap_dir/said")"
		continue
	fi
	FUZZ_CORPUS=$tests/fuzz/$target.corpus "$tap_dir/replay" --unpack "$tap_dir/$target"
	if "$tap_dir/fuzz" -max_total_time="$seconds" -max_len=2048 -rss_limit_mb=4096 -print_final_stats=1 \
		-artifact_prefix="$tap_dir/found-" "$tap_dir/$target" >"$tap_dir/said" 2>&1; then
		report "$target, $(sed -n 's/^stat::number_of_executed_units: *//p' "$tap_dir/said") inputs"
	else
		report "$target" "$(found)"
	fi
done
finish

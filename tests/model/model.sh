#!/bin/sh
# SPDX-License-Identifier: MIT
# The model of the remote free list holds, and fails without any of the rules that can be left out.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

model=$top_srcdir/tests/model/remote.pml
if ! command -v spin >/dev/null; then
	skip "the model of the remote free list" "spin is not installed"
	finish
	exit
fi

# holds [-DWITHOUT_...]: searches all states; fails if an assertion is violated, or if the search
# was incomplete.
holds()
{
	mkdir -p "$tap_dir/spin" && cp "$model" "$tap_dir/spin" || return
	(
		cd "$tap_dir/spin" || exit
		# shellcheck disable=SC2086
		spin $1 -a remote.pml && ${CC:-cc} -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=3000 -o pan pan.c && ./pan -m1000000
	) >"$tap_dir/pan" 2>&1
	cat "$tap_dir/pan"
	grep -q 'errors: 0$' "$tap_dir/pan" && ! grep -qE 'max search depth too small|out of memory|reached -DMEMLIM' "$tap_dir/pan"
}

try "the remote free list and the remote batches lose nothing" holds ""
for rule in CAS FENCE ORDER COUNT WHOLE PAIR; do
	report "without $rule the model fails" "$(holds -DWITHOUT_$rule >/dev/null && echo "it does not")"
	report "without $rule an assertion fails" "$(grep -q 'assertion violated' "$tap_dir/pan" || cat "$tap_dir/pan")"
done
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# promtool accepts the pages that fuzz_page made: the first ones, and the largest.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

wants promtool
mkdir "$tap_dir/pages"
FUZZ_PAGES=$tap_dir/pages "$top_builddir/tests/fuzz/fuzz_page" >"$tap_dir/said" 2>&1
report "there are pages" "$([ "$(find "$tap_dir/pages" -type f | wc -l)" -ge 100 ] || cat "$tap_dir/said")"
cd "$tap_dir/pages" || exit 1
{ seq 0 19; find . -type f -size +1k | sort -n | head -n 20; } | while read -r page; do
	# Status 3: the page is valid, and has names against promtool's style guide.
	promtool check metrics <"$page" >"$tap_dir/judged" 2>&1
	status=$?
	[ $status = 0 ] || [ $status = 3 ] || { echo "page $page:"; head -n 3 "$tap_dir/judged"; }
done >"$tap_dir/wrong"
report "promtool reads them" "$(cat "$tap_dir/wrong")"
finish

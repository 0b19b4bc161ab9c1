#!/bin/sh
# SPDX-License-Identifier: MIT
# A comment that says "pairs with <function>" names a function that exists, and a file with releases or
# acquires has such comments.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

cd "$top_srcdir" || exit 1
sources=$(find src include -name '*.[chS]' -o -name '*.hpp' | sort)

# Functions and function-like macros: a name before a bracket, in a line that is not a comment.
# shellcheck disable=SC2086
grep -hvE '^[[:space:]]*(\*|/\*|//)' $sources | grep -oE '[A-Za-z_][A-Za-z0-9_]*[[:space:]]*\(' | tr -d ' \t(' |
	sort -u >"$tap_dir/functions"

report "pairs with: the function exists" "$(for file in $sources; do
	grep -noiE 'pairs with (the (acquire|release) of )?[a-z_][a-z0-9_]*' "$file" | while IFS=: read -r line text; do
		grep -qx "${text##* }" "$tap_dir/functions" || echo "$file:$line: $text: no such function"
	done
done)"

report "pairs with: stands where there is a release or an acquire" "$(for file in $sources; do
	awk '
		/[Pp]airs with/ { said = 1 }
		/__ATOMIC_(RELEASE|ACQUIRE|ACQ_REL)|memory_order_(release|acquire|acq_rel)/ {
			lines = lines " " FNR
		}
		END { if (lines && !said) print FILENAME ": which function pairs with lines" lines "?" }
	' "$file"
done)"
finish

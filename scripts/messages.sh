#!/bin/sh
# SPDX-License-Identifier: MIT
# DIAGNOSTICS in percpu(7) lists the messages of src/platform/faults.h, each once, in the same order and no others.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

# The texts of the catalogue, with the words that the page has for conversions.
catalogue()
{
	sed -n 's/^	FAULT([A-Z_]*, "\(.*\)")[ \\]*$/\1/p' "$top_srcdir/src/platform/faults.h" |
		sed 's/%p/POINTER/g; s/%x/ADDRESS/g; s/%u/N/g; s/%s/TEXT/g; s/^ *//'
}

# The tags of the section: arguments of .B, .BI and .IB that follow .TP, quoted or not.
section()
{
	awk '
		/^\.SH / { on = $2 == "DIAGNOSTICS"; next }
		on && /^\.TP/ { tag = 1; next }
		on && tag && /^\.(B|BI|IB) / {
			sub(/^\.(B|BI|IB) /, "")
			text = ""
			while ($0 != "") {
				if (substr($0, 1, 1) == "\"") {
					end = index(substr($0, 2), "\"")
					text = text substr($0, 2, end - 1)
					$0 = substr($0, end + 2)
				} else {
					match($0, /^[^ ]*/)
					text = text substr($0, 1, RLENGTH)
					$0 = substr($0, RLENGTH + 1)
				}
				sub(/^ */, "")
			}
			gsub(/\\-/, "-", text)
			print text
			tag = 0
		}' "$top_srcdir/man/percpu.7"
}

catalogue >"$tap_dir/catalogue"
section >"$tap_dir/section"
report "every FAULT of the catalogue was read" "$(
	[ "$(grep -c '^	FAULT(' "$top_srcdir/src/platform/faults.h")" = "$(wc -l <"$tap_dir/catalogue")" ] ||
		echo "lines of another form in src/platform/faults.h")"
report "DIAGNOSTICS in percpu(7) lists the catalogue" "$(diff "$tap_dir/catalogue" "$tap_dir/section")"
finish

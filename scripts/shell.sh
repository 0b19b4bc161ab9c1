#!/bin/sh
# SPDX-License-Identifier: MIT
# Shell scripts pass shellcheck, or at least their shell's own parser. quickstart reads its pipes to the
# end, because xargs complains if a closed pipe kills the program that it runs.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

cd "$top_srcdir" || exit 1
{
	find scripts tests perf examples -name '*.sh' ! -name tap.sh
	printf '%s\n' bootstrap quickstart .ci/run perf/plot perf/run tests/vm/run tests/vm/init
} | sort >"$tap_dir/files"
while read -r file; do
	if command -v shellcheck >/dev/null; then
		try "shellcheck $file" shellcheck -x -S warning "$file"
	else
		try "$file can be parsed" "$(sed -n '1s,^#!/bin/,,p' "$file")" -n "$file"
	fi
done <"$tap_dir/files"
report "quickstart reads every pipe to its end" "$(grep -nE '\| *(head|grep -q|sed [^|]*q)' quickstart)"
finish

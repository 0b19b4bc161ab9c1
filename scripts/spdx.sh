#!/bin/sh
# SPDX-License-Identifier: MIT
# Every source file names its licence in its first three lines.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

cd "$top_srcdir" || exit 1
{
	find src include tests perf examples man scripts doc share -type f \( -name '*.[chS1-8]' -o -name '*.hpp' \
		-o -name '*.cc' -o -name '*.inc' -o -name '*.sh' -o -name '*.py' -o -name '*.map' \)
	printf '%s\n' bootstrap configure.ac Makefile.am man/aliases quickstart .ci/run perf/plot perf/run tests/vm/run tests/vm/init
} | sort >"$tap_dir/files"
report "SPDX lines" "$(while read -r file; do
	head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT' || echo "$file"
done <"$tap_dir/files")"
report "LICENSE is the MIT licence" "$(head -n 1 LICENSE | grep -qx 'MIT License' || echo "LICENSE begins otherwise")"
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# Shell scripts pass shellcheck.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

cd "$top_srcdir" || exit 1
{
	find scripts tests perf examples -name '*.sh'
	printf '%s\n' bootstrap quickstart .ci/run
} | sort >"$tap_dir/files"
while read -r file; do
	if command -v shellcheck >/dev/null; then
		try "shellcheck $file" shellcheck -x "$file"
	else
		try "sh -n $file" sh -n "$file"
	fi
done <"$tap_dir/files"
finish

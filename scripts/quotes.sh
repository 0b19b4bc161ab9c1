#!/bin/sh
# SPDX-License-Identifier: MIT
# What README and doc/ quote from the sources is what the sources say. scripts/quotes.sh --refresh,
# run at the top of the sources, brings the documents up to date.
[ "$1" != --refresh ] || top_srcdir=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

cd "$top_srcdir" || exit 1
for document in README $(find doc -name '*.md' | sort); do
	awk -v root=. -f scripts/quotes.awk "$document" >"$tap_dir/fresh" 2>"$tap_dir/errors"
	if [ "$1" = --refresh ]; then
		cat "$tap_dir/fresh" >"$document"
	fi
	report "$document quotes what the sources say" \
		"$(cat "$tap_dir/errors"; diff "$document" "$tap_dir/fresh")"
done
finish

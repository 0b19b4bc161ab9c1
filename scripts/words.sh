#!/bin/sh
# SPDX-License-Identifier: MIT
# The words that doc/glossary.md replaced, and phrases that have to be read twice, do not come back.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

cd "$top_srcdir" || exit 1

# PATTERN<tab>SUCCESSOR. A pattern is an extended regular expression that matches whole words in any case.
cat >"$tap_dir/words" <<'END'
percpu_snapshot[a-z_]*	percpu_group
percpu_foreign[a-z_]*	percpu_fallback
foreign (copy|copies|unit)	fallback copy
snapshot group	group
floors?	layer
topology groups?	domain
END

tab=$(printf '\t')
while IFS=$tab read -r pattern instead; do
	report "no \"$pattern\", but \"$instead\"" "$(grep -rniIwE --exclude='*.corpus' --exclude='*.svg' -e "$pattern" \
		README NEWS CONTRIBUTING src include man doc tests perf examples share)"
done <"$tap_dir/words"
finish

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
topology groups?	domain
floors?	layer
shel(f|ves)	chunk index
percpu__(shelf|space_)[a-z_]*	percpu__chunk_index, percpu__area_map
okay_to_[a-z_]+	validate
(percpu__)?send_home	remote free
relieves?	flush
surplus	excess
die\.c	report.c
percpu__die	percpu__fatal
(out-of-line|slow) hal(f|ves)	slow path
whoever	the subject: the thread, the caller
told off	aborted
for ever	the time until which
carriers?	packed node
percpu__(home|chain|stock|front|index)_[a-z_]*	percpu__cpu_cache, free_list, depot, area_cache, pagemap
percpu__watch(ed)?(_[a-z_]*)?	percpu__sanitizer
wire\.h	publish/format.h
(space|shelf|front|stock|watch)\.c	the successor in doc/glossary.md
END

tab=$(printf '\t')
while IFS=$tab read -r pattern instead; do
	report "no \"$pattern\", but \"$instead\"" "$(grep -rniIwE --exclude='*.corpus' --exclude='*.svg' -e "$pattern" \
		README NEWS CONTRIBUTING src include man doc tests perf examples share)"
done <"$tap_dir/words"
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# Every path of this tree, and every name of the library, that a document mentions exists.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

cd "$top_srcdir" || exit 1
documents="README NEWS CONTRIBUTING perf/README $(find doc man -name '*.md' -o -name '*.[1-8]' | sort | tr '\n' ' ')"

# Names that exist: identifiers of the sources, manual pages, programs, and words of the interface.
grep -rhoEI '\b(percpu|PERCPU)_[A-Za-z0-9_]+' include src --include='*.[ch]' --include='*.hpp' --include='*.map' | sort -u >"$tap_dir/names"
find examples perf -type f -exec basename {} \; | sed 's/\.[a-z0-9]*$//' | sort -u >>"$tap_dir/names"
echo PERCPU_OPTIONS >>"$tap_dir/names"

# Manual pages, those included that are made from man/aliases.
{
	find man -name '*.[1-8]' -exec basename {} \;
	sed -n 's/^percpu[a-z_]*: //p' man/aliases | tr ' ' '\n' | sed 's/$/.3/'
} | sort >"$tap_dir/pages"
sed 's/\.[1-8]$//' "$tap_dir/pages" >>"$tap_dir/names"
has_page()
{
	grep -qx -- "$1" "$tap_dir/pages"
}

# Roff writes a hyphen as \- and a backslash before much else.
plain()
{
	sed '/^\.TH/d; s/\\-/-/g; s/\\&//g; s/\\f[BIRP]//g' "$1"
}

# is_built PATH: true if the build makes it.
is_built()
{
	[ -e "$top_builddir/$1" ] || grep -qwF -- "$1" tests/*/Makefile.inc
}

for document in $documents; do
	report "$document: its paths exist" "$(plain "$document" |
		grep -oE '(^|[^[:alnum:]_./<-])(include|src|tests|perf|examples|man|doc|scripts|share|m4|\.ci)/[[:alnum:]_./*-]*' |
		sed -E 's,^[^[:alnum:].],,; s/[.,]+$//' | sort -u | while read -r path; do
		# shellcheck disable=SC2086
		case $path in
		*[*]*) ls -d $path >/dev/null 2>&1 || echo "$path" ;;
		*) [ -e "$path" ] || [ -e "$path.c" ] || is_built "$path" || echo "$path" ;;
		esac
	done)"
	report "$document: its names exist" "$(plain "$document" | grep -oE '\b(percpu|PERCPU)_[A-Za-z0-9_]+\*?' | sort -u |
		while read -r name; do
		case $name in
		*_ | *\*) grep -q "^${name%\*}" "$tap_dir/names" || echo "$name" ;;
		*) grep -qx "$name" "$tap_dir/names" || echo "$name" ;;
		esac
	done)"
done

report "README shows examples/counters.c as it is" "$(
	awk '/^This is examples\/counters.c:/ { on = 1; next } on && /^[^ ]/ { exit } on' README | sed 's/^    //' |
	sed -e '1{/^$/d;}' -e '${/^$/d;}' >"$tap_dir/shown"
	sed 1d examples/counters.c | diff "$tap_dir/shown" -)"

# Manual pages that others refer to exist, in the named section.
report "manual pages refer to pages that exist" "$(find man -name '*.[1-8]' | sort | while read -r page; do
	sed -nE 's/^\.BR (percpu[a-z0-9_-]*) \(([1-8])\).*/\1.\2/p' "$page" | while read -r target; do
		has_page "$target" || echo "$page: man/$target"
	done
done)"

# Every exported function has a manual page, except for the slow paths of macros.
report "every exported function has a manual page" "$(grep -oE '\bpercpu_[a-z0-9_]+;' src/libpercpu.map | tr -d ';' |
	grep -vx -f scripts/undocumented | while read -r name; do
	has_page "$name.3" || echo "$name"
done)"

# Every public macro has one, too.
report "every public macro has a manual page" "$(grep -hoE '^#define percpu_[a-z0-9][a-z0-9_]*' \
	include/percpu/types.h include/percpu/alloc.h include/percpu/ops.h include/percpu/pool.h include/percpu/sum.h include/percpu/static.h |
	sed 's/.* //' | sort -u | while read -r name; do
	has_page "$name.3" || echo "$name"
done)"
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# Manual pages: the fixed sections in their order, no warning of the formatter, examples that compile and run, and
# aliases that their page documents.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

cd "$top_builddir" || exit 1
pages=$(find "$top_srcdir/man" -name '*.[1-8]' | sort)
function_sections="NAME SYNOPSIS DESCRIPTION CONCURRENCY ERRORS EXAMPLE SEE ALSO"

lint()
{
	{ groff -man -ww -Tutf8 -rLL=100n "$1" >/dev/null; } 2>&1
	! command -v mandoc >/dev/null || mandoc -T lint -W warning "$1"
}

# Prints the program of a page: the text between .EX and .EE under EXAMPLE, as formatted.
extract()
{
	awk '
		/^\.SH / { on = $2 == "EXAMPLE"; next }
		on && /^\.EX/ { code = 1; next }
		on && /^\.EE/ { exit }
		code
	' "$1" | sed 's/^\\&//; s/\\-/-/g; s/\\(aq/'"'"'/g; s/\\e/\\/g'
}

run_example()
{
	name=$(basename "$1")
	extract "$1" >"$tap_dir/$name.c"
	grep -q 'int main(' "$tap_dir/$name.c" || {
		echo "no program under EXAMPLE"
		return 1
	}
	# shellcheck disable=SC2086
	./libtool --quiet --tag=CC --mode=link ${CC:-cc} -std=gnu11 -Wall -Wextra -Werror -I"$top_srcdir/include" \
		$CFLAGS $LDFLAGS -static -pthread -o "$tap_dir/$name.run" "$tap_dir/$name.c" libpercpu.la &&
		"$tap_dir/$name.run"
}

for page in $pages; do
	name=${page##*/}
	report "$name has the fixed sections" "$(case $name in
	*.3)
		found=$(sed -n 's/^\.SH //p' "$page" | tr '\n' ' ')
		[ "$found" = "$function_sections " ] || echo "$found"
		;;
	*) sed -n 1,20p "$page" | grep -q '^\.SH NAME' || echo "no NAME" ;;
	esac)"
	report "$name names this release" "$(
		version=$(sed -n 's/^AC_INIT(\[libpercpu\], \[\([^]]*\)\].*/\1/p' "$top_srcdir/configure.ac")
		grep -q "^\\.TH .* \"libpercpu $version\"" "$page" || grep '^\.TH' "$page")"
	if command -v groff >/dev/null; then
		report "$name formats without a warning" "$(lint "$page")"
	else
		skip "$name formats without a warning" "groff is not installed"
	fi
	case $name in
	*.3)
		case ${CFLAGS-} in
		*sanitize=thread*)
			if grep -q 'vfork()' "$page"; then
				skip "$name: the example compiles and runs" "ThreadSanitizer makes a fork of vfork"
				continue
			fi
			;;
		esac
		try "$name: the example compiles and runs" run_example "$page"
		;;
	esac
done

# Each name of man/aliases, with its page.
sed -n '/^percpu/s/:/ /p' "$top_srcdir/man/aliases" | while read -r page names; do
	for name in $names; do
		echo "$page $name"
	done
done >"$tap_dir/aliases"
report "every alias is named by its page" "$(while read -r page name; do
	grep -qE "^\.BR? .*\b$name\b" "$top_srcdir/man/$page.3" 2>&1 || echo "$page.3: $name"
done <"$tap_dir/aliases")"
report "no alias stands twice" "$(sed 's/.* //' "$tap_dir/aliases" | sort | uniq -d)"
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# Every claim of doc/security.md names tests that exist: the last cell of each row of a table is a list
# "FILE: NAME, NAME; FILE: NAME". In a .c a NAME is a test of Check or a row of a table of cases; in a
# .sh it is the name that the test reports, or the program that it runs.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

cd "$top_srcdir" || exit 1

# "LINE|FILE|NAME" for each test named; "LINE||" for a claim without one.
claims()
{
	awk -F' *[|] *' '
		!/^[|]/ { in_table = 0; next }
		/^[|] *-/ { in_table = 1; next }
		!in_table { next }
		{
			n = split($(NF - 1), parts, / *; */)
			for (i = 1; i <= n; i++) {
				if (!match(parts[i], /^tests\/[a-z_\/]+\.(c|sh): /)) {
					print FNR "||"
					continue
				}
				file = substr(parts[i], 1, RLENGTH - 2)
				m = split(substr(parts[i], RLENGTH + 1), names, / *, */)
				for (j = 1; j <= m; j++)
					print FNR "|" file "|" names[j]
			}
		}' doc/security.md
}

has_test()
{
	case $1 in
	*.c) grep -qE "START_TEST\($2\)" "$1" && grep -qE "^[^#]*\b$2\b.*[,)]" "$1" || grep -qE "^	(\{ |([A-Z]+_)?CASE\(|HARMLESS\()$2[,)]" "$1" ;;
	*.sh) grep -qE "^	*[^# 	].*\b$2\b" "$1" ;;
	esac
}

claims >"$tap_dir/claims"
report "doc/security.md has claims" "$([ "$(wc -l <"$tap_dir/claims")" -gt 30 ] || echo "they were not found")"
report "every claim of doc/security.md has a test" "$(sed -n 's,^\([0-9]*\)||$,doc/security.md:\1,p' "$tap_dir/claims")"
report "the tests that doc/security.md names exist" "$(grep -v '||' "$tap_dir/claims" | while IFS='|' read -r line file name; do
	has_test "$file" "$name" 2>/dev/null || echo "doc/security.md:$line: $file: $name"
done)"
finish

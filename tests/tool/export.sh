#!/bin/sh
# SPDX-License-Identifier: MIT
# What percpu makes of names, labels and numbers that others chose: no kind takes another's name, nothing acts on a terminal,
# and every number reads back as what it is.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
# shellcheck source=tests/tool/publisher.sh
. "$top_srcdir/tests/tool/publisher.sh"
publishing_program=metrics

# readable: promtool has read the page in $tap_dir/page; its taste in names is no matter here.
readable()
{
	if command -v promtool >/dev/null; then
		promtool check metrics <"$tap_dir/page" >"$tap_dir/said" 2>&1
		report "$1: promtool reads the page" "$(status=$?; [ $status = 0 ] || [ $status = 3 ] || head -n 5 "$tap_dir/said")"
	else
		skip "$1: promtool reads the page" "not installed"
	fi
}

# has NAME PATTERN...: each is a line of the page, but for process numbers.
has()
{
	name=$1
	shift
	sed 's/,pid="[0-9]*"//' "$tap_dir/page" >"$tap_dir/plain"
	report "$name" "$(for line; do
		grep -qxF "$line" "$tap_dir/plain" || echo "no line: $line"
	done)"
}

# Names that others have, in the same pool and in others.
pool=names-$$
publisher "a$pool" g requests_total "" 1 3 "" h lat "" 1 7 "" g lat_count "" 1 4 "" g lat "" 1 5 "" g lat_bucket "" 1 6 "" \
	c lat_sum "" 1 8 "" h lat_count "" 1 9 "" h requests_total "" 1 2 "" g percpu_exporter_left_out "" 1 1 "" \
	g size bucket 1 1 "" g bytes bytes 1 1 "" c total "" 1 1 "" c _total "" 1 1 ""
first=$pid
publisher "b$pool" c requests "" 1 10 "" c requests_total "" 1 11 two g lat "" 1 12 ""
for each in "$first" "$pid"; do
	"$percpu" export "$each" 2>"$tap_dir/err" | sed '$d'
done >"$tap_dir/apart"
# Both, as one page, whatever else is published here.
"$percpu" export 2>/dev/null | awk -v pool="$pool" '/^#/ || index($0, pool)' >"$tap_dir/page"
has "no kind takes another's name" "requests_total{pool=\"b$pool\"} 10" "requests_total{pool=\"b$pool\",label=\"two\"} 11" \
	"requests_total_value{pool=\"a$pool\"} 3" "lat{pool=\"a$pool\"} 5" "lat{pool=\"b$pool\"} 12" "lat_count{pool=\"a$pool\"} 1" \
	"lat_sum{pool=\"a$pool\"} 7" "lat_count_value{pool=\"a$pool\"} 4" "lat_bucket_value{pool=\"a$pool\"} 6" \
	"lat_sum_total{pool=\"a$pool\"} 8" "lat_bucket{pool=\"a$pool\",le=\"+Inf\"} 1" "lat_count_value_count{pool=\"a$pool\"} 1" \
	"requests_total_value_sum{pool=\"a$pool\"} 2" "exported_percpu_exporter_left_out{pool=\"a$pool\"} 1" \
	"size_bucket_value{pool=\"a$pool\"} 1" "bytes_bytes{pool=\"a$pool\"} 1" "total_total{pool=\"a$pool\"} 1"
report "each has the name that it has alone" "$(grep -v '^#' "$tap_dir/apart" | grep -vxFf "$tap_dir/page")"
report "a name has one type" "$(grep '^# TYPE' "$tap_dir/page" | awk '{ print $3 }' | sort | uniq -d)"
readable "names"
report "a process with several descriptors of a pool is one" "$("$percpu" list "b$pool" | awk 'NR == 2 && $2 != 1')"
end_publishers

pool=terminal-$$
publisher "$pool$(printf '\033[31m\302\23331m')" g "n$(printf '\302\2332J\033[2J\177')" "" 1 1 "$(printf '\033]0;t\007\302\2335n\t\\\302\240')"
for arguments in list "list --json" show "show --json" export; do
	# shellcheck disable=SC2086
	"$percpu" $arguments "$pid" >"$tap_dir/page"
	report "percpu $arguments: nothing acts on a terminal" "$(grep -q terminal "$tap_dir/page" || echo "nothing there"
		grep -nP '[\x00-\x1f\x7f]|\xc2[\x80-\x9f]' "$tap_dir/page" | cat -v)"
done
cat >"$tap_dir/want" <<END
n__2J__2J_{pool="$pool\\\\x1b[31m\\\\xc2\\\\x9b31m",label="\\\\x1b]0;t\\\\x07\\\\xc2\\\\x9b5n\\\\x09\\\\$(printf '\302\240')"} 1
END
has "what acts is shown as its bytes" "$(cat "$tap_dir/want")"
if command -v jq >/dev/null; then
	report "JSON has it as it was" "$("$percpu" show --json "$pid" | jq -j '.[0].metrics[0].labels.label' |
		od -An -tx1 | tr -d ' \n' | grep -vx 1b5d303b7407c29b356e095cc2a0)"
else
	skip "JSON has it as it was" "jq is not installed"
fi
end_publishers

pool=digits-$$
publisher "$pool" h at "" 1 1795749843123456789 "" c cpu seconds 1e-9 123456789012345678 "" c exact "" 1 12345678901234571 "" \
	g third "" 0.1 3 "" c most "" 1 18446744073709551615 "" h scaled seconds 1e-9 1795749843123456789 ""
"$percpu" export "$pool" >"$tap_dir/page"
has "whole numbers are whole" "at_sum{pool=\"$pool\"} 1795749843123456789" "exact_total{pool=\"$pool\"} 12345678901234571" \
	"most_total{pool=\"$pool\"} 18446744073709551615"
sed -n 's/^\(cpu_seconds_total\|third\|scaled_seconds_sum\){.*} /\1 /p' "$tap_dir/page" >"$tap_dir/said"
same "products are the nearest double" "cpu_seconds_total 123456789.01234569
scaled_seconds_sum 1795749843.123457
third 0.30000000000000004"
"$percpu" show --json "$pool" >"$tap_dir/json"
report "JSON has all digits" "$(for key in sum min max; do
	grep -q "\"$key\":1795749843123456789[,}]" "$tap_dir/json" || echo "$key: $(grep -o "\"$key\":[0-9.e+]*" "$tap_dir/json" | head -n 1)"
done)"
readable digits
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# The server's published counts agree with those of its client, wrk: every request that wrk
# completed, and at most one more for each connection.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
# shellcheck source=tests/tool/publisher.sh
. "$top_srcdir/tests/tool/publisher.sh"

wants wrk jq
if [ ! -e "$top_builddir/examples/httpd-stats" ]; then
	skip_all "built without libmicrohttpd"
fi

"$top_builddir/libtool" --mode=execute "$top_builddir/examples/httpd-stats" 0 3 2 >"$tap_dir/port" &
server=$!
publishers=$server
until grep -q listening "$tap_dir/port"; do
	sleep 0.05
done
url=$(sed 's/listening on //' "$tap_dir/port")
cat >"$tap_dir/done.lua" <<-END
	done = function(summary)
		print("counted", summary.requests, summary.errors.status, summary.errors.connect + summary.errors.read)
	end
END

# load PATH CONNECTIONS: sets requests, statuses, errors.
load()
{
	wrk -t 2 -c "$2" -d 1s -s "$tap_dir/done.lua" "$url$1" >"$tap_dir/wrk"
	# shellcheck disable=SC2046
	set -- $(grep '^counted' "$tap_dir/wrk")
	requests=$2 statuses=$3 errors=$4
}

# value JQ-FILTER: prints that value of the metrics.
value()
{
	"$percpu" show "$server" --json | jq ".[0].metrics[] | $1"
}

ok='select(.name == "http_requests" and .labels.status == "200").value'
lost='select(.name == "http_requests" and .labels.status == "404").value'
bytes='select(.name == "http_response").value'
times='select(.name == "http_request_duration").value.count'
open='select(.name == "http_connections").value'

# settles: waits until connections are closed and all requests are counted.
settles()
{
	for _ in $(seq 1200); do
		[ "$(value "$open")" = 0 ] && return
		sleep 0.1
	done
	echo "$(value "$open") connections stay open"
}

# within NAME VALUE LOW HIGH: passes if LOW <= VALUE <= HIGH.
within()
{
	report "$1" "$([ "$2" -ge "$3" ] && [ "$2" -le "$4" ] || echo "$2, not $3 to $4")"
}

report "all its processes share the pool" "$("$percpu" list "$server" | awk 'NR == 2 { print $2 }' | grep -vx 4)"
load "" 16
report "wrk got responses" "$([ "$requests" -gt 100 ] && [ "$statuses" = 0 ] && [ "$errors" = 0 ] || cat "$tap_dir/wrk")"
report "connections are closed" "$(settles)"
first=$requests
count=$(value "$ok")
within "as many requests as wrk counts" "$count" "$first" $((first + 16))
report "no request is counted as missing" "$(value "$lost" | grep -vx 0)"
within "each request is in the histogram of times" "$(value "$times")" "$first" "$count"
report "bytes are those of the requests" "$(value "$bytes" | grep -vx $((count * 34)))"
report "every process took part" "$("$percpu" show "$server" --by cpu | grep -q '^http_requests.*200' || echo "nothing")"
load missing 8
report "connections are closed again" "$(settles)"
report "wrk gets an error for each missing page" "$([ "$requests" = "$statuses" ] || cat "$tap_dir/wrk")"
within "and they are counted as missing" "$(value "$lost")" "$requests" $((requests + 8))
report "the number of found pages is unchanged" "$(value "$ok" | grep -vx "$count")"
if command -v promtool >/dev/null; then
	try "promtool accepts the metrics" sh -c "'$percpu' export $server | promtool check metrics 2>&1 | { ! grep .; }"
else
	skip "promtool" "not installed"
fi
"$percpu" export "$server" >"$tap_dir/text"
kill -TERM $server
wait $server
report "it ends well" "$(status=$?; [ $status = 0 ] || echo "status $status")"
report "nothing of it is left" "$("$percpu" list | grep "^ *$server ")"

# The dashboard queries metrics that this server publishes, in valid expressions of Prometheus.
board=$top_srcdir/examples/grafana/percpu.json
jq -r '.. | .expr? // empty' "$board" >"$tap_dir/queries"
report "the dashboard is JSON with queries" "$([ -s "$tap_dir/queries" ] || echo "none")"
report "its metrics are exported" "$(grep -oE '\bhttp_[a-z_]+' "$tap_dir/queries" | sort -u | while read -r metric; do
	grep -q "^$metric{" "$tap_dir/text" || echo "$metric"
done)"
if command -v promtool >/dev/null; then
	{
		echo 'groups: [ { name: board, rules: ['
		sed 's/\$__rate_interval/1m/g; s/"/\\"/g; s/.*/{ record: "a:query", labels: { at: "@" }, expr: "&" },/' "$tap_dir/queries" |
			awk '{ sub(/@/, NR); print }'
		echo ' ] } ]'
	} >"$tap_dir/rules.yml"
	try "its queries are PromQL" promtool check rules "$tap_dir/rules.yml"
else
	skip "queries of the dashboard" "promtool is not installed"
fi
finish

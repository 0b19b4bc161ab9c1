#!/bin/sh
# SPDX-License-Identifier: MIT
# A real Prometheus scrapes percpu export --listen while threads count, and gives the exact totals through its
# API once they stopped; node_exporter's textfile collector takes the file form. All on loopback.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
# shellcheck source=tests/tool/publisher.sh
. "$top_srcdir/tests/tool/publisher.sh"

wants curl jq
if "$percpu" export --listen x 2>&1 | grep -q libmicrohttpd; then
	skip_all "built without libmicrohttpd"
fi

# fetch URL [CURL-ARGUMENT...]
fetch()
{
	curl --noproxy '*' --silent --show-error --max-time 120 "$@"
}

# eventually NAME COMMAND...: passes as soon as the command does; five minutes are never.
eventually()
{
	name=$1
	shift
	for _ in $(seq 1500); do
		if "$@" >"$tap_dir/said" 2>&1; then
			report "$name"
			return
		fi
		sleep 0.2
	done
	report "$name" "never: $*
$(tail -n 20 "$tap_dir/said")"
}

# A port that was free a moment ago.
free_port()
{
	"$percpu" export --listen 0 2>"$tap_dir/port" &
	asked=$!
	until grep -q listening "$tap_dir/port"; do
		sleep 0.05
	done
	kill $asked
	wait $asked
	sed 's/.*:\([0-9]*\).*/\1/' "$tap_dir/port"
}

start()
{
	"$@" >>"$tap_dir/servers" 2>&1 &
	publishers="$publishers $!"
}

pool=prometheus-$$
publisher "$pool" 4 50
first=$pid
publisher "$pool-forever" 2 forever

"$top_builddir/libtool" --mode=execute "$percpu" export --listen 0 2>"$tap_dir/listening" &
server=$!
publishers="$publishers $server"
eventually "percpu listens" grep -q '^listening on http://127.0.0.1:[0-9]*/metrics$' "$tap_dir/listening"
port=$(sed 's/.*:\([0-9]*\).*/\1/' "$tap_dir/listening")
url=http://127.0.0.1:$port

fetch "$url/metrics" -D "$tap_dir/head" >"$tap_dir/body"
report "the type is Prometheus'" "$(grep -qi '^content-type: text/plain; version=0.0.4; charset=utf-8' "$tap_dir/head" || cat "$tap_dir/head")"
report "it serves what export says" "$("$percpu" export "$pool" >"$tap_dir/want"
	grep -v "pool=\"$pool-forever\"" "$tap_dir/body" | grep "pool=\"$pool\"" >"$tap_dir/have"
	grep -v '^#' "$tap_dir/want" | diff - "$tap_dir/have" | head)"
report "no such page" "$([ "$(fetch -o /dev/null -w '%{http_code}' "$url/nothing")" = 404 ] || echo "no 404")"
report "no such method" "$([ "$(fetch -o /dev/null -w '%{http_code}' -d x "$url/metrics")" = 405 ] || echo "no 405")"
report "HEAD" "$(fetch -I "$url/metrics" | grep -q '^HTTP/1.1 200' || echo "no 200")"
report "a front page" "$(fetch "$url/" | grep -q /metrics || echo "says nothing")"
report "others of the machine do not reach it" "$(address=$(hostname -I 2>/dev/null | cut -d' ' -f1)
	[ -z "$address" ] || ! fetch "http://$address:$port/" 2>/dev/null)"
report "a port that is taken is one line and status 1" "$("$percpu" export --listen "$port" 2>"$tap_dir/err"
	[ $? = 1 ] && [ "$(wc -l <"$tap_dir/err")" = 1 ] || cat "$tap_dir/err")"

if command -v prometheus >/dev/null; then
	own=$(free_port)
	cat >"$tap_dir/prometheus.yml" <<-END
		global: { scrape_interval: 500ms }
		scrape_configs: [ { job_name: percpu, static_configs: [ { targets: [ "127.0.0.1:$port" ] } ] } ]
	END
	start prometheus --config.file="$tap_dir/prometheus.yml" --storage.tsdb.path="$tap_dir/data" \
		--web.listen-address="127.0.0.1:$own" --log.level=warn

	# answers QUERY WANTED: what its API says of a query, as one number.
	answers()
	{
		fetch "http://127.0.0.1:$own/api/v1/query" --data-urlencode "query=$1" >"$tap_dir/answer" &&
			[ "$(jq -r '.data.result[0].value[1]' "$tap_dir/answer")" = "$2" ] || { cat "$tap_dir/answer"; false; }
	}
	eventually "Prometheus is up and scrapes" answers 'up{job="percpu"}' 1
	eventually "its requests are exact" answers "sum(requests_total{pool=\"$pool\",method=\"GET\"})" 200000
	eventually "the same by process" answers "requests_total{pid=\"$first\",method=\"PUT\"}" 400000
	eventually "its gauge is exact" answers "queue_depth_bytes{pool=\"$pool\"}" -200000
	eventually "its scaled counter" answers "odd_seconds_total{pool=\"$pool\"}" 200
	eventually "its histogram's count" answers "latency_seconds_count{pool=\"$pool\"}" 200000
	eventually "its histogram's sum" answers "round(latency_seconds_sum{pool=\"$pool\"}, 0.0001)" 100.1
	eventually "its histogram's quantile, within a bucket" answers \
		"histogram_quantile(0.5, latency_seconds_bucket{pool=\"$pool\"}) > bool 0.00039 < bool 2" 1
	eventually "a label of many bytes" answers \
		"count(odd_seconds_total{pool=\"$pool\",quote=\"a\\\"b\",backslash=\"a\\\\b\",line=\"a\\nb\",letters=\"é\"})" 1
	eventually "those that count on have a rate" answers "rate(requests_total{pool=\"$pool-forever\",method=\"GET\"}[5s]) > bool 100" 1
	eventually "no scrape failed" answers 'min_over_time(up{job="percpu"}[1m])' 1
else
	skip "Prometheus" "not installed"
fi

if command -v prometheus-node-exporter >/dev/null; then
	own=$(free_port)
	mkdir "$tap_dir/textfile"
	"$percpu" export "$pool" >"$tap_dir/textfile/percpu.prom"
	start prometheus-node-exporter --collector.disable-defaults --collector.textfile \
		--collector.textfile.directory="$tap_dir/textfile" --web.listen-address="127.0.0.1:$own"
	has_metrics()
	{
		fetch "http://127.0.0.1:$own/metrics" >"$tap_dir/node"
		grep "requests_total{.*pool=\"$pool\".*200000\|requests_total{.*pool=\"$pool\".*} 2e+05" "$tap_dir/node"
	}
	eventually "node_exporter serves the file" has_metrics
	report "node_exporter found no fault" "$(grep -q '^node_textfile_scrape_error 0' "$tap_dir/node" || grep textfile "$tap_dir/node")"
	report "node_exporter has every series" "$(want=$(grep -c '^[a-z]' "$tap_dir/textfile/percpu.prom")
		have=$(grep -c "pool=\"$pool\"" "$tap_dir/node"); [ "$want" = "$have" ] || echo "$have of $want")"
else
	skip "node_exporter" "not installed"
fi

kill -TERM $server
wait $server
report "a signal ends it well" "$(status=$?; [ $status = 0 ] || echo "status $status")"
finish

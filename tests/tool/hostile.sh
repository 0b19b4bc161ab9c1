#!/bin/sh
# SPDX-License-Identifier: MIT
# Root's export beside users who mean harm: the values of one who does not are all there, the page is a good one, time and
# memory stay within their bounds, and what was left out is said. HOSTILE_USERS, HOSTILE_POOLS and HOSTILE_MIB say how many
# there are and what each has; make check-long has 64 of them with 600 pools and 64 MiB (tests/tool/hostile-long.sh).
# In a PID namespace of its own, so that nobody else's pools are read.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
# shellcheck source=tests/tool/publisher.sh
. "$top_srcdir/tests/tool/publisher.sh"

case ${CFLAGS-} in
*sanitize*) skip_all "a sanitizer takes time and memory of its own" ;;
esac
users=${HOSTILE_USERS:-8} pools=${HOSTILE_POOLS:-40} mib=${HOSTILE_MIB:-2}
limit_ms=${HOSTILE_CPU_MS:-10000} limit_kib=524288 # what percpu(1) says

if [ "${HOSTILE_ALONE-}" != yes ]; then
	[ "$(id -u)" = 0 ] || skip_all "wants root"
	wants unshare setpriv
	unshare --pid --fork --mount-proc true 2>/dev/null || skip_all "no PID namespaces here"
	HOSTILE_ALONE=yes exec unshare --pid --fork --mount-proc --kill-child sh "$0"
fi

hostile=$top_builddir/tests/tool/hostile
mkfifo "$tap_dir/hostile.in" "$tap_dir/hostile.out"
"$hostile" "$users" "$pools" "$mib" <"$tap_dir/hostile.in" >"$tap_dir/hostile.out" &
publishers=$!
exec 8>"$tap_dir/hostile.in"

# The program itself, as libtool would run it: the honest one is a user, too.
chmod 711 "$tap_dir"
mkfifo -m 666 "$tap_dir/in.honest" "$tap_dir/out.honest"
program=$("$top_builddir/libtool" --mode=execute sh -c 'echo "$0"; echo "$LD_LIBRARY_PATH" >&2' "$top_builddir/tests/tool/publisher" 2>"$tap_dir/library")
cp "$program" "$tap_dir/publisher"
for each in $(tr ':' ' ' <"$tap_dir/library"); do
	cp "$each"/libpercpu.so.0 "$tap_dir" 2>/dev/null
done
chmod a+rx "$tap_dir/publisher"
LD_LIBRARY_PATH=$tap_dir setpriv --reuid 6999 --regid 6999 --clear-groups "$tap_dir/publisher" honest 2 20 \
	<"$tap_dir/in.honest" >"$tap_dir/out.honest" &
honest=$!
publishers="$publishers $honest"
exec 9>"$tap_dir/in.honest"
read -r said <"$tap_dir/out.honest"
report "an honest user publishes" "$([ "$said" = ready ] || echo "said: $said")"
"$top_builddir/libtool" --mode=execute "$percpu" export "$honest" >"$tap_dir/want"
read -r said <"$tap_dir/hostile.out"
report "$users others mean harm" "$([ "$said" = ready ] || echo "said: $said")"

# run NAME ARGUMENT...: the command, measured; its output in $tap_dir/page.
run()
{
	name=$1
	shift
	"$top_builddir/libtool" --mode=execute "$hostile" measure "$tap_dir/cost" "$percpu" "$@" >"$tap_dir/page" 2>"$tap_dir/err"
	read -r status ms kib <"$tap_dir/cost"
	echo "# $name: status $status, $ms ms of CPU, $kib KiB, $(wc -c <"$tap_dir/page") bytes"
	report "$name: time within its bound" "$([ "$ms" -le "$limit_ms" ] || echo "$ms ms of CPU")"
	report "$name: memory within its bound" "$([ "$kib" -le "$limit_kib" ] || echo "$kib KiB")"
}

run export export
report "export: status 1, as something was left out" "$([ "$status" = 1 ] || echo "status $status")"
report "export: the honest user's series are all there" "$(grep -v '^#' "$tap_dir/want" | grep -vxFf "$tap_dir/page" | head)"
report "export: so are some of what others call by its names" "$(grep -q '^requests_total_value{pool="!' "$tap_dir/page" || echo none)"
report "export: their kinds have not changed" "$(for family in requests_total latency_seconds queue_depth_bytes odd_seconds_total; do
	want=$(grep "^# TYPE $family " "$tap_dir/want")
	case $want in *histogram) continue ;; esac
	grep -qxF "$want" "$tap_dir/page" || echo "$want"
done)"
report "export: what was left out is said by user" "$(grep -q '^percpu_exporter_left_out{reason="[a-z]*",uid="70[0-9][0-9]"} [1-9]' "$tap_dir/page" ||
	tail -n 5 "$tap_dir/page")"
report "export: nothing of the honest user's was" "$(grep 'percpu_exporter_left_out.*uid="6999"' "$tap_dir/page")"
report "export: nobody writes the exporter's own series" "$(grep '^percpu_exporter' "$tap_dir/page" | grep -v '^percpu_exporter_left_out{reason="[a-z]*",uid="[0-9]*"} [0-9]*$')"
report "export: the page has its end" "$([ "$(tail -n 1 "$tap_dir/page")" = "# EOF" ] || tail -n 1 "$tap_dir/page")"
report "export: nothing acts on a terminal" "$(tr -d '\n' <"$tap_dir/page" | tr -cd '\001-\037\177' | od -c | head -n 3 | grep -v '^0*$')"
report "export: few complaints" "$([ "$(wc -l <"$tap_dir/err")" -le $((users * 20)) ] || wc -l "$tap_dir/err")"
if command -v promtool >/dev/null; then
	# 3: it was read, and has names that its style guide would not.
	promtool check metrics <"$tap_dir/page" >"$tap_dir/said" 2>&1
	report "export: promtool reads the page" "$(status=$?; [ $status = 0 ] || [ $status = 3 ] || head -n 5 "$tap_dir/said")"
else
	skip "export: promtool reads the page" "not installed"
fi

run "export --by cpu" export --by cpu
report "export --by cpu: the honest user's requests are all there" "$(awk '/^requests_total.*pool="honest".*GET/ { sum += $NF }
	END { if (sum != 40000) print sum }' "$tap_dir/page")"
run list list
report "list: the honest user's pool" "$(grep -q "^ *$honest .* honest\$" "$tap_dir/page" || head -n 5 "$tap_dir/page")"
run show show
report "show: the honest user's values" "$(grep -q '^requests{method="GET"}  40000$' "$tap_dir/page" || head -n 5 "$tap_dir/page")"
run "show --json" show --json
if command -v jq >/dev/null; then
	report "show --json: the honest user's values" "$(jq '.[] | select(.name == "honest") | .metrics[0].value' "$tap_dir/page" 2>&1 | grep -vx 40000)"
else
	skip "show --json: the honest user's values" "jq is not installed"
fi

# By HTTP, again and again, to one who fetches fast and to one who never does.
if command -v curl >/dev/null && ! "$percpu" export --listen x 2>&1 | grep -q libmicrohttpd; then
	"$top_builddir/libtool" --mode=execute "$percpu" export --listen 0 2>"$tap_dir/listening" &
	server=$!
	publishers="$publishers $server"
	until grep -q '^listening' "$tap_dir/listening" || ! kill -0 $server; do
		sleep 0.05
	done
	url=$(sed -n 's/^listening on //p' "$tap_dir/listening")
	for i in 1 2 3 4; do
		mkfifo "$tap_dir/slow.$i"
		{ sleep 100; cat >/dev/null; } <"$tap_dir/slow.$i" &
		publishers="$publishers $!"
		curl --noproxy '*' --silent --limit-rate 1k --output "$tap_dir/slow.$i" "$url" &
		publishers="$publishers $!"
		curl --noproxy '*' --silent --max-time 100 "$url" >"$tap_dir/page"
		report "scrape $i: the honest user's series are all there" "$(grep -v '^#' "$tap_dir/want" | grep -vxFf "$tap_dir/page" | head)"
		report "scrape $i: the page has its end" "$([ "$(tail -n 1 "$tap_dir/page")" = "# EOF" ] || tail -n 1 "$tap_dir/page" | cut -c1-200)"
		sleep 1.1
	done
	kib=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$server/status")
	echo "# the server: $kib KiB at its peak"
	report "the server: memory within its bound" "$([ "$kib" -le "$limit_kib" ] || echo "$kib KiB")"
else
	skip "by HTTP" "no curl, or built without libmicrohttpd"
fi

exec 8>&- 9>&-
finish

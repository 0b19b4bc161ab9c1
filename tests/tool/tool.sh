#!/bin/sh
# SPDX-License-Identifier: MIT
# The command percpu: what it says of publishers whose values are known, and of mistakes.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
# shellcheck source=tests/tool/publisher.sh
. "$top_srcdir/tests/tool/publisher.sh"

# fails STATUS ARGUMENT...: with that status, one line on standard error that begins as it should, nothing else.
fails()
{
	want=$1
	shift
	"$percpu" "$@" >"$tap_dir/out" 2>"$tap_dir/err"
	have=$?
	report "percpu $*: status $want and one line" "$(
		[ $have = "$want" ] || echo "status $have"
		[ -s "$tap_dir/out" ] && cat "$tap_dir/out"
		[ "$(wc -l <"$tap_dir/err")" = 1 ] && grep -q '^percpu: ' "$tap_dir/err" || cat "$tap_dir/err")"
}

fails 2
fails 2 nonsense
fails 2 --nonsense
fails 2 list --nonsense
fails 2 list -x
fails 2 list --by cpu
fails 2 show --by
fails 2 show --by moon
fails 2 show --listen 1
fails 2 show one two
fails 2 top --interval 0
fails 2 top --interval x
fails 2 top --interval nan
fails 2 top --sort size
for address in x 70000 1.2.3:80 :80 127.0.0.1: ::1:80 '[::1]' 12x -1 ''; do
	if "$percpu" export --listen 1x 2>&1 | grep -q libmicrohttpd; then
		skip "--listen $address" "built without libmicrohttpd"
	else
		fails 2 export --listen "$address"
	fi
done
fails 1 show "nobody of that name"
fails 1 show 999999999
fails 1 list $$
report "--help and --version" "$("$percpu" --help | grep -q '^Usage: percpu COMMAND' || echo "no usage"
	version=$(sed -n 's/^AC_INIT(\[libpercpu\], \[\([^]]*\)\].*/\1/p' "$top_srcdir/configure.ac")
	[ "$("$percpu" --version)" = "percpu of libpercpu $version" ] || "$percpu" --version)"
for arguments in list export --help --version help; do
	report "percpu $arguments: a full disk is a failure" "$("$percpu" $arguments >/dev/full 2>"$tap_dir/err"
		[ $? = 1 ] || echo "another status"
		grep -q '^percpu: cannot write' "$tap_dir/err" || cat "$tap_dir/err")"
done

# completes WANTED WORD...: the last word, of a command line that begins so, with these words, sorted.
completes()
{
	want=$1
	shift
	report "completion of: $*" "$(PATH=$top_builddir:$PATH bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _percpu
		printf "%s\n" "${COMPREPLY[@]}"' "$top_srcdir/src/tool/percpu.bash" "$@" | sort | tr '\n' ' ' >"$tap_dir/words"
		[ "$(cat "$tap_dir/words")" = "$want " ] || cat "$tap_dir/words")"
}
if command -v bash >/dev/null; then
	completes export percpu ex
	completes "--by --json" percpu show --
	completes "node" percpu show --by n
	completes "--listen" percpu export --l
	completes "--host" percpu export --h
else
	skip "completion" "bash is not installed"
fi

name="tool test $$"
publisher "$name" 3 20
"$percpu" list "$name" >"$tap_dir/said"
report "list" "$(awk -v pid="$pid" 'NR == 1 && /PID +PROCESSES +METRICS +CPUS +KIB +NAME/ { head = 1 }
	NR == 2 && $1 == pid && $2 == 1 && $3 == 5 { line = 1 } END { exit !(head && line && NR == 2) }' "$tap_dir/said" ||
	cat "$tap_dir/said")"
report "list of all has it" "$("$percpu" list 2>&1 | grep -q "^ *$pid .*  $name\$" || "$percpu" list)"

"$percpu" show "$pid" >"$tap_dir/said"
# From the first percentile on, a histogram's values are right within its precision.
sed -i 's/, p50.*, max/, ..., max/' "$tap_dir/said"
same "show" "# $name, process $pid
requests{method=\"GET\"}  60000
requests{method=\"PUT\"}  120000
queue.depth  -60000 bytes
odd_seconds_total{quote=\"a\"b\",backslash=\"a\\b\",line=\"a\\x0ab\",escape=\"a\\x1b[31mb\",bytes=\"a\\xffb\",letters=\"é\",pid=\"own\",0 9=\"name\"}  60 seconds
latency  60000 values, mean 0.0005005, min 1e-06, ..., max 0.001 seconds"

for by in cpu core l3 node package; do
	report "show --by $by adds up" "$("$percpu" show "$pid" --by $by | awk -v by=$by '
		/^[a-z]/ { name = $1; total[name] = /values/ ? $(NF - 16) : /bytes|seconds/ ? $(NF - 1) : $NF }
		$1 == by { sum[name] += $3 }
		END {
			if (sum["requests{method=\"GET\"}"] != 60000) print "requests:", sum["requests{method=\"GET\"}"]
			if (sum["queue.depth"] != -60000) print "depth:", sum["queue.depth"]
			if (sum["latency"] != 60000) print "latency:", sum["latency"]
		}')"
done

if command -v jq >/dev/null; then
	"$percpu" show "$name" --json --by cpu >"$tap_dir/json"
	report "show --json is JSON" "$(jq empty "$tap_dir/json" 2>&1)"
	jq -r '.[0].metrics[] | [.name, .kind, .unit, (.value.count? // .value)] | join(" ")' "$tap_dir/json" >"$tap_dir/said" 2>&1
	same "show --json has the values" "requests counter  60000
requests counter  120000
queue.depth gauge bytes -60000
odd_seconds_total counter seconds 60
latency histogram seconds 60000"
	report "show --json --by cpu adds up" "$(jq -r '.[0].metrics[] | select(.kind != "histogram") |
		select(([.cpu[]] | add) != .value) | .name' "$tap_dir/json")"
	report "show --json has strange bytes" "$(jq -r '.[0].metrics[3].labels.escape' "$tap_dir/json" | od -c | grep -q 033 || echo "no escape")"
	report "buckets add up to the count" "$(jq -r '.[0].metrics[4].value | select(([.buckets[][1]] | add) != .count) | .count' "$tap_dir/json")"
	report "list --json" "$("$percpu" list --json "$name" | jq -r '.[0] | "\(.pid) \(.name) \(.metrics)"' | grep -vx "$pid $name 5")"
else
	skip "JSON" "jq is not installed"
fi

"$percpu" export "$name" >"$tap_dir/text"
grep -v '_bucket' "$tap_dir/text" >"$tap_dir/said"
same "export" "# HELP latency_seconds How long it took.
# TYPE latency_seconds histogram
latency_seconds_sum{pool=\"$name\",pid=\"$pid\"} 30.03
latency_seconds_count{pool=\"$name\",pid=\"$pid\"} 60000
# HELP odd_seconds_total Strange labels.
# TYPE odd_seconds_total counter
odd_seconds_total{pool=\"$name\",pid=\"$pid\",_0_9=\"name\",backslash=\"a\\\\b\",bytes=\"a�b\",escape=\"a\\\\x1b[31mb\",exported_pid=\"own\",letters=\"é\",line=\"a\\nb\",quote=\"a\\\"b\"} 60
# HELP queue_depth_bytes Back\\\\slash,\\nand a new line.
# TYPE queue_depth_bytes gauge
queue_depth_bytes{pool=\"$name\",pid=\"$pid\"} -60000
# HELP requests_total Requests answered.
# TYPE requests_total counter
requests_total{pool=\"$name\",pid=\"$pid\",method=\"GET\"} 60000
requests_total{pool=\"$name\",pid=\"$pid\",method=\"PUT\"} 120000
# EOF"
report "buckets of the export" "$(grep _bucket "$tap_dir/text" | awk -F'le="|"} ' '
	$2 == "+Inf" { if ($3 != 60000) print "all:", $0; last = 1; next }
	# Values are every microsecond, 60 times each; boundaries are below powers of two, and halfway, in ns.
	{ want = 60 * int($2 * 1e6 + 1e-6); want = want > 60000 ? 60000 : want; if ($3 != want) print $0, "not", want; nr++ }
	END { if (nr < 36 || nr > 42 || !last) print nr, "buckets" }')"
report "export --by cpu adds up" "$("$percpu" export "$name" --by cpu | awk '/^requests_total/ && /GET/ { sum += $NF; nr++ }
	END { if (sum != 60000 || nr < 2) print sum, nr }')"
if command -v promtool >/dev/null; then
	try "promtool has nothing to say" sh -c "promtool check metrics <'$tap_dir/text' 2>&1 | { ! grep .; }"
else
	skip "promtool" "not installed"
fi

# One that lies does not keep others from being seen.
honest=$pid
publisher liar-$$ 0 lies
fails 1 show "$pid"
fails 1 export "$pid"
report "others are seen beside one that lies" "$("$percpu" list >"$tap_dir/said" 2>"$tap_dir/err" || echo "status $?"
	grep -q "^ *$honest " "$tap_dir/said" || cat "$tap_dir/said"
	grep -q "^percpu: process $pid: its contents contradict" "$tap_dir/err" || cat "$tap_dir/err")"

long=$(printf 'n%.0s' $(seq 300))-$$
publisher "$long" 1 1
report "a name that /proc cuts is found whole" "$("$percpu" list "$long" | grep -c "  $long\$" | grep -vx 1
	"$percpu" list "${long}x" 2>/dev/null)"

# Two of one name, and names that meet only in the export.
publisher "$name twin" 1 1
publisher "$name x" 1 1
! command -v bash >/dev/null || completes "$pid" percpu show "$pid"
report "two names" "$("$percpu" list | grep -c "  $name" | grep -vx 3)"
end_publishers
publisher same-$$ 1 1
first=$pid
publisher same-$$ 2 1
report "two of one name are both listed" "$("$percpu" list same-$$ | awk -v a="$first" -v b="$pid" '
	$1 == a || $1 == b { nr++ } END { if (nr != 2) print nr }')"
report "and told apart by their process" "$("$percpu" export same-$$ | grep 'requests_total.*GET' | sort >"$tap_dir/said"
	grep -q "pid=\"$first\".* 1000\$" "$tap_dir/said" && grep -q "pid=\"$pid\".* 2000\$" "$tap_dir/said" || cat "$tap_dir/said")"
end_publishers
fails 1 show same-$$

publisher many-$$ 1 1 100000
"$percpu" list many-$$ >"$tap_dir/said"
report "100,000 metrics are listed" "$(awk 'NR == 2 && $3 == 100005 { fine = 1 } END { exit !fine }' "$tap_dir/said" || cat "$tap_dir/said")"
name="100,000 metrics are exported, each right"
case ${CFLAGS-} in
*sanitize*) skip "$name" "a sanitizer takes more than the time that an export has" ;;
*)
	"$percpu" export many-$$ >"$tap_dir/text"
	report "$name" "$(awk '/^plain_/ { split($1, part, "[_{]"); if ($NF != part[2]) print; nr++ }
		END { if (nr != 100000) print nr, "lines" }' "$tap_dir/text" | head)"
	;;
esac

other="setpriv --reuid 65534 --clear-groups"
if [ "$(id -u)" = 0 ] && $other "$percpu" --version >/dev/null 2>&1; then
	$other "$top_builddir/libtool" --mode=execute "$percpu" show "$pid" >"$tap_dir/out" 2>"$tap_dir/err"
	report "another user is refused, and told why" "$([ $? = 1 ] && grep -q "^percpu: process $pid: .*another user" "$tap_dir/err" ||
		cat "$tap_dir/out" "$tap_dir/err")"
else
	skip "another user" "not root, or the other user cannot run this"
fi
finish

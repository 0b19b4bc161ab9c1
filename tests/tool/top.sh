#!/bin/sh
# SPDX-License-Identifier: MIT
# percpu top as people see it, by way of tmux: each line fits, columns stand under their heads, numbers are those
# of the publisher, keys do what they should.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
# shellcheck source=tests/tool/publisher.sh
. "$top_srcdir/tests/tool/publisher.sh"

wants tmux
if "$percpu" top 1 2>&1 | grep -q ncurses; then
	skip_all "built without ncurses"
fi
export LC_ALL=C.UTF-8
unset TMUX

sockets=
trap 'for each in $sockets; do tmux -S "$each" kill-server 2>/dev/null; done; end_publishers; rm -rf "$tap_dir"' EXIT

# terminal NAME COLUMNS ROWS COMMAND: a terminal of that size that runs it, and keeps what it ended with.
terminal()
{
	socket=$tap_dir/tmux.$1
	sockets="$sockets $socket"
	tmux -S "$socket" -f /dev/null new-session -d -x "$2" -y "$3" "$4; echo \"status \$?\"; sleep 1000"
	wide=$2
}

look()
{
	tmux -S "$socket" capture-pane -p >"$tap_dir/screen"
}

keys()
{
	tmux -S "$socket" send-keys "$@"
}

# shows PATTERN: sooner or later; after two minutes it is never.
shows()
{
	for _ in $(seq 1200); do
		look
		grep -qE "$1" "$tap_dir/screen" && return
		sleep 0.1
	done
	echo "never shown: $1"
	cat "$tap_dir/screen"
}

# Heads, or a complaint of what others publish, and rows of the last look: nothing too long, every row with its number under the head.
broken_lines()
{
	# One byte for each sign, whatever awk this is.
	sed 's/[^ -~]/#/g' "$tap_dir/screen" | awk -v wide="$wide" '
		{ if (length($0) > wide) print "too long:", $0 }
		NR == 1 { if ($0 !~ /^percpu top: pools [0-9]+, metrics [0-9]+, every [0-9.]+ s, by [a-z]+/ && $0 !~ /^process [0-9]+: /) print "head:", $0; next }
		NR == 2 { end = index($0, "VALUE") + 4; if (end < 5) print "columns:", $0; next }
		$0 == "" { next }
		{
			rows++
			if (substr($0, 1, 7) !~ /^ *[0-9]+$/) print "process:", $0
			if (substr($0, end, 2) !~ /^[0-9kMGTPE] ?$/) print "value:", $0
		}
		END { if (!rows) print "no rows" }'
}

# Others may publish at the same time.
few=few-$$ many=many-$$
publisher $few 2 forever 60
forever=$pid
PERCPU_OPTIONS=cpus:512
export PERCPU_OPTIONS
publisher $many 2 forever
unset PERCPU_OPTIONS
# Of CPUs that this machine has not, there are bars where percpu is told of them.
machine="env PERCPU_OPTIONS=cpus:512"

for size in "80 24" "200 50" "300 10" "100 24"; do
	columns=${size% *} rows=${size#* }
	for name in $few $many ""; do
		terminal "$columns.$rows.$name" "$columns" "$rows" "$machine '$percpu' top --interval 0.2 $name"
		report "$size, '$name': it shows what is published" "$(shows 'requests.* [0-9.]+[kMG]? +[0-9.]+[kM]? +[0-9]+\.[0-9]')"
		report "$size, '$name': no broken line" "$(broken_lines)"
		[ "$name" = $few ] || continue
		report "$size: as many rows as there is room for" "$([ "$(grep -c . "$tap_dir/screen")" = "$rows" ] || cat "$tap_dir/screen")"
		report "$size: the busiest first" "$(sed -n 3p "$tap_dir/screen" | grep -q "^ *$forever .*requests.*PUT" || cat "$tap_dir/screen")"
		[ "$columns" -lt 120 ] ||
			report "$size: with the pool's name" "$(sed -n 3p "$tap_dir/screen" | grep -q "^ *$forever $few  *requests" || cat "$tap_dir/screen")"
	done
done

terminal keys 80 24 "'$percpu' top $few --interval 0.2 --sort name"
report "--sort name" "$(shows 'by name')"
report "rows are sorted by name" "$(awk 'NR > 2 { print $2 }' "$tap_dir/screen" | LC_ALL=C sort -c 2>&1)"
keys End
report "End" "$(shows 'requests.*PUT')"
keys Home
report "Home" "$(shows '^ *[0-9]+ latency ')"
keys Down
report "Down" "$(for _ in $(seq 1200); do look; grep -q ' latency ' "$tap_dir/screen" || break; sleep 0.1; done
	grep ' latency ' "$tap_dir/screen")"
keys NPage
keys NPage
report "page down" "$(shows 'plain_5[0-9]')"
keys v
report "v: by value" "$(shows 'by value')"
keys r
report "r: by rate" "$(shows 'by rate')"
keys s
report "s: by skew" "$(shows 'by skew')"
keys +
report "+: half as often" "$(shows 'every 0.4 s')"
keys -
keys -
report "-: as often again, and more" "$(shows 'every 0.1 s')"
keys p
report "p: paused" "$(shows 'paused')"
look
cp "$tap_dir/screen" "$tap_dir/paused"
sleep 0.5
look
report "nothing moves then" "$(diff "$tap_dir/paused" "$tap_dir/screen")"
keys p
tmux -S "$socket" resize-window -x 60 -y 12 2>/dev/null && wide=60
report "another size" "$(for _ in $(seq 1200); do look; [ -z "$(broken_lines)" ] && break; sleep 0.1; done; broken_lines)"
keys q
report "q: it ends well" "$(shows 'status 0')"

terminal gone 80 24 "'$percpu' top $many --interval 0.2"
report "one pool alone" "$(shows 'pools 1,')"
end_publishers
report "it goes on when the publisher has ended, and says so" "$(shows 'nothing of the name|Nothing is published')"
keys q
report "and ends well" "$(shows 'status 0')"

# A terminal that goes away while the hangup is ignored, and input at its end.
if command -v python3 >/dev/null; then
	for how in "terminal gone" "terminal gone, paused"; do
		report "$how: it ends" "$(python3 - "$percpu" "$how" <<-'END'
			import os, pty, signal, sys, time
			pid, fd = pty.fork()
			if pid == 0:
			    signal.signal(signal.SIGHUP, signal.SIG_IGN)
			    os.environ["TERM"] = "xterm"
			    os.execv(sys.argv[1], ["percpu", "top", "--interval", "3600"])
			os.read(fd, 1)
			if "paused" in sys.argv[2]:
			    os.write(fd, b"p")
			time.sleep(1)
			os.close(fd)
			end = time.time() + 60
			while time.time() < end:
			    if os.waitpid(pid, os.WNOHANG)[0]:
			        sys.exit(0)
			    time.sleep(0.1)
			print("still there, after", open(f"/proc/{pid}/stat").read().split()[13], "ticks")
			os.kill(pid, signal.SIGKILL)
		END
		)"
	done
else
	skip "terminal gone: it ends" "no python3"
fi
report "no input is one line and status 1" "$("$percpu" top </dev/null 2>"$tap_dir/err" >"$tap_dir/out"; [ $? = 1 ] || echo "another status"
	[ "$(grep -c '^percpu: .*terminal' "$tap_dir/err")" = 1 ] || cat "$tap_dir/err"
	[ ! -s "$tap_dir/out" ] || echo "it wrote to a file")"
report "no such publisher is one line and status 1" "$("$percpu" top nobody 2>"$tap_dir/err" >"$tap_dir/out"; [ $? = 1 ] || echo "another status"
	[ "$(wc -l <"$tap_dir/err")" = 1 ] || cat "$tap_dir/err")"
report "no terminal is one line and status 1" "$(TERM=unknown-terminal "$percpu" top 2>"$tap_dir/err" >"$tap_dir/out"; [ $? = 1 ] || echo "another status"
	[ "$(grep -c '^percpu: ' "$tap_dir/err")" = 1 ] || cat "$tap_dir/err")"
finish

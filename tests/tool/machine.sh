#!/bin/sh
# SPDX-License-Identifier: MIT
# The commands of percpu that are about this machine: topo, beside what the kernel says; and selftest.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
percpu=$top_builddir/percpu
sysfs=/sys/devices/system/cpu

# line KEY: what topo says after it.
line()
{
	sed -n "s/^$1  *//p" "$tap_dir/topo"
}

try "percpu topo" "$percpu" topo
"$percpu" topo >"$tap_dir/topo" 2>&1
if [ -r $sysfs/online ]; then
	report "online CPUs are the kernel's" "$([ "$(line online)" = "$(cat $sysfs/online)" ] || cat "$tap_dir/topo")"
else
	skip "online CPUs are the kernel's" "no $sysfs"
fi
report "allowed CPUs are the kernel's" "$(
	[ "$(line allowed)" = "$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)" ] || cat "$tap_dir/topo")"
report "one CPU alone" "$(
	first=$(line allowed | sed 's/[,-].*//')
	taskset -c "$first" "$percpu" topo | grep -qx "allowed  *$first" || taskset -c "$first" "$percpu" topo)"
report "options are heard" "$(PERCPU_OPTIONS=cpus:5,mode:atomic "$percpu" topo >"$tap_dir/other"
	grep -q '^mode *atomic: ' "$tap_dir/other" && grep -qx 'possible  0-4' "$tap_dir/other" &&
		grep -q '^stride *262144 bytes, 6 copies$' "$tap_dir/other" || cat "$tap_dir/other")"
if command -v python3 >/dev/null; then
	try "topo --json is JSON and says the same" python3 - "$percpu" <<-'END'
		import json, subprocess, sys
		said = json.loads(subprocess.check_output([sys.argv[1], "topo", "--json"]))
		assert said["copies"] == said["possible"] + 1 == len(said["cpus"]) + 1, said
		assert said["stride"] == 262144 and said["chunks"] >= 1 and said["mode"] in ("rseq", "atomic"), said
		assert [c["cpu"] for c in said["cpus"]] == list(range(said["possible"])), said
		assert any(c["online"] and c["allowed"] for c in said["cpus"]), said
	END
else
	skip "topo --json is JSON and says the same" "no python3"
fi
for arguments in "topo 1" "selftest 1" "selftest --json" "topo --by cpu"; do
	# shellcheck disable=SC2086
	"$percpu" $arguments >"$tap_dir/out" 2>&1
	status=$?
	report "percpu $arguments: status 2" "$([ $status = 2 ] || cat "$tap_dir/out")"
done

# An emulator may interrupt nothing in the wrong place; real machines do.
for options in "" mode:atomic; do
	PERCPU_OPTIONS=$options "$percpu" selftest >"$tap_dir/said" 2>&1
	status=$?
	case $status$(tail -n 1 "$tap_dir/said") in
	"0This kernel aborts critical sections." | "0Atomic additions are exact.") report "selftest $options" ;;
	"1percpu: nothing was interrupted"*) skip "selftest $options" "nothing was interrupted" ;;
	*) report "selftest $options" "status $status
$(cat "$tap_dir/said")" ;;
	esac
done

# A kernel that aborts nothing: the areas that it knows are not those that the library is told of.
unaborted()
{
	# shellcheck disable=SC2086
	${CC:-cc} ${CFLAGS-} -std=gnu11 -shared -fPIC -Wl,-z,initfirst "$top_srcdir/tests/tool/unregistered.c" \
		-o "$tap_dir/unregistered.so" ${LDFLAGS-} >"$tap_dir/said" 2>&1 || return
	GLIBC_TUNABLES=glibc.pthread.rseq=0 LD_PRELOAD=$tap_dir/unregistered.so \
		taskset -c "$(line allowed | sed 's/[,-].*//')" "$percpu" selftest >"$tap_dir/said" 2>"$tap_dir/complaint"
	[ $? = 1 ] && grep -q '^mode  *rseq: ' "$tap_dir/said" && grep -qx \
		'percpu: this kernel does not abort critical sections: set PERCPU_OPTIONS=mode:atomic' "$tap_dir/complaint"
}
name="selftest finds a kernel that does not abort sections"
case ${CFLAGS-}$(line mode) in
*sanitize*) skip "$name" "sanitizers want to be loaded first" ;;
*rseq:*) report "$name" "$(unaborted || cat "$tap_dir/said" "$tap_dir/complaint")" ;;
*) skip "$name" "$(line mode)" ;;
esac
finish

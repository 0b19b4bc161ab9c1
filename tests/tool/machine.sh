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
for set in possible online; do
	if [ -r $sysfs/$set ]; then
		report "$set CPUs are the kernel's" "$([ "$(line $set)" = "$(cat $sysfs/$set)" ] || cat "$tap_dir/topo")"
	else
		skip "$set CPUs are the kernel's" "no $sysfs"
	fi
done
report "allowed CPUs are the kernel's" "$(
	[ "$(line allowed)" = "$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)" ] || cat "$tap_dir/topo")"
report "one CPU alone" "$(
	first=$(line allowed | sed 's/[,-].*//')
	taskset -c "$first" "$percpu" topo | grep -qx "allowed  *$first" || taskset -c "$first" "$percpu" topo)"
more=$(($(line stride | sed 's/.* \([0-9]*\) copies/\1/') + 3))
report "options are heard, and add no CPUs" "$(PERCPU_OPTIONS=cpus:$more,mode:atomic "$percpu" topo >"$tap_dir/other"
	grep -q '^mode *atomic: ' "$tap_dir/other" && grep -qx "possible  $(line possible)" "$tap_dir/other" &&
		grep -qx "stride *262144 bytes, $((more + 1)) copies" "$tap_dir/other" || cat "$tap_dir/other")"

if grep -q '^node .*not known' "$tap_dir/topo"; then
	skip "CPUs are on the nodes that hwloc says" "hwloc says nothing"
else
	report "CPUs are on the nodes that hwloc says" "$(
		HWLOC_SYNTHETIC="node:2 core:1 pu:1" PERCPU_OPTIONS=cpus:4 "$percpu" topo >"$tap_dir/other"
		[ "$(grep '^node' "$tap_dir/other")" = "node 0    0
node 1    1" ] || cat "$tap_dir/other")"
fi
: >"$tap_dir/libhwloc.so.15"
report "without hwloc nodes are not known" "$(
	LD_LIBRARY_PATH=$tap_dir "$percpu" topo >"$tap_dir/other" 2>&1
	[ "$(grep '^node' "$tap_dir/other" | sed 's/:.*//')" = "node      not known" ] || cat "$tap_dir/other")"
case $(cat /sys/devices/system/node/has_memory 2>/dev/null) in
0) report "pages are on the one node" "$([ "$(grep '^pages' "$tap_dir/topo")" = "pages 0   $(line online)" ] ||
	cat "$tap_dir/topo")" ;;
*) skip "pages are on the one node" "there are several, or none is known" ;;
esac

# One page for each CPU that is online, whatever the machine; the text is made of what JSON says.
if command -v python3 >/dev/null; then
	for change in PERCPU_OPTIONS= PERCPU_OPTIONS=cpus:5,mode:atomic "HWLOC_SYNTHETIC=node:2 core:1 pu:1"; do
		try "topo --json is JSON and says the same, $change" env "$change" python3 - "$percpu" <<-'END'
			import itertools, json, subprocess, sys
			text = subprocess.check_output([sys.argv[1], "topo"], text=True)
			said = json.loads(subprocess.check_output([sys.argv[1], "topo", "--json"]))
			cpus = said["cpus"]

			def ranges(has):
			    runs = [list(run) for on, run in itertools.groupby(range(len(cpus)), lambda i: has(cpus[i])) if on]
			    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs) or "-"

			def nodes(what, key, unknown):
			    found = sorted({cpu[key] for cpu in cpus} - {None})
			    lines = [f"{what + ' ' + str(node):<9} {ranges(lambda cpu: cpu[key] == node)}" for node in found]
			    return lines or [f"{what:<9} not known: {unknown}"]

			lines = [f"mode      {said['mode']}: {said['reason']}"]
			rseq = said["rseq"]
			lines += ["rseq      registered by "
			          + (f"libc, {'extended' if rseq['extended'] else 'original'} area of {rseq['area_bytes']} bytes; "
			             if rseq["registered_by"] == "libc" else f"nobody: {rseq['why_not']}; ")
			          + (f"the kernel has {rseq['kernel_bytes']} bytes, aligned to {rseq['kernel_align']}"
			             if rseq["kernel_bytes"] else "the kernel does not say what it has")]
			vector = open("/proc/self/auxv", "rb").read()
			words = [int.from_bytes(vector[at:at + 8], sys.byteorder) for at in range(0, len(vector), 8)]
			vector = dict(zip(words[::2], words[1::2]))
			assert [rseq["kernel_bytes"], rseq["kernel_align"]] == [vector.get(27), vector.get(28)], (rseq, vector)
			assert rseq["extended"] == ((rseq["area_bytes"] or 0) > 32), rseq
			assert (rseq["registered_by"] is None) == (rseq["area_bytes"] is None) == bool(rseq["why_not"]), rseq
			lines += [f"{key:<9} {ranges(lambda cpu: cpu[key])}" for key in ("possible", "online", "allowed")]
			lines += nodes("node", "node", "hwloc is not installed, or cannot look at this machine")
			lines += [f"stride    {said['stride']} bytes, {said['copies']} copies"]
			lines += [f"chunk     {said['chunk_bytes']} bytes of addresses"]
			if said["misplaced_bytes"] is None:
			    lines += ["placed    not known: the kernel does not say"]
			else:
			    placed = said["chunks"] - said["unplaced_chunks"]
			    lines += [f"placed    {placed} of {said['chunks']} chunks; "
			              f"{said['misplaced_bytes']} bytes lie elsewhere"]
			lines += nodes("pages", "page_node", "the kernel does not say")
			assert lines == text.splitlines(), (lines, text)
			assert [cpu["cpu"] for cpu in cpus] == list(range(said["copies"] - 1)), said
			assert said["mode"] in ("rseq", "atomic") and said["reason"] and said["stride"] == 262144, said
			assert said["chunks"] == 1, said
			assert 0 < said["chunk_bytes"] - said["copies"] * said["stride"] < said["chunk_bytes"] / 2, said
			assert any(cpu["online"] and cpu["allowed"] for cpu in cpus), said
		END
	done
else
	skip "topo --json is JSON and says the same" "no python3"
fi
report "libc that was told not to has no rseq" "$(
	GLIBC_TUNABLES=glibc.pthread.rseq=0 "$percpu" topo >"$tap_dir/other"
	case $(line rseq) in
	"registered by libc"*) grep -q '^mode *atomic: ' "$tap_dir/other" &&
		grep -q '^rseq *registered by nobody: libc could not, or was told not to; ' "$tap_dir/other" ;;
	*) cmp "$tap_dir/topo" "$tap_dir/other" ;;
	esac || cat "$tap_dir/other")"
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
	report "selftest $options says which rseq it has" "$(
		[ "$(sed -n 's/^rseq  *//p' "$tap_dir/said")" = "$(line rseq)" ] || cat "$tap_dir/said")"
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

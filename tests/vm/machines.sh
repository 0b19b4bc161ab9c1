# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2046
# The machines. Each is a function that sets
#	arch	amd64 or arm64
#	suite	the Debian suite its kernel comes from
#	qemu	QEMU's arguments, beside those of all machines
#	flavour	of its kernel, if it is not the usual one
#	version	of its kernel's package, if it is not the newest
#	append	more of the kernel's command line
#	mode	that the library must choose there, if it is not rseq
#	shape	that vm/mode must find: possible CPUs, nodes that are online, have memory, have CPUs, page size
#	tests	programs to run there, with their arguments (~ for a space) below tests/
#	races	programs to run with one guest instruction per translation block: emulation takes interrupts
#		between blocks only, and would never abort a critical section
#	limit	seconds until the run is aborted
#	hot_add	the socket and core of a CPU that the monitor can add

all_machines="arm64 nodes interleaved unaborted old checked gaps absent wide uneven pages16k old_arm64 traced many"
quick_machines="arm64 nodes interleaved"

layers="platform/test_options platform/test_platform platform/test_abort platform/test_memory topology/test_possible
	ops/test_words ops/test_kernel percpu/test_errors percpu/test_copies percpu/test_pool percpu/test_memory
	percpu/test_watched counter/test_sum"
slow_floors="percpu/test_model percpu/test_threads percpu/test_returned cache/test_stress"
places="vm/placement vm/late vm/slabs vm/hotplug vm/early vm/domains vm/topo"
# For machines whose shape is tested.
shapes="$places vm/refused topology/test_possible percpu/test_copies counter/test_domain"

# ---- their parts ----

# cpus ONLINE SOCKETS CORES: one thread a core; CPUs that are not online can be plugged in.
cpus()
{
	printf ' -smp %d,sockets=%d,cores=%d,threads=1,maxcpus=%d' "$1" "$2" "$3" $(($2 * $3))
}

# memory MIB...: the memory of nodes 0, 1 and so on; 0: a node without memory.
memory()
{
	node=0
	sum=0
	for mib; do
		printf ' -numa node,nodeid=%d' "$node"
		[ "$mib" = 0 ] || printf ',memdev=m%d -object memory-backend-ram,id=m%d,size=%dM' "$node" "$node" "$mib"
		node=$((node + 1))
		sum=$((sum + mib))
	done
	printf ' -m %dM' "$sum"
}

# sockets NODE...: the nodes of sockets 0, 1 and so on.
sockets()
{
	socket=0
	for node; do
		printf ' -numa cpu,node-id=%d,socket-id=%d' "$node" "$socket"
		socket=$((socket + 1))
	done
}

# in_turn SOCKETS LENGTH NODES: the nodes of sockets: LENGTH sockets on each node in turn, and from
# the first node again.
in_turn()
{
	for socket in $(seq 0 $(($1 - 1))); do
		echo $((socket / $2 % $3))
	done
}

# Linux 6.11 and later drop absent CPUs unless they know the hypervisor for one that plugs them in.
x86()
{
	arch=amd64
	suite=trixie-backports
	qemu="-M q35,vmport=on -smbios type=1,serial=VMware-1 -cpu max,-hypervisor $*"
	limit=1800
}

# ---- the quick ones ----

# Two nodes of two CPUs, another architecture.
machine_arm64()
{
	arch=arm64
	suite=trixie-backports
	qemu="-M virt,gic-version=3 -cpu max,pauth-impdef=on $(cpus 4 4 1) $(memory 768 768) $(sockets 0 0 1 1)"
	shape=4~2~2~2~4096
	tests="$places $layers vm/check~aborts~100"
	races="vm/selftest vm/race ops/test_storm"
	limit=1800
}

# Four nodes of two CPUs, as many again possible.
machine_nodes()
{
	x86 $(cpus 8 8 2) $(memory 512 512 512 512) $(sockets $(in_turn 8 1 4))
	hot_add="5 1"
	shape=16~4~4~4~4096
	tests="$places $layers faults/test_calls~first~cache_alloc,"
	races="vm/selftest vm/race"
}

# CPU i on node i mod 4.
machine_interleaved()
{
	x86 $(cpus 8 16 1) $(memory 512 512 512 512) $(sockets $(in_turn 16 1 4))
	hot_add="11 0"
	shape=16~4~4~4~4096
	tests="$shapes vm/huge~0"
	races=
}

# ---- other kernels ----

# The oldest kernel of a supported release: rseq without mm_cid, and no announced feature size.
machine_old()
{
	machine_nodes
	suite=bookworm
	tests="$tests vm/refused counter/test_domain $slow_floors cache/test_cache"
	races="$races ops/test_storm"
	limit=3600
}

# The newest kernel, which looks at how rseq is used.
machine_checked()
{
	machine_nodes
	append=rseq_debug=on
	tests="ops/test_words ops/test_kernel"
	races=vm/selftest
}

# The first machine with larger pages, and with an older kernel.
machine_pages16k()
{
	machine_arm64
	flavour=arm64-16k
	shape=4~2~2~2~16384
	tests="$tests vm/refused percpu/test_returned"
}

machine_old_arm64()
{
	machine_arm64
	suite=bookworm
	tests="$tests vm/refused $slow_floors"
	limit=3600
}

# A kernel that does not abort the critical section of a thread that is preempted and continues on
# the same CPU. The library detects it; in forced rseq mode it loses updates, which the races
# detect.
machine_unaborted()
{
	machine_arm64
	version=7.0.13+deb13
	mode=atomic
	tests="platform/test_platform platform/test_abort ops/test_words counter/test_sum vm/check~not~100"
	races="vm/selftest vm/race vm/forced~vm/selftest vm/forced~vm/race"
}

# Every instruction of every critical section, on another architecture than the host's: minutes of
# breakpoints, which stop a thread inside a translation block, too.
machine_traced()
{
	machine_arm64
	tests="sections/test_sections sections/test_sections_pic"
	races=
	limit=3600
}

# ---- other shapes ----

# A node without memory, whose nearest neighbour has no CPU.
machine_gaps()
{
	x86 $(cpus 6 8 1) $(memory 512 0 512 512) $(sockets 0 1 3 0 1 3 1 3) \
		-numa dist,src=0,dst=1,val=30 -numa dist,src=0,dst=2,val=40 -numa dist,src=0,dst=3,val=20 \
		-numa dist,src=1,dst=2,val=15 -numa dist,src=1,dst=3,val=25 -numa dist,src=2,dst=3,val=35
	shape=8~4~3~3~4096
	tests=$shapes
}

# A possible node that comes online with its first CPU, without memory.
machine_absent()
{
	x86 $(cpus 6 8 1) $(memory 512 0 512 512) $(sockets 0 2 3 0 2 3 1 1)
	hot_add="6 0"
	shape=8~3~3~3~4096
	tests=$shapes
}

# Eight CPUs of 320, one of the last to be plugged in: more than x2APIC without interrupt remapping
# can have.
machine_wide()
{
	x86 $(cpus 8 320 1) $(memory 768 768) $(sockets $(in_turn 320 4 2)) -device intel-iommu,intremap=on,eim=on
	hot_add="299 0"
	shape=320~2~2~2~4096
	tests=$shapes
}

# Eight CPUs fill a huge page; twelve of one node and four of another fill one.
machine_uneven()
{
	x86 $(cpus 16 16 1) $(memory 512 512) $(sockets $(in_turn 16 12 2))
	shape=16~2~2~2~4096
	tests="vm/huge~1 vm/placement"
}

# 64 CPUs of 255, on eight nodes.
machine_many()
{
	x86 $(cpus 64 255 1) $(memory 512 512 512 512 512 512 512 512) $(sockets $(in_turn 255 8 8))
	shape=255~8~8~8~4096
	tests="$places vm/huge~8 topology/test_possible"
	limit=3600
}

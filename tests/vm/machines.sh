# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034
# The machines. Each is a function that sets
#	arch	amd64 or arm64
#	suite	the Debian suite its kernel comes from
#	qemu	QEMU's arguments, beyond those that all share
#	flavour	of its kernel, when it is not the usual one
#	append	more of the kernel's command line
#	tests	programs to run there, with their arguments (~ for a space) below tests/
#	races	programs to run with one guest instruction per translation block: emulation takes interrupts
#		between blocks only, and would never abort a critical section
#	limit	seconds until it is given up
#	hot_add	a CPU that the monitor can add

all_machines="arm64 nodes interleaved old checked gaps absent wide uneven pages16k old_arm64 many"
quick_machines="arm64 nodes interleaved"

floors="platform/test_options platform/test_platform platform/test_memory topology/test_possible
	ops/test_words ops/test_kernel percpu/test_errors percpu/test_copies percpu/test_pool percpu/test_memory
	percpu/test_watched counter/test_sum"
slow_floors="percpu/test_model percpu/test_threads percpu/test_returned cache/test_cache cache/test_stress"
places="vm/placement vm/slabs vm/early"

# nodes N SIZE: memory
node_memory()
{
	for node in $(seq 0 $(($1 - 1))); do
		printf ' -object memory-backend-ram,id=m%d,size=%s -numa node,nodeid=%d,memdev=m%d' "$node" "$2" "$node" "$node"
	done
}

# Linux 6.11 and later drop absent CPUs unless they know the hypervisor for one that plugs them in.
x86="-M q35,vmport=on -smbios type=1,serial=VMware-1 -cpu max,-hypervisor"

# Two nodes of two CPUs, another architecture.
machine_arm64()
{
	arch=arm64
	suite=trixie-backports
	qemu="-M virt,gic-version=3 -cpu max,pauth-impdef=on -m 1536M -smp 4
		-object memory-backend-ram,id=m0,size=768M -numa node,nodeid=0,memdev=m0,cpus=0-1
		-object memory-backend-ram,id=m1,size=768M -numa node,nodeid=1,memdev=m1,cpus=2-3"
	tests="vm/mode~rseq $places $floors"
	races="vm/selftest vm/race ops/test_storm"
	limit=1200
}

# Four nodes of two CPUs, as many again possible.
machine_nodes()
{
	arch=amd64
	suite=trixie-backports
	qemu="$x86 -m 2G -smp 8,sockets=8,cores=2,threads=1,maxcpus=16 $(node_memory 4 512M)
		$(for socket in 0 1 2 3 4 5 6 7; do
			printf ' -numa cpu,node-id=%d,socket-id=%d' $((socket % 4)) "$socket"
		done)"
	hot_add="max-x86_64-cpu,socket-id=5,core-id=1,thread-id=0"
	tests="vm/mode~rseq $places $floors"
	races="vm/selftest vm/race"
	limit=900
}

# CPU i on node i mod 4.
machine_interleaved()
{
	arch=amd64
	suite=trixie-backports
	qemu="$x86 -m 2G -smp 8,sockets=16,cores=1,threads=1,maxcpus=16 $(node_memory 4 512M)
		$(for socket in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
			printf ' -numa cpu,node-id=%d,socket-id=%d' $((socket % 4)) "$socket"
		done)"
	hot_add="max-x86_64-cpu,socket-id=11,core-id=0,thread-id=0"
	tests="vm/mode~rseq $places vm/refused vm/huge topology/test_possible percpu/test_copies"
	races=
	limit=600
}

# The oldest kernel of a supported release: rseq without mm_cid, and no announced feature size.
machine_old()
{
	machine_nodes
	suite=bookworm
	tests="$tests vm/refused $slow_floors"
	races="vm/selftest vm/race ops/test_storm"
}

# The newest kernel, which looks at how rseq is used.
machine_checked()
{
	machine_nodes
	append=rseq_debug=on
	tests="vm/mode~rseq ops/test_words ops/test_kernel"
	races=vm/selftest
}

# A node without memory, whose nearest neighbour has no CPU.
machine_gaps()
{
	arch=amd64
	suite=trixie-backports
	qemu="$x86 -m 1536M -smp 6,sockets=8,cores=1,threads=1,maxcpus=8
		-object memory-backend-ram,id=m0,size=512M -numa node,nodeid=0,memdev=m0
		-numa node,nodeid=1
		-object memory-backend-ram,id=m2,size=512M -numa node,nodeid=2,memdev=m2
		-object memory-backend-ram,id=m3,size=512M -numa node,nodeid=3,memdev=m3
		-numa dist,src=0,dst=1,val=30 -numa dist,src=0,dst=2,val=40 -numa dist,src=0,dst=3,val=20
		-numa dist,src=1,dst=2,val=15 -numa dist,src=1,dst=3,val=25 -numa dist,src=2,dst=3,val=35
		$(for socket in 0 1 2 3 4 5 6 7; do
			printf ' -numa cpu,node-id=%d,socket-id=%d' "$(echo 0 1 3 0 1 3 1 3 | cut -d' ' -f$((socket + 1)))" "$socket"
		done)"
	tests="vm/mode~rseq $places vm/refused topology/test_possible percpu/test_copies"
	limit=600
}

# A node that is possible and comes with its first CPU; it has no memory then.
machine_absent()
{
	arch=amd64
	suite=trixie-backports
	qemu="$x86 -m 1536M -smp 6,sockets=8,cores=1,threads=1,maxcpus=8
		-object memory-backend-ram,id=m0,size=512M -numa node,nodeid=0,memdev=m0
		-numa node,nodeid=1
		-object memory-backend-ram,id=m2,size=512M -numa node,nodeid=2,memdev=m2
		-object memory-backend-ram,id=m3,size=512M -numa node,nodeid=3,memdev=m3
		$(for socket in 0 1 2 3 4 5 6 7; do
			printf ' -numa cpu,node-id=%d,socket-id=%d' "$(echo 0 2 3 0 2 3 1 1 | cut -d' ' -f$((socket + 1)))" "$socket"
		done)"
	hot_add="max-x86_64-cpu,socket-id=6,core-id=0,thread-id=0"
	tests="vm/mode~rseq $places vm/refused topology/test_possible percpu/test_copies"
	limit=600
}

# Eight CPUs of 320, one of the last to be plugged in: more than x2APIC without interrupt remapping can have.
machine_wide()
{
	arch=amd64
	suite=trixie-backports
	qemu="$x86 -m 1536M -smp 8,sockets=320,cores=1,threads=1,maxcpus=320 -device intel-iommu,intremap=on,eim=on
		$(node_memory 2 768M)
		$(for socket in $(seq 0 319); do
			printf ' -numa cpu,node-id=%d,socket-id=%d' $((socket / 4 % 2)) "$socket"
		done)"
	hot_add="max-x86_64-cpu,socket-id=299,core-id=0,thread-id=0"
	tests="vm/mode~rseq $places vm/refused topology/test_possible percpu/test_copies"
	limit=900
}

# Eight CPUs fill a huge page; twelve of one node and four of another fill one.
machine_uneven()
{
	arch=amd64
	suite=trixie-backports
	qemu="$x86 -m 1G -smp 16,sockets=16,cores=1,threads=1,maxcpus=16 $(node_memory 2 512M)
		$(for socket in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
			printf ' -numa cpu,node-id=%d,socket-id=%d' $((socket / 12)) "$socket"
		done)"
	tests="vm/mode~rseq vm/huge vm/placement"
	limit=600
}

# The first machine with larger pages, and with an older kernel.
machine_pages16k()
{
	machine_arm64
	flavour=arm64-16k
	tests="$tests vm/refused percpu/test_returned"
}
machine_old_arm64()
{
	machine_arm64
	suite=bookworm
	tests="$tests vm/refused $slow_floors"
}

# 64 CPUs of 255, on eight nodes.
machine_many()
{
	arch=amd64
	suite=trixie-backports
	qemu="$x86 -m 4G -smp 64,sockets=255,cores=1,threads=1,maxcpus=255 $(node_memory 8 512M)
		$(for socket in $(seq 0 254); do
			printf ' -numa cpu,node-id=%d,socket-id=%d' $((socket / 8 % 8)) "$socket"
		done)"
	tests="vm/mode~rseq $places topology/test_possible"
	limit=1800
}

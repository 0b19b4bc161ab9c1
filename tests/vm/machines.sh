# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034
# The machines. Each is a function that sets
#	arch	amd64 or arm64
#	suite	the Debian suite its kernel comes from
#	qemu	QEMU's arguments, beyond those that all share
#	append	more of the kernel's command line
#	tests	programs to run there, with their arguments (~ for a space) below tests/
#	races	programs to run with one guest instruction per translation block: emulation takes interrupts
#		between blocks only, and would never abort a critical section
#	limit	seconds until it is given up
#	hot_add	a CPU that the monitor can add

all_machines="arm64 nodes interleaved old"
quick_machines="arm64 nodes interleaved"

floors="platform/test_options platform/test_platform platform/test_memory topology/test_possible
	percpu/test_errors percpu/test_copies percpu/test_model"

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
	qemu="-M virt,gic-version=3 -cpu max,pauth-impdef=on -m 1G -smp 4
		-object memory-backend-ram,id=m0,size=512M -numa node,nodeid=0,memdev=m0,cpus=0-1
		-object memory-backend-ram,id=m1,size=512M -numa node,nodeid=1,memdev=m1,cpus=2-3"
	tests="vm/mode~rseq vm/placement ops/test_words $floors"
	races="ops/test_storm"
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
	tests="vm/mode~rseq vm/placement ops/test_words $floors"
	races="ops/test_storm"
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
	tests="vm/mode~rseq vm/placement topology/test_possible percpu/test_copies"
	races=
	limit=600
}

# The oldest kernel of a supported release: rseq without mm_cid, and no announced feature size.
machine_old()
{
	machine_nodes
	suite=bookworm
}

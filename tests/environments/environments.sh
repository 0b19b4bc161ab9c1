#!/bin/sh
# SPDX-License-Identifier: MIT
# A program that uses the whole library (everything.c), in environments where something is missing:
# nothing is lost, and the mode is the one that remains possible.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

dir=$top_srcdir/tests/environments
library="-L$top_builddir/.libs -lpercpu -Wl,-rpath,$top_builddir/.libs -pthread"
cc=${CC:-cc}
everything=$tap_dir/everything
case ${CFLAGS-} in
*sanitize*) sanitized=yes ;;
*) sanitized= ;;
esac

# The flags are to be split. Those of a sanitizer build are for its library alone.
# shellcheck disable=SC2086
build()
{
	$cc ${CFLAGS-} -std=gnu11 -D_GNU_SOURCE -Wall -I"$top_srcdir/include" "$dir/everything.c" -o "$everything" ${LDFLAGS-} $library &&
		$cc -std=gnu11 -D_GNU_SOURCE -Wall -I"$top_srcdir/tests" "$dir/refuse.c" -o "$tap_dir/refuse"
}

try "it is built" build
if ! "$everything" rseq >/dev/null 2>&1; then
	try "default options" "$everything" any
	skip "rseq mode where something is missing" "$("$everything" 2>&1 | tail -n 1)"
	finish
	exit
fi
try "default options" "$everything" rseq

# ---- libc does not register ----

try "glibc.pthread.rseq=0" env GLIBC_TUNABLES=glibc.pthread.rseq=0 "$everything" atomic
try "PERCPU_OPTIONS=mode:atomic" env PERCPU_OPTIONS=mode:atomic "$everything" atomic
try "PERCPU_OPTIONS=cpus:1" env PERCPU_OPTIONS=cpus:1 "$everything" rseq
try "PERCPU_OPTIONS=check,leaks" env PERCPU_OPTIONS=check,leaks "$everything" rseq
report "the library's own memory is no leak" "$(PERCPU_OPTIONS=leaks "$everything" rseq 2>&1 >/dev/null)"

# ---- the kernel refuses ----

if "$tap_dir/refuse" getcpu "$everything" any >/dev/null 2>&1; then
	try "a filter refuses rseq" "$tap_dir/refuse" rseq "$everything" atomic
	calls="membarrier mbind memfd_create mincore"
	# The threads of sanitizers ask for their affinity; ThreadSanitizer aborts if madvise fails.
	[ "$sanitized" ] || calls="$calls sched_getaffinity"
	case ${CFLAGS-} in
	*sanitize=thread*) ;;
	*) calls="$calls madvise" ;;
	esac
	all=$(echo "$calls" | tr ' ' ,)
	for call in $calls; do
		try "a filter refuses $call" "$tap_dir/refuse" "$call" "$everything" rseq
	done
	try "a filter refuses all of them" "$tap_dir/refuse" "$all" "$everything" rseq
	try "a filter refuses all of them, and rseq" "$tap_dir/refuse" "rseq,$all,getcpu" "$everything" atomic
else
	skip "filters" "seccomp filters are not available"
fi

# ---- limits ----

# limited LIMIT KIB: runs the program with that limit of ulimit.
limited()
{
	# dash knows -v, -l and -d.
	# shellcheck disable=SC3045
	(ulimit "$1" "$2" && exec "$everything" rseq)
}
if [ "$sanitized" ]; then
	skip "limits" "a sanitizer needs all of the address space"
else
	try "ulimit -l 0" limited -l 0
	try "ulimit -d 64 MiB" limited -d 65536 # the stacks of four threads take 32 MiB
	# Less than the library reserves without a limit.
	for mib in 65536 4096 1024; do
		try "ulimit -v $mib MiB" limited -v $((mib * 1024))
	done
fi

# ---- no file systems ----

mkdir -p "$tap_dir/root"
# shellcheck disable=SC2086
if [ -f "$top_builddir/.libs/libpercpu.a" ] && $cc -static -std=gnu11 -D_GNU_SOURCE -O2 -I"$top_srcdir/include" "$dir/everything.c" \
	-o "$tap_dir/root/everything" "$top_builddir/.libs/libpercpu.a" -pthread ${NUMA_STATIC:--lnuma} >/dev/null 2>&1; then
	try "a static program" "$tap_dir/root/everything" rseq
	if unshare -r true 2>/dev/null; then
		try "a chroot without /sys and /proc" unshare -r chroot "$tap_dir/root" /everything rseq
	else
		skip "a chroot without /sys and /proc" "no namespaces for this user"
	fi
else
	skip "a static program, and a chroot" "no static libraries"
fi

# ---- without what configure would find ----

# The whole library and everything.c in one program.
for layer in platform topology area ops percpu counter cache publish; do
	set -- "$@" "$top_srcdir/src/$layer"/*.c
done
set -- -std=gnu11 -D_GNU_SOURCE -O1 -pthread -iquote "$top_srcdir/src" -I"$top_srcdir/include" "$@" "$dir/everything.c"
# shellcheck disable=SC2086
try "it is built without libnuma, hwloc and liburcu" $cc ${CFLAGS-} "$@" -o "$tap_dir/without" ${LDFLAGS-}
try "without libnuma, hwloc and liburcu" "$tap_dir/without" rseq without-liburcu

# ---- an emulated processor ----

# The emulator has no rseq.
emulator=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || :)
if [ ! "$emulator" ] || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
	skip "aarch64 under qemu-user" "no emulator for it, or no compiler"
else
	try "it is built for aarch64" aarch64-linux-gnu-gcc -static "$@" -o "$tap_dir/aarch64"
	try "aarch64 under qemu-user" "$emulator" "$tap_dir/aarch64" atomic without-liburcu
fi
if [ "$sanitized" ]; then
	skip "Valgrind" "it cannot run programs with a sanitizer"
elif command -v valgrind >/dev/null; then
	try "Valgrind" valgrind -q --error-exitcode=9 "$everything" atomic
else
	skip "Valgrind" "not installed"
fi
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# GDB's commands show the values of a program that are known (program.c): in a process that GDB
# started or attached to, in cores, with a stripped library and without debug information, in C++,
# with many CPUs, without rseq. No answer is a Python traceback.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
# A $ begins a variable of GDB.
# shellcheck disable=SC2016

wants gdb
script=$top_srcdir/share/gdb/percpu.py
gdb -nx -q -batch -ex 'python import gdb.printing' >/dev/null 2>&1 || skip_all "this gdb has no Python"
case "${CFLAGS-} ${LDFLAGS-}" in
*-fsanitize*) skip_all "gdb cannot trace processes under a sanitizer" ;;
esac

here=$top_srcdir/tests/gdb
flags="-g -O0 -D_GNU_SOURCE -I$top_srcdir/include -pthread"
shared="-L$top_builddir/.libs -lpercpu -Wl,-rpath,$top_builddir/.libs"
cd "$tap_dir" || exit 1

# shellcheck disable=SC2086
try "it is built" ${CC:-cc} $flags -std=gnu11 "$here/program.c" -o program $shared
gdb -nx -batch -ex 'ptype struct percpu__chunk' "$top_builddir/.libs/libpercpu.so" 2>/dev/null | grep -q fresh ||
	skip_all "the library was built without debug information"

# ---- questions and answers ----

nr_asked=0

# ask COMMAND ANSWER: adds a question to the next session. ANSWER has the word ADDRESS for any
# address.
ask()
{
	nr_asked=$((nr_asked + 1))
	printf '%s\n' "$1" >"ask.$nr_asked"
	printf '%s\n' "$2" >"want.$nr_asked"
}

# session NAME GDB-ARGUMENTS...: runs GDB with the questions since the last session.
session()
{
	name=$1
	shift
	i=0
	while [ $i -lt $nr_asked ]; do
		i=$((i + 1))
		set -- "$@" -ex "echo \\n=== $i\\n" -ex "$(cat ask.$i)"
	done
	timeout 1200 gdb -nx -q -batch -iex "set debuginfod enabled off" -iex "set width 0" -iex "source $script" "$@" \
		-ex 'echo \n=== end\n' >said 2>&1 </dev/null
	i=0
	while [ $i -lt $nr_asked ]; do
		i=$((i + 1))
		awk -v at="=== $i" '$0 == at { on = 1; next } /^=== / { on = 0 } on' said |
			sed -E 's/0x[0-9a-f]{6,}/ADDRESS/g; s/^\$[0-9]+ = //; s/ready = [0-9]+/ready = N/' | sed -e '${/^$/d;}' >got
		report "$name: $(cat ask.$i)" "$(diff want.$i got)"
	done
	report "$name: no traceback" "$(grep -iE 'traceback|python exception|error occurred in python' said)"
	nr_asked=0
}

ask_of_copies()
{
	ask "percpu cpus" "2 CPUs and the fallback copy, 0x40000 bytes apart; ${mode-rseq} mode"
	ask "percpu print hits" "(long __percpu *) ADDRESS, 3 copies
  cpu 0     10
  cpu 1     20
  fallback  30
  sum       60"
	ask "percpu print/x -cpu 1 hits" "(long __percpu *) ADDRESS, 3 copies
  cpu 1  0x14"
	ask "percpu print small" "(unsigned char __percpu *) ADDRESS, 3 copies
  cpu 0-1   200 '\\310'
  fallback  200 '\\310'
  sum       88 'X'"
	ask "percpu print -cpu 1 stats" "(struct stats __percpu *) ADDRESS, 3 copies
  cpu 1  {packets = 7, flags = 120 'x', by_kind = {1, 2, 3}}"
	ask "percpu print -cpu 1 stats->by_kind[1]" "(int __percpu *) ADDRESS, 3 copies
  cpu 1  2"
	ask "percpu print (long (*)[1])hits" "(long [1] __percpu *) ADDRESS, 3 copies
  cpu 0     {10}
  cpu 1     {20}
  fallback  {30}"
	for expression in depth "&depth"; do
		ask "percpu print $expression" "(int __percpu *) ADDRESS, 3 copies
  cpu 0     6
  cpu 1     5
  fallback  5
  sum       16"
	done
	ask 'print $percpu_ptr(hits, 1) == copy_of_one' "1"
	ask 'print $percpu_ptr(stats, 1)->packets' "7"
	ask 'print $percpu_sum(hits)' "60"
	ask 'print $percpu_sum(&stats->packets)' "${sum_of_packets-7}"
}

ask_of_types()
{
	ask "print requests" "{value = 705, read = 700, error = 96}"
	ask "print traffic" "{6, 600}"
	ask "print fields" "{6, 600}"
	ask "print none" "not initialised"
	ask "print percentiles" "{1200127, 2613247, 2957311}"
	ask "print latency" \
		"{nr = 2000, min = 7, mean = 1289788.8805, p50 = 1200127, p90 = 2613247, p99 = 2957311, max = 2998666}"
}

# Errors, which need no debug information.
ask_for_errors()
{
	ask "percpu print null" "NULL is not a per-CPU pointer."
	ask "percpu print (void *)hits" "A pointer to what? Cast it, as in (long *) EXPR."
	ask "percpu print 5" "That is no per-CPU pointer, nor what one points to, but of type int."
	ask "percpu print nothing" 'No symbol "nothing" in current context.'
	ask "percpu print -cpu 3 hits" "There is no copy 3: they are 0 to 2, the last one the fallback."
	ask "percpu print -cpu -1 hits" "There is no copy -1: they are 0 to 2, the last one the fallback."
	ask "percpu print" "Usage: percpu print [/FMT] [-cpu N] EXPR"
	ask "percpu print /q hits" "Usage: percpu print [/FMT] [-cpu N] EXPR"
	ask 'print $percpu_ptr(hits, 3)' "There is no copy 3: they are 0 to 2, the last one the fallback."
	ask 'print $percpu_sum(stats)' "Only integers are summed, not struct stats."
}

# Answers from the library's debug information.
ask_of_pointers()
{
	ask "print hits" "(long __percpu *) ADDRESS, sum 60"
	ask "print stats" "(struct stats __percpu *) ADDRESS"
	ask "print freed" "(long __percpu *) ADDRESS, freed, or never allocated"
	for freed in freed freed_large; do
		ask "percpu print $freed" "ADDRESS: freed, or never allocated"
		ask "print \$percpu_sum($freed)" "ADDRESS: freed, or never allocated"
	done
	ask "percpu print garbage" "ADDRESS: not a per-CPU pointer"
	ask "percpu print on_heap" "ADDRESS: not a per-CPU pointer"
	ask "percpu print copy_of_one" \
		"ADDRESS: in the copy of cpu 1 of per-CPU pointer ADDRESS, 8 bytes of each copy, pool default"
	ask "percpu info in_pool" "ADDRESS: per-CPU pointer, 64 bytes of each copy, pool sessions"
	ask "percpu info \$percpu_ptr((char *)in_pool + 9, 2)" \
		"ADDRESS: in the copy of fallback of per-CPU pointer ADDRESS, byte 9 of 64 bytes of each copy, pool sessions"
	ask "percpu info freed" "ADDRESS: freed, or never allocated"
	ask "print *pool" \
		"{name = ADDRESS \"sessions\", taken_bytes = 64, limit_bytes = 4096, chunks = 1, published = no}"
	ask "print *cache" "{name = packets, object_bytes = 1500, ready = N}"
	ask "percpu caches" "ADDRESS  {name = packets, object_bytes = 1500, ready = N}"
}

ask_all()
{
	ask_of_copies
	ask_of_types
	ask_for_errors
	ask_of_pointers
}

no_library="There is no percpu_abi: libpercpu is not here, or was linked in and then stripped of all symbols."

# ---- processes ----

export PERCPU_OPTIONS=cpus:2
if ! ./program; then
	skip_all "the program does not run"
fi
gdb -nx -q -batch -ex 'break stop_here' -ex run ./program 2>&1 | grep -q '^Breakpoint 1, stop_here' ||
	skip_all "no process may be traced here"
ask_all
ask "percpu print stats" "(struct stats __percpu *) ADDRESS, 3 copies
  cpu 0     never touched
  cpu 1     {packets = 7, flags = 120 'x', by_kind = {1, 2, 3}}
  fallback  never touched"
session "a process" -ex 'break stop_here' -ex run -ex up ./program

ask "percpu cpus" "There is no process and no core file."
ask "percpu print hits" "There is no process and no core file."
ask "percpu caches" "There is no process and no core file."
session "no process" ./program

echo 'int main(void) { return 0; }' >other.c
${CC:-cc} -g other.c -o other
ask "percpu cpus" "$no_library"
session "another program" -ex 'break main' -ex run ./other

mkfifo ready
./program wait >ready &
waiting=$!
read -r _ <ready
ask_all
session "an attached process" -p $waiting
kill $waiting
wait $waiting 2>/dev/null

# ---- cores ----

not_there="(struct stats __percpu *) ADDRESS, 3 copies
  cpu 0     not in this core
  cpu 1     {packets = 7, flags = 120 'x', by_kind = {1, 2, 3}}
  fallback  {packets = 0, flags = 0 '\\000', by_kind = {0, 0, 0}}"
sum_of_packets="ADDRESS: not every copy is in this core"
session "gcore" -ex 'break stop_here' -ex run -ex 'gcore gcore.core' ./program
if [ -s gcore.core ]; then
	ask_all
	ask "percpu print stats" "$not_there"
	ask "percpu print stats->packets" "(long __percpu *) ADDRESS, 3 copies
  cpu 0     not in this core
  cpu 1     7
  fallback  0
  sum       7, of those that are here"
	session "a core by gcore" ./program gcore.core
else
	report "a core by gcore" "there is none"
fi

mkdir cores
# shellcheck disable=SC3045
(ulimit -c unlimited && cd cores && ../program abort) >/dev/null 2>&1
core=$(find cores -type f -size +0)
if [ "$core" ]; then
	ask_all
	ask "percpu print stats" "$not_there"
	session "a core by abort" ./program "$core"
else
	skip "a core by abort" "this machine writes no core, or in another folder"
fi
rm -rf cores gcore.core
unset sum_of_packets

# ---- builds and environments ----

# shellcheck disable=SC2046,SC2086
if [ -f "$top_builddir/.libs/libpercpu.a" ] && ${CC:-cc} $flags -std=gnu11 -static "$here/program.c" -o static \
	"$top_builddir/.libs/libpercpu.a" $(sed -n 's/^Libs.private: *//p' "$top_builddir/libpercpu.pc") -pthread >/dev/null 2>&1; then
	ask_all
	session "a static program" -ex 'break stop_here' -ex run -ex up ./static
	ask "percpu cpus" "libpercpu has not started: no operation has come yet."
	session "too early" -ex 'break _start' -ex run ./static
	strip -o stripped ./static
	ask "percpu cpus" "$no_library"
	session "a static program without symbols" -ex 'run abort' ./stripped
else
	skip "a static program" "no static libraries"
fi

mkdir lib
strip -o lib/libpercpu.so.0 "$top_builddir/.libs/libpercpu.so"
ask_of_copies
ask_of_types
ask_for_errors
ask "print hits" "(long *) ADDRESS"
ask "print *cache" "{object_bytes = 1500, ready = N}"
ask "percpu print garbage" "ADDRESS: not a per-CPU pointer: its copies are not memory"
for command in "info hits" pools caches; do
	ask "percpu $command" "Only debug information of libpercpu tells that."
done
# The program's own path to the library has precedence.
# shellcheck disable=SC2086
${CC:-cc} $flags -std=gnu11 "$here/program.c" -o program.stripped -L"$top_builddir/.libs" -lpercpu -Wl,-rpath,"$tap_dir/lib"
session "a stripped library" -ex 'break stop_here' -ex run -ex up ./program.stripped

# shellcheck disable=SC2086
try "C++ is built" ${CXX:-c++} $flags -std=c++17 "$here/plus.cc" -o plus $shared
ask "percpu print net::all" "(net::traffic __percpu *) ADDRESS, 3 copies
  cpu 0     {packets = 3, port = 0}
  cpu 1     {packets = 0, port = 80}
  fallback  {packets = 0, port = 443}"
ask "percpu print by_reference" "(long __percpu *) ADDRESS, 3 copies
  cpu 0     0
  cpu 1     9
  fallback  0
  sum       9"
ask 'print $percpu_ptr(net::all, 1)->port' "80"
ask "print net::hits" "(long __percpu *) ADDRESS, sum 9"
ask "print net::requests" "{value = 5, read = 5, error = 96}"
session "C++" -ex 'break stop_here' -ex run ./plus

mode=atomic
ask_all
PERCPU_OPTIONS=cpus:2,mode:atomic
session "without rseq" -ex 'break stop_here' -ex run -ex up ./program

PERCPU_OPTIONS=cpus:64
ask "percpu print stats" "(struct stats __percpu *) ADDRESS, 65 copies
  cpu 0     never touched
  cpu 1     {packets = 7, flags = 120 'x', by_kind = {1, 2, 3}}
  cpu 2-63  never touched
  fallback  never touched"
ask 'print $percpu_sum(hits)' "$((65 * 66 * 10 / 2))"
session "64 CPUs" -ex 'break stop_here' -ex run -ex up ./program

# ---- stepping: a stop in a critical section aborts it, so that plain stepping never reaches its
# end ----

# stepped PROGRAM COMMAND FIRST MOST [SCRIPT]: prints the lines of main where GDB stopped, and how
# the program ended.
stepped()
{
	timeout -k 5 100 gdb -nx -q -batch -iex "set debuginfod enabled off" -iex "source ${5-$script}" -ex "set \$command=\"$2\"" \
		-ex "set \$first=$3" -ex "set \$most=$4" -x "$here/steps.py" "$1" 2>&1 </dev/null |
		sed -nE '/^came by/p; s/^\[Inferior 1 .* (exited .*)\]/\1/p; /[Ee]xception|[Ee]rror/p'
}

line()
{
	grep -n "$1" "$here/steps.c" | cut -d: -f1
}

# passes NAME PATTERN SAID
passes()
{
	report "$1" "$(echo "$3" | tr '\n' ' ' | grep -qE "$2" || echo "$3 (wanted: $2)")"
}

PERCPU_OPTIONS=cpus:64
first=$(line 'stay();') inc=$(line 'percpu_inc(hits)') last=$(line '	stop_here();')
for level in 0 2; do
	# shellcheck disable=SC2086
	try "steps are built with -O$level" ${CC:-cc} $flags -O$level -std=gnu11 "$here/steps.c" -o steps$level $shared
done
want=$(PERCPU_OPTIONS=mode:atomic stepped ./steps0 next "$first" 100 /dev/null)
passes "in atomic mode GDB alone comes to the end" "came by $first .* $last exited normally" "$want"
for command in next until; do
	said=$(stepped ./steps0 $command "$first" 100)
	report "$command stops at every line" "$([ "$said" = "$want" ] || echo "$said (wanted: $want)")"
	said=$(stepped ./steps2 $command "$first" 100)
	passes "$command comes to the end of what was optimised" "came by .* $last exited normally" "$said"
done
passes "nexti comes by operations" "came by $inc $((inc + 1)) .* $last exited normally" "$(stepped ./steps0 nexti "$inc" 3000)"
passes "stepi, too" "came by $inc $((inc + 1)) .*exited normally" "$(stepped ./steps0 stepi "$inc" 100)"
passes "step, too, and into functions" "came by $inc $((inc + 1)) .*exited normally" "$(stepped ./steps0 step "$inc" 40)"
timeout -k 5 100 gdb -nx -q -batch -iex "set debuginfod enabled off" -iex "source $script" -ex "break $inc" -ex run -ex step -ex step \
	-ex finish -ex frame ./steps0 >said 2>&1 </dev/null
passes "finish leaves an operation" "#0 .*main \\(\\) at [^ ]*steps.c:" "$(grep '^#0' said)"

# ---- loaded by gdb itself ----

library=$(readlink -f "$top_builddir/.libs/libpercpu.so")
mkdir -p "auto${library%/*}"
cp "$script" "auto$library-gdb.py"
PERCPU_OPTIONS=cpus:2
script=/dev/null
ask 'print $percpu_sum(hits)' "60"
ask "print requests" "{value = 705, read = 700, error = 96}"
session "loaded with the library" -iex "add-auto-load-scripts-directory $tap_dir/auto" \
	-iex "add-auto-load-safe-path $tap_dir/auto" -ex 'break stop_here' -ex run ./program
finish

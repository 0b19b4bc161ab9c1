#!/bin/sh
# SPDX-License-Identifier: MIT
# The ABI is that of tests/abi/: what libpercpu.so exports, and what programs compile in from include/percpu/abi/. A
# difference is a decision: doc/abi.md says which are allowed. make abi-baseline writes tests/abi/ anew.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

: "${CC:=cc}"
machine=x86_64
baseline=$top_srcdir/tests/abi
library=$top_builddir/.libs/libpercpu.so
wants abidw abidiff readelf
case $($CC -dumpmachine) in
$machine-*) ;;
*) skip_all "the baseline is that of $machine" ;;
esac
case "$($CC --version) ${CFLAGS-} ${LDFLAGS-}" in
*clang* | *-fsanitize* | *-flto*) skip_all "the baseline is that of gcc, without sanitizers and link-time optimisation" ;;
esac
[ -e "$library" ] || skip_all "built without a shared library"
readelf -SW "$library" | grep -q '\.debug_info' || skip_all "built without -g"

# Every struct, enum and constant of include/percpu/abi/, as variables and as enumerators: no exported function has
# magazines and copies in its type. Work in $tap_dir, so that the descriptions contain no path of the machine.
mkdir -p "$tap_dir/include/percpu" && cd "$tap_dir" || exit 1
headers=$top_srcdir/include/percpu/abi
{
	(cd "$top_srcdir/include" && printf '#include <%s>\n' percpu/abi/*.h)
	sed -n 's/^\(struct\|enum\) \([a-z0-9_]*\) {.*/\1 \2 *abi_\2;/p' "$headers"/*.h
	echo "enum abi_constants {"
	sed -n 's/^#define \(PERCPU_[A-Z0-9_]*\)  *[^{ ][^{]*$/abi_\1 = \1,/p' "$headers"/*.h
	echo "} abi_constants;"
} >include/percpu/program.c
$CC -std=gnu11 -g -O1 -fPIC -shared -nostdlib -DPERCPU_UNMARKED -I"$top_srcdir/include" -o a.out include/percpu/program.c ||
	exit 1

# describe BINARY NAME: writes the representation of a binary, with nothing that says where it was built.
describe()
{
	cp "$1" "$2.so" && abidw --suppressions "$baseline/public.suppr" --exported-interfaces-only \
		--no-comp-dir-path --no-show-locs --out-file "$2.abi" "$2.so"
}

describe "$library" library && describe a.out program || exit 1
if [ "${1-}" = --refresh ]; then
	cp library.abi program.abi "$baseline"
fi

# The status of abidiff is 0 only if nothing changed, not even compatibly; but it ignores values of enumerators.
for part in library program; do
	abidiff "$baseline/$part.abi" $part.abi >said 2>&1
	judge $? "the ABI is that of tests/abi/$part.abi"
done
for part in baseline now; do
	[ $part = now ] && abi=program.abi || abi=$baseline/program.abi
	sed -n "s/.*<enumerator name='\([^']*\)' value='\([^']*\)'.*/\1 = \2/p" "$abi" | sort >$part
done
report "the constants are those of tests/abi/program.abi" "$(diff baseline now)"
report "the ABI has no internal type" "$(grep -hoE "(class|enum)-decl name='percpu[a-z0-9_]*' .*size-in-bits" \
	library.abi | grep -oE 'percpu[a-z0-9_]*' | sort -u | while read -r type; do
	grep -qrE "^(struct|enum) $type \\{" "$headers" || echo "$type"
done)"
finish

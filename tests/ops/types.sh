#!/bin/sh
# SPDX-License-Identifier: MIT
# What must not compile does not, with the message that says why; and percpu_ptr() is arithmetic.
set -u
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

dir=$tap_dir

# compiles TYPE STATEMENT: p is a per-CPU pointer to TYPE.
compiles() {
	cat >"$dir/a.$suffix" <<EOF
#include <percpu/percpu.h>
struct big { long a, b; };
struct small { int a; };
void f(__typeof__($1) __percpu *p);
void f(__typeof__($1) __percpu *p) { $2; }
EOF
	# shellcheck disable=SC2086
	$compiler -Wall -Wextra -Werror -I"$top_srcdir/include" -c "$dir/a.$suffix" -o "$dir/a.o" >"$dir/said" 2>&1
}

good() {
	compiles "$1" "$2"
	judge $? "$compiler: $1: $2"
}

bad() { # TYPE STATEMENT MESSAGE
	if compiles "$1" "$2"; then false; else grep -q "$3" "$dir/said"; fi
	judge $? "$compiler rejects $1: $2"
}

for compiler in "gcc -std=gnu11" "clang -std=gnu11" "g++ -std=c++17" "clang++ -std=c++17"; do
	command -v "${compiler%% *}" >/dev/null || continue
	case $compiler in *++*) suffix=cc ;; *) suffix=c ;; esac
	good "const volatile int" "(void)percpu_read(p)"
	good "bool" "percpu_or(p, true); percpu_and(p, false); percpu_write(p, true)"
	good "char *" "percpu_write(p, 0); (void)percpu_xchg(p, 0)"
	good "long" "percpu_add(p, percpu_add_return(p, percpu_read(p)))"
	bad "const int" "percpu_inc(p)" "this per-CPU operation writes"
	bad "bool" "percpu_add(p, 1)" "no per-CPU arithmetic on bools"
	bad "char *" "percpu_add(p, 1)" "no per-CPU arithmetic on pointers"
	bad "double" "percpu_read(p)" "takes integers, enums and pointers"
	bad "float" "percpu_add(p, 1)" "takes integers, enums and pointers"
	bad "struct big" "percpu_read(p)" "takes integers, enums and pointers"
	bad "struct small" "percpu_read(p)" "takes integers, enums and pointers"
	bad "__int128" "percpu_inc(p)" "takes 1, 2, 4 or 8 bytes"
	bad "long" 'percpu_write(p, "text")' "pointer\|const char"
	bad "int" "percpu_list_pop(p)" "pointer\|incompatible"
done

# A plain dereference: C++ under clang is told; elsewhere the guard unit faults.
if command -v clang++ >/dev/null; then
	compiler="clang++ -std=c++17" suffix=cc
	bad "long" "*p = 1" "noderef"
	bad "long" "p[1] = 1" "noderef"
	bad "long" "percpu_add(p, *p)" "noderef"
	bad "long" "long *plain = p; (void)plain" "noderef"
	bad "struct big" "p->b = 1" "noderef"
	bad "struct big" "struct big copy = *p; (void)copy" "noderef"
	good "long" "*percpu_ptr(p, 0) = 1; (*percpu_this_ptr(p))++"
	good "struct big" "percpu_ptr(p, 0)->b = 1; percpu_add(&p->b, percpu_sum(&p->a))"
	good "struct big" "struct big __percpu *same = p; percpu_free(same)"
fi

# percpu_ptr(p, cpu): three instructions at most, and no memory operand.
cat >"$dir/p.c" <<'EOF'
#include <percpu/percpu.h>
long *address(long __percpu *p, unsigned long cpu);
long *address(long __percpu *p, unsigned long cpu) { return percpu_ptr(p, cpu); }
EOF
for compiler in gcc clang aarch64-linux-gnu-gcc; do
	objdump=objdump
	case $compiler in
	*-gcc) objdump=aarch64-linux-gnu-objdump ;;
	*) [ "$(uname -m)" = x86_64 ] || continue ;;
	esac
	command -v $compiler >/dev/null && command -v $objdump >/dev/null || continue
	$compiler -std=gnu11 -O2 -I"$top_srcdir/include" -c "$dir/p.c" -o "$dir/p.o" >"$dir/said" 2>&1
	$objdump -d --no-show-raw-insn "$dir/p.o" >"$dir/said"
	# An address that lea computes is no access.
	sed -n 's/^ *[0-9a-f]*:[ \t]*//p' "$dir/said" |
		awk '/^(ret|nop|data16|cs nop|xchg +%ax|endbr)/ { next }
			{ nr++ } !/^lea/ && /[([]/ { memory++ }
			END { exit !(nr > 0 && nr <= 3 && !memory) }'
	judge $? "percpu_ptr by $compiler"
done
finish

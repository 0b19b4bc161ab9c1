#!/bin/sh
# SPDX-License-Identifier: MIT
# What must not compile does not, with the message that says why; percpu_ptr() is arithmetic; and a cache's
# alloc and free have no atomic instruction.
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
extern double d;
long plain; /* defined: clang knows the size of no other */
extern long plains[4];
void f(__typeof__($1) __percpu *p);
void f(__typeof__($1) __percpu *p) { $2; }
EOF
	# shellcheck disable=SC2086
	$compiler ${level-} -Wall -Wextra -Werror -I"$top_srcdir/include" -c "$dir/a.$suffix" -o "$dir/a.o" >"$dir/said" 2>&1
}

good() {
	compiles "$1" "$2"
	judge $? "$compiler: $1: $2"
}

bad() { # TYPE STATEMENT MESSAGE
	if compiles "$1" "$2"; then false; else grep -q "$3" "$dir/said"; fi
	judge $? "$compiler rejects $1: $2"
}

# Every compiler at hand, older and newer ones beside the usual ones, in C and in C++.
compilers() {
	for name in gcc clang g++ clang++; do
		case $name in *++) standard=c++17 ;; *) standard=gnu11 ;; esac
		usual=$(command -v $name) && echo "$name -std=$standard"
		for version in 11 12 13 14 15 16 17 18 19 20 21; do
			other=$(command -v $name-$version) && [ "$(readlink -f "$other")" != "$(readlink -f "$usual")" ] &&
				echo "$name-$version -std=$standard"
		done
	done
}

# What the compiler rejects of plain uses: mark is "both", "passing" or "none"; and what it says then. Whether its
# types tell what is a per-CPU pointer, and what it says of one that is none.
know_mark() {
	mark=none says="address space" in_types=no refusal="one points to a plain object\|percpu__plain_pointer"
	case $compiler in
	clang*) mark=both says="noderef\|address space" ;;
	gcc*)
		printf '#if defined(__SEG_GS) && __GNUC__ >= 14\n#error named\n#endif\n' >"$dir/mark.c"
		$compiler -fsyntax-only "$dir/mark.c" >/dev/null 2>&1 || mark=passing
		;;
	esac
	[ $mark = none ] || [ $suffix = cc ] || in_types=yes refusal="address space\|need a per-CPU pointer"
}

compilers >"$dir/compilers"
while read -r compiler; do
	case $compiler in *++*) suffix=cc ;; *) suffix=c ;; esac
	good "const volatile int" "(void)percpu_read(p)"
	good "bool" "percpu_or(p, true); percpu_and(p, false); percpu_write(p, true)"
	good "char *" "percpu_write(p, 0); (void)percpu_xchg(p, 0)"
	good "long" "percpu_add(p, percpu_add_return(p, percpu_read(p)))"
	bad "const int" "percpu_inc(p)" "percpu_inc: need a per-CPU pointer to an integer"
	bad "bool" "percpu_add(p, 1)" "percpu_add: need a per-CPU pointer to an integer"
	bad "char *" "percpu_add(p, 1)" "percpu_add: need a per-CPU pointer to an integer"
	bad "double" "percpu_read(p)" "percpu_read: need a per-CPU pointer to an integer, a bool or a pointer"
	bad "float" "percpu_add(p, 1)" "percpu_add: need a per-CPU pointer to an integer"
	bad "struct big" "percpu_read(p)" "percpu_read: need a per-CPU pointer to an integer, a bool or a pointer"
	bad "struct small" "percpu_read(p)" "percpu_read: need a per-CPU pointer to an integer, a bool or a pointer"
	bad "__int128" "percpu_inc(p)" "percpu_inc: need a per-CPU pointer to an integer"
	bad "long" 'percpu_write(p, "text")' "pointer\|const char"
	bad "int" "percpu_list_pop(p)" "pointer\|incompatible\|convert"

	# A floating term would be cut before it is added, where plain C adds first.
	no_floats="per-CPU arithmetic takes integers"
	bad "unsigned long" "percpu_add(p, -1.0)" "$no_floats"
	bad "long" "percpu_sub(p, d)" "$no_floats"
	bad "long" "(void)percpu_add_return(p, 1.0f)" "$no_floats"
	bad "long" "(void)percpu_sub_return(p, d)" "$no_floats"
	bad "long" "percpu_fallback_add(p, d)" "$no_floats"
	bad "long" "percpu_fallback_sub(p, 2.0L)" "$no_floats"
	bad "struct percpu_group *" "percpu_group_add(*percpu_ptr(p, 0), 1, d)" "$no_floats"
	good "long" "percpu_add(p, (long)d); percpu_sub(p, 1u); percpu_add(p, true); percpu_add(p, 'a')"
	good "unsigned char" "percpu_add(p, -1LL); percpu_sub(p, ({ long v = 3; v; }))"

	# Sums are of integers.
	bad "double" "(void)percpu_sum(p)" "percpu_sum: need a per-CPU pointer to an integer"
	bad "float" "(void)percpu_sum(p)" "percpu_sum: need a per-CPU pointer to an integer"
	bad "char *" "(void)percpu_sum(p)" "percpu_sum: need a per-CPU pointer to an integer"
	bad "bool" "(void)percpu_sum(p)" "percpu_sum: need a per-CPU pointer to an integer"
	bad "struct big" "(void)percpu_sum(p)" "percpu_sum: need a per-CPU pointer to an integer"
	bad "__int128" "(void)percpu_sum(p)" "percpu_sum: need a per-CPU pointer to an integer"
	bad "double" "(void)percpu_sum_by(p, PERCPU_LEVEL_CORE, (double *)0, 1)" "percpu_sum_by: need a per-CPU pointer to an integer"
	good "const short" "short sums[9]; (void)percpu_sum(p); (void)percpu_sum_by(p, PERCPU_LEVEL_CORE, sums, 9)"

	# The address of a plain object, and a copy's, are no per-CPU pointers.
	know_mark
	level=-O2
	says=$refusal
	bad "long" "(void)p; percpu_inc(&plain)" "$says"
	bad "long" "(void)p; long mine = 0; percpu_add(&mine, 1)" "$says"
	bad "long" "(void)p; static long own[4]; percpu_add(&own[1], 1)" "$says"
	bad "long" "(void)p; (void)percpu_sum(&plain)" "$says"
	bad "long" "(void)p; (void)percpu_read(&plain)" "$says"
	bad "long" "(void)p; percpu_fallback_inc(&plain)" "$says"
	bad "long" "(void)p; *percpu_ptr(&plain, 0) = 1" "$says"
	bad "long" "(void)p; *percpu_this_ptr(&plain) = 1" "$says"
	bad "long" "(void)p; static struct percpu_list list; (void)percpu_list_pop(&list)" "$says"
	good "long" "percpu_inc(&p[plain]); long __percpu *q = percpu_new(long); percpu_inc(q); percpu_free(q)"
	if [ $in_types = yes ]; then
		bad "long" "percpu_inc(percpu_ptr(p, 3))" "$says"
		bad "long" "percpu_inc(percpu_this_ptr(p))" "$says"
		bad "long" "(void)p; percpu_add(&plains[plain], 1)" "$says"
		level=
		bad "long" "(void)p; percpu_inc(&plain)" "$says"
	else
		skip "$compiler: percpu_inc(percpu_ptr(p, 3))" "there is no mark in its types"
	fi
	level=

	# Plain uses: what is meant compiles everywhere, and the mark is gone, and nothing else, where a copy is named.
	good "long" "*percpu_ptr(p, 0) = 1; (*percpu_this_ptr(p))++; long *copy = percpu_ptr(p, 1); (void)copy"
	good "struct big" "percpu_ptr(p, 0)->b = 1; percpu_add(&p->b, percpu_sum(&p->a))"
	good "struct big" "struct big __percpu *same = p; percpu_free(same)"
	good "struct big" "p = percpu_new(struct big); (void)percpu_sum(&p[1].b)"
	good "const long" "const long *copy = percpu_ptr(p, 0); (void)copy"
	good "volatile long" "volatile long *copy = percpu_ptr(p, 0); percpu_inc(p); (void)copy"
	[ $suffix = cc ] || good "void" "void *copy = percpu_ptr(p, 0); (void)copy"
	good "char *" "char **copy = percpu_ptr(p, 0); (void)copy"
	good "struct percpu_list" "percpu_list_push(p, percpu_list_pop(p))"
	bad "const long" "*percpu_ptr(p, 0) = 1" "read-only\|const"
	bad "const long" "long *copy = percpu_ptr(p, 0); (void)copy" "const"
	know_mark
	[ $mark = none ] && skip "$compiler: plain uses" "it knows no mark that can be stripped" && continue
	bad "long" "long *plain = p; (void)plain" "$says"
	bad "long" "__builtin_memset(p, 0, sizeof(*p))" "$says"
	bad "struct big" "extern void take(struct big *); take(p)" "$says"
	[ $mark = passing ] && skip "$compiler: dereferences" "in a named address space they are good" && continue
	bad "long" "*p = 1" "$says"
	bad "long" "p[1] = 1" "$says"
	bad "long" "percpu_add(p, *p)" "$says"
	bad "struct big" "p->b = 1" "$says"
	bad "struct big" "struct big copy = *p; (void)copy" "$says"
done <"$dir/compilers"

compilers="gcc clang aarch64-linux-gnu-gcc"

can_disassemble() {
	objdump=objdump
	case $compiler in
	*-gcc) objdump=aarch64-linux-gnu-objdump ;;
	*) [ "$(uname -m)" = x86_64 ] || return ;;
	esac
	command -v $compiler >/dev/null && command -v $objdump >/dev/null
}

# disassemble FLAG...: $dir/p.c, to $dir/said; and its instructions alone to $dir/instructions.
disassemble() {
	rm -f "$dir/p.o"
	$compiler -std=gnu11 -O2 "$@" -I"$top_srcdir/include" -c "$dir/p.c" -o "$dir/p.o" >"$dir/said" 2>&1 &&
		$objdump -dr --no-show-raw-insn "$dir/p.o" >"$dir/said"
	sed -n 's/^ *[0-9a-f]*:[ \t]*//p' "$dir/said" >"$dir/instructions"
}

# percpu_ptr(p, cpu): three instructions at most, and no memory operand.
cat >"$dir/p.c" <<'EOF'
#include <percpu/percpu.h>
long *address(long __percpu *p, unsigned long cpu);
long *address(long __percpu *p, unsigned long cpu) { return percpu_ptr(p, cpu); }
EOF
for compiler in $compilers; do
	can_disassemble || continue
	disassemble
	# An address that lea computes is no access.
	awk '/^(ret|nop|data16|cs nop|xchg +%ax|endbr)/ { next }
		{ nr++ } !/^lea/ && /[([]/ { memory++ }
		END { exit !(nr > 0 && nr <= 3 && !memory) }' "$dir/instructions"
	judge $? "percpu_ptr by $compiler"
done

# x86-64: the prefix, the exchange with memory that has it unsaid; aarch64: exclusives, and what LSE brought.
atomics='^lock|^xchg.*[(:]|^(ld|st)[al]?x[rp]|^cas|^swp|^(ld|st)(add|clr|eor|set|[su]max|[su]min)'
known='percpu_abi|__rseq_cs|__rseq_failure|\.text'

# is_plain NAME: what was disassembled has no atomic instruction, calls nothing but NAME, and that by name.
is_plain() {
	[ -s "$dir/instructions" ] && ! grep -qE "$atomics|^(call|jmp)q? +\*|^blr|^br " "$dir/instructions" &&
		awk -v known="^($known|$1)([-+]|$)" -v name="^$1([-+]|$)" '
			/: R_/ { if ($3 !~ known) others++; if ($3 ~ name) calls++ }
			END { exit !(calls && !others) }' "$dir/said"
}

for compiler in $compilers; do
	can_disassemble || {
		skip "caches by $compiler" "no such compiler, or no objdump for it"
		continue
	}
	for flag in -fPIE -fPIC; do
		for name in alloc free; do
			[ $name = alloc ] && expression="percpu_cache_alloc(cache)" ||
				expression="(percpu_cache_free(cache, object), object)"
			cat >"$dir/p.c" <<EOF
#include <percpu/percpu.h>
void *f(struct percpu_cache *cache, void *object);
void *f(struct percpu_cache *cache, void *object) { return $expression; }
EOF
			disassemble $flag
			is_plain percpu_cache_${name}_slow
			judge $? "percpu_cache_$name by $compiler $flag: no atomic instruction, no call but to the slow path"
		done
	done
done
finish

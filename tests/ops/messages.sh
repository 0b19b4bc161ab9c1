#!/bin/sh
# SPDX-License-Identifier: MIT
# The mistakes that operations report: for each, the first error of every compiler at hand, which names the operation and
# its rule, in at most 40 lines; or "compiles" where a compiler cannot tell. The rows are a parameter, a statement, and
# what clang says in C, where __percpu is an address space, and what all others say.
set -u
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

dir=$tap_dir

# first_error PARAMETER STATEMENT: what the compiler says first of the statement, or "compiles".
first_error() {
	cat >"$dir/a.$suffix" <<EOF
#include <percpu/percpu.h>
struct big { long a, b; };
void f($1);
void f($1)
{
	$2;
}
EOF
	# shellcheck disable=SC2086
	if $compiler -O2 -Wall -Wextra -I"$top_srcdir/include" -c "$dir/a.$suffix" -o "$dir/a.o" 2>"$dir/said"; then
		echo compiles
	else
		grep -m1 'error: ' "$dir/said"
	fi
}

cat >"$dir/table" <<'EOF'
void|percpu_inc(hits)|hits|hits
long __percpu *p|percpu_add(p, what)|what|what
long __percpu *p|percpu_inc(*p)|percpu_inc: need a per-CPU pointer to an integer|percpu_inc: need a per-CPU pointer to an integer
void __percpu *p|percpu_inc(p)|percpu_inc: need a per-CPU pointer to an integer|percpu_inc: need a per-CPU pointer to an integer
void __percpu *p|(void)percpu_read(p)|percpu_read: need a per-CPU pointer to an integer, a bool|percpu_read: need a per-CPU pointer to an integer, a bool
struct big __percpu *p|percpu_inc(p)|percpu_inc: need a per-CPU pointer to an integer|percpu_inc: need a per-CPU pointer to an integer
struct big __percpu *p|percpu_write(p, 1)|percpu_write: need a per-CPU pointer to an integer, a bool|percpu_write: need a per-CPU pointer to an integer, a bool
double __percpu *p|percpu_add(p, 1)|percpu_add: need a per-CPU pointer to an integer|percpu_add: need a per-CPU pointer to an integer
const int __percpu *p|percpu_dec(p)|percpu_dec: need a per-CPU pointer to an integer|percpu_dec: need a per-CPU pointer to an integer
bool __percpu *p|(void)percpu_inc_return(p)|percpu_inc_return: need a per-CPU pointer to an integer|percpu_inc_return: need a per-CPU pointer to an integer
double __percpu *p|percpu_or(p, 1)|percpu_or: need a per-CPU pointer to an integer or a bool|percpu_or: need a per-CPU pointer to an integer or a bool
struct big __percpu *p|percpu_fallback_inc(p)|percpu_fallback_inc: need a per-CPU pointer to an integer|percpu_fallback_inc: need a per-CPU pointer to an integer
double __percpu *p|(void)percpu_sum(p)|percpu_sum: need a per-CPU pointer to an integer|percpu_sum: need a per-CPU pointer to an integer
char *__percpu *p|(void)percpu_sum(p)|percpu_sum: need a per-CPU pointer to an integer|percpu_sum: need a per-CPU pointer to an integer
struct big __percpu *p|(void)percpu_sum(p)|percpu_sum: need a per-CPU pointer to an integer|percpu_sum: need a per-CPU pointer to an integer
long __percpu *p|percpu_add(p, 1.5)|per-CPU arithmetic takes integers|per-CPU arithmetic takes integers
void|long x = 0; percpu_inc(&x)|percpu_inc: need a per-CPU pointer to an integer|per-CPU operation: need a per-CPU pointer
long *p|percpu_inc(p)|percpu_inc: need a per-CPU pointer to an integer|compiles
long __percpu *p|percpu_inc(percpu_ptr(p, 3))|percpu_inc: need a per-CPU pointer to an integer|compiles
EOF

# preprocessed STATEMENT: its length.
preprocessed() {
	printf '#include <percpu/percpu.h>\n@ %s\n' "$1" >"$dir/a.$suffix"
	# shellcheck disable=SC2086
	$compiler -E -P -I"$top_srcdir/include" "$dir/a.$suffix" | sed -n '/^@/,$p' | tr -d '\n' | wc -c
}

for compiler in "gcc -std=gnu11" "clang -std=gnu11" "g++ -std=c++17" "clang++ -std=c++17"; do
	command -v "${compiler%% *}" >/dev/null || {
		skip "messages of $compiler" "not installed"
		continue
	}
	case $compiler in *++*) suffix=cc ;; *) suffix=c ;; esac
	marked=no
	printf '#include <percpu/compiler.h>\n#ifndef PERCPU__SPACE\n#error none\n#endif\n' >"$dir/mark.$suffix"
	# shellcheck disable=SC2086
	$compiler -fsyntax-only -I"$top_srcdir/include" "$dir/mark.$suffix" 2>/dev/null && marked=yes
	while IFS='|' read -r parameter statement by_space by_others; do
		[ $marked = yes ] && expected=$by_space || expected=$by_others
		said=$(first_error "$parameter" "$statement")
		case $said in
		*"$expected"*) [ "$(wc -l <"$dir/said")" -le 40 ] ;;
		*) false ;;
		esac
		judge $? "$compiler, $parameter, $statement: $expected"
	done <"$dir/table"
	[ "$(preprocessed 'percpu_inc(p)')" -le 550 ]
	judge $? "$compiler: percpu_inc(p) has at most 550 characters"
done
finish

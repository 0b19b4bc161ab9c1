#!/bin/sh
# SPDX-License-Identifier: MIT
# The kernel's spelling: the names are those that percpu-kernel(7) lists, each part goes beside a port's own headers, and
# what would count wrong, or lie wrong, does not compile.
set -u
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

dir=$tap_dir
headers=$top_srcdir/include/percpu/kernel
page=$top_srcdir/man/percpu-kernel.7

# names SECTION: what a section of the page lists, a line each.
listed=$(sed -n '/^\.SH WHAT THERE IS/,/^\.SH WHAT IS LEFT OUT/s/^\.BR \([A-Za-z_0-9]*\) [,.]$/\1/p' "$page" | sort)
left_out=$(sed -n '/^\.SH WHAT IS LEFT OUT/,/^\.SH SEE/{/^\.TP/{n;p;};}' "$page" | tr -d ' ' | tr ',' '\n')
there=$({
	grep -hoE '^#define [A-Za-z_][A-Za-z_0-9]*' "$headers"/*.h | sed 's/.* //'
	grep -hE '^PERCPU__INLINE' "$headers"/*.h | grep -oE '[a-z_0-9]+\(' | tr -d '('
	sed -n 's/^typedef unsigned \(.*\);/\1/p' "$headers/gfp.h"
} | grep -vE '^(percpu__|PERCPU__|PERCPU_KERNEL_|PERCPU_UNMARKED$)' | sort -u)

report "the page lists what the headers have" "$(for name in $there; do
	echo "$listed" | grep -qx "$name" || echo "$name"
done)"
report "the headers have what the page lists" "$(for name in $listed; do
	echo "$there" | grep -qx "$name" || grep -qE "\\b$name\\(" "$top_srcdir/include/percpu/counter.h" || echo "$name"
done)"
report "they do not have what the page leaves out" "$([ -n "$left_out" ] || echo "it leaves out nothing"
for name in $left_out; do
	! echo "$there" | grep -qx "$name" || echo "$name"
done)"

# compiles COMPILER FLAG...: $dir/a.c.
compiles() {
	"$@" -Wall -Wextra -Werror -I"$top_srcdir/include" -c "$dir/a.c" -o "$dir/a.o" >"$dir/said" 2>&1
}

good() {
	compiles "$@"
	judge $? "$*: $what"
}

bad() { # MESSAGE COMPILER FLAG...
	message=$1
	shift
	if compiles "$@"; then false; else grep -q "$message" "$dir/said"; fi
	judge $? "$* rejects $what"
}

for compiler in gcc clang g++ clang++; do
	if ! command -v $compiler >/dev/null; then
		skip "the kernel's spelling by $compiler" "not installed"
		continue
	fi
	case $compiler in
	*++) compiler="$compiler -xc++ -std=c++17" ;;
	*) compiler="$compiler -std=gnu11" ;;
	esac

	what="every name, and typeof of an lvalue"
	cat >"$dir/a.c" <<'EOF'
#include <percpu/kernel.h>
struct node { int value; int tab[4]; };
static DEFINE_PER_CPU(int, v);
static DEFINE_PER_CPU_PAGE_ALIGNED(char[4096], page);
static DEFINE_PER_CPU_SECTION(struct node[8], nodes, "..first");
static DEFINE_PER_CPU_CACHE_HOT(long, hot);
int all(struct percpu_counter *c, struct node __percpu *p, struct kmem_cache *cache);
int all(struct percpu_counter *c, struct node __percpu *p, struct kmem_cache *cache)
{
	gfp_t flags = GFP_KERNEL | GFP_NOFS | GFP_NOIO | GFP_NOWAIT | GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_NORETRY;
	int old = 0, cpu;
	long hot_old = 0;
	__typeof__(p->value) sum = 0;
	int __percpu *q = alloc_percpu_gfp(int, flags);
	void __percpu *r = __alloc_percpu_gfp(8, 8, flags);
	unsigned slab = SLAB_MEM_SPREAD | SLAB_ACCOUNT | SLAB_PANIC | SLAB_NO_MERGE;

	for_each_online_cpu(cpu)
		sum += per_cpu(p->value, cpu) + per_cpu_ptr(nodes, cpu)[3].value + raw_cpu_ptr(p->tab)[1];
	sum += (int)num_online_cpus() + (int)smp_processor_id() + percpu_counter_batch;
	if (!this_cpu_try_cmpxchg(v, &old, 1) && raw_cpu_try_cmpxchg(hot, &hot_old, 2l) && this_cpu_ptr(nodes)[5].value)
		sum++;
	percpu_counter_sync(c);
	sum += (int)__percpu_counter_sum(c) + percpu_counter_limited_add(c, 10, 1) + *this_cpu_ptr(page);
	percpu_counter_add_batch(c, 1, PERCPU_COUNTER_LOCAL_BATCH);
	kmem_cache_free(cache, kmem_cache_alloc_node(cache, flags, 0));
	kmem_cache_destroy(kmem_cache_create_usercopy("a", 8, 0, slab, 0, 8, NULL));
	kmem_cache_destroy(KMEM_CACHE_USERCOPY(node, slab, tab));
	free_percpu(q);
	free_percpu(r);
	return sum;
}
EOF
	# shellcheck disable=SC2086
	good $compiler -O2

	what="a port's own slab.h and flags"
	cat >"$dir/a.c" <<'EOF'
#define GFP_KERNEL 0x400
#define GFP_ATOMIC 0x20
#define SLAB_PANIC 0x40
typedef unsigned long gfp_t;
struct kmem_cache { int mine; };
void *kmem_cache_alloc(struct kmem_cache *cache, int flags);
#include <percpu/kernel/percpu.h>
#include <percpu/kernel/counter.h>
static DEFINE_PER_CPU(int, v);
int f(struct percpu_counter *c);
int f(struct percpu_counter *c)
{
	int __percpu *p = alloc_percpu_gfp(int, GFP_KERNEL);

	this_cpu_inc(v);
	free_percpu(p);
	return percpu_counter_init(c, 0, GFP_KERNEL);
}
EOF
	# shellcheck disable=SC2086
	good $compiler

	what="an update by this_cpu_ptr, where that is strict"
	cat >"$dir/a.c" <<'EOF'
#define PERCPU_STRICT_THIS_PTR
#include <percpu/kernel.h>
struct stats { long packets; };
void f(struct stats __percpu *p);
void f(struct stats __percpu *p) { this_cpu_ptr(p)->packets++; }
EOF
	# shellcheck disable=SC2086
	bad "read-only\|const" $compiler
	sed -i 's/{ this.*/{ struct stats *s = raw_cpu_ptr(p); s->packets++; }/' "$dir/a.c"
	# shellcheck disable=SC2086
	bad "const" $compiler
	sed -i 's/PERCPU_STRICT/NOT_STRICT/' "$dir/a.c"
	what="an update by raw_cpu_ptr, where that is not strict"
	# shellcheck disable=SC2086
	good $compiler

	aligned="aligned to PERCPU_MAX_ALIGN"
	for line in "static DEFINE_PER_CPU(char[16384], v) __attribute__((aligned(16384))); char *f(void) { return per_cpu(v, 0); }" \
		"static DEFINE_PER_CPU(struct big, v); struct big *f(void) { return per_cpu_ptr(&v, 0); }" \
		"static DEFINE_PER_CPU(long, v) __attribute__((aligned(8192))); void f(void) { this_cpu_inc(v); }" \
		"void *f(void) { return (void *)(uintptr_t)percpu_new(struct big); }" \
		"void *f(void) { return (void *)(uintptr_t)percpu_new_array(struct big, 2); }" \
		"PERCPU_DEFINE(struct big, v);"; do
		what=$line
		printf '#include <percpu/kernel.h>\nstruct big { char a[16]; } __attribute__((aligned(16384)));\n%s\n' "$line" >"$dir/a.c"
		# shellcheck disable=SC2086
		bad "$aligned" $compiler -Wno-unused
	done
done
finish

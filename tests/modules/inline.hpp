/* SPDX-License-Identifier: MIT */
/*
 * Operations in inline functions, which several files define and the linker keeps once, with their
 * critical sections.
 */
#include <percpu/percpu.h>

inline void bump(long *p)
{
	percpu_inc(p);
}

inline long bump_and_look(long *p)
{
	return percpu_add_return(p, 1);
}

template <typename T> T *exchange(T **p, T *v)
{
	return percpu_xchg(p, v);
}

struct counter {
	long *p;
	counter() : p(percpu_new(long)) {}
	~counter() { percpu_free(p); }
	void operator++() { percpu_inc(p); }
	long sum() const { return percpu_sum(p); }
};

long other_file(long *p, int **q, int *v);

/* SPDX-License-Identifier: MIT */
/*
 * Sums over all copies, the fallback one too. A sum taken while others count is a value between
 * what was there when it began and what is there when it ends; once the writers
 * stopped it is exact.
 */
#ifndef PERCPU_SUM_H
#define PERCPU_SUM_H

#include <percpu/abi/sum.h>
#include <percpu/alloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * percpu_sum - the sum over all copies, in the counter's own integer type, modulo its width.
 * Context: MT-safe, async-signal-safe.
 */
#define percpu_sum(p) percpu__sum_of(percpu__local, p)
#define percpu__sum_of(q, p)                                                                       \
	percpu__op(q, p, percpu__is_term(q), "percpu_sum" PERCPU__NEED_INTEGER,                    \
		   percpu__from_u64(percpu__type(q), percpu_sum_integer(percpu__verified(q),       \
									sizeof(percpu__type(q)))))

/*
 * percpu_sum_u64 - dst[i] = sum over all copies of p[i], for a struct of n counters of 64 bits.
 * Each copy is read once, front to back. dst need not be aligned beyond uint64_t.
 * Context: MT-safe, async-signal-safe.
 */
PERCPU_API void percpu_sum_u64(uint64_t *dst, const uint64_t __percpu *p, size_t n);

/* percpu_sum of an integer of 1, 2, 4 or 8 bytes, zero-extended. */
PERCPU_API uint64_t percpu_sum_integer(const void *p, size_t bytes);

/* ---- sums by what CPUs share ---- */

/*
 * percpu_nr_domains - domains of copies at a level. Every copy is in one of them; the last domain
 * has those that are in no such thing: the fallback copy, and copies of CPUs that the machine did
 * not have when it was first asked. hwloc is loaded at the first call of this or a function below,
 * which takes some milliseconds.
 * Context: MT-safe; not async-signal-safe.
 * Returns: 1 or more; -EINVAL (level), -ENOTSUP (hwloc is not installed, or cannot look), -ENOMEM.
 */
PERCPU_API int percpu_nr_domains(enum percpu_level level);

/*
 * Returns: the domain of a copy, from 0; -EINVAL (there is no such copy) or as percpu_nr_domains.
 */
PERCPU_API int percpu_domain_of(enum percpu_level level, unsigned copy);

/*
 * percpu_domain_number - what the system calls the domain: the number of the node, of the package,
 * of the core in its package.
 * Returns: 0 or more; -ENOENT for the last domain; -EINVAL (there is no such domain) or as
 * percpu_nr_domains.
 */
PERCPU_API int percpu_domain_number(enum percpu_level level, unsigned domain);

/*
 * percpu_sum_by - sums[g] = sum over the copies of domain g, in the counter's own type; sums has
 * room for nr of them, percpu_nr_domains(level) or more; those beyond stay as they are. Together
 * they are percpu_sum.
 * Returns: 0; -ERANGE (nr is too small) or as percpu_nr_domains, and sums is as it was.
 */
#define percpu_sum_by(p, level, sums, nr) percpu__sum_by(percpu__local, p, level, sums, nr)
#define percpu__sum_by(q, p, level, sums, nr)                                                      \
	percpu__op(q, p, percpu__is_term(q), "percpu_sum_by" PERCPU__NEED_INTEGER,                 \
		   percpu_sum_integer_by(percpu__verified(q), sizeof(percpu__type(q)), (level),    \
					 1 ? (sums) : (percpu__type(q) *)0, (nr)))

/*
 * percpu_sum_u64_by - dst[g * n + i] = sum over the copies of domain g of p[i];
 * the rest as percpu_sum_by.
 */
PERCPU_API int percpu_sum_u64_by(uint64_t *dst, const uint64_t __percpu *p, size_t n,
				 enum percpu_level level, size_t nr);

/* percpu_sum_by of integers of 1, 2, 4 or 8 bytes. */
PERCPU_API int percpu_sum_integer_by(const void *p, size_t bytes, enum percpu_level level,
				     void *sums, size_t nr);

#ifdef __cplusplus
}
#endif
#endif

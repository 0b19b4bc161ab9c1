/* SPDX-License-Identifier: MIT */
/*
 * Statistics that other processes can read while they are counted, at no cost to who counts.
 *
 * A pool made with the attribute published lies in memory that another process of the same user, or
 * root, may open through /proc/PID/fd and read. percpu_publish gives a name to a value in it.
 * Nothing is left behind by a crash, nothing needs cleaning up, and processes forked from the
 * publisher count into the same copies. One process owns the pool: the one that made it, and when
 * that has ended the first of the others that asks for something only the owner may do.
 *
 * The reader's side is percpu_reader_*, which relies on nothing that a publisher wrote.
 */
#ifndef PERCPU_PUBLISH_H
#define PERCPU_PUBLISH_H

#include <percpu/abi/publish.h>
#include <percpu/alloc.h>
#include <percpu/histogram.h>
#include <percpu/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the publisher's side ---- */

struct percpu_published;

/*
 * percpu_publish - describes the value at p, which lies in an allocation of a published pool, at a
 * multiple of 8 bytes; it may be a field of a struct. Of a histogram, p is its copies. metric and
 * its strings are copied. A value may have several names.
 * Context: MT-safe; not async-signal-safe.
 * Returns: a handle for percpu_unpublish, or NULL with errno: EINVAL (metric, or p is not in a
 * published pool), EPERM (another process owns the pool), ENOMEM (no room for more descriptions:
 * they have 16 times the pool's limit_bytes, at most 1 GiB).
 */
PERCPU_API struct percpu_published *percpu_publish(const void __percpu *p,
						   const struct percpu_metric *metric);

/*
 * Takes the description back; before percpu_free of the value. Returns: 0, -EINVAL (none, or taken
 * back before), -EPERM.
 */
PERCPU_API int percpu_unpublish(struct percpu_published *published);

/* ---- the reader's side ---- */

/*
 * percpu_publishers - calls visit for each published pool of process pid, or for pid 0 of all
 * processes that let the caller look, until it returns another value than 0. Forked workers show up
 * beside their parent.
 * Returns: what visit returned last, 0 if it was never called; for a pid -ENOENT (no such process),
 * -EACCES; -EMFILE, -ENFILE, -ENOMEM, -EPERM or -ENOSYS where the caller can make no memfd, by
 * which the others' are told from other files.
 */
PERCPU_API int percpu_publishers(pid_t pid,
				 int (*visit)(const struct percpu_publisher *publisher, void *arg),
				 void *arg);

/*
 * percpu_publishers_within - the same of all processes, in so many nanoseconds of the thread's CPU
 * time, visits included. Users with few processes come first, and each may take the time that is
 * left, divided by the number of users that are left: so nobody's processes keep those of others
 * from being searched. missed is called for each user not all of whose processes were.
 * Returns: as percpu_publishers; -ENOMEM.
 */
PERCPU_API int percpu_publishers_within(uint64_t nanoseconds,
					int (*visit)(const struct percpu_publisher *publisher,
						     void *arg),
					void (*missed)(uid_t process_user, void *arg), void *arg);

struct percpu_reader;

/*
 * percpu_reader_open - of a pool that percpu_publishers found.
 * Returns: a reader, or NULL with errno: ENOENT (it is gone), EACCES (another user's, or not
 * dumpable), EINVAL (no published pool), EPROTO (another version, or nonsense), ENOMEM, EMFILE.
 * Context: a reader is used by one thread at a time.
 */
PERCPU_API struct percpu_reader *percpu_reader_open(pid_t pid, int fd);
PERCPU_API void percpu_reader_close(struct percpu_reader *reader);

/*
 * Fixed when the pool was made. The name is whole; the CPUs are the publisher's, whose last copy is
 * the fallback one.
 */
PERCPU_API const char *percpu_reader_name(const struct percpu_reader *reader);
PERCPU_API unsigned percpu_reader_nr_copies(const struct percpu_reader *reader);

/*
 * The process that owns the pool, as it knows itself: that made it, or took it over. Others may go
 * on without it.
 */
PERCPU_API pid_t percpu_reader_creator(const struct percpu_reader *reader);

/*
 * percpu_reader_group - from the next update on, values are sums over domains of copies: copy i
 * belongs to domain_of[i], below nr_domains, or to none (UINT32_MAX). NULL: one domain of all, as
 * in the beginning.
 * Returns: 0, -EINVAL, -ENOMEM.
 */
PERCPU_API int percpu_reader_group(struct percpu_reader *reader, const uint32_t *domain_of,
				   uint32_t nr_domains);

/*
 * percpu_reader_update - reads all descriptions and values. What was added or removed meanwhile is
 * there or not; what is there is whole. Costs the publisher nothing and makes no page of it.
 * Returns: 0, -ESRCH (the process has ended: these are the last values, unless its children go on),
 * -EPROTO (the contents contradict themselves: there are no values), -ENOMEM, -E2BIG (it would take
 * more memory than the reader may), -ETIME (and time), -EIO, -EBADF (the program has closed the
 * reader's descriptor: there are no values).
 */
PERCPU_API int percpu_reader_update(struct percpu_reader *reader);

/*
 * percpu_reader_limit - from the next update on, the reader takes no more than so many bytes of
 * memory, and an update no more than so many nanoseconds of the thread's CPU time. 0: 1 GiB, which
 * is the most in any case, and any time, as in the beginning. Without a limit an update takes
 * memory and time in proportion to what the publisher holds, whatever it claims.
 */
PERCPU_API void percpu_reader_limit(struct percpu_reader *reader, size_t bytes,
				    uint64_t nanoseconds);

/*
 * Of the last update, in the order of publishing where none was removed; valid until the next one.
 */
PERCPU_API size_t percpu_reader_nr(const struct percpu_reader *reader);
PERCPU_API const struct percpu_metric *percpu_reader_metric(const struct percpu_reader *reader,
							    size_t i);

/*
 * The words of metric i, summed over the copies of a domain; *nr of them (may be NULL). A gauge's
 * is an int64_t; a histogram's are a merged struct percpu_histogram_copy, for
 * percpu_histogram_data_add. A histogram's are valid until the next call of this function with the
 * same reader, those of others until the next update.
 */
PERCPU_API const uint64_t *percpu_reader_words(const struct percpu_reader *reader, size_t i,
					       uint32_t domain, size_t *nr);

/* Bytes of memory that the pool holds, and that the reader does. */
PERCPU_API uint64_t percpu_reader_held_bytes(const struct percpu_reader *reader);
PERCPU_API size_t percpu_reader_own_bytes(const struct percpu_reader *reader);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/*
 * The lowest layer: all that ties the library to Linux and libc. Higher layers make no system call,
 * read no environment and map no memory but through these functions. Readers of published pools have memory of malloc's
 * beside, libnuma and hwloc make system calls of their own.
 */
#ifndef PERCPU_PLATFORM_H
#define PERCPU_PLATFORM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "platform/report.h"

#define percpu__likely(x) __builtin_expect(!!(x), 1)
#define percpu__unlikely(x) __builtin_expect(!!(x), 0)

/* ---- page.c ---- */

size_t percpu__page_bytes(void);

/* ---- vm.c: address ranges, page by page ---- */

/*
 * Address space without memory behind it, inaccessible, and in no core file before it is committed. The
 * address is skew bytes below a multiple of align (a power of two, page size or more). NULL where there is none.
 */
void *percpu__reserve(size_t bytes, size_t align, size_t skew);
void percpu__release(void *start, size_t bytes);

/* Makes a reserved range readable and writable, page by page as touched. 0 or -errno. */
int percpu__commit(void *start, size_t bytes);

/* Makes a reserved range readable alone: zero, and nobody's memory until it is committed. 0 or -errno. */
int percpu__make_readable(void *start, size_t bytes);

/* Readable and writable, zero, committed by touch; NULL where there is none. Released as reserved ranges are. */
void *percpu__map(size_t bytes);

/* Gives the pages back: the range reads as zero again. 0 or -errno. */
int percpu__purge(void *start, size_t bytes);

/* Touches every page for writing. 0 or -errno. */
int percpu__populate(void *start, size_t bytes);

#define PERCPU__HUGE_BYTES ((size_t)2 << 20)

/* Whether this process would be given pages of that size if it asked. */
bool percpu__huge_pages_exist(void);

/* Asks for them, or for none. 0 or -errno (-EINVAL: this kernel has none). */
int percpu__advise_huge(void *start, size_t bytes, bool huge);

/* Prefers pages from node, for pages not yet touched. 0 or -errno. */
int percpu__bind(void *start, size_t bytes, unsigned node);

/* Bytes of [start, end), whole pages in memory, that lie on another node. Or -errno. */
ssize_t percpu__bytes_elsewhere(uintptr_t start, uintptr_t end, unsigned node);

/* Mappings that one process may have (vm.max_map_count). */
size_t percpu__mapping_limit(void);

/* Bytes of the range in memory now. */
size_t percpu__resident_bytes(const void *start, size_t bytes);

struct percpu__extent {
	uintptr_t start, end; /* addresses, multiples of the page size */
};

/* Which pages: those with memory or swap of their own, or also those that map the shared zero page. */
enum percpu__pages { PERCPU__PAGES_OWN, PERCPU__PAGES_MAPPED };

/*
 * percpu__find_pages - the parts of [*start, end) that have such pages.
 * Fills at most capacity extents and moves *start past what it looked at, to end when it is done.
 * Returns: the number of extents, or -errno where this kernel cannot tell.
 */
int percpu__find_pages(enum percpu__pages which, uintptr_t *start, uintptr_t end, struct percpu__extent *extents,
		       unsigned capacity);

/* ---- locked.c: where the process locks its memory ---- */

/* A fresh mapping that nobody can access yet: takes no memory for being locked. */
void percpu__unlock_reserved(void *start, size_t bytes);

/* Whether the last mapping was locked as it was made. */
bool percpu__new_ones_are_locked(void);

/* A part that is about to become accessible, or is and was never touched: locked as it is touched, if the process wants that. */
void percpu__lock_touched(void *start, size_t bytes);

/* ---- zero.c ---- */

/*
 * Whether a look at private memory that nobody wrote maps a page that all share. Where it does not, or the kernel does
 * not tell, a look makes a page. Finds out at the first call. Async-signal-safe.
 */
bool percpu__has_zero_page(void);

/* ---- ledger.c: what a static copy of the library has, for the next one ---- */

/* By start and bytes; pointers to be held until then; by number and identity. */
enum percpu__ledger_kind { PERCPU__LEDGER_RANGE, PERCPU__LEDGER_POINTERS, PERCPU__LEDGER_FILE };

#ifdef PERCPU_SHARED_OBJECT
static inline bool percpu__may_be_unloaded(void)
{
	return false;
}
static inline void percpu__ledger_add(enum percpu__ledger_kind kind, uint64_t first, uint64_t second, uint64_t third)
{
}
static inline void percpu__ledger_strike(enum percpu__ledger_kind kind, uint64_t first, uint64_t second)
{
}
#else
/* Whether the code lies in a module that dlclose may take away. */
bool percpu__may_be_unloaded(void);

/* strike: the whole of what was added, or a part of a range. Both do nothing where the code stays. Take no lock. */
void percpu__ledger_add(enum percpu__ledger_kind kind, uint64_t first, uint64_t second, uint64_t third);
void percpu__ledger_strike(enum percpu__ledger_kind kind, uint64_t first, uint64_t second);
#endif

/* ---- file.c ---- */

/* For reading; a descriptor or -errno. No point of cancellation, as nothing here is. */
int percpu__open(const char *path);
void percpu__close(int fd);

/*
 * percpu__read_file - up to size - 1 bytes of a file, closed with a zero byte. Async-signal-safe.
 * Returns: the number of bytes, or -errno (-EFBIG: the file is longer).
 */
ssize_t percpu__read_file(const char *path, char *buffer, size_t size);

/* ---- memfd.c: memory that other processes may read ---- */

/* Which file it is, whatever name or number it has. */
struct percpu__file_id {
	uint64_t device, inode;
};

struct percpu__memfd {
	int fd;
	struct percpu__file_id id;
};

/* A file of bytes, all of them a hole. The name may be cut. 0 or -errno. */
int percpu__memfd_create(struct percpu__memfd *file, const char *name, uint64_t bytes);

/* The same, of which the ledger does not know: for percpu__close. */
int percpu__memfd_create_unlisted(struct percpu__memfd *file, const char *name, uint64_t bytes);
void percpu__memfd_close(const struct percpu__memfd *file);

/* Puts part of the file where a range is reserved, readable and writable, shared with children. 0 or -errno. */
int percpu__memfd_map(const struct percpu__memfd *file, uint64_t offset, void *start, size_t bytes);

/* No other size any more, and no writer but those who have mapped it. 0 or -errno. */
int percpu__memfd_seal(const struct percpu__memfd *file);

/* As percpu__seek_data and percpu__seek_hole. Returns: also -EBADF (the program has closed the file). */
int64_t percpu__memfd_seek_data(const struct percpu__memfd *file, uint64_t offset);
int64_t percpu__memfd_seek_hole(const struct percpu__memfd *file, uint64_t offset);

/* Whether percpu__open_memfd can work here: 0, or -errno, of a memfd that could not be made. */
int percpu__can_tell_memfds(void);

/* For reading, what another process made with percpu__memfd_create; -EINVAL: it is something else. */
int percpu__open_memfd(const char *path);

/*
 * Programs close what they never opened, as daemons do at start, and get the number for a file of their own. So a
 * descriptor that the library keeps is identified when it is new: 0 or -errno. file_is: whether it still is that file.
 * file_close: closes it if it is.
 */
int percpu__file_identify(int fd, struct percpu__file_id *id);
bool percpu__file_is(int fd, struct percpu__file_id id);
void percpu__file_close(int fd, struct percpu__file_id id);

struct percpu__file_facts {
	uint64_t inode;
	uint32_t user;       /* whose it is */
	uint64_t bytes;      /* its size */
	uint64_t held_bytes; /* of memory and swap */
};
int percpu__file_facts(int fd, struct percpu__file_facts *facts);

/* Returns: bytes read, fewer at the end of the file alone; -errno. */
ssize_t percpu__read_at(int fd, void *buffer, size_t bytes, uint64_t offset);

/* Returns: the offset of the first data, or hole, at or after offset; -ENXIO: none. Fills no hole. */
int64_t percpu__seek_data(int fd, uint64_t offset);
int64_t percpu__seek_hole(int fd, uint64_t offset);

/* ---- process.c ---- */

/* Calls visit for every entry of the folder that is a number, until it returns something else than 0. */
int percpu__for_each_number(const char *path, int (*visit)(int number, void *arg), void *arg);

/* Bytes of a symbolic link's text, cut to size - 1; -errno. */
ssize_t percpu__read_link(const char *path, char *text, size_t size);

/* Of a link in /proc/PID/fd: whether that file was opened for writing, too. */
bool percpu__link_can_write(const char *path);

pid_t percpu__own_pid(void);

/* As whom a process acts, which nobody may hide; -errno. */
int64_t percpu__process_user(pid_t pid);

/* A descriptor that knows when the process has ended, for percpu__has_ended; -errno. */
int percpu__pidfd_open(pid_t pid);
bool percpu__has_ended(int watch);

/* ---- clock.c ---- */

/* Milliseconds since some moment before the process; never goes back in one thread. 0 where the kernel refuses. */
uint64_t percpu__now_ms(void);

/* Of two such, taken by any threads: how long after the first the second was; 0: before it. */
static inline uint64_t percpu__ms_between(uint64_t first, uint64_t second)
{
	return second > first ? second - first : 0;
}

/* For tests: from now on it is ms, not 0, until this is called again; 0: the kernel's time. */
void percpu__set_clock(uint64_t ms);
/* Nanoseconds that this thread had a CPU. */
uint64_t percpu__thread_time(void);

/* ---- self.c: which process this is ---- */

/*
 * percpu__generation - a number that this process alone has among those that it was forked from and those forked
 * from it, however that was done. Never 0. A child of vfork, or of clone with CLONE_VM, has its parent's, as it has its
 * memory. Async-signal-safe.
 * percpu__generation_forked - called in a child, for kernels that do not tell.
 */
uint64_t percpu__generation(void);
void percpu__generation_forked(void);

/* A process as others know it; of the caller. 0: there is no /proc that tells. */
uint64_t percpu__process_word(void);

/* Where words mean something: the same for processes that number processes, and count time, alike. 0: cannot be told. */
uint64_t percpu__process_space(void);

/* Of a word of the caller's space. true: the process is gone for good. false: it lives, or that cannot be told. */
bool percpu__process_is_gone(uint64_t word);

/* ---- cpu.c ---- */

/* CPU of the caller a moment ago; UINT_MAX where the kernel does not say. */
unsigned percpu__getcpu(void);

/* Bits in the kernel's own CPU masks, and 1 + the highest CPU that the caller may use; 0: unknown. */
unsigned percpu__cpu_mask_bits(unsigned *nr_allowed);

/* CPUs that libc says are configured. */
unsigned percpu__configured_cpus(void);

/* ---- rseq.c ---- */

enum percpu__rseq_state {
	PERCPU__RSEQ_USABLE = 1,
	PERCPU__RSEQ_FORCED,     /* usable by the user's word, on a doubtful kernel */
	PERCPU__RSEQ_CHECKED,    /* usable: the check saw aborts, on a doubtful kernel */
	PERCPU__RSEQ_ABSENT,
	PERCPU__RSEQ_OFF,
	PERCPU__RSEQ_STRANGE,
	PERCPU__RSEQ_BAD_KERNEL, /* doubtful, and the check saw that it does not abort */
	PERCPU__RSEQ_DOUBTED,    /* doubtful, and nothing could be seen */
	/* Not found by these functions, but by their caller. */
	PERCPU__RSEQ_REFUSED,
	PERCPU__RSEQ_NO_SECTIONS,
};

/* What libc registered for every thread, whatever the kernel; offset: from the thread pointer to its area, 0 unless usable. */
enum percpu__rseq_state percpu__rseq_find(ptrdiff_t *offset);

/*
 * What to make of such areas on this kernel. is_forced: use them on any. Async-signal-safe; on a doubtful kernel it takes as
 * long as percpu__rseq_aborts.
 */
enum percpu__rseq_state percpu__rseq_judge(ptrdiff_t offset, bool is_forced);

bool percpu__rseq_is_usable(enum percpu__rseq_state state);

/* One English line for percpu_mode_reason, which stays. */
const char *percpu__rseq_reason(enum percpu__rseq_state state);

/* ---- kernel.c ---- */

/* NULL, or the range of versions that this one is in which are known not to abort sections, as people write it. */
const char *percpu__doubtful_kernel(const char *machine, const char *release);

/* ---- abort.c ---- */

enum percpu__aborts { PERCPU__ABORTS_UNKNOWN, PERCPU__ABORTS, PERCPU__ABORTS_NOT };

/*
 * Whether this kernel aborts a section when its thread is preempted without being moved, tried in the caller's area, offset
 * bytes from its thread pointer. Async-signal-safe; a millisecond or two; on a machine that is
 * busy with others a quarter of a second at most, and the neighbour's last sleep.
 */
enum percpu__aborts percpu__rseq_aborts(ptrdiff_t offset);

/* ---- fence.c: membarrier's rseq command ---- */

/* Whether fences work here; registers the process for them the first time. */
bool percpu__fence_ready(void);

/*
 * percpu__fence - aborts every critical section that began before the call, on all CPUs.
 * What the caller stored before is seen by all that begin after.
 * Returns: false where the kernel refuses, which it may begin to do at any time (a filter): nothing is fenced.
 */
bool percpu__fence(void);

/* ---- lock.c ---- */

/* A thread that holds a lock may take only locks of a higher rank; asserted under --enable-checks. */
enum percpu__rank {
	PERCPU__RANK_CACHES = 1, PERCPU__RANK_CACHE, PERCPU__RANK_HOME, PERCPU__RANK_ARENA,
	PERCPU__RANK_STATIC, PERCPU__RANK_REGISTRY, PERCPU__RANK_POOL, PERCPU__RANK_OWN_POOL, PERCPU__RANK_DEBUG
};

struct percpu__lock {
	pthread_mutex_t mutex;
	enum percpu__rank rank;
	unsigned nr_passed; /* times that its forking thread took it again, and did not unlock; its holder */
	uintptr_t forker;   /* the thread that holds it for a fork; 0; written by the holder */
};
#define PERCPU__LOCK_INIT(lock_rank) { .mutex = PTHREAD_MUTEX_INITIALIZER, .rank = lock_rank }

void percpu__lock_init(struct percpu__lock *lock, enum percpu__rank rank);
/* Returns: whether it had to wait for another thread. */
bool percpu__lock(struct percpu__lock *lock);
void percpu__unlock(struct percpu__lock *lock);

/* Several locks of one rank at once, in the order of the caller's list. */
bool percpu__lock_nested(struct percpu__lock *lock);

/*
 * percpu__lock_for_fork - as percpu__lock, but the caller may lock and unlock it again meanwhile, as all functions of
 * the library do: he finds what it guards between two changes. Several of one rank as above.
 * percpu__lock_made_in_fork - of a new lock that others are about to find: the same, if the caller holds the other one so.
 * percpu__unlock_after_fork - in either process, by the same thread; does nothing where the lock is not held so.
 * percpu__is_locked_for_fork - whether the caller holds it so.
 */
void percpu__lock_for_fork(struct percpu__lock *lock);
void percpu__lock_made_in_fork(struct percpu__lock *lock, const struct percpu__lock *other);
void percpu__unlock_after_fork(struct percpu__lock *lock);
bool percpu__is_locked_for_fork(const struct percpu__lock *lock);

/* ---- sanitizer.c: sanitizers and Valgrind, where the program runs under them ---- */

/* Whether they want to hear of allocations; the same all the time. */
bool percpu__is_sanitized(void);

/* The same bytes of every copy. */
struct percpu__sanitized {
	char *first;
	size_t stride, bytes;
	unsigned nr;
};

/*
 * percpu__sanitizer_begin - from now on the area is somebody's. Its trace is the caller's to keep, or NULL.
 * percpu__sanitizer_end - from now on nobody may use it. No lock held, as malloc may take its own.
 * percpu__sanitizer_pause - the library may use it again, to make it ready.
 * percpu__sanitizer_forget - the trace is not needed any more; NULL is fine.
 */
struct percpu__trace;
struct percpu__trace *percpu__sanitizer_begin(struct percpu__sanitized area);
void percpu__sanitizer_end(struct percpu__sanitized area, struct percpu__trace *trace);
void percpu__sanitizer_pause(struct percpu__sanitized area);
void percpu__sanitizer_forget(struct percpu__trace *trace);

/* To thread sanitizers: these objects go from the caller to whoever takes them over. */
void percpu__sanitizer_hand_over(void *const *objects, size_t n);
void percpu__sanitizer_take_over(void *const *objects, size_t n);

/* Pointers in the range keep what they point to from being leaks, or do no more. */
void percpu__hold_pointers(const void *start, size_t bytes, bool on);

/* Those that a copy held which is gone, and may have kept from being used. */
void percpu__forget_pointers(const void *start, size_t bytes);

/* What a call wrote that Valgrind knows nothing of. */
void percpu__kernel_wrote(void *start, size_t bytes);

/* tell is called behind a report about an address, and may print a trace. */
void percpu__on_report(void (*tell)(uintptr_t address));
void percpu__sanitizer_print(const struct percpu__trace *trace);

/* ---- options.c ---- */

struct percpu__options {
	bool atomic;     /* mode:atomic */
	bool rseq;       /* mode:rseq */
	bool huge;       /* huge */
	bool check;      /* check */
	bool leaks;      /* leaks */
	unsigned cpus;   /* cpus:N; 0: as the machine has */
	size_t keep_bytes; /* keep:BYTES */
	uint64_t decay_ms; /* decay:MS; UINT64_MAX: never */
};
#define PERCPU__DECAY_MS_DEFAULT 3000u

/*
 * percpu__options - PERCPU_OPTIONS of the environment, read at every call. Async-signal-safe.
 * report: print one line about each key or value that is not known.
 */
struct percpu__options percpu__options(bool report);

/* The same from a text. NULL is empty. */
struct percpu__options percpu__options_parse(const char *text, bool report);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The layer of object caches. Who owns what:
 *
 *   arena.c   the address space of all slabs, and the descriptor of each
 *   free_list.h links on their way, with few objects touched
 *   slab.c    the objects of a slab: which are in it, cutting them out and taking them back
 *   depot.c   what lies behind a CPU's list: a chain, and the home's slabs
 *   remote.c  the way home of what was freed elsewhere
 *   flow.c    what a CPU has of a cache: when it is open, and how list and stock feed one another
 *   age.c     which memory nobody needs any more, and who looks for it
 *   alloc.c   the public entries of alloc and free, and the verdict on a pointer given to free
 *   handle.c  caches: created, shrunk, counted, destroyed; and the list of them all
 *   check.c   PERCPU_OPTIONS=check
 *   rcu.c     what a liburcu flavour can do
 *   fork.c    what a fork finds and leaves
 *   invariants.c that every free object is in one place, and all that says so agrees
 *
 * A free object is in one place, and moves along these ways. It is named by its `link`, a word in the object or
 * behind it. Chains are made of the links.
 *
 *	           take, put                  full: half of it
 *	program  <----------->  list of the CPU  ------------->  stock of the home <-----> slab (a bit)
 *	   |                       (array)       <------------        (chain)        cut, take back
 *	   |                                     empty: a refill        ^
 *	   '--- freed elsewhere ---> batch (array) ---> remote list ----'
 *
 * Who may run beside whom, and what keeps them apart. H is the home lock of the copy in question.
 *
 *	what                who touches it                     beside            kept apart by
 *	list, batches       sections of its CPU                one another       rseq
 *	list, batches       anyone, once closed                sections          no line, limit 0, then fence
 *	lines, limits       anyone                             one another       cache lock
 *	remote list         push: CAS of a chain; take: xchg   one another       the word itself; who pushes
 *	                                                                         holds H of its own CPU (for fork)
 *	stock, slab lists   anyone with H                      one another       H
 *	slab descriptors    read: whoever has an object in it  release           a live object keeps its slab
 *
 * Orders: the push of a chain (release) pairs with percpu__remote_take (acquire): links written
 * by the pusher are seen by the taker. Opening (release) comes before the first load of a section that sees it, of
 * the line or the limit, and the rest of it depends on that. Nothing else that changes is handed over without a lock.
 * What is in a list has one writer, its CPU; its limit is anyone's to open and close, under the cache lock. The kernel
 * orders a thread's move between CPUs.
 *
 * The remote list is only pushed to and taken whole, so a CAS cannot be fooled by an address
 * that left and came back. Locks, in the order in which one thread may take them: caches, cache, home, arena.
 */
#ifndef PERCPU_CACHE_FLOOR_H
#define PERCPU_CACHE_FLOOR_H

#include "ops/ops.h"
#include "percpu/percpu.h"
#include "platform/platform.h"
#include "topology/topology.h"

#include <percpu/cache.h>
#include <percpu/sum.h>

#define PERCPU__LINE_BYTES 64u

/* ---- arena.c ---- */

#define PERCPU__ARENA_UNIT_SHIFT 16
#define PERCPU__ARENA_UNIT ((size_t)1 << PERCPU__ARENA_UNIT_SHIFT)
#define PERCPU__SLAB_ORDER_MAX 3u /* units of the largest slab, as a power of two */
#define PERCPU__INLINE_BITS 64u

/* A unit of the arena. From nr_free on it means something in the first unit of a slab alone. */
struct percpu__slab {
	char *magazine;                       /* of its home, as sections compare it; as tag */
	uint64_t start;                   /* address of the first object; as tag */
	uint64_t tag;                     /* set while nobody has an object of it; 0: no slab */
	struct percpu__cache *cache;      /* as tag */
	uint8_t unit;                     /* of the slab; as tag */
	uint8_t node;                     /* that its extent was placed on, plus 1; 0: none; for ever */
	uint8_t order;                    /* as tag */
	uint8_t listed;                   /* H */
	uint32_t nr_free;                 /* objects in the slab; H */
	uint64_t bits;                    /* of free objects, where 64 are enough; H */
	struct percpu__slab *next, *prev; /* H, or the arena's lock while it is nobody's */
};
_Static_assert(sizeof(struct percpu__slab) == sizeof(struct percpu__slab_id) &&
		       offsetof(struct percpu__slab, tag) == offsetof(struct percpu__slab_id, tag) &&
		       offsetof(struct percpu__slab, start) == offsetof(struct percpu__slab_id, start) &&
		       offsetof(struct percpu__slab, magazine) == offsetof(struct percpu__slab_id, magazine),
	       "programs read the first three");

#define PERCPU__UNIT_WORDS (PERCPU__ARENA_UNIT / PERCPU_CACHE_MIN_SIZE / 64)

/* What a unit has where 64 bits are not enough. */
struct percpu__unit_bits {
	uint64_t word[PERCPU__UNIT_WORDS];
};

struct percpu__arena {
	uintptr_t base;             /* a multiple of the largest slab */
	size_t mask;                /* units - 1; a power of two of them */
	struct percpu__slab *slabs; /* by unit number & mask; all can be read, those of units in use written */
	struct percpu__unit_bits *free_bits; /* in the same order: of objects in the slab */
	struct percpu__unit_bits *used_bits; /* of objects in use, under `check` alone */
	uint32_t *fresh;            /* number of the first object never cut out; H */
};
extern struct percpu__arena percpu__arena; /* set once, before the first cache */

/* false: no address space. */
bool percpu__arena_init(void);

/* 1 << order units for the node (-1: none in particular), reading zero; NULL: no memory. */
struct percpu__slab *percpu__arena_take(unsigned order, int node);

/* Gives the memory of slabs linked by next back to the kernel, and the addresses to whoever asks next. */
void percpu__arena_trim(struct percpu__slab *slabs);

void percpu__arena_lock_for_fork(void);
void percpu__arena_unlock_after_fork(void);

static inline size_t percpu__slab_index(const struct percpu__slab *slab)
{
	return slab - percpu__arena.slabs;
}

static inline uintptr_t percpu__slab_start(const struct percpu__slab *slab)
{
	const uintptr_t first = percpu__arena.base >> PERCPU__ARENA_UNIT_SHIFT;

	return percpu__arena.base + (((percpu__slab_index(slab) - first) & percpu__arena.mask) << PERCPU__ARENA_UNIT_SHIFT);
}

static inline size_t percpu__slab_bytes(const struct percpu__slab *slab)
{
	return PERCPU__ARENA_UNIT << slab->order;
}

/* The descriptor that would be address's: of any address at all. */
static inline struct percpu__slab *percpu__slab_at(uintptr_t address)
{
	return &percpu__arena.slabs[address >> PERCPU__ARENA_UNIT_SHIFT & percpu__arena.mask];
}

/* The slab of an address that has one. */
static inline struct percpu__slab *percpu__slab_of(uintptr_t address)
{
	struct percpu__slab *slab = percpu__slab_at(address);

	return slab - slab->unit;
}

/* ---- caches ---- */

enum percpu__cache_state { PERCPU__CACHE_VACANT, PERCPU__CACHE_LIVE, PERCPU__CACHE_DESTROYED };

struct percpu__cpu_cache;

struct percpu__cache {
	struct percpu_cache pub;           /* what inlines read */
	struct percpu__cpu_cache __percpu *cpu_caches; /* for ever */
	char *stopped_magazines;                 /* per-CPU pointer, of lists without objects; for ever */
	enum percpu__cache_state state;    /* caches lock */
	uint32_t flags;                    /* this and what follows: for ever */
	uint32_t object_bytes;             /* from one to the next */
	uint32_t nr_per_slab;
	uint32_t magazine_limit, batch_limit, refill;     /* objects: of an open list, of an open batch, cut at a time */
	uint32_t depot_limit;              /* a stock of so many goes back to the slabs */
	uint8_t order;                     /* of slabs */
	uint8_t nr_batches;                 /* batches a CPU; a power of two */
	bool check;                        /* PERCPU_OPTIONS */
	bool sections, remote_batches;            /* whether CPUs have lists, and batches */
	bool inlines;                      /* whether programs may use the lists themselves */
	uint32_t id;                       /* in the tags of slabs; 1 to arena.mask, so that a tag tells the address too */
	uint32_t link_bytes;               /* from an object to its link */
	uint32_t nr_packed;                  /* words behind the link that are its object's: up to CARRIED_MAX */
	bool fences;                       /* whether those can be closed from afar; only ever falls; cache lock */
	uint64_t inverse;                  /* as pub's, but never 0 */
	uint32_t zero_bytes;               /* of each object, when it is given */
	void (*ctor)(void *object);
	const struct rcu_flavor_struct *rcu;
	uint64_t nr_returned;              /* slabs; relaxed atomic */
	uint64_t nr_waiting;               /* slabs in a grace period; and ENDS_LAST: whoever brings it down to that ends the cache */
	size_t kept_slabs;                 /* empty ones that every home keeps, however old; for ever */
	uint64_t epoch_ms;                 /* half the time in which memory ages; UINT64_MAX: it does not; for ever */
	uint64_t aged_ms;                  /* when all homes were last looked at; relaxed atomic */
	struct percpu__lock lock;          /* limits, and used */
	struct percpu__cpu_cache *used;         /* homes ever used; lock, or acquire, which pairs with make_ready */
	struct percpu__cache *next;        /* caches lock */
	char name[40];
};
_Static_assert(sizeof(struct percpu__cache) <= 384, "what an unused cache costs is mostly this");

static inline struct percpu__cache *percpu__cache_of(struct percpu_cache *cache)
{
	return (struct percpu__cache *)cache;
}

/* The list of a copy, as sections compare it. */
static inline char *percpu__magazine_of(const struct percpu__cache *cache, unsigned copy)
{
	return (char *)(uintptr_t)cache->cpu_caches + copy * PERCPU_STRIDE;
}

/* The copy that owns a slab of the cache. */
static inline unsigned percpu__owner_cpu(const struct percpu__cache *cache, const struct percpu__slab *slab)
{
	return (slab->magazine - (char *)(uintptr_t)cache->cpu_caches) / PERCPU_STRIDE;
}

/* Whether an object of the cache begins there, in use or free. Nothing is read from it. */
static inline bool percpu__is_object(const struct percpu__cache *cache, uintptr_t object)
{
	const uintptr_t number = object >> PERCPU__ARENA_UNIT_SHIFT;
	const struct percpu__slab *unit = percpu__slab_at(object);

	return __atomic_load_n(&unit->tag, __ATOMIC_RELAXED) == cache->id + number && object >= unit->start &&
	       (object - unit->start) * cache->inverse < cache->inverse;
}

#define PERCPU__ENDS_LAST (UINT64_C(1) << 63)

/* So many slabs wait no more; the caller does not look at the cache again. */
void percpu__cache_put_waiting(struct percpu__cache *cache, uint64_t nr);

/* Calls visit for every cache, under the caches lock, which the caller holds. */
void percpu__caches_visit(void (*visit)(struct percpu__cache *cache));
void percpu__caches_lock_for_fork(void);
void percpu__caches_unlock_after_fork(void);

/* The same until visit returns false, under the caches lock, which it takes. Returns: whether visit never did. */
bool percpu__caches_each(bool (*visit)(struct percpu__cache *cache, void *arg), void *arg);

/* ---- slab.c ---- */

/* Links on their way; free_list.h says how. */
struct percpu__free_list {
	uintptr_t *first;
	uint64_t nr; /* links */
};

/* Last entered first. */
struct percpu__slab_list {
	struct percpu__slab *first, *last;
	size_t nr;
};

static inline void *percpu__object_of(const struct percpu__cache *cache, void *link)
{
	return (char *)link - cache->link_bytes;
}

static inline void *percpu__link_of(const struct percpu__cache *cache, void *object)
{
	return (char *)object + cache->link_bytes;
}

/* Of the object in its slab: 0 is the lowest address. */
uint32_t percpu__object_number(const struct percpu__cache *cache, const struct percpu__slab *slab, const void *object);

/* Makes a slab of units fresh from the arena, all its objects in it. */
void percpu__slab_init(struct percpu__cache *cache, struct percpu__slab *slab, unsigned owner_cpu);

/*
 * Takes up to nr objects out, the lowest first. Nothing of them is touched. Of the last of them, *nr_unconstructed are
 * yet to be constructed. H. Returns: how many.
 */
unsigned percpu__slab_carve(const struct percpu__cache *cache, struct percpu__slab *slab, void **links, unsigned nr,
			  unsigned *nr_unconstructed);

/* Says of a free object that it is in the slab, or not, where the other was said. Returns: whether it is now. H. */
bool percpu__slab_toggle(const struct percpu__cache *cache, struct percpu__slab *slab, void *link);

/* Takes one back; an object that is in its slab already ends the process. H. */
void percpu__slab_return(const struct percpu__cache *cache, struct percpu__slab *slab, void *link);

/* Walks the bits and the descriptors of all units. H. */
bool percpu__slab_check_invariants(const struct percpu__cache *cache, struct percpu__slab *slab);

/* ---- what one CPU has of one cache ---- */

#define PERCPU__BATCH_MAX 31u

struct percpu__remote_batch {
	struct percpu__stack head;
	void *slot[PERCPU__BATCH_MAX]; /* links */
};
_Static_assert(sizeof(struct percpu__remote_batch) == 256, "whole lines");

/* What tells how old a home's memory is; the times are those of percpu__now_ms. */
struct percpu__age {
	uint64_t used_ms;       /* when its CPU last came to the home, past the list */
	uint64_t epoch_ms;      /* when the epoch began */
	size_t nr_least;        /* empty slabs, the fewest since then */
	uint64_t seen, seen_ms; /* what its list and batches looked like, and since when */
};

/* One copy: what one CPU has of one cache. */
struct percpu__cpu_cache {
	struct percpu__magazine magazine; /* sections of the CPU */
	/* Written by other CPUs: place of the first link << PERCPU__REMOTE_BITS | number of links. */
	uint64_t remote __attribute__((aligned(64)));
	struct percpu__lock lock __attribute__((aligned(64))); /* H, for all below */
	struct percpu__free_list depot;
	struct percpu__slab_list partial, empty; /* slabs with objects in them: some, all */
	size_t nr_slabs;
	struct percpu__age age;
	uint64_t nr_flushed;         /* objects that the home took from the list by sections, so far */
	uint64_t nr_drained;          /* ... and while it was closed */
	uint64_t nr_refills, nr_remote_frees, nr_pushes; /* percpu_add */
	struct percpu__cpu_cache *next_used; /* for ever */
	uint32_t copy;                /* its number; for ever */
	bool ready;                   /* cache lock; the release pairs with make_ready */
	struct percpu__remote_batch remote_batch[] __attribute__((aligned(64))); /* sections of the CPU */
};
_Static_assert(offsetof(struct percpu__cpu_cache, magazine) == 0, "the inlines' per-CPU pointer");
_Static_assert(offsetof(struct percpu__cpu_cache, remote) % 64 == 0 &&
		       offsetof(struct percpu__cpu_cache, lock) == offsetof(struct percpu__cpu_cache, remote) + 64,
	       "the owner's lines, the others' line, the rest");

static inline size_t percpu__cpu_cache_bytes(unsigned nr_batches)
{
	return sizeof(struct percpu__cpu_cache) + nr_batches * sizeof(struct percpu__remote_batch);
}

static inline struct percpu__remote_batch __percpu *percpu__remote_batch_for(struct percpu__cache *cache, unsigned owner_cpu)
{
	return &cache->cpu_caches->remote_batch[owner_cpu & (cache->nr_batches - 1u)];
}

/* The fallback copy has no sections. */
static inline bool percpu__has_sections(const struct percpu__cache *cache, const struct percpu__cpu_cache *cpu_cache)
{
	return cache->sections && cpu_cache->copy + 1 < percpu_abi.nr_copies;
}

/* The home that a slab is of: it has been ready since before the slab was. */
static inline struct percpu__cpu_cache *percpu__owner_of(const struct percpu__slab *slab)
{
	return (struct percpu__cpu_cache *)(slab->magazine + PERCPU_STRIDE);
}

/* Of a CPU that runs or has run: it can be known. */
static inline int percpu__copy_node(unsigned copy)
{
	if (!percpu__has_nodes() || copy + 1 >= percpu_abi.nr_copies)
		return -1;
	if (percpu__cpu_to_memory_node(copy) < 0)
		percpu__find_new_cpus(PERCPU__SYSFS, percpu_abi.nr_copies - 1);
	return percpu__cpu_to_memory_node(copy);
}

/* ---- depot.c ---- */

/* Puts up to nr links of a chain back into the slabs; links of other homes' slabs are left. H. */
void percpu__slabs_return(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, struct percpu__free_list *list,
			     uint64_t nr, struct percpu__free_list *left);

/* The same for links of any home. No home lock held. */
void percpu__slabs_return_all(struct percpu__cache *cache, struct percpu__free_list *list);

/* The same for nr links in an array; those of other homes' slabs go to left. H. */
void percpu__slabs_return_many(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, void *const *links,
				  unsigned nr, struct percpu__free_list *left);

/*
 * Takes up to nr objects, the next to be given first, out of the home's slabs: those with some objects, then those with
 * all, but no more fresh ones than a refill. H, which is let go for constructors. Returns: how many.
 */
unsigned percpu__slabs_carve(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, void **links, unsigned nr);

/* One more slab for the home; false: no memory. H. */
bool percpu__slabs_grow(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache);

/* Takes up to nr empty slabs out of the home, those empty longest, linked by next. H. */
struct percpu__slab *percpu__slabs_take_empty(struct percpu__cpu_cache *cpu_cache, size_t nr);

/* Walks the lists of slabs, and the slabs in them. H. */
bool percpu__slabs_check_invariants(const struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache);

/* Takes the slabs without a missing object, in all homes. */
struct percpu__slab *percpu__slabs_take_all_empty(struct percpu__cache *cache);

/* Gives back slabs linked by next, after a grace period where readers may look at them: which may wait, or not. */
void percpu__slabs_release(struct percpu__cache *cache, struct percpu__slab *slabs, bool may_wait);

/* ---- age.c ---- */

/* In a new cache: how long its memory may be idle, UINT64_MAX being for ever; and how much of it each CPU keeps. */
void percpu__age_init(struct percpu__cache *cache, uint64_t decay_ms, size_t keep_bytes);

/* Takes out of the home, to which its CPU has come, the empty slabs that are to go back now, linked by next. H. */
struct percpu__slab *percpu__age_take_due(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, uint64_t now_ms);

/*
 * Looks, if it is time, for what is no longer needed anywhere, and gives it back: CPUs that have gone quiet, in caches
 * that have, too. frees: the caller gives an object of the cache back, so that it may call its RCU. No lock held.
 */
void percpu__age_all(struct percpu__cache *cache, uint64_t now_ms, bool frees);

/* ---- remote.c ---- */

#define PERCPU__REMOTE_BITS 27
#define PERCPU__REMOTE_MAX ((UINT64_C(1) << PERCPU__REMOTE_BITS) - 1)

/*
 * Pushes a chain, of which `last` was pushed first, onto the home's remote list. H of this CPU's copy, or the cache
 * lock. Returns: false where the list is too long for its count.
 */
bool percpu__remote_push(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, const struct percpu__free_list *list,
			 uintptr_t *last);

/* The remote list, whole. */
struct percpu__free_list percpu__remote_take(struct percpu__cpu_cache *cpu_cache);

/* The remote list, where it is. H of all copies. */
struct percpu__free_list percpu__remote_look(const struct percpu__cpu_cache *cpu_cache);

/* Sends a chain of links home; what found no room stays in it. H of this CPU's copy, or the cache lock. */
void percpu__remote_flush(struct percpu__cache *cache, struct percpu__free_list *list);

/* Whether the link is the last in a batch. Of a batch of another CPU it may be out of date. */
static inline bool percpu__remote_batch_ends_with(const struct percpu__remote_batch *batch, const void *link)
{
	const uint32_t nr = __atomic_load_n(&batch->head.nr, __ATOMIC_ACQUIRE);

	return nr && __atomic_load_n(&batch->slot[nr - 1], __ATOMIC_RELAXED) == link;
}

/*
 * Puts the link of another home into this CPU's batch.
 * Returns: false where that is full or closed, or ends with the link, or the link is this CPU's own.
 */
bool percpu__remote_batch_push(struct percpu__cache *cache, void *link, unsigned owner_cpu);

/* A link of another home, which this CPU's batch did not take: opens the batch, or sends it, and the link with it. */
void percpu__remote_batch_free(struct percpu__cache *cache, void *link, unsigned owner_cpu);

/* Opens the batches of a home, or closes them: limit 0. Cache lock. */
void percpu__remote_batches_set_limit(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, uint32_t limit);

/* Sends what is in closed batches home. Cache lock. */
void percpu__remote_batches_flush(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache);

/* The same for all batches, if there is anything in them. No lock held. */
void percpu__remote_batches_collect(struct percpu__cache *cache);

/* ---- flow.c ---- */

/* The copy that the caller works on: its CPU's where it has a usable rseq area or rseq is off, else the fallback one. */
struct percpu__cpu_cache *percpu__cpu_cache_here(struct percpu__cache *cache);

/* The copy of that number, its lock ready. */
struct percpu__cpu_cache *percpu__cpu_cache_at(struct percpu__cache *cache, unsigned copy);

/* H of all copies ever used. Cache lock. */
void percpu__cpu_caches_lock(struct percpu__cache *cache);
void percpu__cpu_caches_unlock(struct percpu__cache *cache);
void percpu__cpu_caches_lock_for_fork(struct percpu__cache *cache);
void percpu__cpu_caches_unlock_after_fork(struct percpu__cache *cache);

/* Opens what a close closed, or what was never open. No lock held. */
void percpu__magazine_start(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache);

/* One link for the caller, from wherever there is one; NULL: no memory. */
void *percpu__flow_alloc(struct percpu__cache *cache);

/* Takes a link that no list of this CPU took: home is the copy that owns its slab. */
void percpu__flow_free(struct percpu__cache *cache, void *link, unsigned owner_cpu);

/* The same for any copy. */
void percpu__flow_free_to(struct percpu__cache *cache, void *link, unsigned copy);

/* Closes lists and batches, for those who look from now on; for all, once the caller has fenced. Cache lock. */
void percpu__magazines_stop(struct percpu__cache *cache);

/* Returns: whether what a close said is true now. Without fences it never is. Cache lock. */
bool percpu__magazines_stopped(struct percpu__cache *cache);

/*
 * Moves what lies in the stock and the remote list to the slabs, but no more at a time than anyone may wait for. No home
 * lock held. Returns: whether that was all.
 */
bool percpu__cpu_cache_trim(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache);

/* After a close and a fence: moves all that is free in the home to the slabs, its list and batches too. Cache lock. */
void percpu__cpu_cache_drain(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache);

/* After a close: moves all that is free to the slabs. alone: nobody else uses the cache. Cache lock. */
void percpu__cpu_caches_drain(struct percpu__cache *cache, bool alone);

/* In a child whose parent could not close: lists may be torn, so their objects are given up. */
void percpu__magazines_forget(struct percpu__cache *cache);

/* ---- check.c ---- */

/* Ends the process with a message about a pointer that was given to the cache, or found in it. */
_Noreturn void percpu__cache_fatal(const struct percpu__cache *cache, const char *call, const void *pointer,
				   enum percpu__fault fault) __attribute__((cold));

/* Cut out for the first time; about to be given; taken back from the program. */
void percpu__check_carved(const struct percpu__cache *cache, void *object);
void percpu__check_allocated(const struct percpu__cache *cache, void *object);
void percpu__check_freed(const struct percpu__cache *cache, void *object);

/* ---- rcu.c: the only file that knows what a flavour is ---- */

bool percpu__rcu_known(void);
void percpu__rcu_wait(const struct rcu_flavor_struct *flavor);    /* a grace period */
void percpu__rcu_drain(const struct rcu_flavor_struct *flavor);   /* all calls so far */

/* Whether calls come: not in a child of a process that asked for some, as far as the library can know. */
bool percpu__rcu_can_call(void);

/* Calls release after a grace period; storage: 16 bytes that stay until then. */
void percpu__rcu_call(const struct rcu_flavor_struct *flavor, void *storage, void (*release)(void *storage));

/* ---- invariants.c ---- */

/*
 * Walks all that is free, while lists and batches stand still: closed and fenced, or nobody else uses the cache.
 * Cache lock.
 */
bool percpu__cache_check_invariants(struct percpu__cache *cache);

/* ---- fork.c ---- */

/* Once, before the first cache. */
void percpu__cache_fork_init(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The writer: owns the descriptions in the directory of a published pool. A record's length is one
 * of a few size classes, so that a vacant record serves another metric; vacant records of a class
 * are linked in a free list. Changes happen under the pool's lock, in the process that owns the
 * pool (src/percpu/owner.c). Readers in other processes take no lock: the directory has a seqcount,
 * `changes`, and each record another, its generation (format.h).
 *
 * Children of the owner can write the directory, and may be hostile: nothing in it is trusted.
 * Writing there garbles descriptions, and nothing else.
 */
#include <errno.h>
#include <string.h>

#include "publish/publish.h"

#define CLASS_STEP_BITS 2 /* four lengths for each power of two */
#define CLASS_STEPS (1u << CLASS_STEP_BITS)
#define FIRST_BYTES ((uint64_t)64)
#define NR_CLASSES 96u

/* What this process knows of a pool's directory, kept in the room that the pool has for it; pool lock. */
struct directory {
	uint64_t used_bytes;
	uint64_t generation;         /* of the process that learned this */
	uint64_t vacant[NR_CLASSES]; /* 1 + offset of the first vacant record of each class; 0: none */
};
_Static_assert(sizeof(struct directory) <= sizeof(((struct percpu__shared *)NULL)->publish_state),
	       "the pool has room for it");

static struct directory *directory_of(struct percpu__shared *shared)
{
	return (struct directory *)shared->publish_state;
}

static uint64_t class_bytes(unsigned class)
{
	return (FIRST_BYTES << class / CLASS_STEPS) / CLASS_STEPS *
	       (CLASS_STEPS + class % CLASS_STEPS);
}

/* Returns: the smallest class with room for bytes; NR_CLASSES if there is none. */
static unsigned class_of(uint64_t bytes)
{
	unsigned class = 0;

	while (class < NR_CLASSES && class_bytes(class) < bytes)
		class++;
	return class;
}

static struct percpu__record *record_at(const struct percpu__shared *shared, uint64_t at)
{
	return (struct percpu__record *)((char *)shared->header + shared->directory_offset +
					      at);
}

static uint64_t place_of(const struct percpu__shared *shared,
			 const struct percpu__record *record)
{
	return (const char *)record - (const char *)record_at(shared, 0);
}

/* ---- the seqcounts; read_changes and read_generation are the reading side ---- */

static void begin_change(struct percpu__file_header *header)
{
	__atomic_store_n(&header->changes, header->changes + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void end_change(struct percpu__file_header *header)
{
	__atomic_store_n(&header->changes, header->changes + 1, __ATOMIC_RELEASE);
}

/*
 * Makes an even generation odd, so that readers ignore the record, or an odd one even: the record
 * is whole.
 */
static void turn_generation(struct percpu__record *record)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
	__atomic_store_n(&record->generation, record->generation + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* ---- records ---- */

/* Returns: true if a record of the class fits at offset `at`. */
static bool is_place(struct percpu__shared *shared, uint64_t at, unsigned class)
{
	return at % sizeof(uint64_t) == 0 && at < directory_of(shared)->used_bytes &&
	       class_bytes(class) <= directory_of(shared)->used_bytes - at;
}

/* Returns: a vacant record, reused or new; NULL if the directory is full. */
static struct percpu__record *take_record(struct percpu__shared *shared, uint64_t bytes)
{
	const unsigned class = class_of(bytes);
	struct percpu__record *record;

	if (class == NR_CLASSES)
		return NULL;
	if (is_place(shared, directory_of(shared)->vacant[class] - 1, class)) { /* 0: the list is empty */
		record = record_at(shared, directory_of(shared)->vacant[class] - 1);
		directory_of(shared)->vacant[class] = record->next_vacant;
		return record;
	}
	if (class_bytes(class) > shared->directory_bytes - directory_of(shared)->used_bytes)
		return NULL;
	record = record_at(shared, directory_of(shared)->used_bytes);
	record->generation = 1;
	record->bytes = class_bytes(class);
	directory_of(shared)->used_bytes += class_bytes(class);
	__atomic_store_n(&shared->header->used_bytes, directory_of(shared)->used_bytes,
			 __ATOMIC_RELEASE); /* pairs with read_image */
	return record;
}

/* Returns: the class of a record in use; NR_CLASSES if it is not a record in use. */
static unsigned class_in_use(struct percpu__shared *shared,
			     const struct percpu__record *record)
{
	const uint64_t at = place_of(shared, record);
	uint64_t bytes;
	unsigned class;

	if (!is_place(shared, at, 0) || record->generation % 2)
		return NR_CLASSES;
	bytes = __atomic_load_n(&record->bytes, __ATOMIC_RELAXED);
	class = class_of(bytes);
	return class < NR_CLASSES && class_bytes(class) == bytes &&
			       is_place(shared, at, class)
		       ? class
		       : NR_CLASSES;
}

static void vacate_record(struct percpu__shared *shared, struct percpu__record *record,
			  unsigned class)
{
	record->next_vacant = directory_of(shared)->vacant[class];
	directory_of(shared)->vacant[class] = place_of(shared, record) + 1; /* 0 ends the list */
}

/* ---- taking over from another owner ---- */

/*
 * Rebuilds the free lists from the directory after this process took the pool over. A record that
 * the previous owner left unfinished has an odd generation and is vacant. An invalid record ends
 * the directory, for readers too.
 */
static void learn(struct percpu__shared *shared)
{
	struct percpu__file_header *header = shared->header;
	const uint64_t claimed = __atomic_load_n(&header->used_bytes, __ATOMIC_RELAXED);
	const uint64_t end = claimed < shared->directory_bytes ? claimed : shared->directory_bytes;
	uint64_t at = 0;

	if (percpu__likely(directory_of(shared)->generation == percpu__generation()))
		return;
	__atomic_store_n(&header->changes, header->changes | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memset(directory_of(shared)->vacant, 0, sizeof(directory_of(shared)->vacant));
	directory_of(shared)->used_bytes = end;
	while (at < end && is_place(shared, at, 0)) {
		struct percpu__record *record = record_at(shared, at);
		const uint64_t bytes = __atomic_load_n(&record->bytes, __ATOMIC_RELAXED);
		const unsigned class = class_of(bytes);

		if (class == NR_CLASSES || class_bytes(class) != bytes ||
		    !is_place(shared, at, class))
			break;
		if (record->generation % 2)
			vacate_record(shared, record, class);
		at += bytes;
	}
	directory_of(shared)->used_bytes = at;
	__atomic_store_n(&header->used_bytes, at, __ATOMIC_RELEASE); /* pairs with read_image */
	directory_of(shared)->generation = percpu__generation();
	end_change(header);
}

/* ---- text ---- */

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static uint64_t text_bytes(const struct percpu_metric *metric)
{
	uint64_t bytes = strlen(metric->name) + strlen(or_empty(metric->unit)) +
			 strlen(or_empty(metric->help)) + 3;

	for (uint32_t i = 0; i < metric->nr_labels; i++)
		bytes += strlen(or_empty(metric->labels[i].name)) +
			 strlen(or_empty(metric->labels[i].value)) + 2;
	return bytes;
}

static char *put(char *at, const char *text)
{
	return stpcpy(at, or_empty(text)) + 1;
}

static void write_text(char *at, const struct percpu_metric *metric)
{
	at = put(put(put(at, metric->name), metric->unit), metric->help);
	for (uint32_t i = 0; i < metric->nr_labels; i++)
		at = put(put(at, metric->labels[i].name), metric->labels[i].value);
}

/* ---- the public entries ---- */

static bool is_histogram(const struct percpu_metric *metric)
{
	return metric->kind == PERCPU_METRIC_HISTOGRAM;
}

/*
 * Returns: true if all label names differ. JSON and Prometheus keep only one of two labels of the
 * same name.
 */
static bool are_distinct(const struct percpu_label *labels, uint32_t nr)
{
	for (uint32_t i = 1; i < nr; i++)
		for (uint32_t j = 0; j < i; j++)
			if (!strcmp(or_empty(labels[i].name), or_empty(labels[j].name)))
				return false;
	return true;
}

static bool is_valid(const struct percpu_metric *metric)
{
	return metric && metric->size >= sizeof(*metric) && metric->name && metric->name[0] &&
	       metric->kind >= PERCPU_METRIC_COUNTER && metric->kind <= PERCPU_METRIC_HISTOGRAM &&
	       is_histogram(metric) == !!metric->shape &&
	       (!metric->shape || percpu_histogram_shape_is_valid(metric->shape)) &&
	       (!metric->scale || percpu__scale_is_valid(metric->scale)) &&
	       (!metric->nr_labels ||
		(metric->labels && are_distinct(metric->labels, metric->nr_labels)));
}

static uint32_t nr_words(const struct percpu_metric *metric)
{
	return metric->shape ? PERCPU__HISTOGRAM_WORDS + metric->shape->nr_buckets : 1;
}

/* Returns: the published pool that has nr words at per-CPU pointer p; NULL if there is none. */
static struct percpu_pool *published_pool(const void __percpu *p, uint32_t nr)
{
	const size_t offset = (uintptr_t)p % PERCPU_STRIDE;
	struct percpu_pool *pool = percpu__pool_of((uintptr_t)p);

	if (!pool || !pool->shared ||
	    ((uintptr_t)p - (uintptr_t)pool->shared->slots) % pool->shared->slot_bytes >=
		    PERCPU_STRIDE ||
	    offset % sizeof(uint64_t) || offset + nr * sizeof(uint64_t) > PERCPU_STRIDE)
		return NULL;
	return pool;
}

static struct percpu_published *fail(int error)
{
	errno = -error;
	return NULL;
}

/*
 * Context: the caller holds the pool's lock.
 * Returns: the new record; NULL if the directory is full.
 */
static struct percpu__record *describe(struct percpu__shared *shared, const void __percpu *p,
					    const struct percpu_metric *metric)
{
	const uint64_t bytes = text_bytes(metric);
	struct percpu__record *record;

	begin_change(shared->header);
	record = take_record(shared, sizeof(*record) + bytes);
	if (record) {
		record->value = percpu__shared_offset(shared, (uintptr_t)percpu_ptr(p, 0));
		record->kind = metric->kind;
		record->nr_words = nr_words(metric);
		record->unit_shift = metric->shape ? metric->shape->unit_shift : 0;
		record->precision_bits = metric->shape ? metric->shape->precision_bits : 0;
		record->scale = metric->scale ? metric->scale : 1;
		record->nr_labels = metric->nr_labels;
		record->text_bytes = bytes;
		write_text(record->text, metric);
		turn_generation(record);
	}
	end_change(shared->header);
	return record;
}

struct percpu_published *percpu_publish(const void __percpu *p, const struct percpu_metric *metric)
{
	struct percpu_pool *pool = is_valid(metric) ? published_pool(p, nr_words(metric)) : NULL;
	struct percpu__record *record;
	int error;

	if (!pool)
		return fail(-EINVAL);
	error = percpu__pool_own(pool);
	if (error)
		return fail(error);
	percpu__lock(&pool->lock);
	learn(pool->shared);
	record = describe(pool->shared, p, metric);
	percpu__unlock(&pool->lock);
	return record ? (struct percpu_published *)record : fail(-ENOMEM);
}

struct find_pool {
	const struct percpu__record *record;
	struct percpu_pool *pool;
};

static void match_pool(struct percpu_pool *pool, void *arg)
{
	struct find_pool *find = arg;

	if (pool->shared &&
	    (uintptr_t)find->record - (uintptr_t)pool->shared->header < pool->shared->front_bytes)
		find->pool = pool;
}

int percpu_unpublish(struct percpu_published *published)
{
	struct percpu__record *record = (struct percpu__record *)published;
	struct find_pool find = { .record = record };
	unsigned class;
	int error;

	percpu__pools_lock();
	percpu__pools_visit(match_pool, &find);
	percpu__pools_unlock();
	if (!find.pool)
		return -EINVAL;
	error = percpu__pool_own(find.pool);
	if (error)
		return error;
	percpu__lock(&find.pool->lock);
	learn(find.pool->shared);
	class = class_in_use(find.pool->shared, record);
	if (class < NR_CLASSES) {
		begin_change(find.pool->shared->header);
		turn_generation(record);
		vacate_record(find.pool->shared, record, class);
		end_change(find.pool->shared->header);
	}
	percpu__unlock(&find.pool->lock);
	return class < NR_CLASSES ? 0 : -EINVAL;
}

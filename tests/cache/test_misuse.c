/* SPDX-License-Identifier: MIT */
/* Each misuse of a cache ends its process with one message, which names call, pointer and cache. */
#include "cache/world.h"
#include "harness/filter.h"
#include "harness/messages.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static struct percpu_cache *cache, *other;
static char *object;

static void interior(void)
{
	percpu_cache_free(cache, object + 8);
}

static void byte_off(void)
{
	percpu_cache_free(cache, object + 1);
}

static void object_of_another_cache(void)
{
	percpu_cache_free(other, object);
}

static void pointer_to_the_stack(void)
{
	char local[64];

	percpu_cache_free(cache, local);
}

static void pointer_from_malloc(void)
{
	percpu_cache_free(cache, malloc(64));
}

static void low_address(void)
{
	percpu_cache_free(cache, (void *)64);
}

static void high_address(void)
{
	percpu_cache_free(cache, (void *)(UINTPTR_MAX - 63));
}

static void address_behind_the_slab(void)
{
	percpu_cache_free(cache, (char *)(((uintptr_t)object | 0xffff) + 1) + 64 * 65536);
}

static void address_one_arena_away(void)
{
	/* The same place in the table of slabs, a whole arena away. */
	percpu_cache_free(cache, object + ((cache->mask + 1) << 16));
}

/* 200 does not divide 64 KiB: there is a gap in front of a slab's first object. */
static void gap_before_the_first_object(void)
{
	struct percpu_cache *uneven = cache_of(200);
	uintptr_t p = (uintptr_t)percpu_cache_alloc(uneven);

	percpu_cache_free(uneven, (void *)(p & ~(uintptr_t)0xffff));
}

static void double_free(void)
{
	percpu_cache_free(cache, object);
	percpu_cache_free(cache, object);
}

static void double_free_found_by_the_slab(void)
{
	void *second = percpu_cache_alloc(cache);

	percpu_cache_free(cache, object);
	percpu_cache_free(cache, second);
	percpu_cache_free(cache, object);
	percpu_cache_shrink(cache);
}

static void double_free_with_another_between(void)
{
	void *second = percpu_cache_alloc(cache);

	percpu_cache_free(cache, object);
	percpu_cache_free(cache, second);
	percpu_cache_free(cache, object);
}

static void double_free_without_membarrier(void)
{
	ck_assert(filter_refuse(SYS_membarrier, EPERM));
	double_free();
}

static int second_cpu(void)
{
	return nth_cpu(1) < 0 ? 0 : 1;
}

static void free_twice(void *arg)
{
	double_free();
}

static void double_free_on_another_cpu(void)
{
	on_cpu(second_cpu(), free_twice, NULL);
}

static void twice_to(int n)
{
	percpu_cache_free_to(cache, object, nth_cpu(n));
	percpu_cache_free_to(cache, object, nth_cpu(n));
}

static void double_free_to_this_cpu(void)
{
	twice_to(0);
}

static void double_free_to_another_cpu(void)
{
	twice_to(second_cpu());
}

static void free_one(void *one)
{
	percpu_cache_free(cache, one);
}

/* The second free waits in a batch for as long as its slab lives, and longer. */
static void double_free_after_the_slab_is_gone(void)
{
	static void *objects[8192];

	ck_assert_int_eq(percpu_cache_alloc_bulk(cache, 8192, objects), 0);
	on_cpu(second_cpu(), free_one, objects[0]);
	percpu_cache_free_bulk(cache, 8192, objects);
	percpu_cache_shrink(cache);
}

static void free_to_no_cpu(void)
{
	percpu_cache_free_to(cache, object, percpu_nr_cpus());
}

static void destroy(void)
{
	percpu_cache_free(cache, object);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}

static void alloc_after_destroy(void)
{
	destroy();
	percpu_cache_alloc(cache);
}

static void free_after_destroy(void)
{
	destroy();
	percpu_cache_free(cache, object);
}

static void shrink_after_destroy(void)
{
	destroy();
	percpu_cache_shrink(cache);
}

static void destroy_twice(void)
{
	destroy();
	percpu_cache_destroy(cache);
}

static void write_after_free(void)
{
	percpu_cache_free(cache, object);
	object[40] = 1;
	percpu_cache_free(cache, percpu_cache_alloc(cache));
}

/* A packed node whose count the program overwrote. */
static void write_packed_pointers(void)
{
	uint64_t *p[16];

	for (unsigned i = 0; i < 16; i++)
		p[i] = percpu_cache_alloc(cache);
	for (unsigned i = 0; i < 16; i++) {
		memset(p[i], 0x41, 64);
		percpu_cache_free(cache, p[i]);
	}
	for (unsigned i = 0; i < 16; i++)
		p[i][0] |= 7;
	for (unsigned i = 0; i < 16; i++)
		memset(percpu_cache_alloc(cache), 0, 64);
}

/* Links a free list to the gap in front of a slab's first object. */
static void write_the_address_of_the_gap(void)
{
	struct percpu_cache *uneven = cache_of(200);
	uintptr_t *p[64];

	for (unsigned i = 0; i < 64; i++)
		p[i] = percpu_cache_alloc(uneven);
	for (unsigned i = 0; i < 64; i++)
		percpu_cache_free(uneven, p[i]);
	for (unsigned i = 0; i < 64; i++)
		*p[i] = (uintptr_t)p[i] & ~(uintptr_t)0xffff;
	for (unsigned i = 0; i < 64; i++)
		percpu_cache_alloc(uneven);
}

/* Writes a value into free objects, one of which at least carries others. */
static void write_to_free_objects(size_t size, uint64_t value)
{
	struct percpu_cache *packed = cache_of(size);
	uint64_t *p[16];

	for (unsigned i = 0; i < 16; i++)
		p[i] = percpu_cache_alloc(packed);
	for (unsigned i = 0; i < 16; i++)
		percpu_cache_free(packed, p[i]);
	for (unsigned i = 0; i < 16; i++)
		p[i][0] = value;
	for (unsigned i = 0; i < 16; i++)
		percpu_cache_alloc(packed);
}

static void write_a_count_of_packed_pointers(void)
{
	write_to_free_objects(16, 7);
}

static void write_a_next_pointer(void)
{
	write_to_free_objects(64, 0x4141414141414140);
}

static const struct misuse {
	void (*run)(void);
	const char *options, *call; /* no call: whichever call finds the double free, or the list corrupted by it */
	enum percpu__fault fault;
} misuses[] = {
	{ interior, "", "percpu_cache_free", PERCPU__FAULT_INSIDE_OBJECT },
	{ interior, "mode:atomic", "percpu_cache_free", PERCPU__FAULT_INSIDE_OBJECT },
	{ byte_off, "", "percpu_cache_free", PERCPU__FAULT_INSIDE_OBJECT },
	{ object_of_another_cache, "", "percpu_cache_free", PERCPU__FAULT_OTHER_CACHE },
	{ object_of_another_cache, "mode:atomic", "percpu_cache_free", PERCPU__FAULT_OTHER_CACHE },
	{ pointer_to_the_stack, "", "percpu_cache_free", PERCPU__FAULT_NOT_AN_OBJECT },
	{ pointer_from_malloc, "", "percpu_cache_free", PERCPU__FAULT_NOT_AN_OBJECT },
	{ low_address, "", "percpu_cache_free", PERCPU__FAULT_NOT_AN_OBJECT },
	{ high_address, "", "percpu_cache_free", PERCPU__FAULT_NOT_AN_OBJECT },
	{ address_behind_the_slab, "", "percpu_cache_free", PERCPU__FAULT_NOT_AN_OBJECT },
	{ address_one_arena_away, "", "percpu_cache_free", PERCPU__FAULT_NOT_AN_OBJECT },
	{ gap_before_the_first_object, "", "percpu_cache_free", PERCPU__FAULT_INSIDE_OBJECT },
	{ double_free, "", "percpu_cache_free", PERCPU__FAULT_DOUBLE_FREE },
	{ double_free, "mode:atomic", "percpu_cache_free", PERCPU__FAULT_DOUBLE_FREE },
	{ double_free_without_membarrier, "", "percpu_cache_free", PERCPU__FAULT_DOUBLE_FREE },
	{ double_free, "check", "percpu_cache_free", PERCPU__FAULT_DOUBLE_FREE },
	{ double_free_found_by_the_slab, "", "percpu_cache_free", PERCPU__FAULT_DOUBLE_FREE },
	{ double_free_found_by_the_slab, "mode:atomic", "percpu_cache_free", PERCPU__FAULT_DOUBLE_FREE },
	{ double_free_with_another_between, "check", "percpu_cache_free", PERCPU__FAULT_DOUBLE_FREE },
	{ double_free_to_this_cpu, "", "percpu_cache_free_to", PERCPU__FAULT_DOUBLE_FREE },
	{ double_free_to_another_cpu, "", NULL, PERCPU__FAULT_DOUBLE_FREE },
	{ double_free_to_another_cpu, "mode:atomic", NULL, PERCPU__FAULT_DOUBLE_FREE },
	{ double_free_on_another_cpu, "", "percpu_cache_free", PERCPU__FAULT_DOUBLE_FREE },
	{ double_free_on_another_cpu, "mode:atomic", "percpu_cache_free", PERCPU__FAULT_DOUBLE_FREE },
	{ double_free_after_the_slab_is_gone, "", NULL, PERCPU__FAULT_DOUBLE_FREE },
	{ free_to_no_cpu, "", "percpu_cache_free_to", PERCPU__FAULT_NO_SUCH_CPU },
	{ alloc_after_destroy, "", "percpu_cache_alloc", PERCPU__FAULT_DESTROYED_CACHE },
	{ free_after_destroy, "", "percpu_cache_free", PERCPU__FAULT_DESTROYED_CACHE },
	{ shrink_after_destroy, "", "percpu_cache_shrink", PERCPU__FAULT_DESTROYED_CACHE },
	{ destroy_twice, "", "percpu_cache_destroy", PERCPU__FAULT_DESTROYED_CACHE },
	{ write_after_free, "check", "percpu_cache_alloc", PERCPU__FAULT_WRITE_AFTER_FREE },
	{ write_a_count_of_packed_pointers, "mode:atomic", "percpu_cache", PERCPU__FAULT_CORRUPTED_LIST },
	{ write_packed_pointers, "mode:atomic", "percpu_cache", PERCPU__FAULT_CORRUPTED_LIST },
	{ write_the_address_of_the_gap, "mode:atomic", "percpu_cache", PERCPU__FAULT_CORRUPTED_LIST },
	{ write_a_next_pointer, "mode:atomic", "percpu_cache", PERCPU__FAULT_CORRUPTED_LIST },
};

static bool is_said(const char *said, const char *call, enum percpu__fault fault, const char *pointer)
{
	const char *const rest = after_message(said, call, fault, pointer);

	return rest && (!strcmp(rest, " (cache \"test\", 64-byte objects)\n") ||
			!strcmp(rest, " (cache \"test\", 200-byte objects)\n") ||
			!strcmp(rest, " (cache \"test\", 16-byte objects)\n"));
}

static bool is_expected(const char *said, const struct misuse *one)
{
	const char *const pointer = one->run == low_address ? "0x40" : NULL;

	return one->call ? is_said(said, one->call, one->fault, pointer)
			 : is_said(said, "percpu_cache_free", one->fault, pointer) ||
				   is_said(said, "percpu_cache_free_to", one->fault, pointer) ||
				   is_said(said, "percpu_cache", PERCPU__FAULT_CORRUPTED_LIST, pointer);
}

START_TEST(misuse)
{
	const struct misuse *one = &misuses[_i];
	char said[1024] = "";
	ssize_t got, length = 0;
	int ends[2], status;
	pid_t child;

	ck_assert(!pipe(ends));
	child = fork();
	ck_assert_int_ge(child, 0);
	if (!child) {
		close(ends[0]);
		dup2(ends[1], STDERR_FILENO);
		setenv("PERCPU_OPTIONS", one->options, 1);
		pin(0);
		cache = cache_of(64);
		other = cache_of(64);
		object = percpu_cache_alloc(cache);
		one->run();
		_exit(0);
	}
	close(ends[1]);
	while ((got = read(ends[0], said + length, sizeof(said) - 1 - length)) > 0)
		length += got;
	close(ends[0]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x", status);
	ck_assert_msg(is_expected(said, one), "expected \"%s\", got: %s", message_texts[one->fault], said);
	ck_assert_ptr_eq(strchr(said, '\n'), said + length - 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("misuse of caches");
	TCase *tcase = case_of("misuse of caches");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, misuse, 0, sizeof(misuses) / sizeof(misuses[0]));
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}

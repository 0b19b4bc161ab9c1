/* SPDX-License-Identifier: MIT */
/* Each misuse ends its process with one line that says what, which pointer, which rule. */
#include "cache/world.h"
#include "harness/filter.h"

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

static void wrong_cache(void)
{
	percpu_cache_free(other, object);
}

static void nobody_of_stack(void)
{
	char local[64];

	percpu_cache_free(cache, local);
}

static void nobody_of_malloc(void)
{
	percpu_cache_free(cache, malloc(64));
}

static void nobody_of_low_addresses(void)
{
	percpu_cache_free(cache, (void *)64);
}

static void nobody_of_high_addresses(void)
{
	percpu_cache_free(cache, (void *)(UINTPTR_MAX - 63));
}

static void nobody_behind_the_slab(void)
{
	percpu_cache_free(cache, (char *)(((uintptr_t)object | 0xffff) + 1) + 64 * 65536);
}

static void nobody_an_arena_away(void)
{
	/* The same place in the table of slabs, a whole arena away. */
	percpu_cache_free(cache, object + ((cache->mask + 1) << 16));
}

/* 200 does not divide 64 KiB: the first bytes of a slab are no object's. */
static void rest_of_the_slab(void)
{
	struct percpu_cache *uneven = cache_of(200);
	uintptr_t p = (uintptr_t)percpu_cache_alloc(uneven);

	percpu_cache_free(uneven, (void *)(p & ~(uintptr_t)0xffff));
}

static void twice_at_once(void)
{
	percpu_cache_free(cache, object);
	percpu_cache_free(cache, object);
}

static void twice_found_by_the_slab(void)
{
	void *second = percpu_cache_alloc(cache);

	percpu_cache_free(cache, object);
	percpu_cache_free(cache, second);
	percpu_cache_free(cache, object);
	percpu_cache_shrink(cache);
}

static void twice_with_another_between(void)
{
	void *second = percpu_cache_alloc(cache);

	percpu_cache_free(cache, object);
	percpu_cache_free(cache, second);
	percpu_cache_free(cache, object);
}

static void twice_without_membarrier(void)
{
	ck_assert(filter_refuse(SYS_membarrier, EPERM));
	twice_at_once();
}

static int second_cpu(void)
{
	return nth_cpu(1) < 0 ? 0 : 1;
}

static void free_twice(void *arg)
{
	twice_at_once();
}

static void twice_on_another_cpu(void)
{
	on_cpu(second_cpu(), free_twice, NULL);
}

static void twice_to(int n)
{
	percpu_cache_free_to(cache, object, nth_cpu(n));
	percpu_cache_free_to(cache, object, nth_cpu(n));
}

static void twice_to_this_cpu(void)
{
	twice_to(0);
}

static void twice_to_another_cpu(void)
{
	twice_to(second_cpu());
}

static void free_one(void *one)
{
	percpu_cache_free(cache, one);
}

/* The second free waits in a batch for as long as its slab lives, and longer. */
static void twice_when_the_slab_is_gone(void)
{
	static void *objects[8192];

	ck_assert_int_eq(percpu_cache_alloc_bulk(cache, 8192, objects), 0);
	on_cpu(second_cpu(), free_one, objects[0]);
	percpu_cache_free_bulk(cache, 8192, objects);
	percpu_cache_shrink(cache);
}

static void to_no_cpu(void)
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

/* A carrier that says it carries what the program wrote into it. */
static void write_links_of_no_object(void)
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

/* 200 does not divide 64 KiB: the first bytes of a slab are no object's. */
static void write_the_rest_of_the_slab(void)
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
static void write_to_carriers(size_t size, uint64_t value)
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

static void write_a_number_of_others(void)
{
	write_to_carriers(16, 7);
}

static void write_another_carrier(void)
{
	write_to_carriers(64, 0x4141414141414140);
}

static const struct misuse {
	void (*run)(void);
	const char *options, *function, *rule;
} misuses[] = {
	{ interior, "", "percpu_cache_free 0x", "inside an object, not its start" },
	{ interior, "mode:atomic", "percpu_cache_free 0x", "inside an object, not its start" },
	{ byte_off, "", "percpu_cache_free 0x", "inside an object, not its start" },
	{ wrong_cache, "", "percpu_cache_free 0x", "an object of another cache" },
	{ wrong_cache, "mode:atomic", "percpu_cache_free 0x", "an object of another cache" },
	{ nobody_of_stack, "", "percpu_cache_free 0x", "not an object of a cache" },
	{ nobody_of_malloc, "", "percpu_cache_free 0x", "not an object of a cache" },
	{ nobody_of_low_addresses, "", "percpu_cache_free 0x40", "not an object of a cache" },
	{ nobody_of_high_addresses, "", "percpu_cache_free 0x", "not an object of a cache" },
	{ nobody_behind_the_slab, "", "percpu_cache_free 0x", "not an object of a cache" },
	{ nobody_an_arena_away, "", "percpu_cache_free 0x", "not an object of a cache" },
	{ rest_of_the_slab, "", "percpu_cache_free 0x", "inside an object, not its start" },
	{ twice_at_once, "", "percpu_cache_free 0x", "freed twice" },
	{ twice_at_once, "mode:atomic", "percpu_cache_free 0x", "freed twice" },
	{ twice_without_membarrier, "", "percpu_cache_free 0x", "freed twice" },
	{ twice_at_once, "check", "percpu_cache_free 0x", "freed twice" },
	{ twice_found_by_the_slab, "", "percpu_cache_free 0x", "freed twice" },
	{ twice_found_by_the_slab, "mode:atomic", "percpu_cache_free 0x", "freed twice" },
	{ twice_with_another_between, "check", "percpu_cache_free 0x", "freed twice" },
	{ twice_to_this_cpu, "", "percpu_cache_free_to 0x", "freed twice" },
	{ twice_to_another_cpu, "", "percpu_cache_free", "freed twice" },
	{ twice_to_another_cpu, "mode:atomic", "percpu_cache_free", "freed twice" },
	{ twice_on_another_cpu, "", "percpu_cache_free 0x", "freed twice" },
	{ twice_on_another_cpu, "mode:atomic", "percpu_cache_free 0x", "freed twice" },
	{ twice_when_the_slab_is_gone, "", " 0x", "freed twice" },
	{ to_no_cpu, "", "percpu_cache_free_to 0x", "there is no such CPU" },
	{ alloc_after_destroy, "", "percpu_cache_alloc 0x", "the cache was destroyed" },
	{ free_after_destroy, "", "percpu_cache_free 0x", "the cache was destroyed" },
	{ shrink_after_destroy, "", "percpu_cache_shrink 0x", "the cache was destroyed" },
	{ destroy_twice, "", "percpu_cache_destroy 0x", "the cache was destroyed" },
	{ write_after_free, "check", "percpu_cache_alloc 0x", "written to after the free" },
	{ write_a_number_of_others, "mode:atomic", "a free object's link 0x", "written to after the free" },
	{ write_links_of_no_object, "mode:atomic", "a free object's link 0x", "written to after the free" },
	{ write_the_rest_of_the_slab, "mode:atomic", "a free object's link 0x", "written to after the free" },
	{ write_another_carrier, "mode:atomic", "a free object's link 0x", "written to after the free" },
};

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
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%s: status %x", one->rule, status);
	ck_assert_msg(!strncmp(said, "libpercpu: ", 11) && strstr(said, one->function) && strstr(said, one->rule),
		      "it says: %s", said);
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

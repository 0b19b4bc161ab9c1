/* SPDX-License-Identifier: MIT */
/* A publisher whose children, handles or descriptors are not what they should be: what it does stays its own. */
#include <fcntl.h>
#include <sys/stat.h>

#include "harness/harness.h"
#include "publish/world.h"

START_TEST(a_description_is_taken_back_once)
{
	struct percpu_pool *pool = published_pool("once", 0);
	uint64_t __percpu *p = word_in(pool);
	struct percpu_published *first = publish_as(p, PERCPU_METRIC_COUNTER, "first"), *second, *third;
	struct percpu_reader *reader = reader_of(getpid());

	ck_assert_int_eq(percpu_unpublish(first), 0);
	ck_assert_int_eq(percpu_unpublish(first), -EINVAL);
	/* Both have room of their own. */
	second = publish_as(p, PERCPU_METRIC_COUNTER, "other");
	third = publish_as(p, PERCPU_METRIC_COUNTER, "third");
	ck_assert(second && third && second != third);
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	ck_assert_uint_eq(percpu_reader_nr(reader), 2);
	ck_assert_int_eq(percpu_unpublish(second), 0);
	ck_assert_int_eq(percpu_unpublish(third), 0);
	percpu_reader_close(reader);
}
END_TEST

START_TEST(a_handle_that_is_none_is_refused)
{
	struct percpu_pool *pool = published_pool("forged", 0);
	char *published = (char *)publish_as(word_in(pool), PERCPU_METRIC_COUNTER, "n"), local[64] = "";
	struct percpu_published *const forged[] = {
		NULL, (void *)8, (void *)(UINTPTR_MAX - 7), (void *)local, (void *)(published - 4096), (void *)(published - 8),
		(void *)(published + 4), (void *)(published + 8), (void *)(published + 64), (void *)(published + (1 << 20)),
	};

	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++)
		ck_assert_int_eq(percpu_unpublish(forged[i]), -EINVAL);
	ck_assert_int_eq(percpu_unpublish((struct percpu_published *)published), 0);
}
END_TEST

/* ---- children, which share the memory ---- */

#define SCRIBBLED_BYTES 65536
#define NR 64

/* Of the pool's file in this process. */
static char *front(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start = 0;
	char line[4096];

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "/memfd:percpu:") && strstr(line, " 00000000 "))
			sscanf(line, "%lx", &start);
	fclose(maps);
	return (char *)start;
}

static uint64_t chance(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* Words of every kind that could be believed, over header and directory. */
static void scribble(char *at, uint64_t *state)
{
	uint64_t *words = (uint64_t *)at;

	for (unsigned i = 0; i < SCRIBBLED_BYTES / sizeof(*words); i++) {
		const uint64_t number = chance(state);

		switch (number % 7) {
		case 0: __atomic_store_n(&words[i], number, __ATOMIC_RELAXED); break;
		case 1: __atomic_store_n(&words[i], number >> 40, __ATOMIC_RELAXED); break;
		case 2: __atomic_store_n(&words[i], (number >> 50) * 8 + 1, __ATOMIC_RELAXED); break;
		case 3: __atomic_store_n(&words[i], UINT64_MAX - (number >> 48), __ATOMIC_RELAXED); break;
		case 4: __atomic_store_n(&words[i], UINT64_C(64) << (number >> 8) % 24, __ATOMIC_RELAXED); break;
		}
	}
}

static void publish_and_take_back(uint64_t __percpu *const *p, struct percpu_published **published)
{
	char name[200];

	for (unsigned i = 0; i < NR; i++) {
		if (published[i])
			percpu_unpublish(published[i]);
		memset(name, 'n', sizeof(name));
		name[3 * i] = '\0';
		published[i] = publish_as(p[i], PERCPU_METRIC_COUNTER, i ? name : "none");
	}
}

START_TEST(a_child_that_scribbles_harms_nobody_else)
{
	struct percpu_pool *pool = published_pool("scribbled", 0);
	struct percpu_published *published[NR] = { NULL };
	uint64_t __percpu *p[NR], state = 1;
	pid_t child;

	for (unsigned i = 0; i < NR; i++) {
		p[i] = word_in(pool);
		*percpu_ptr(p[i], 0) = i;
	}
	publish_and_take_back(p, published);
	ck_assert_ptr_nonnull(front());
	for (unsigned round = 0; round < 300; round++) {
		child = fork();
		if (!child) {
			state += round;
			scribble(front(), &state);
			_exit(0);
		}
		ck_assert_int_eq(status_of(child), 0);
		publish_and_take_back(p, published);
	}
	/* And meanwhile. */
	child = fork();
	if (!child)
		for (char *at = front();;)
			scribble(at, &state);
	for (unsigned round = 0; round < 3000; round++)
		publish_and_take_back(p, published);
	end(child);
	for (unsigned i = 0; i < NR; i++) {
		ck_assert_uint_eq(percpu_sum(p[i]), i);
		percpu_free(p[i]);
	}
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* ---- what others get to see of it ---- */

START_TEST(the_file_is_in_no_folder_and_passed_on_to_no_program)
{
	char path[64], link[256];
	struct stat stat;

	ck_assert_ptr_nonnull(published_pool("hidden", 0));
	for (int fd = 3; fd < 100; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		const ssize_t bytes = readlink(path, link, sizeof(link) - 1);

		link[bytes > 0 ? bytes : 0] = '\0';
		if (strcmp(link, "/memfd:percpu:hidden (deleted)"))
			continue;
		ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		ck_assert_int_eq(fstat(fd, &stat), 0);
		ck_assert_uint_eq(stat.st_nlink, 0);
		return;
	}
	ck_abort_msg("not found");
}
END_TEST

TEST_MAIN("publish: hostile", 120, a_description_is_taken_back_once, a_handle_that_is_none_is_refused,
	  a_child_that_scribbles_harms_nobody_else, the_file_is_in_no_folder_and_passed_on_to_no_program)

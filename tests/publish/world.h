/* SPDX-License-Identifier: MIT */
/* What tests of published pools share: a pool, metrics in it, readers of it, and other processes. */
#ifndef TESTS_PUBLISH_WORLD_H
#define TESTS_PUBLISH_WORLD_H

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <percpu/percpu.h>

#define with_options(text) ck_assert_int_eq(setenv("PERCPU_OPTIONS", (text), 1), 0)

static inline struct percpu_pool *published_pool(const char *name, size_t limit_bytes)
{
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	struct percpu_pool *pool;

	attr.published = PERCPU_ON;
	attr.limit_bytes = limit_bytes;
	pool = percpu_pool_create(name, &attr);
	if (!pool)
		perror("percpu_pool_create");
	return pool;
}

static inline uint64_t __percpu *word_in(struct percpu_pool *pool)
{
	return percpu_pool_alloc(pool, sizeof(uint64_t), sizeof(uint64_t));
}

static inline struct percpu_published *publish_as(const void __percpu *p, uint32_t kind, const char *name)
{
	const struct percpu_metric metric = { .size = sizeof(metric), .kind = kind, .name = name };

	return percpu_publish(p, &metric);
}

/* ---- readers ---- */

static inline int open_first(const struct percpu_publisher *publisher, void *arg)
{
	*(struct percpu_reader **)arg = percpu_reader_open(publisher->pid, publisher->fd);
	return 1;
}

/* Of the first pool that the process has; NULL. */
static inline struct percpu_reader *reader_of(pid_t pid)
{
	struct percpu_reader *reader = NULL;

	percpu_publishers(pid, open_first, &reader);
	return reader;
}

static inline long find_metric(const struct percpu_reader *reader, const char *name)
{
	for (size_t i = 0; i < percpu_reader_nr(reader); i++)
		if (!strcmp(percpu_reader_metric(reader, i)->name, name))
			return i;
	return -1;
}

/* The value of a metric that must be there. */
static inline uint64_t value_of(const struct percpu_reader *reader, const char *name)
{
	const long i = find_metric(reader, name);

	ck_assert_msg(i >= 0, "%s is not there", name);
	return *percpu_reader_words(reader, i, 0, NULL);
}

/* ---- other processes ---- */

/* Waits for the child's end. Returns: its status. */
static inline int status_of(pid_t child)
{
	int status;

	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

static inline void end(pid_t child)
{
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	status_of(child);
}

#endif

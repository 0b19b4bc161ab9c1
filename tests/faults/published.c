/* SPDX-License-Identifier: MIT */
/* Scenarios of published pools and of their readers, both in this process, with refused calls. */
#include "faults/scenario.h"

#include <unistd.h>

static struct percpu_pool *pool;
static uint64_t __percpu *word;
static struct percpu_published *published;

static bool is_documented(int error)
{
	static const int documented[] = { ENOENT, EACCES, EINVAL, EPROTO, ENOMEM, EMFILE, EIO };

	for (size_t i = 0; i < sizeof(documented) / sizeof(documented[0]); i++)
		if (error == documented[i])
			return true;
	return false;
}

/* ---- the publisher's side ---- */

static bool attempt_pool(void)
{
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;

	attr.published = PERCPU_ON;
	attr.limit_bytes = 2 * PERCPU_STRIDE;
	pool = percpu_pool_create("faults", &attr);
	must(pool || errno == ENOMEM || errno == EMFILE || errno == ENOSPC || errno == EPERM);
	return pool;
}

static void undo_pool(void)
{
	must_keep_errno(must(!percpu_pool_destroy(pool)));
}

static void prepare_pool(void)
{
	must(attempt_pool());
}

/* The second allocation gets used memory, which the library must read and clear. */
static bool attempt_alloc(void)
{
	for (int i = 0; i < 2; i++) {
		char __percpu *area = percpu_pool_alloc(pool, 5000, 8);

		if (!is_fresh((void *)area, 5000)) {
			must(!nr_live(pool));
			return false;
		}
		must_keep_errno(percpu_free(area));
	}
	must_keep_errno(must(percpu_trim(pool) >= 0));
	return true;
}

static bool attempt_publish(void)
{
	const struct percpu_metric metric = {
		.size = sizeof(metric),
		.kind = PERCPU_METRIC_COUNTER,
		.name = "n",
		.help = "Faults.",
	};

	word = percpu_pool_alloc(pool, sizeof(*word), 8);
	must(word || errno == ENOMEM);
	if (!word)
		return false;
	percpu_add(word, 5);
	published = percpu_publish(word, &metric);
	must(published || errno == ENOMEM);
	if (!published)
		must_keep_errno(percpu_free(word));
	return published;
}

static void undo_publish(void)
{
	must_keep_errno(must(!percpu_unpublish(published)));
	must_keep_errno(percpu_free(word));
}

/* ---- the reader's side ---- */

static int number_of_file;

static int note(const struct percpu_publisher *publisher, void *arg)
{
	must(publisher->pid == getpid() && !strcmp(publisher->name, "faults"));
	number_of_file = publisher->fd;
	return 7;
}

static bool attempt_search(void)
{
	int said;

	must_keep_errno(said = percpu_publishers(getpid(), note, NULL));
	must(said == 7 || said == 0 || is_documented(-said));
	return said == 7;
}

static void prepare_published(void)
{
	prepare_pool();
	must(attempt_publish() && attempt_search());
}

#if !PERCPU__ASAN /* its malloc ends the process if a mapping as large as a unit is refused */
static struct percpu_reader *reader;

static bool attempt_open(void)
{
	reader = percpu_reader_open(getpid(), number_of_file);
	must(reader || is_documented(errno));
	must(!reader || !strcmp(percpu_reader_name(reader), "faults"));
	return reader;
}

static void undo_open(void)
{
	must_keep_errno(percpu_reader_close(reader));
}

/* Opens a new reader each time, so that its buffers must be allocated. */
static bool attempt_to_read(void)
{
	const uint32_t domains[5000] = { 1 };
	bool all = attempt_open();
	int error;

	if (!all)
		return false;
	error = percpu_reader_update(reader);
	must(!error || (is_documented(-error) && !percpu_reader_nr(reader)));
	must(error || percpu_reader_nr(reader) == 1);
	must(error || *percpu_reader_words(reader, 0, 0, NULL) == 5);
	all = !error;
	error = percpu_reader_group(reader, domains, 2);
	must(!error || error == -ENOMEM);
	all &= !error;
	error = percpu_reader_update(reader);
	must(!error || (is_documented(-error) && !percpu_reader_nr(reader)));
	all &= !error;
	if (all)
		must(*percpu_reader_words(reader, 0, 0, NULL) +
			     *percpu_reader_words(reader, 0, 1, NULL) == 5);
	must_keep_errno(percpu_reader_close(reader));
	return all;
}
#endif

static const struct scenario scenarios[] = {
	{ "percpu_pool_create and percpu_pool_destroy of a published pool",
	  .attempt = attempt_pool, .undo = undo_pool },
	{ "percpu_pool_alloc in a published pool",
	  .prepare = prepare_pool, .attempt = attempt_alloc },
	{ "percpu_publish, percpu_unpublish",
	  .prepare = prepare_pool, .attempt = attempt_publish, .undo = undo_publish },
	{ "percpu_publishers", .prepare = prepare_published, .attempt = attempt_search },
#if !PERCPU__ASAN
	{ "percpu_reader_open, percpu_reader_close",
	  .prepare = prepare_published, .attempt = attempt_open, .undo = undo_open },
	{ "percpu_reader_update, percpu_reader_group",
	  .prepare = prepare_published, .attempt = attempt_to_read },
#endif
};

size_t published_scenarios(const struct scenario **list)
{
	*list = scenarios;
	return sizeof(scenarios) / sizeof(scenarios[0]);
}

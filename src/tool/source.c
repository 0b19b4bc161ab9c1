/* SPDX-License-Identifier: MIT */
/*
 * Owns the choice of pools and the order in which they are read: users who hold little memory
 * first, and the small pools of a user first. Each pool is opened once, through its creator if that
 * is alive, read, shown and closed before the next, so that at most one is open at a time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

#define SEARCH_NS UINT64_C(2000000000)       /* of this thread, to find publishers */
#define READER_BYTES ((size_t)128 << 20)     /* for reading one pool */
#define PROCESSES_MAX 64u                    /* of a pool, that are remembered one by one */
#define NAME_BYTES_MAX 4096u                 /* of a pool that is shown */

/* A process that has a pool open. */
struct hit {
	uint64_t file;
	uint64_t held_bytes;
	uint64_t user_bytes; /* that the pool's user holds in all */
	uid_t user;          /* whose memory it is */
	uid_t process_user;
	pid_t pid;
	int fd;
	unsigned nr_more;    /* processes that have it open, too, and are not remembered */
};

struct hits {
	size_t nr, nr_sorted; /* the first ones are sorted, and each process there once */
	struct hit *hit;
	const char *name;     /* that is looked for; NULL: all */
	struct ledger *ledger;
};

/* ---- the search ---- */

static int by_file(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;

	if (x->file != y->file)
		return (x->file > y->file) - (x->file < y->file);
	return x->pid != y->pid ? (x->pid > y->pid) - (x->pid < y->pid)
				: (x->fd > y->fd) - (x->fd < y->fd);
}

/*
 * Several descriptors of one process count once; processes beyond PROCESSES_MAX are only counted.
 */
static void tidy(struct hits *hits)
{
	size_t kept = 0, first = 0;

	if (hits->nr)
		qsort(hits->hit, hits->nr, sizeof(*hits->hit), by_file);
	for (size_t i = 0; i < hits->nr; i++) {
		const struct hit hit = hits->hit[i];

		if (!kept || hits->hit[kept - 1].file != hit.file)
			first = kept;
		else if (hits->hit[kept - 1].pid == hit.pid)
			continue;
		if (kept - first < PROCESSES_MAX)
			hits->hit[kept++] = hit;
		else
			hits->hit[first].nr_more += 1 + hit.nr_more;
	}
	hits->nr = hits->nr_sorted = kept;
}

static int note(const struct percpu_publisher *publisher, void *arg)
{
	struct hits *hits = arg;

	/* /proc may show only the beginning of the name. */
	if (hits->name && strncmp(hits->name, publisher->name, strlen(publisher->name)))
		return 0;
	if (hits->nr >= 2 * hits->nr_sorted + 4096)
		tidy(hits);
	if (hits->nr % 1024 == 0)
		hits->hit = grow(hits->hit, hits->nr + 1024, sizeof(*hits->hit));
	hits->hit[hits->nr++] = (struct hit){
		.file = publisher->file,
		.held_bytes = publisher->held_bytes,
		.user = publisher->user,
		.process_user = publisher->process_user,
		.pid = publisher->pid,
		.fd = publisher->fd,
	};
	return 0;
}

static void note_missed(uid_t process_user, void *arg)
{
	ledger_leave_out(((struct hits *)arg)->ledger, process_user, LEFT_FOR_TIME, 1);
}

static const struct hit *find_file(const struct hits *hits, uint64_t file)
{
	size_t low = 0, high = hits->nr;

	while (low < high) {
		const size_t middle = (low + high) / 2;

		if (hits->hit[middle].file < file)
			low = middle + 1;
		else
			high = middle;
	}
	return low < hits->nr && hits->hit[low].file == file ? &hits->hit[low] : NULL;
}

/* Of the hits of one process: all that have the same files. */
static void add_sharers(struct hits *hits)
{
	struct hits all = { .ledger = hits->ledger };
	size_t kept = 0;

	tidy(hits);
	percpu_publishers_within(SEARCH_NS, note, note_missed, &all);
	for (size_t i = 0; i < all.nr; i++)
		if (find_file(hits, all.hit[i].file))
			all.hit[kept++] = all.hit[i];
	all.nr = kept;
	free(hits->hit);
	*hits = all;
}

/* Users who hold little first, and their small pools first. */
static int by_user(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;

	if (x->user_bytes != y->user_bytes)
		return (x->user_bytes > y->user_bytes) - (x->user_bytes < y->user_bytes);
	if (x->user != y->user)
		return (x->user > y->user) - (x->user < y->user);
	if (x->held_bytes != y->held_bytes)
		return (x->held_bytes > y->held_bytes) - (x->held_bytes < y->held_bytes);
	return by_file(a, b);
}

static int by_user_alone(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;

	return x->user != y->user ? (x->user > y->user) - (x->user < y->user) : by_file(a, b);
}

/* Returns: the number of users. */
static size_t sort_by_user(struct hits *hits)
{
	size_t nr_users = 0, end;

	tidy(hits);
	for (size_t first = 0; first < hits->nr; first = end) {
		/* Merges the hits of one file. */
		for (end = first; end < hits->nr && hits->hit[end].file == hits->hit[first].file;
		     end++)
			hits->hit[end].held_bytes = hits->hit[first].held_bytes;
	}
	if (hits->nr)
		qsort(hits->hit, hits->nr, sizeof(*hits->hit), by_user_alone);
	for (size_t first = 0; first < hits->nr; first = end, nr_users++) {
		uint64_t bytes = 0, file = 0;

		for (end = first; end < hits->nr && hits->hit[end].user == hits->hit[first].user;
		     end++) {
			bytes += hits->hit[end].file == file && end > first
					 ? 0
					 : hits->hit[end].held_bytes;
			file = hits->hit[end].file;
		}
		for (size_t i = first; i < end; i++)
			hits->hit[i].user_bytes = bytes;
	}
	if (hits->nr)
		qsort(hits->hit, hits->nr, sizeof(*hits->hit), by_user);
	return nr_users;
}

/* ---- one pool after the other ---- */

static const char *words_for(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return "it belongs to another user, or has made itself unreadable (see prctl(2), "
		       "PR_SET_DUMPABLE)";
	case EPROTO:
		return "its contents contradict themselves, or are of another version";
	case E2BIG:
		return "it holds more than this program reads";
	case ETIME:
		return "it would take more time than its user has here";
	case ENOENT:
		return "it is gone";
	default:
		return strerror(error);
	}
}

static enum reason reason_of(int error)
{
	switch (error) {
	case EPROTO:
		return LEFT_AS_NONSENSE;
	case E2BIG:
	case ENOMEM:
		return LEFT_FOR_MEMORY;
	case ETIME:
		return LEFT_FOR_TIME;
	case EMFILE:
	case ENFILE:
		return LEFT_FOR_DESCRIPTORS;
	default:
		return LEFT_AS_UNREADABLE;
	}
}

struct look {
	const struct options *options;
	const char *name;
	struct ledger *ledger;
	void (*visit)(struct source *source, void *arg);
	void *arg;
	size_t nr_shown, nr_refused;
};

static void refuse(struct look *look, const struct hit *hit, int error)
{
	if (ledger_complains(look->ledger))
		complain("process %d: %s", hit->pid, words_for(error));
	ledger_leave_out(look->ledger, hit->user, reason_of(error), 1);
	look->nr_refused++;
}

/* One of the hits of a file, which opens it: the creator if it is there. */
static struct percpu_reader *open_file(const struct hit *hit, size_t nr, const struct hit **through)
{
	struct percpu_reader *reader = NULL, *better;

	for (size_t i = 0; i < nr && !reader; i++) {
		reader = percpu_reader_open(hit[i].pid, hit[i].fd);
		*through = &hit[i];
	}
	for (size_t i = 0; reader && i < nr; i++) {
		if (hit[i].pid != percpu_reader_creator(reader) || &hit[i] == *through)
			continue;
		better = percpu_reader_open(hit[i].pid, hit[i].fd);
		if (!better)
			break;
		percpu_reader_close(reader);
		reader = better;
		*through = &hit[i];
	}
	return reader;
}

static void read_source(struct look *look, struct source *source, const struct hit *hit)
{
	const char *by = look->options->by;
	const uint64_t ns = ledger_ns(look->ledger);
	int error;

	source->domains = domain_copies(by, percpu_reader_nr_copies(source->reader));
	percpu_reader_limit(source->reader, READER_BYTES, ns ? ns : 1);
	if (source->domains.nr)
		percpu_reader_group(source->reader, source->domains.of_copy, source->domains.nr);
	error = percpu_reader_update(source->reader);
	source->has_ended = error == -ESRCH;
	if (error && !source->has_ended) {
		refuse(look, hit, -error);
	} else {
		look->nr_shown++;
		look->visit(source, look->arg);
	}
	domain_free(&source->domains);
}

static void look_at(struct look *look, const struct hit *hit, size_t nr)
{
	const struct hit *through = hit;
	struct source source = { .file = hit->file,
				 .nr_processes = nr + hit->nr_more,
				 .user = hit->user,
				 .ledger = look->ledger };

	if (!ledger_ns(look->ledger)) {
		refuse(look, hit, ETIME);
		return;
	}
	source.reader = open_file(hit, nr, &through);
	if (!source.reader) {
		if (errno != ENOENT)
			refuse(look, hit, errno);
		return;
	}
	source.pid = through->pid;
	source.is_other_user = hit->user && hit->user != through->process_user;
	if (!look->name || !strcmp(percpu_reader_name(source.reader), look->name)) {
		if (strnlen(percpu_reader_name(source.reader), NAME_BYTES_MAX + 1) >
		    NAME_BYTES_MAX) {
			ledger_leave_out(look->ledger, hit->user, LEFT_FOR_LABELS, 1);
			look->nr_refused++;
		} else {
			read_source(look, &source, through);
		}
	}
	percpu_reader_close(source.reader);
}

static void look_at_all(struct look *look, struct hits *hits)
{
	size_t nr_users = sort_by_user(hits), end;

	for (size_t first = 0; first < hits->nr; first = end, nr_users--) {
		ledger_begin(look->ledger, nr_users);
		for (end = first; end < hits->nr && hits->hit[end].user == hits->hit[first].user;) {
			const size_t file = end;

			while (end < hits->nr && hits->hit[end].file == hits->hit[file].file)
				end++;
			look_at(look, &hits->hit[file], end - file);
		}
		ledger_end(look->ledger);
	}
}

/* Returns: the process number; 0 if the text is not one. */
static pid_t pid_of(const char *target)
{
	char *end;
	const unsigned long pid = strtoul(target, &end, 10);

	return *target >= '0' && *target <= '9' && !*end && pid <= INT32_MAX ? (pid_t)pid : 0;
}

int sources_visit(const struct options *options, struct ledger *ledger,
		  void (*visit)(struct source *source, void *arg), void *arg)
{
	const pid_t pid = options->target ? pid_of(options->target) : 0;
	struct hits hits = { .name = pid ? NULL : options->target, .ledger = ledger };
	struct look look = {
		.options = options, .name = hits.name, .ledger = ledger, .visit = visit, .arg = arg
	};
	int error = pid ? percpu_publishers(pid, note, &hits)
			: percpu_publishers_within(SEARCH_NS, note, note_missed, &hits);

	if (error && (error != -ENOENT || !pid)) {
		free(hits.hit);
		return pid ? complain("process %d: %s", pid, words_for(-error))
			   : complain("cannot search for who publishes: %s", strerror(-error));
	}
	if (pid && hits.nr)
		add_sharers(&hits);
	look_at_all(&look, &hits);
	free(hits.hit);
	if (look.nr_shown || !options->target)
		return STATUS_OK;
	if (look.nr_refused)
		return STATUS_FAILED;
	if (pid)
		return complain(error ? "there is no process %d" : "process %d publishes nothing",
				pid);
	return complain("nothing of the name \"%s\" is published, or it is another user's",
			options->target);
}

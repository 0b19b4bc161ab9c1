/* SPDX-License-Identifier: MIT */
/*
 * Users who mean harm, each a process of its own user ID, and each with as much memory and as many pools as it is allowed:
 *
 *	hostile USERS POOLS MIB		says "ready", and goes on until its input ends. Wants root
 *	hostile measure FILE COMMAND...	runs it with 1,024 descriptors, and writes its status, CPU milliseconds and peak KiB to the file
 *
 * Of a user all pools but one are small. The large one is one of eight kinds, by the user's number.
 */
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "publish/liar.h"

#define FIRST_USER 7000u
#define NR_KINDS 8u
#define DESCRIPTORS 20000u /* of a user who has many */

enum { COUNTER = 1, GAUGE = 2, HISTOGRAM = 3 };

static void must(bool condition, const char *what)
{
	if (!condition) {
		perror(what);
		exit(1);
	}
}

/* ---- large pools ---- */

/* Histograms as large as they can be, in holes: a few hundred KiB that claim a gigabyte. */
static void in_holes(size_t bytes)
{
	struct liar liar;
	const size_t nr = bytes / 72;

	liar_begin(&liar, 2, nr * 72);
	liar.header.nr_chunks = nr / 8 + 1;
	for (size_t i = 0; i < nr; i++)
		liar_add(&liar, HISTOGRAM, 32768, i / 8 * 2 * LIAR_UNIT_BYTES, 0, "a\0\0", 4);
	liar_end(&liar, "holes");
}

static void empty_labels(size_t bytes)
{
	const size_t nr = bytes / 2;
	char *text = calloc(1, 4 + 2 * nr);
	struct liar liar;

	must(text, "calloc");
	text[0] = 'l';
	liar_begin(&liar, 2, 80 + 2 * nr);
	liar_add(&liar, COUNTER, 1, 0, nr, text, 4 + 2 * nr);
	free(text);
	liar_end(&liar, "labels");
}

/* A page in each copy, of which names of a whole unit want a unit, and a directory that never stands still. */
static void moving(size_t bytes)
{
	size_t nr_copies = bytes / 4096 > 60000 ? 60000 : bytes / 4096 + 2;
	struct liar liar;
	int fd;

	liar_begin(&liar, nr_copies, 16 * 72);
	liar.header.changes = 1;
	for (unsigned i = 0; i < 16; i++)
		liar_add(&liar, HISTOGRAM, 32768, 0, 0, "a\0\0", 4);
	fd = liar_end(&liar, "moving");
	for (size_t i = 0; i < nr_copies; i++)
		liar_count(&liar, fd, i, 8 * (i % 500), i);
}

/* As many metrics as fit, each right. */
static void many(size_t bytes)
{
	const size_t nr = bytes / 88;
	struct liar liar;
	char text[64];

	liar_begin(&liar, 2, nr * 88);
	for (size_t i = 0; i < nr; i++) {
		const int length = snprintf(text, sizeof(text), "metric_%zu", i) + 1;

		text[length] = text[length + 1] = '\0';
		liar_add(&liar, COUNTER, 1, i % 30000 * 8, 0, text, length + 2);
	}
	liar_end(&liar, "many");
}

/* Histograms with as much text as is taken, so that each line is long. */
static void long_lines(size_t bytes)
{
	enum { TEXT = 60000 };
	const size_t nr = bytes / (TEXT + 72);
	char *text = malloc(TEXT);
	struct liar liar;

	must(text, "malloc");
	memset(text, '\x1b', TEXT);
	memcpy(text, "lines\0\0\0x\0", 10);
	text[TEXT - 1] = '\0';
	liar_begin(&liar, 2, nr * (TEXT + 72));
	for (size_t i = 0; i < nr; i++)
		liar_add(&liar, HISTOGRAM, 9000, 0, 1, text, TEXT);
	free(text);
	liar_end(&liar, "lines");
}

/* Records that are right, and lie one upon the other. */
static void upon_each_other(size_t bytes)
{
	struct liar liar;
	const size_t nr = bytes / 72;
	int fd;

	liar_begin(&liar, 2, nr * 72);
	for (size_t i = 0; i < nr; i++)
		liar_add(&liar, HISTOGRAM, 512, 0, 0, "u\0\0", 4);
	fd = liar_end(&liar, "upon");
	liar_count(&liar, fd, 0, 0, 1);
}

/* Nearly all that the limit allows, of one file, which takes no memory but for their table. */
static void many_descriptors(int fd)
{
	struct rlimit limit;

	must(!getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	must(!setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
	for (unsigned i = 0; i < DESCRIPTORS && i + 2000 < limit.rlim_max && dup(fd) >= 0; i++)
		;
}

static void nonsense(size_t bytes)
{
	int fd = memfd_create("percpu:nonsense", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	char *text = malloc(bytes);

	must(fd >= 0 && text, "memfd_create");
	memset(text, 'x', bytes);
	liar_put(fd, text, bytes, 0);
	free(text);
	many_descriptors(fd);
}

/* A pool whose name is as long as all that may be held. */
static void long_name(size_t bytes)
{
	char *name = malloc(bytes + 1);
	struct percpu__file_header header = {
		.magic = PERCPU__FILE_MAGIC, .version = PERCPU__FILE_VERSION, .nr_copies = 2, .unit_bytes = LIAR_UNIT_BYTES,
		.nr_chunks = 1, .name_offset = sizeof(header), .name_bytes = bytes, .pid = getpid(),
	};
	int fd = memfd_create("percpu:name", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	header.directory_offset = (sizeof(header) + bytes + 4096) / 4096 * 4096;
	header.chunks_offset = header.directory_offset + 4096;
	header.directory_bytes = 4096;
	must(name && fd >= 0 && !ftruncate(fd, header.chunks_offset + 2 * LIAR_UNIT_BYTES), "memfd_create");
	memset(name, 'n', bytes);
	liar_put(fd, &header, sizeof(header), 0);
	liar_put(fd, name, bytes, sizeof(header));
	free(name);
	many_descriptors(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

/* ---- small pools ---- */

/* What others call theirs, as another kind; names that histograms make; what acts on a terminal. */
static void clash(unsigned number)
{
	static const struct {
		const char *text;
		size_t bytes;
		uint32_t kind;
	} metrics[] = {
#define METRIC(kind, text) { text, sizeof(text), kind }
		METRIC(GAUGE, "requests_total\0\0help of a stranger"),   METRIC(GAUGE, "latency_seconds\0\0"),
		METRIC(GAUGE, "latency_seconds_bucket\0\0"),             METRIC(COUNTER, "latency_seconds_sum\0\0"),
		METRIC(GAUGE, "latency\0seconds\0\x1b[2J"),              METRIC(GAUGE, "queue_depth_bytes_count\0\0"),
		METRIC(COUNTER, "percpu_exporter_left_out\0\0"),         METRIC(COUNTER, "requests\0\0another help\nof lines"),
	};
	struct liar liar;
	char pool[32];
	int fd;

	snprintf(pool, sizeof(pool), "!\x1b]0;owned\x07%u", number);
	liar_begin(&liar, 2, 4096);
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
		liar_add(&liar, metrics[i].kind, 1, 8 * i, 0, metrics[i].text, metrics[i].bytes);
	liar_add(&liar, HISTOGRAM, 40, 4096, 0, "queue_depth_bytes\0\0", 20);
	fd = liar_end(&liar, pool);
	liar_count(&liar, fd, 0, 0, number);
}

static void tiny(unsigned number)
{
	struct liar liar;

	liar_begin(&liar, 2, 4096);
	if (number % 3 == 0)
		liar_add(&liar, GAUGE, 1, 0, 0, "tiny\0\0", 7);
	liar_end(&liar, "tiny");
}

static void harm(unsigned user, unsigned nr_pools, size_t bytes)
{
	static void (*const kinds[NR_KINDS])(size_t bytes) = {
		in_holes, empty_labels, moving, many, long_lines, upon_each_other, nonsense, long_name,
	};
	const size_t small_bytes = (nr_pools - 1) * (size_t)12288;

	kinds[user % NR_KINDS](bytes > small_bytes + 65536 ? bytes - small_bytes : 65536);
	for (unsigned i = 1; i < nr_pools; i++)
		if (i % 4 == 1)
			clash(i);
		else
			tiny(i);
}

/* ---- users ---- */

static void be_user(unsigned user, unsigned nr_pools, size_t bytes, int ready)
{
	const uid_t uid = FIRST_USER + user;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	must(!setgroups(0, NULL) && !setresgid(uid, uid, uid) && !setresuid(uid, uid, uid), "setresuid");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, user % 2); /* half of them look like root's from outside */
	harm(user, nr_pools, bytes);
	must(write(ready, "r", 1) == 1, "write");
	for (;;)
		pause();
}

static int measure(const char *path, char **command)
{
	pid_t child = fork();
	struct rusage usage;
	int status;
	FILE *out;

	if (!child) {
		const struct rlimit limit = { 1024, 1024 };

		must(!setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
		execvp(command[0], command);
		perror(command[0]);
		_exit(127);
	}
	must(child > 0 && wait4(child, &status, 0, &usage) == child, "wait4");
	out = fopen(path, "w");
	must(out, path);
	fprintf(out, "%d %ld %ld\n", WIFEXITED(status) ? WEXITSTATUS(status) : 256,
		(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000,
		usage.ru_maxrss);
	return fclose(out);
}

int main(int argc, char **argv)
{
	unsigned nr_users, nr_pools;
	int ready[2];
	char byte;

	if (argc > 3 && !strcmp(argv[1], "measure"))
		return measure(argv[2], argv + 3);
	if (argc != 4)
		return 2;
	nr_users = strtoul(argv[1], NULL, 10);
	nr_pools = strtoul(argv[2], NULL, 10);
	must(!pipe(ready), "pipe");
	for (unsigned user = 0; user < nr_users; user++)
		if (!fork())
			be_user(user, nr_pools, strtoul(argv[3], NULL, 10) << 20, ready[1]);
	close(ready[1]);
	for (unsigned user = 0; user < nr_users; user++)
		must(read(ready[0], &byte, 1) == 1, "read");
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

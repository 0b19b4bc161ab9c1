/* SPDX-License-Identifier: MIT */
/*
 * Who may change a published pool: the process that made it, and when that is gone one of those that share it.
 * Children of all kinds, several survivors at once, owners that die in the middle of anything, process numbers that are used
 * again or mean something else.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "harness/filter.h"
#include "harness/harness.h"
#include "publish/world.h"

/* Of children. ThreadSanitizer does not bear those that it is not told of. */
#define KINDS (PERCPU__TSAN ? 1 : 3)

static void *shared_memory(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

__attribute__((weak)) pid_t _Fork(void);

/* A child by fork, by _Fork, which calls no handler, and by the system call. */
static pid_t fork_by(int kind)
{
	if (kind == 0 || (kind == 1 && !_Fork))
		return fork();
	return kind == 1 ? _Fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

/* In a child, when something is wrong: nobody waits for the rest of the test. */
#define must(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "# line %d: %s\n", __LINE__, #condition);                            \
			kill(0, SIGKILL);                                                                    \
			_exit(1);                                                                            \
		}                                                                                            \
	} while (0)

/* Orphans become children of the test's process. */
static void adopt(void)
{
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
}

/* All that there are, children of children included: each says that all was right. */
static void wait_for_all(void)
{
	int status;

	while (waitpid(-1, &status, 0) > 0)
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
	ck_assert_int_eq(errno, ECHILD);
}

/* As its child sees it, whatever /proc says meanwhile: by way of being refused. */
static uint64_t __percpu *alloc_when_vacant(struct percpu_pool *pool)
{
	uint64_t __percpu *p;

	while (!(p = word_in(pool))) {
		must(errno == EPERM);
		sched_yield();
	}
	return p;
}

static bool overlaps(const void __percpu *a, size_t a_bytes, const void __percpu *b, size_t b_bytes)
{
	return (uintptr_t)a < (uintptr_t)b + b_bytes && (uintptr_t)b < (uintptr_t)a + a_bytes;
}

/* ---- while the owner lives ---- */

static void refuse_child_of(int kind)
{
	struct percpu_pool *pool = published_pool("owned", 0);
	uint64_t __percpu *p = word_in(pool), *late, *own;
	struct percpu_published *published = publish_as(p, PERCPU_METRIC_COUNTER, "n");
	uint64_t __percpu **given = shared_memory(4096);
	int pipes[2];
	pid_t child;

	ck_assert_int_eq(pipe(pipes), 0);
	child = fork_by(kind);
	if (!child) {
		char byte;

		for (unsigned i = 0; i < 3; i++) {
			errno = 0;
			must(!word_in(pool) && errno == EPERM);
			errno = 0;
			must(!publish_as(p, PERCPU_METRIC_COUNTER, "other") && errno == EPERM);
			must(percpu_unpublish(published) == -EPERM);
			percpu_free(p);
			percpu_free_bulk(1, (void __percpu **)&p);
			must(percpu_usable_size(p) == 8 && percpu_pool_destroy(pool) == -EBUSY);
		}
		percpu_inc(p);
		/* What was allocated since, in a chunk that this process does not know. */
		must(read(pipes[0], &byte, 1) == 1);
		percpu_add(given[0], 7);
		must(percpu_usable_size(given[0]) == 100000 && percpu_sum(given[0]) == 7);
		percpu_free(given[0]);
		errno = 0;
		must(!publish_as(given[0], PERCPU_METRIC_COUNTER, "other") && errno == EPERM);
		own = word_in(published_pool("the child's own", 0));
		must(own);
		percpu_free(own);
		_exit(0);
	}
	for (unsigned i = 0; i < 6; i++)
		ck_assert_ptr_nonnull(given[0] = percpu_pool_alloc(pool, 100000, 8));
	late = word_in(pool);
	ck_assert(late && late != p && percpu_sum(late) == 0);
	ck_assert_int_eq(write(pipes[1], "", 1), 1);
	ck_assert_int_eq(status_of(child), 0);
	ck_assert_uint_eq(percpu_sum(p), 1);
	ck_assert_uint_eq(percpu_usable_size(p), 8);
	ck_assert_uint_eq(percpu_sum(given[0]), 7);
	ck_assert_int_eq(percpu_unpublish(published), 0);
	percpu_free(p);
	percpu_free(late);
}

START_TEST(children_of_all_kinds_are_refused)
{
	refuse_child_of(_i);
}
END_TEST

/* By their process numbers. */
START_TEST(children_are_refused_where_no_page_is_wiped)
{
	if (!filter_refuse(SYS_madvise, EINVAL))
		SKIP("no filter of system calls here");
	refuse_child_of(_i);
}
END_TEST

/* The first thread has ended, and another goes on: the process lives. */
static void *wait_and_exit(void *fd)
{
	char byte;

	_exit(read(*(int *)fd, &byte, 1) != 1);
}

START_TEST(an_owner_without_its_first_thread_lives)
{
	static int ends[2];
	uint64_t __percpu *p;

	adopt();
	ck_assert(!pipe(ends));
	if (!fork()) {
		struct percpu_pool *pool = published_pool("leaderless", 0);
		pthread_t thread;
		pid_t child = fork();

		if (!child) {
			char path[64], line[256] = "";

			snprintf(path, sizeof(path), "/proc/%d/stat", getppid());
			while (!strstr(line, ") Z")) {
				FILE *file = fopen(path, "r");

				must(file && fgets(line, sizeof(line), file));
				fclose(file);
				sched_yield();
			}
			for (unsigned i = 0; i < 100; i++)
				must(!word_in(pool) && errno == EPERM);
			must(write(ends[1], "", 1) == 1);
			p = alloc_when_vacant(pool);
			percpu_inc(p);
			_exit(0);
		}
		ck_assert_int_eq(pthread_create(&thread, NULL, wait_and_exit, &ends[0]), 0);
		pthread_exit(NULL);
	}
	wait_for_all();
}
END_TEST

/* ---- when it is gone ---- */

#define NR_KEPT 20

/* What a survivor of a maker finds, and may do. */
static void go_on(struct percpu_pool *pool, uint64_t __percpu **known, uint64_t __percpu **gone,
		  uint64_t __percpu **later, struct percpu_published *published)
{
	uint64_t __percpu *fresh = alloc_when_vacant(pool), *many[200];
	struct percpu_reader *reader;

	must(percpu_sum(fresh) == 0);
	for (unsigned i = 0; i < 200; i++) {
		many[i] = percpu_pool_alloc(pool, 8 * (1 + i % 9), 8);
		must(many[i] && percpu_sum(many[i]) == 0);
		for (unsigned j = 0; j < NR_KEPT; j++) {
			must(!overlaps(many[i], 8 * (1 + i % 9), known[j], 24));
			must(!overlaps(many[i], 8 * (1 + i % 9), later[j], 40));
		}
		percpu_add(many[i], 1000);
	}
	for (unsigned j = 0; j < NR_KEPT; j++) {
		must(percpu_sum(known[j]) == 100 + j && percpu_sum(later[j]) == 200 + j);
		must(percpu_usable_size(known[j]) == 24 && percpu_usable_size(later[j]) == 40);
	}
	must(publish_as(fresh, PERCPU_METRIC_COUNTER, "the survivor's"));
	must(publish_as(later[3], PERCPU_METRIC_COUNTER, "the maker's"));
	must(percpu_unpublish(published) == 0);
	reader = reader_of(getpid());
	must(reader && percpu_reader_creator(reader) == getpid() && !percpu_reader_update(reader));
	must(percpu_reader_nr(reader) == 3 && find_metric(reader, "n") < 0 && find_metric(reader, "m") >= 0);
	must(*percpu_reader_words(reader, find_metric(reader, "the maker's"), 0, NULL) == 203);
	percpu_reader_close(reader);
	must(percpu_pool_destroy(pool) == -EBUSY);
	for (unsigned j = 0; j < NR_KEPT; j++) {
		percpu_free(known[j]);
		percpu_free(later[j]);
	}
	percpu_free(later[NR_KEPT]);
	percpu_free(fresh);
	percpu_free_bulk(200, (void __percpu **)many);
	/* What the maker freed is still kept, but where it lay anew: then there is nothing to free. */
	percpu_free_bulk(NR_KEPT, (void __percpu **)gone);
	percpu_free(gone[0]);
	must(percpu_pool_destroy(pool) == 0);
}

/* daemon(3): a process makes the pool, another goes on. It knows nothing of what was allocated after the fork. */
START_TEST(the_survivor_of_its_maker_goes_on)
{
	uint64_t __percpu **later = shared_memory(4096);

	adopt();
	if (!fork()) {
		struct percpu_pool *pool = published_pool("daemon", 0);
		uint64_t __percpu *known[NR_KEPT], *gone[NR_KEPT];
		struct percpu_published *published;
		pid_t parent = getpid(), child;

		for (unsigned j = 0; j < NR_KEPT; j++) {
			must((known[j] = percpu_pool_alloc(pool, 24, 8)) && (gone[j] = percpu_pool_alloc(pool, 96, 8)));
			percpu_add(known[j], 100 + j);
		}
		published = publish_as(known[0], PERCPU_METRIC_COUNTER, "n");
		child = fork_by(_i);
		if (!child) {
			while (getppid() == parent)
				sched_yield();
			go_on(pool, known, gone, later, published);
			_exit(0);
		}
		/* In places that were free by the child's account, and in chunks that it has not. */
		percpu_free_bulk(NR_KEPT, (void __percpu **)gone);
		for (unsigned j = 0; j < NR_KEPT; j++) {
			must((later[j] = percpu_pool_alloc(pool, 40, 8)));
			percpu_add(later[j], 200 + j);
			if (j == NR_KEPT / 2)
				must((later[NR_KEPT] = percpu_pool_alloc(pool, 250000, 8)));
		}
		must(publish_as(later[0], PERCPU_METRIC_COUNTER, "m"));
		_exit(0);
	}
	wait_for_all();
}
END_TEST

/* ---- several survivors ---- */

#define NR_SURVIVORS 6
#define NR_EACH 40

struct book {
	pid_t owner;
	unsigned nr, nr_owners;
	uint64_t __percpu *p[NR_SURVIVORS * NR_EACH];
};

/* Takes the place when it is vacant, alone, and dies in it: by a signal, so that nothing is put in order. */
static void own_and_die(struct percpu_pool *pool, struct book *book)
{
	uint64_t __percpu *p = alloc_when_vacant(pool);
	const pid_t before = __atomic_exchange_n(&book->owner, getpid(), __ATOMIC_SEQ_CST);
	char path[64], line[256];
	FILE *file;

	/* Nobody has reaped it, so that it is to be seen. */
	snprintf(path, sizeof(path), "/proc/%d/stat", before);
	file = before ? fopen(path, "r") : NULL;
	must(!before || (file && fgets(line, sizeof(line), file) && (strstr(line, ") Z") || strstr(line, ") X"))));
	for (unsigned i = 0; i < NR_EACH; i++) {
		must(p && percpu_sum(p) == 0);
		percpu_add(p, getpid());
		book->p[book->nr++] = p;
		p = percpu_pool_alloc(pool, 8 + 8 * (i % 5), 8);
		/* Some go, in places that the others take for taken. */
		if (i % 4 == 3)
			percpu_free(percpu_pool_alloc(pool, 8 + 8 * (i % 7), 8));
		must(publish_as(p, PERCPU_METRIC_COUNTER, "n"));
	}
	must(__atomic_load_n(&book->owner, __ATOMIC_SEQ_CST) == getpid());
	book->nr_owners++;
	kill(getpid(), SIGKILL);
}

START_TEST(of_several_survivors_one_takes_over)
{
	struct book *book = shared_memory(sizeof(*book));
	struct percpu_reader *reader;
	struct percpu_pool *pool;
	pid_t maker, parent;

	for (unsigned round = 0; round < 10; round++) {
		memset(book, 0, sizeof(*book));
		adopt();
		maker = fork();
		if (!maker) {
			parent = getpid();
			pool = published_pool("raced", 0);
			for (unsigned i = 0; i < NR_SURVIVORS; i++)
				if (!fork_by((round + i) % KINDS))
					own_and_die(pool, book);
			/* The last one looks at what they left; it stays, being in nobody's way. */
			if (!fork()) {
				while (__atomic_load_n(&book->nr_owners, __ATOMIC_SEQ_CST) < NR_SURVIVORS)
					sched_yield();
				must(alloc_when_vacant(pool));
				must(book->nr == NR_SURVIVORS * NR_EACH);
				for (unsigned i = 0; i < book->nr; i++)
					for (unsigned j = 0; j < i; j++)
						must(!overlaps(book->p[i], percpu_usable_size(book->p[i]), book->p[j],
							       percpu_usable_size(book->p[j])));
				reader = reader_of(getpid());
				must(reader && !percpu_reader_update(reader));
				must(percpu_reader_nr(reader) == NR_SURVIVORS * NR_EACH);
				_exit(0);
			}
			must(word_in(pool) && getppid() != parent);
			_exit(0);
		}
		/* The dead stay to be seen until the last one has looked. */
		for (int status, left = 2; left;) {
			siginfo_t info;

			ck_assert(!waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
			if (__atomic_load_n(&book->nr_owners, __ATOMIC_SEQ_CST) < NR_SURVIVORS) {
				usleep(1000);
				continue;
			}
			ck_assert_int_gt(waitpid(-1, &status, 0), 0);
			ck_assert_msg((WIFEXITED(status) && WEXITSTATUS(status) == 0) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL),
				      "status %#x", status);
			left -= WIFEXITED(status);
		}
		while (waitpid(-1, NULL, 0) > 0)
			;
	}
}
END_TEST

/* Threads of one survivor, which find the place vacant at the same time. */
static struct percpu_pool *contended;
static uint64_t __percpu *won[8][50];

static void *take_some(void *arg)
{
	uint64_t __percpu **mine = arg;

	for (unsigned i = 0; i < 50; i++)
		mine[i] = alloc_when_vacant(contended);
	return NULL;
}

START_TEST(threads_of_one_survivor)
{
	adopt();
	if (!fork()) {
		pthread_t threads[8];

		contended = published_pool("threads", 0);
		if (fork())
			_exit(0);
		for (unsigned i = 0; i < 8; i++)
			must(!pthread_create(&threads[i], NULL, take_some, won[i]));
		for (unsigned i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
		for (unsigned i = 0; i < 400; i++)
			for (unsigned j = 0; j < i; j++)
				must(won[i / 50][i % 50] != won[j / 50][j % 50]);
		_exit(0);
	}
	wait_for_all();
}
END_TEST

/* ---- in the middle of anything ---- */

#define NR_SLOTS 200

/* What lives for sure: entered after it was allocated, and struck out before it is freed. */
struct ledger {
	uint64_t __percpu *p[NR_SLOTS];
	size_t bytes[NR_SLOTS];
};

static void churn(struct percpu_pool *pool, struct ledger *ledger, unsigned state)
{
	for (;; state = state * 1103515245 + 12345) {
		const unsigned slot = state / 65536 % NR_SLOTS;
		uint64_t __percpu *p = ledger->p[slot];
		const size_t bytes = 8 + 8 * (state / 16 % 60);

		if (p) {
			__atomic_store_n(&ledger->p[slot], NULL, __ATOMIC_SEQ_CST);
			percpu_free(p);
			continue;
		}
		p = percpu_pool_alloc(pool, bytes, 8);
		must(p);
		__atomic_store_n(&ledger->bytes[slot], bytes, __ATOMIC_SEQ_CST);
		__atomic_store_n(&ledger->p[slot], p, __ATOMIC_SEQ_CST);
		if (state / 1024 % 4 == 0)
			percpu_unpublish(publish_as(p, PERCPU_METRIC_COUNTER, "short-lived"));
	}
}

START_TEST(owners_killed_in_the_middle)
{
	struct ledger *ledger = shared_memory(sizeof(*ledger));

	adopt();
	for (unsigned round = 0; round < 150; round++) {
		memset(ledger, 0, sizeof(*ledger));
		if (!fork()) {
			struct percpu_pool *pool = published_pool("killed", 1 << 20);
			struct percpu_reader *reader;
			pid_t maker = getpid(), child = fork();

			if (child)
				churn(pool, ledger, round + 1);
			usleep(round * 37 % 3000);
			kill(maker, SIGKILL);
			alloc_when_vacant(pool);
			for (unsigned i = 0; i < 300; i++) {
				const size_t bytes = 8 + 8 * (i % 40);
				char __percpu *p = percpu_pool_alloc(pool, bytes, 8);

				for (unsigned j = 0; j < NR_SLOTS; j++)
					must(p && (!ledger->p[j] || !overlaps(p, bytes, ledger->p[j], ledger->bytes[j])));
				must(publish_as(p, PERCPU_METRIC_COUNTER, "mine"));
			}
			reader = reader_of(getpid());
			must(reader && !percpu_reader_update(reader) && percpu_reader_nr(reader) >= 300);
			for (unsigned j = 0; j < NR_SLOTS; j++) {
				must(!ledger->p[j] || percpu_usable_size(ledger->p[j]) == ledger->bytes[j]);
				percpu_free(ledger->p[j]);
			}
			_exit(0);
		}
		for (int status; waitpid(-1, &status, 0) > 0;)
			ck_assert_msg((WIFEXITED(status) && WEXITSTATUS(status) == 0) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL),
				      "status %#x", status);
	}
}
END_TEST

/* ---- children that write what they like ---- */

/* All of the file before the first chunk: header, descriptions and maps. */
static void scribble(unsigned seed)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start = 0, end = 0;
	char line[4096];
	uint64_t state = seed * 2654435761u + 1;

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "/memfd:percpu:") && strstr(line, " 00000000 "))
			sscanf(line, "%lx-%lx", &start, &end);
	must(start);
	for (uint64_t *word = (uint64_t *)start; word < (uint64_t *)end; word++) {
		state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
		switch (seed % 4) {
		case 0: *word = state; break;
		case 1: *word = 0; break;
		case 2: *word = UINT64_MAX; break;
		default: *word ^= state >> 33 & state >> 20;
		}
	}
}

START_TEST(a_child_that_scribbles_before_the_owner_dies)
{
	adopt();
	for (unsigned round = 0; round < 40; round++) {
		if (!fork()) {
			struct percpu_pool *pool = published_pool("scribbled", 4096);
			uint64_t __percpu *p = word_in(pool), *other;
			struct percpu_published *published = publish_as(p, PERCPU_METRIC_COUNTER, "n");
			pid_t maker = getpid(), child;

			percpu_add(p, 5);
			if (fork())
				pause();
			child = fork();
			if (!child) {
				scribble(round);
				_exit(0);
			}
			must(waitpid(child, NULL, 0) == child);
			errno = 0;
			must(!word_in(pool) && errno == EPERM); /* whatever it wrote, the owner lives */
			kill(maker, SIGKILL);
			/* It may be that nobody can take over any more. */
			for (unsigned i = 0; i < 1000 && !(other = word_in(pool)); i++)
				usleep(100);
			must(!other || percpu_sum(other) == 0);
			for (unsigned i = 0; i < 200; i++)
				percpu_free(percpu_pool_alloc(pool, 8 + 8 * i, 8));
			percpu_unpublish(published);
			percpu_unpublish(publish_as(p, PERCPU_METRIC_COUNTER, "m"));
			must(percpu_sum(p) == 5 || round % 4 != 1); /* wiped out, it was known here */
			percpu_free(p);
			percpu_free(p);
			percpu_free(other);
			percpu_pool_destroy(pool);
			_exit(0);
		}
		for (int status; waitpid(-1, &status, 0) > 0;)
			ck_assert_msg((WIFEXITED(status) && WEXITSTATUS(status) == 0) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL),
				      "round %u: status %#x", round, status);
	}
}
END_TEST

/* ---- numbers of processes ---- */

static const char *why_no_namespaces(void)
{
	int status;
	pid_t child = fork();

	if (!child)
		_exit(unshare(CLONE_NEWPID | CLONE_NEWNS) || access("/proc/sys/kernel/ns_last_pid", W_OK));
	return waitpid(child, &status, 0) == child && !status ? NULL : "no namespaces for this user";
}

/* The child of another namespace cannot know who is gone. */
START_TEST(a_child_in_another_namespace_is_refused)
{
	SKIP_IF(why_no_namespaces());
	adopt();
	if (!fork()) {
		struct percpu_pool *pool = published_pool("inside", 0);
		uint64_t __percpu *p = word_in(pool);
		int pipes[2];
		char byte;

		must(!pipe(pipes));
		must(p && !unshare(CLONE_NEWPID | CLONE_NEWNS));
		if (!fork()) {
			must(getpid() == 1 && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
			must(!mount("proc", "/proc", "proc", 0, NULL));
			/* Its maker lives at first; there is nothing to see of it, and nothing when it is gone. */
			for (unsigned i = 0; i < 50; i++) {
				if (i == 25)
					must(write(pipes[1], "", 1) == 1);
				errno = 0;
				must(!word_in(pool) && errno == EPERM);
				percpu_free(p);
				percpu_inc(p);
			}
			must(percpu_sum(p) == 50 && percpu_usable_size(p) == 8);
			_exit(0);
		}
		must(read(pipes[0], &byte, 1) == 1);
		_exit(0);
	}
	wait_for_all();
}
END_TEST

static void set_last_pid(pid_t pid)
{
	FILE *file = fopen("/proc/sys/kernel/ns_last_pid", "w");

	must(file && fprintf(file, "%d", pid) > 0 && fclose(file) == 0);
}

/* The maker's number is another process's by the time somebody asks. */
START_TEST(a_number_that_is_used_again_is_no_owner)
{
	SKIP_IF(why_no_namespaces());
	adopt();
	if (!fork()) {
		pid_t init;
		int status;

		must(!unshare(CLONE_NEWPID | CLONE_NEWNS));
		init = fork();
		if (init) {
			must(waitpid(init, &status, 0) == init);
			_exit(status != 0);
		}
		must(!mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) && !mount("proc", "/proc", "proc", 0, NULL));
		pid_t maker = fork(), other;

		if (!maker) {
			struct percpu_pool *pool = published_pool("again", 0);
			const pid_t mine = getpid();

			if (fork())
				_exit(0);
			while (kill(mine, 0) == 0 || getppid() == mine)
				sched_yield();
			usleep(30000); /* start times are told in hundredths of a second */
			do {
				set_last_pid(mine - 1);
				other = fork();
				if (!other) {
					pause();
					_exit(0);
				}
				if (other != mine)
					kill(other, SIGKILL);
			} while (other != mine);
			must(alloc_when_vacant(pool));
			kill(other, SIGKILL);
			_exit(0);
		}
		while (waitpid(-1, &status, 0) > 0)
			must(status == 0 || WIFSIGNALED(status));
		_exit(0);
	}
	wait_for_all();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { an_owner_without_its_first_thread_lives, of_several_survivors_one_takes_over,
				       threads_of_one_survivor, owners_killed_in_the_middle,
				       a_child_that_scribbles_before_the_owner_dies,
				       a_child_in_another_namespace_is_refused,
				       a_number_that_is_used_again_is_no_owner, NULL };
	Suite *suite = suite_of("publish: owner", tests, 300);
	TCase *kinds = case_of("children of all kinds");

	tcase_set_timeout(kinds, 300);
	tcase_add_loop_test(kinds, children_of_all_kinds_are_refused, 0, KINDS);
	tcase_add_loop_test(kinds, children_are_refused_where_no_page_is_wiped, 0, KINDS);
	tcase_add_loop_test(kinds, the_survivor_of_its_maker_goes_on, 0, KINDS);
	suite_add_tcase(suite, kinds);
	return run_suite(suite);
}

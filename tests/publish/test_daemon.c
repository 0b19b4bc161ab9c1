/* SPDX-License-Identifier: MIT */
/*
 * The life of a server that is a daemon: the process that makes the pool reads the configuration, and ends; the one that goes
 * on forks workers, reads the configuration anew, replaces a worker that was killed, and starts its successor, a program of
 * its own, beside which it runs for a while. All of it is published, and counted exactly.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "harness/harness.h"
#include "publish/world.h"

#define AS_SERVER "--server"
#define NR_WORKERS 2
#define NR_GENERATIONS 2

/* What the test sees of the servers, in memory that they share. */
static struct board {
	char name[32]; /* of the pools */
	struct generation {
		pid_t maker, master;
		pid_t worker[NR_WORKERS];
		uint64_t served;     /* after it was counted */
		unsigned nr_reloads; /* done */
		unsigned nr_replaced;
		int ended;           /* 1: all was given back */
		int wrong;           /* line */
	} of[NR_GENERATIONS];
} *board;
static int board_fd;

static struct generation *generation;

#define must(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			generation->wrong = __LINE__;                                                        \
			_exit(1);                                                                            \
		}                                                                                            \
	} while (0)

/* ---- the server ---- */

static struct percpu_pool *pool;
static uint64_t __percpu *requests, *since_reload;
static struct percpu_published *all, *recent;

static void configure(unsigned nr)
{
	char text[32];
	const struct percpu_label label = { "configuration", text };
	const struct percpu_metric metric = {
		.size = sizeof(metric), .kind = PERCPU_METRIC_COUNTER, .name = "recent", .labels = &label, .nr_labels = 1,
	};

	snprintf(text, sizeof(text), "%u", nr);
	must(!recent || percpu_unpublish(recent) == 0);
	must((since_reload = word_in(pool)) && percpu_sum(since_reload) == 0);
	must((recent = percpu_publish(since_reload, &metric)));
}

static volatile sig_atomic_t told_to_end;

static void end_soon(int number)
{
	told_to_end = 1;
}

/* As programs do it, a worker gives back all at its end, what is not its own included: that does nothing. */
static void serve(void)
{
	sigset_t none;

	must(!prctl(PR_SET_PDEATHSIG, SIGKILL));
	signal(SIGTERM, end_soon);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	while (!told_to_end) {
		percpu_inc(requests);
		percpu_inc(since_reload);
		__atomic_fetch_add(&generation->served, 1, __ATOMIC_RELAXED);
		if (generation->served % 64 == 0)
			sched_yield();
	}
	percpu_unpublish(all);
	percpu_free(requests);
	percpu_free(since_reload);
	percpu_pool_destroy(pool);
	_exit(0);
}

static void start_worker(unsigned i)
{
	const pid_t child = fork();

	must(child >= 0);
	if (!child)
		serve();
	generation->worker[i] = child;
}

static void end_worker(unsigned i)
{
	const pid_t worker = generation->worker[i];

	generation->worker[i] = 0;
	kill(worker, SIGTERM);
	must(waitpid(worker, NULL, 0) == worker);
}

static void reload(void)
{
	uint64_t __percpu *old = since_reload;

	configure(generation->nr_reloads + 1);
	for (unsigned i = 0; i < NR_WORKERS; i++) {
		end_worker(i);
		start_worker(i);
	}
	percpu_free(old); /* nobody counts in it any more */
	__atomic_fetch_add(&generation->nr_reloads, 1, __ATOMIC_RELEASE);
}

static void replace(void)
{
	pid_t gone;

	while ((gone = waitpid(-1, NULL, WNOHANG)) > 0)
		for (unsigned i = 0; i < NR_WORKERS; i++)
			if (generation->worker[i] == gone) {
				start_worker(i);
				__atomic_fetch_add(&generation->nr_replaced, 1, __ATOMIC_RELEASE);
			}
}

static void start_server(unsigned number)
{
	char fd[16], which[16];

	snprintf(fd, sizeof(fd), "%d", board_fd);
	snprintf(which, sizeof(which), "%u", number);
	execl("/proc/self/exe", "test_daemon", AS_SERVER, fd, which, (char *)NULL);
	_exit(127);
}

static void end_server(void)
{
	for (unsigned i = 0; i < NR_WORKERS; i++)
		end_worker(i);
	/* One that was killed may have counted what it did not tell. */
	must(percpu_sum(requests) >= generation->served && percpu_sum(requests) <= generation->served + generation->nr_replaced);
	must(percpu_unpublish(recent) == 0 && percpu_unpublish(all) == 0);
	percpu_free(since_reload);
	percpu_free(requests);
	must(percpu_pool_destroy(pool) == 0);
	generation->ended = 1;
	_exit(0);
}

static void be_master(unsigned number)
{
	sigset_t signals;
	int signal;

	while (getppid() == generation->maker)
		sched_yield();
	must(!prctl(PR_SET_PDEATHSIG, SIGKILL)); /* nothing outlives the test, whatever it says */
	for (unsigned i = 0; i < NR_WORKERS; i++)
		start_worker(i);
	sigemptyset(&signals);
	for (const int *one = (const int[]){ SIGHUP, SIGCHLD, SIGUSR2, SIGQUIT, 0 }; *one; one++)
		sigaddset(&signals, *one);
	__atomic_store_n(&generation->master, getpid(), __ATOMIC_RELEASE);
	for (;;) {
		must(sigwait(&signals, &signal) == 0);
		if (signal == SIGHUP)
			reload();
		else if (signal == SIGQUIT)
			end_server();
		else if (signal == SIGUSR2 && !fork())
			start_server(number + 1);
		replace();
	}
}

static int run_server(int fd, unsigned number)
{
	sigset_t blocked;
	pid_t child;
	int null;

	board_fd = fd;
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, board_fd, 0);
	generation = &board->of[number];
	sigfillset(&blocked);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	pool = published_pool(board->name, 1 << 16);
	must(pool && (requests = word_in(pool)) && (all = publish_as(requests, PERCPU_METRIC_COUNTER, "requests")));
	configure(0);
	generation->maker = getpid();
	child = fork(); /* as daemon(3) does */
	if (child)
		_exit(child < 0);
	setsid();
	null = open("/dev/null", O_RDWR);
	for (int i = 0; i < 3; i++)
		must(dup2(null, i) == i);
	close(null);
	be_master(number);
	return 0;
}

/* ---- the test ---- */

#define wait_until(condition)                                                                                \
	do {                                                                                                 \
		for (int status_; !(condition); usleep(1000)) {                                              \
			while (waitpid(-1, &status_, WNOHANG) > 0)                                           \
				;                                                                            \
			ck_assert_msg(!board->of[0].wrong && !board->of[1].wrong, "server: line %d, %d",    \
				      board->of[0].wrong, board->of[1].wrong);                               \
		}                                                                                            \
	} while (0)

static bool is_served(unsigned number, uint64_t more)
{
	static uint64_t before[NR_GENERATIONS];
	const uint64_t now = __atomic_load_n(&board->of[number].served, __ATOMIC_ACQUIRE);

	if (more)
		return now >= before[number] + more;
	before[number] = now;
	return true;
}

static void serve_some(unsigned number)
{
	is_served(number, 0);
	wait_until(is_served(number, 1000));
}

/* From outside: the pool is the master's, or the maker's while nothing was changed; its values are what was served. */
static void look(unsigned number, const char *configuration, pid_t creator)
{
	const struct generation *of = &board->of[number];
	struct percpu_reader *reader = reader_of(of->master);
	const uint64_t before = __atomic_load_n(&of->served, __ATOMIC_ACQUIRE);
	long recent_one;

	ck_assert_msg(reader, "no reader of %u, %d: %s", number, of->master, strerror(errno));
	ck_assert_int_eq(percpu_reader_creator(reader), creator);
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	ck_assert_uint_ge(value_of(reader, "requests"), before);
	ck_assert_uint_eq(percpu_reader_nr(reader), 2);
	recent_one = find_metric(reader, "recent");
	ck_assert_int_ge(recent_one, 0);
	ck_assert_str_eq(percpu_reader_metric(reader, recent_one)->labels[0].value, configuration);
	percpu_reader_close(reader);
}

static unsigned nr_pools;
static uint64_t files[16];

static int note_file(const struct percpu_publisher *publisher, void *arg)
{
	for (unsigned i = 0; i < nr_pools; i++)
		if (files[i] == publisher->file)
			return 0;
	if (!strcmp(publisher->name, board->name) && nr_pools < 16)
		files[nr_pools++] = publisher->file;
	return 0;
}

static unsigned count_pools(void)
{
	nr_pools = 0;
	ck_assert_int_eq(percpu_publishers(0, note_file, NULL), 0);
	return nr_pools;
}

START_TEST(a_server_lives)
{
	static struct generation *old, *new;
	pid_t child;

	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	board_fd = memfd_create("board", 0); /* passed on to programs */
	ck_assert_int_eq(ftruncate(board_fd, sizeof(*board)), 0);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, board_fd, 0);
	snprintf(board->name, sizeof(board->name), "served for %d", getpid());
	old = &board->of[0];
	new = &board->of[1];
	child = fork();
	if (!child)
		start_server(0);
	wait_until(__atomic_load_n(&old->master, __ATOMIC_ACQUIRE));
	ck_assert_int_ne(old->master, old->maker);
	serve_some(0);
	look(0, "0", old->maker);

	kill(old->master, SIGHUP);
	wait_until(__atomic_load_n(&old->nr_reloads, __ATOMIC_ACQUIRE) == 1);
	serve_some(0);
	look(0, "1", old->master);

	kill(old->worker[1], SIGKILL);
	wait_until(__atomic_load_n(&old->nr_replaced, __ATOMIC_ACQUIRE) == 1);
	serve_some(0);
	look(0, "1", old->master);

	kill(old->master, SIGUSR2);
	wait_until(__atomic_load_n(&new->master, __ATOMIC_ACQUIRE));
	serve_some(0);
	serve_some(1);
	look(0, "1", old->master);
	look(1, "0", new->maker);
	ck_assert_uint_eq(count_pools(), 2);
	kill(old->master, SIGHUP);
	kill(new->master, SIGHUP);
	wait_until(__atomic_load_n(&old->nr_reloads, __ATOMIC_ACQUIRE) == 2);
	wait_until(__atomic_load_n(&new->nr_reloads, __ATOMIC_ACQUIRE) == 1);
	look(0, "2", old->master);
	look(1, "1", new->master);

	kill(old->master, SIGQUIT);
	wait_until(__atomic_load_n(&old->ended, __ATOMIC_ACQUIRE));
	wait_until(count_pools() == 1);
	serve_some(1);
	kill(new->master, SIGHUP);
	wait_until(__atomic_load_n(&new->nr_reloads, __ATOMIC_ACQUIRE) == 2);
	look(1, "2", new->master);
	kill(new->master, SIGQUIT);
	wait_until(__atomic_load_n(&new->ended, __ATOMIC_ACQUIRE));
	wait_until(count_pools() == 0);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = { a_server_lives, NULL };

	if (argc == 4 && !strcmp(argv[1], AS_SERVER))
		return run_server(atoi(argv[2]), atoi(argv[3]));
	return run_suite(suite_of("publish: daemon", tests, 300));
}

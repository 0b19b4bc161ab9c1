/* SPDX-License-Identifier: MIT */
/*
 * A small HTTP server of several processes, each of several threads, whose statistics are
 * published: requests by status, bytes, open connections, and how long requests took. Processes
 * count without a lock or an atomic instruction, and the sums over all of them are exact:
 *
 *	httpd-stats 8080 &
 *	wrk -c 32 -d 10 http://127.0.0.1:8080/
 *	percpu show httpd-stats
 *
 * The parent makes the pool and forks the workers, which share its copies. The pool ends with the
 * last process.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <percpu/percpu.h>

#define NR_STATUSES 2
#define MAX 256 /* processes, threads of each */

static const char body[] = "Hello from one of many processes.\n";
static const char missing[] = "There is nothing here.\n";

/* One allocation for all that a request changes. */
struct stats {
	uint64_t requests[NR_STATUSES]; /* 200, 404 */
	uint64_t bytes;
	int64_t connections;
};
static struct stats __percpu *stats;
static struct percpu_histogram latency;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- published metrics ---- */

static void publish(const void __percpu *p, struct percpu_metric metric)
{
	metric.size = sizeof(metric);
	if (!percpu_publish(p, &metric))
		die("percpu_publish");
}

static void publish_all(void)
{
	static const char *const statuses[NR_STATUSES] = { "200", "404" };
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	struct percpu_pool *pool;

	attr.published = PERCPU_ON;
	pool = percpu_pool_create("httpd-stats", &attr);
	stats = pool ? percpu_pool_alloc(pool, sizeof(*stats), 64) : NULL;
	if (!stats || percpu_histogram_init(&latency, pool, 1000, 10000000000, 5) < 0)
		die("percpu_pool_create");
	for (int i = 0; i < NR_STATUSES; i++) {
		const struct percpu_label status = { "status", statuses[i] };

		publish(&stats->requests[i], (struct percpu_metric){ .kind = PERCPU_METRIC_COUNTER, .name = "http_requests",
								     .help = "Requests answered, by status.",
								     .labels = &status, .nr_labels = 1 });
	}
	publish(&stats->bytes, (struct percpu_metric){ .kind = PERCPU_METRIC_COUNTER, .name = "http_response", .unit = "bytes",
						       .help = "Bytes of the bodies of responses." });
	publish(&stats->connections, (struct percpu_metric){ .kind = PERCPU_METRIC_GAUGE, .name = "http_connections",
							     .help = "Connections open now." });
	publish(latency.copies, (struct percpu_metric){ .kind = PERCPU_METRIC_HISTOGRAM, .name = "http_request_duration",
							.unit = "seconds", .help = "From the head of a request to its end.",
							.shape = &latency.shape, .scale = 1e-9 });
}

/* ---- workers ---- */

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * UINT64_C(1000000000) + time.tv_nsec;
}

/* *state: when the request began. */
static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
			      const char *version, const char *data, size_t *data_bytes, void **state)
{
	const bool is_known = !strcmp(url, "/");
	const char *text = is_known ? body : missing;
	struct MHD_Response *response;
	enum MHD_Result result;

	if (!*state) {
		*state = (void *)(uintptr_t)now_ns();
		return MHD_YES;
	}
	response = MHD_create_response_from_buffer(strlen(text), (char *)text, MHD_RESPMEM_PERSISTENT);
	result = response ? MHD_queue_response(connection, is_known ? MHD_HTTP_OK : MHD_HTTP_NOT_FOUND, response) : MHD_NO;
	if (response)
		MHD_destroy_response(response);
	percpu_inc(&stats->requests[!is_known]);
	percpu_add(&stats->bytes, strlen(text));
	return result;
}

static void completed(void *arg, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	if (*state)
		percpu_histogram_record(&latency, now_ns() - (uintptr_t)*state);
}

static void connected(void *arg, struct MHD_Connection *connection, void **state,
		      enum MHD_ConnectionNotificationCode code)
{
	percpu_add(&stats->connections, code == MHD_CONNECTION_NOTIFY_STARTED ? 1 : -1);
}

static void work(int listener, unsigned nr_threads, const sigset_t *signals)
{
	struct MHD_Daemon *daemon;
	int signal;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL, NULL, answer, NULL,
				  MHD_OPTION_LISTEN_SOCKET, listener, MHD_OPTION_THREAD_POOL_SIZE, nr_threads,
				  MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, connected,
				  NULL, MHD_OPTION_END);
	if (!daemon)
		die("MHD_start_daemon");
	sigwait(signals, &signal);
	MHD_stop_daemon(daemon);
	exit(0);
}

/* ---- the parent ---- */

static int listen_on(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(*port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		die("listen");
	*port = ntohs(address.sin_port);
	return fd;
}

int main(int argc, char **argv)
{
	const unsigned long wanted = argc > 1 ? strtoul(argv[1], NULL, 10) : 8080;
	const unsigned long nr_workers = argc > 2 ? strtoul(argv[2], NULL, 10) : 2;
	const unsigned long nr_threads = argc > 3 ? strtoul(argv[3], NULL, 10) : 2;
	pid_t workers[MAX];
	uint16_t port = wanted;
	sigset_t signals;
	int listener, signal;

	if (argc > 4 || wanted > UINT16_MAX || !nr_workers || nr_workers > MAX || !nr_threads || nr_threads > MAX) {
		fprintf(stderr, "Usage: httpd-stats [PORT [PROCESSES [THREADS]]]\n");
		return 2;
	}
	publish_all();
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	listener = listen_on(&port);
	for (unsigned long i = 0; i < nr_workers; i++) {
		workers[i] = fork();
		if (workers[i] < 0)
			die("fork");
		if (!workers[i])
			work(listener, nr_threads, &signals);
	}
	printf("listening on http://127.0.0.1:%d/\n", port);
	fflush(stdout);
	sigwait(&signals, &signal);
	for (unsigned long i = 0; i < nr_workers; i++)
		kill(workers[i], SIGTERM);
	while (wait(NULL) > 0)
		;
	return 0;
}

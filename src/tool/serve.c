/* SPDX-License-Identifier: MIT */
/*
 * percpu export --listen: serves pages of export by HTTP for Prometheus to scrape. Any client that
 * can connect may send requests without end, so no client's connections or requests
 * may starve the others:
 *
 *	connections   limited; a new one shuts the oldest, and each is shut at a maximum age
 *	pages         made at most once a second, and shared by all requests meanwhile; a connection that still
 *	              fetches a page several pages old is shut
 *	names         on a loopback address a request that calls us by a name is answered where the name is known, so that a
 *	              page of somebody's browser cannot read here under a name of its own (DNS rebinding)
 */
#include <string.h>

#include "tool/tool.h"

#ifdef HAVE_MICROHTTPD
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define IDLE_SECONDS 10u
#define HEAD_SECONDS 5.0     /* from the connection to the whole request */
#define CONNECTION_SECONDS 30.0
#define CONNECTIONS_MAX 64u
#define CONNECTIONS_ROOM 128u /* the library's own limit, beyond which new ones are not taken */
#define PAGE_SECONDS 1.0     /* for which a page is served */
#define PAGES_MAX 3u         /* kept for connections that still fetch them */

struct connection {
	int fd;              /* -1: free */
	bool is_shut;
	bool has_asked;
	double begun_at;
	uint64_t page;       /* number of the page that it fetches; 0: none */
};

/* The lock protects all that changes; libmicrohttpd's thread and the main thread take it. */
struct server {
	const struct options *options;
	page_writer *write_page;
	bool is_local;       /* on a loopback address */
	pthread_mutex_t lock;
	struct connection connection[CONNECTIONS_ROOM];
	struct MHD_Response *page;
	unsigned page_status;
	double page_made_at;
	uint64_t nr_pages;
};

static double seconds_of_clock(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec * 1e-9;
}

/* ---- connections ---- */

/* libmicrohttpd then sees end of file and closes the socket. */
static void shut(struct connection *connection)
{
	shutdown(connection->fd, SHUT_RDWR);
	connection->is_shut = true;
}

static void shut_late(struct server *server)
{
	const double now = seconds_of_clock();

	for (unsigned i = 0; i < CONNECTIONS_ROOM; i++) {
		struct connection *connection = &server->connection[i];
		const double age = now - connection->begun_at;

		if (connection->fd >= 0 && !connection->is_shut &&
		    (age > CONNECTION_SECONDS || (!connection->has_asked && age > HEAD_SECONDS)))
			shut(connection);
	}
}

/* Shuts the oldest of the connections without a request, or of all if each had one. */
static void shut_oldest(struct server *server)
{
	struct connection *oldest = NULL;
	unsigned nr = 0;

	for (unsigned i = 0; i < CONNECTIONS_ROOM; i++) {
		struct connection *connection = &server->connection[i];

		if (connection->fd < 0 || connection->is_shut)
			continue;
		nr++;
		if (!oldest || connection->has_asked < oldest->has_asked ||
		    (connection->has_asked == oldest->has_asked &&
		     connection->begun_at < oldest->begun_at))
			oldest = connection;
	}
	if (nr > CONNECTIONS_MAX)
		shut(oldest);
}

static struct connection *connection_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
		->socket_context;
}

static void begin_connection(struct server *server, int fd, void **context)
{
	struct connection *connection = server->connection;

	while (connection < server->connection + CONNECTIONS_ROOM && connection->fd >= 0)
		connection++;
	if (connection == server->connection + CONNECTIONS_ROOM)
		return; /* cannot be: the library takes no more */
	*connection = (struct connection){ .fd = fd, .begun_at = seconds_of_clock() };
	*context = connection;
	shut_late(server);
	shut_oldest(server);
}

static void note_connection(void *arg, struct MHD_Connection *handle, void **context,
			    enum MHD_ConnectionNotificationCode code)
{
	struct server *server = arg;

	pthread_mutex_lock(&server->lock);
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		begin_connection(server,
				 MHD_get_connection_info(handle, MHD_CONNECTION_INFO_CONNECTION_FD)
					 ->connect_fd,
				 context);
	else if (*context)
		((struct connection *)*context)->fd = -1;
	pthread_mutex_unlock(&server->lock);
}

/* ---- names ---- */

static bool is_listed(const char *names, const char *name, size_t bytes)
{
	while (names && *names) {
		const size_t length = strcspn(names, ",");

		if (length == bytes && !strncasecmp(names, name, bytes))
			return true;
		names += length + (names[length] == ',');
	}
	return false;
}

/*
 * Returns: true for a Host that is answered: NAME, NAME:PORT, an address, or none,
 * as old clients send.
 */
static bool is_our_name(const struct server *server, const char *host)
{
	struct in_addr v4;
	char name[256];
	size_t bytes;

	if (!host || (!server->is_local && !server->options->hosts))
		return true;
	if (*host == '[')
		return true; /* an address of IPv6: no name server gives that to a browser as a name */
	bytes = strcspn(host, ":");
	if (bytes >= sizeof(name))
		return false;
	memcpy(name, host, bytes);
	name[bytes] = '\0';
	return inet_pton(AF_INET, name, &v4) == 1 || !strcasecmp(name, "localhost") ||
	       is_listed(server->options->hosts, name, bytes);
}

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* PORT, ADDRESS:PORT or [ADDRESS]:PORT; without an address, loopback. */
static bool read_address(const char *text, union address *address)
{
	const char *colon = strrchr(text, ':'), *digits = colon ? colon + 1 : text;
	const size_t length = colon ? colon - text : 0;
	const bool in_brackets = length >= 2 && text[0] == '[' && text[length - 1] == ']';
	char host[64] = "127.0.0.1", *end;
	const unsigned long port = strtoul(digits, &end, 10);

	if (*digits < '0' || *digits > '9' || *end || port > UINT16_MAX || (colon && !length) ||
	    length >= sizeof(host))
		return false;
	if (colon)
		snprintf(host, sizeof(host), "%.*s", (int)(in_brackets ? length - 2 : length),
			 text + in_brackets);
	memset(address, 0, sizeof(*address));
	if (!in_brackets && inet_pton(AF_INET, host, &address->v4.sin_addr) == 1) {
		address->v4.sin_family = AF_INET;
		address->v4.sin_port = htons(port);
		return true;
	}
	address->v6.sin6_family = AF_INET6;
	address->v6.sin6_port = htons(port);
	return in_brackets && inet_pton(AF_INET6, host, &address->v6.sin6_addr) == 1;
}

static bool is_loopback(const union address *address)
{
	if (address->any.sa_family == AF_INET)
		return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}

/* ---- answers ---- */

static enum MHD_Result answer_line(struct MHD_Connection *connection, unsigned status,
				   const char *line)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(line), (char *)line, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
	MHD_add_response_header(response, "Connection", "close");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* Writes a page into memory. Returns: true if there is one. */
static bool write_text(const struct server *server, char **text, size_t *size)
{
	FILE *out = open_memstream(text, size);
	bool is_whole;
	int status;

	if (!out)
		return false;
	status = server->write_page(out, server->options, &is_whole);
	fclose(out);
	return !status;
}

static void make_page(struct server *server)
{
	static const char nothing[] = "What was asked for is not published now.\n";
	char *text = NULL;
	size_t size = 0;
	const bool is_there = write_text(server, &text, &size);

	if (server->page)
		MHD_destroy_response(server->page); /* freed when its last connection is done */
	server->page = is_there ? MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE)
				: MHD_create_response_from_buffer(strlen(nothing), (char *)nothing,
								  MHD_RESPMEM_PERSISTENT);
	if (!is_there || !server->page)
		free(text);
	if (!server->page)
		return;
	MHD_add_response_header(server->page, "Content-Type",
				is_there ? CONTENT_TYPE : "text/plain; charset=utf-8");
	MHD_add_response_header(server->page, "Connection", "close");
	server->page_status = is_there ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
	server->page_made_at = seconds_of_clock();
	server->nr_pages++;
}

/* Shuts connections that still fetch a page PAGES_MAX pages old. */
static void shut_those_behind(struct server *server)
{
	for (unsigned i = 0; i < CONNECTIONS_ROOM; i++) {
		struct connection *connection = &server->connection[i];

		if (connection->fd >= 0 && !connection->is_shut && connection->page &&
		    connection->page + PAGES_MAX <= server->nr_pages)
			shut(connection);
	}
}

static enum MHD_Result answer_metrics(struct MHD_Connection *handle, struct server *server)
{
	struct connection *connection = connection_of(handle);

	if (!server->page || seconds_of_clock() - server->page_made_at > PAGE_SECONDS)
		make_page(server);
	if (!server->page)
		return MHD_NO;
	pthread_mutex_lock(&server->lock);
	if (connection)
		connection->page = server->nr_pages;
	shut_those_behind(server);
	pthread_mutex_unlock(&server->lock);
	return MHD_queue_response(handle, server->page_status, server->page);
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *data,
			      size_t *data_bytes, void **state)
{
	static int seen;
	struct server *server = arg;
	struct connection *known = connection_of(connection);

	/* The first call for a request has its head alone, which suffices to refuse a body. */
	pthread_mutex_lock(&server->lock);
	if (known)
		known->has_asked = true;
	pthread_mutex_unlock(&server->lock);
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		return answer_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "Method Not Allowed\n");
	if (!*state) {
		*state = &seen;
		return MHD_YES;
	}
	if (!is_our_name(server, MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host")))
		return answer_line(connection, MHD_HTTP_FORBIDDEN,
				   "Not known by that name: see --host in percpu(1).\n");
	if (!strcmp(url, "/metrics"))
		return answer_metrics(connection, server);
	if (!strcmp(url, "/"))
		return answer_line(connection, MHD_HTTP_OK, "Statistics are at /metrics.\n");
	return answer_line(connection, MHD_HTTP_NOT_FOUND, "Statistics are at /metrics.\n");
}

static void announce(struct MHD_Daemon *daemon, const union address *address)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
	const bool is_v6 = address->any.sa_family == AF_INET6;
	char host[64];

	inet_ntop(address->any.sa_family,
		  is_v6 ? (void *)&address->v6.sin6_addr : (void *)&address->v4.sin_addr, host,
		  sizeof(host));
	fprintf(stderr,
		is_v6 ? "listening on http://[%s]:%u/metrics\n"
		      : "listening on http://%s:%u/metrics\n",
		host, info ? info->port : 0);
}

/* Shuts late connections until a signal comes. */
static void wait_for_signal(struct server *server, const sigset_t *signals)
{
	const struct timespec second = { 1, 0 };

	while (sigtimedwait(signals, NULL, &second) < 0) {
		pthread_mutex_lock(&server->lock);
		shut_late(server);
		pthread_mutex_unlock(&server->lock);
	}
}

int serve(const struct options *options, page_writer *write_page)
{
	static struct server server = { .lock = PTHREAD_MUTEX_INITIALIZER };
	union address address;
	struct MHD_Daemon *daemon;
	sigset_t signals;

	if (!read_address(options->listen, &address))
		return complain_of_usage(
			"--listen takes PORT, ADDRESS:PORT or [ADDRESS]:PORT, not \"%s\"",
			options->listen);
	server.options = options;
	server.write_page = write_page;
	server.is_local = is_loopback(&address);
	for (unsigned i = 0; i < CONNECTIONS_ROOM; i++)
		server.connection[i].fd = -1;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* inherited by the server's thread */
	daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD |
					  (address.any.sa_family == AF_INET6 ? MHD_USE_IPv6 : 0),
				  0, NULL, NULL, handle, &server, MHD_OPTION_SOCK_ADDR,
				  &address.any, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
				  MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_ROOM,
				  MHD_OPTION_NOTIFY_CONNECTION, note_connection, &server,
				  MHD_OPTION_END);
	if (!daemon)
		return complain("cannot listen on %s", options->listen);
	announce(daemon, &address);
	complaint_keep(true); /* each page reports what it leaves out */
	wait_for_signal(&server, &signals);
	complaint_keep(false);
	MHD_stop_daemon(daemon);
	if (server.page)
		MHD_destroy_response(server.page);
	return STATUS_OK;
}
#else
int serve(const struct options *options, page_writer *write_page)
{
	return complain("built without libmicrohttpd, so there is no --listen");
}
#endif

/* SPDX-License-Identifier: MIT */
/* percpu export --listen: what export writes, by HTTP, for Prometheus to scrape. */
#include <string.h>

#include "tool/tool.h"

#ifdef HAVE_MICROHTTPD
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>

#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define TIMEOUT_SECONDS 10u
#define CONNECTIONS_MAX 64u

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

	if (*digits < '0' || *digits > '9' || *end || port > UINT16_MAX || (colon && !length) || length >= sizeof(host))
		return false;
	if (colon)
		snprintf(host, sizeof(host), "%.*s", (int)(in_brackets ? length - 2 : length), text + in_brackets);
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

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type, char *text, size_t size)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type", type);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result answer_line(struct MHD_Connection *connection, unsigned status, const char *line)
{
	return answer(connection, status, "text/plain; charset=utf-8", (char *)line, strlen(line));
}

static enum MHD_Result answer_metrics(struct MHD_Connection *connection, const struct options *options)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	enum MHD_Result result;
	int status;

	if (!out)
		return MHD_NO;
	status = export_to(out, options);
	fclose(out);
	result = status ? answer_line(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "What was asked for is not published now.\n")
			: answer(connection, MHD_HTTP_OK, CONTENT_TYPE, text, size);
	free(text);
	return result;
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
			      const char *version, const char *data, size_t *data_bytes, void **state)
{
	static int seen;

	/* The first call of a request has its head alone, and that is enough to refuse a body. */
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		return answer_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET, please.\n");
	if (!*state) {
		*state = &seen;
		return MHD_YES;
	}
	if (!strcmp(url, "/metrics"))
		return answer_metrics(connection, arg);
	if (!strcmp(url, "/"))
		return answer_line(connection, MHD_HTTP_OK, "Statistics are at /metrics.\n");
	return answer_line(connection, MHD_HTTP_NOT_FOUND, "Statistics are at /metrics.\n");
}

static void announce(struct MHD_Daemon *daemon, const union address *address)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
	const bool is_v6 = address->any.sa_family == AF_INET6;
	char host[64];

	inet_ntop(address->any.sa_family, is_v6 ? (void *)&address->v6.sin6_addr : (void *)&address->v4.sin_addr, host,
		  sizeof(host));
	fprintf(stderr, is_v6 ? "listening on http://[%s]:%u/metrics\n" : "listening on http://%s:%u/metrics\n", host,
		info ? info->port : 0);
}

int serve(const struct options *options)
{
	union address address;
	struct MHD_Daemon *daemon;
	sigset_t signals;
	int signal;

	if (!read_address(options->listen, &address))
		return complain_of_usage("--listen takes PORT, ADDRESS:PORT or [ADDRESS]:PORT, not \"%s\"", options->listen);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* the server's thread has it so, too */
	daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | (address.any.sa_family == AF_INET6 ? MHD_USE_IPv6 : 0), 0,
				  NULL, NULL, handle, (void *)options, MHD_OPTION_SOCK_ADDR, &address.any,
				  MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_SECONDS, MHD_OPTION_CONNECTION_LIMIT,
				  CONNECTIONS_MAX, MHD_OPTION_END);
	if (!daemon)
		return complain("cannot listen on %s", options->listen);
	announce(daemon, &address);
	sigwait(&signals, &signal);
	MHD_stop_daemon(daemon);
	return STATUS_OK;
}
#else
int serve(const struct options *options)
{
	return complain("built without libmicrohttpd, so there is no --listen");
}
#endif

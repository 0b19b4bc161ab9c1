/* SPDX-License-Identifier: MIT */
/* Runs a function in a child process and captures its standard error and exit status. */
#ifndef TESTS_CAPTURE_H
#define TESTS_CAPTURE_H

#include <check.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct said {
	char text[8192];
	int status; /* wait status */
};

static inline struct said said_by(void (*function)(void *arg), void *arg)
{
	struct said said = { .status = 0 };
	size_t length = 0;
	ssize_t got;
	int ends[2];
	pid_t child;

	ck_assert_int_eq(pipe(ends), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (!child) {
		const struct rlimit no_core = { 0, 0 };

		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		function(arg);
		_exit(0);
	}
	close(ends[1]);
	while ((got = read(ends[0], said.text + length, sizeof(said.text) - 1 - length)) > 0)
		length += got;
	close(ends[0]);
	ck_assert_int_eq(waitpid(child, &said.status, 0), child);
	return said;
}

static inline unsigned lines_of(const char *text)
{
	unsigned nr = 0;

	for (; *text; text++)
		nr += *text == '\n';
	return nr;
}

/* Asserts that the function prints exactly text and dies of SIGABRT. */
static inline void assert_dies(void (*function)(void *arg), void *arg, const char *text)
{
	const struct said said = said_by(function, arg);

	ck_assert_str_eq(said.text, text);
	ck_assert_msg(WIFSIGNALED(said.status) && WTERMSIG(said.status) == SIGABRT, "status %#x",
		      said.status);
}

#endif

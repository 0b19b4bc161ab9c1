/* SPDX-License-Identifier: MIT */
/*
 * A double free, and a use after free, is reported by one line even if another thread unmaps the
 * chunk during the validation of the pointer. The test stops the thread at each instruction of the
 * validation in turn.
 */
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "percpu/percpu.h"

#include <percpu/percpu.h>

#if defined(__x86_64__) || defined(__aarch64__)
#define MAX_STEPS 5000u

static void *freed, *last_of_chunk;
static int go_pipe[2], done_pipe[2], said_pipe[2];

static void free_again(void) { percpu_free(freed); }
static void ask_size(void) { percpu_usable_size(freed); }
static void free_again_in_bulk(void) { percpu_free_bulk(1, &freed); }

static const struct validation {
	void (*call)(void);
	const char *name;
	size_t size;
	const char *options;
} validations[] = {
	{ free_again, "percpu_free", 8192, "cpus:2" },
	{ free_again, "percpu_free", 8192, "cpus:2,mode:atomic" },
	{ free_again, "percpu_free", 64, "cpus:2" }, /* by the fast path */
	{ ask_size, "percpu_usable_size", 8192, "cpus:2" },
	{ ask_size, "percpu_usable_size", 64, "cpus:2" },
	{ free_again_in_bulk, "percpu_free_bulk", 8192, "cpus:2" },
	{ free_again_in_bulk, "percpu_free_bulk", 64, "cpus:2" },
};
#define NR_VALIDATIONS (sizeof(validations) / sizeof(validations[0]))

/* ---- the victim ---- */

static void *unmap_chunk(void *arg)
{
	char byte = 0;

	if (read(go_pipe[0], &byte, 1) == 1) {
		percpu_free(last_of_chunk);
		percpu_trim(NULL);
		byte = percpu__pagemap_find((uintptr_t)freed) ? 'n' : 'y';
		if (write(done_pipe[1], &byte, 1) != 1)
			_exit(4);
	}
	return arg;
}

/* Makes two chunks; freed lies in the first, the second is the empty one that the pool keeps. */
static _Noreturn void be_victim(const struct validation *validation)
{
	const struct rlimit no_core = { 0, 0 };
	pthread_t other;
	void *kept;

	setenv("PERCPU_OPTIONS", validation->options, 1);
	setrlimit(RLIMIT_CORE, &no_core);
	dup2(said_pipe[1], STDERR_FILENO);
	last_of_chunk = percpu_alloc(200000, 8);
	kept = percpu_alloc(200000, 8);
	freed = percpu_alloc(validation->size, validation->size == 64 ? 8 : 4096);
	percpu_free(kept);
	percpu_free(freed);
	if (pthread_create(&other, NULL, unmap_chunk, NULL) ||
	    ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(4);
	raise(SIGSTOP);
	validation->call();
	_exit(3);
}

/* ---- the tracer ---- */

static uintptr_t program_counter(pid_t thread)
{
	struct user_regs_struct registers;
	struct iovec room = { &registers, sizeof(registers) };

	if (ptrace(PTRACE_GETREGSET, thread, (void *)NT_PRSTATUS, &room))
		return 0;
#ifdef __x86_64__
	return registers.rip;
#else
	return registers.pc;
#endif
}

/* Returns: true if the victim printed one line, that of the call, and aborted. */
static bool was_reported(const struct validation *validation, int status, const char *said)
{
	char begin[64];
	const char *const newline = strchr(said, '\n');

	snprintf(begin, sizeof(begin), "libpercpu: %s: ", validation->name);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
	       !strncmp(said, begin, strlen(begin)) && newline && !newline[1];
}

enum end { REPORTED, NOT_REPORTED, PAST_IT, CANNOT };

/* Stops the victim after nr_steps instructions, has the chunk unmapped, continues the victim. */
static enum end interrupt_after(const struct validation *validation, unsigned nr_steps)
{
	char said[512] = "", gone = 0;
	int status;
	pid_t victim;

	if (pipe(go_pipe) || pipe(done_pipe) || pipe(said_pipe))
		return CANNOT;
	fflush(stdout);
	victim = fork();
	if (!victim)
		be_victim(validation);
	close(go_pipe[0]);
	close(done_pipe[1]);
	close(said_pipe[1]);
	if (waitpid(victim, &status, 0) != victim || !WIFSTOPPED(status) ||
	    WSTOPSIG(status) != SIGSTOP)
		return CANNOT;
	for (unsigned i = 0; i < nr_steps && program_counter(victim) != (uintptr_t)percpu__fatal;
	     i++)
		if (ptrace(PTRACE_SINGLESTEP, victim, NULL, NULL) ||
		    waitpid(victim, &status, __WALL) != victim || !WIFSTOPPED(status) ||
		    WSTOPSIG(status) != SIGTRAP) {
			printf("# %s: step %u: status %#x\n", validation->name, i, status);
			return CANNOT;
		}
	const bool is_past = program_counter(victim) == (uintptr_t)percpu__fatal;

	if (write(go_pipe[1], "g", 1) != 1 || read(done_pipe[0], &gone, 1) != 1)
		return CANNOT;
	for (int signal = 0; !ptrace(PTRACE_CONT, victim, NULL, signal) &&
			     waitpid(victim, &status, __WALL) == victim && WIFSTOPPED(status);)
		signal = WSTOPSIG(status);
	if (read(said_pipe[0], said, sizeof(said) - 1) < 0)
		return CANNOT;
	close(go_pipe[1]);
	close(done_pipe[0]);
	close(said_pipe[0]);
	if (gone != 'y' || !was_reported(validation, status, said)) {
		printf("# %s of %zu bytes, instruction %u: chunk gone: %c, status %#x, said: %s\n",
		       validation->name, validation->size, nr_steps, gone, status, said);
		return NOT_REPORTED;
	}
	return is_past ? PAST_IT : REPORTED;
}

int main(void)
{
#if PERCPU__ASAN || defined(__SANITIZE_THREAD__)
	return printf("1..0 # SKIP a sanitizer adds too many instructions\n") < 0;
#endif
	for (size_t i = 0; i < NR_VALIDATIONS; i++) {
		unsigned nr_steps = 0, nr_unreported = 0;
		enum end end = REPORTED;

		while (nr_steps < MAX_STEPS && end != PAST_IT && end != CANNOT) {
			end = interrupt_after(&validations[i], nr_steps++);
			nr_unreported += end == NOT_REPORTED;
		}
		if (end == CANNOT && i == 0 && nr_steps == 1)
			return printf("1..0 # SKIP ptrace is refused\n") < 0;
		printf("%sok %zu - %s of %zu bytes, %s: at each of %u instructions\n",
		       end == PAST_IT && !nr_unreported ? "" : "not ", i + 1, validations[i].name,
		       validations[i].size, validations[i].options, nr_steps);
	}
	printf("1..%zu\n", NR_VALIDATIONS);
	return 0;
}
#else
int main(void)
{
	return printf("1..0 # SKIP the test cannot read the program counter on this "
		      "architecture\n") < 0;
}
#endif

/* SPDX-License-Identifier: MIT */
/*
 * A pointer that was freed before is told by one line, although its chunk is unmapped by another thread while it is
 * judged: at each instruction of the judgement in turn, the thread stopped there.
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

static void free_it(void) { percpu_free(freed); }
static void ask_it(void) { percpu_usable_size(freed); }
static void free_in_bulk(void) { percpu_free_bulk(1, &freed); }

static const struct judgement {
	void (*call)(void);
	const char *name;
	size_t size;
	const char *options;
} judgements[] = {
	{ free_it, "percpu_free", 8192, "cpus:2" },
	{ free_it, "percpu_free", 8192, "cpus:2,mode:atomic" },
	{ free_it, "percpu_free", 64, "cpus:2" }, /* by the usual way */
	{ ask_it, "percpu_usable_size", 8192, "cpus:2" },
	{ ask_it, "percpu_usable_size", 64, "cpus:2" },
	{ free_in_bulk, "percpu_free_bulk", 8192, "cpus:2" },
	{ free_in_bulk, "percpu_free_bulk", 64, "cpus:2" },
};
#define NR_JUDGEMENTS (sizeof(judgements) / sizeof(judgements[0]))

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

/* Two chunks; freed lies in the first, and the empty one that a pool keeps is the second. */
static _Noreturn void be_victim(const struct judgement *judgement)
{
	const struct rlimit no_core = { 0, 0 };
	pthread_t other;
	void *kept;

	setenv("PERCPU_OPTIONS", judgement->options, 1);
	setrlimit(RLIMIT_CORE, &no_core);
	dup2(said_pipe[1], STDERR_FILENO);
	last_of_chunk = percpu_alloc(200000, 8);
	kept = percpu_alloc(200000, 8);
	freed = percpu_alloc(judgement->size, judgement->size == 64 ? 8 : 4096);
	percpu_free(kept);
	percpu_free(freed);
	if (pthread_create(&other, NULL, unmap_chunk, NULL) || ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(4);
	raise(SIGSTOP);
	judgement->call();
	_exit(3);
}

/* ---- the other side ---- */

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

/* Whether that line is all that was said, and abort the end. */
static bool has_told(const struct judgement *judgement, int status, const char *said)
{
	char begin[64];
	const char *const newline = strchr(said, '\n');

	snprintf(begin, sizeof(begin), "libpercpu: %s: ", judgement->name);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && !strncmp(said, begin, strlen(begin)) && newline &&
	       !newline[1];
}

enum end { TOLD, NOT_TOLD, PAST_IT, CANNOT };

/* Stops the victim after so many instructions, and lets the chunk go. */
static enum end interrupt_after(const struct judgement *judgement, unsigned nr_steps)
{
	char said[512] = "", gone = 0;
	int status;
	pid_t victim;

	if (pipe(go_pipe) || pipe(done_pipe) || pipe(said_pipe))
		return CANNOT;
	fflush(stdout);
	victim = fork();
	if (!victim)
		be_victim(judgement);
	close(go_pipe[0]);
	close(done_pipe[1]);
	close(said_pipe[1]);
	if (waitpid(victim, &status, 0) != victim || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP)
		return CANNOT;
	for (unsigned i = 0; i < nr_steps && program_counter(victim) != (uintptr_t)percpu__fatal; i++)
		if (ptrace(PTRACE_SINGLESTEP, victim, NULL, NULL) || waitpid(victim, &status, __WALL) != victim ||
		    !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) {
			printf("# %s: step %u: status %#x\n", judgement->name, i, status);
			return CANNOT;
		}
	const bool is_past = program_counter(victim) == (uintptr_t)percpu__fatal;

	if (write(go_pipe[1], "g", 1) != 1 || read(done_pipe[0], &gone, 1) != 1)
		return CANNOT;
	for (int signal = 0; !ptrace(PTRACE_CONT, victim, NULL, signal) && waitpid(victim, &status, __WALL) == victim &&
			     WIFSTOPPED(status);)
		signal = WSTOPSIG(status);
	if (read(said_pipe[0], said, sizeof(said) - 1) < 0)
		return CANNOT;
	close(go_pipe[1]);
	close(done_pipe[0]);
	close(said_pipe[0]);
	if (gone != 'y' || !has_told(judgement, status, said)) {
		printf("# %s of %zu bytes, instruction %u: chunk gone: %c, status %#x, said: %s\n", judgement->name,
		       judgement->size, nr_steps, gone, status, said);
		return NOT_TOLD;
	}
	return is_past ? PAST_IT : TOLD;
}

int main(void)
{
#if PERCPU__ASAN || defined(__SANITIZE_THREAD__)
	return printf("1..0 # SKIP of a sanitizer's instructions there are too many\n") < 0;
#endif
	for (size_t i = 0; i < NR_JUDGEMENTS; i++) {
		unsigned nr_steps = 0, nr_untold = 0;
		enum end end = TOLD;

		while (nr_steps < MAX_STEPS && end != PAST_IT && end != CANNOT) {
			end = interrupt_after(&judgements[i], nr_steps++);
			nr_untold += end == NOT_TOLD;
		}
		if (end == CANNOT && i == 0 && nr_steps == 1)
			return printf("1..0 # SKIP no process may be traced here\n") < 0;
		printf("%sok %zu - %s of %zu bytes, %s: at each of %u instructions\n",
		       end == PAST_IT && !nr_untold ? "" : "not ", i + 1, judgements[i].name, judgements[i].size,
		       judgements[i].options, nr_steps);
	}
	printf("1..%zu\n", NR_JUDGEMENTS);
	return 0;
}
#else
int main(void)
{
	return printf("1..0 # SKIP a machine whose program counter this test does not know\n") < 0;
}
#endif

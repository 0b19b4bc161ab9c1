/* SPDX-License-Identifier: MIT */
/*
 * Owns victims and their threads. A traced thread that meets a breakpoint stops before the kernel
 * checks its sequence: the tracer sets the program counter back to the instruction that the
 * breakpoint covered, and when the thread continues, the kernel finds it inside the sequence and
 * sends it to the abort handler, as after any preemption. (Single-stepping would send it there at
 * every step.)
 *
 *	tracer			thread				competitor
 *	names a scenario	prepares it, meets
 *	sets a breakpoint	runs it, stops at it
 *	moves the thread					competes on its old CPU
 *	lets it go		runs to the end, meets
 *				verifies the result, meets
 */
#include "sections/tracer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sections/arch.h"

#if ARCH_IS_KNOWN
#define MEETING SIGUSR1
#define PATIENCE_MS 20 /* for a competitor that sleeps: it waits for a lock of the stopped thread */
#define MAX_PATIENCE_MS 10000
#define MAX_SECTION_BYTES (16 * MAX_BOUNDARIES)

struct shared {
	const struct scenario *scenario;
	struct moves moves;
	unsigned competes_on;
	pid_t competitor;
	unsigned nr_cpus; /* as the library in the victim sees it */
	char wrong[128]; /* the error; empty: none */
};

unsigned first_cpu, second_cpu;

static void bind_thread(pid_t thread, unsigned cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(thread, sizeof(one), &one);
}

void bind_to(unsigned cpu)
{
	bind_thread(0, cpu);
}

/* ---- the victim's side ---- */

struct competitor {
	struct shared *shared;
	int requests, answers;
};

static void *compete_main(void *argument)
{
	const struct competitor *self = argument;
	char byte;

	self->shared->competitor = syscall(SYS_gettid);
	while (read(self->requests, &byte, 1) == 1) {
		bind_to(self->shared->competes_on);
		self->shared->scenario->compete(self->shared->scenario, self->shared->competes_on);
		if (write(self->answers, &byte, 1) != 1)
			break;
	}
	return NULL;
}

static void meet(void)
{
	syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), MEETING);
}

static _Noreturn void victim_main(struct shared *shared, int requests, int answers)
{
	struct competitor competitor = { shared, requests, answers };
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	bind_to(first_cpu);
	shared->nr_cpus = percpu_nr_cpus();
	if (pthread_create(&thread, NULL, compete_main, &competitor))
		_exit(1);
	for (;;) {
		const char *wrong;

		meet();
		shared->scenario->prepare(shared->scenario);
		meet();
		shared->scenario->run(shared->scenario);
		meet();
		wrong = shared->scenario->verdict(shared->scenario, &shared->moves);
		snprintf(shared->wrong, sizeof(shared->wrong), "%s", wrong ? wrong : "");
	}
}

/* ---- the tracer's side ---- */

enum stop { MET, TRAPPED, DEAD };

/*
 * Waits until the thread stops for the tracer. Other signals (timers, children) are delivered to
 * it.
 */
static enum stop wait_for_stop(struct victim *victim)
{
	int status;

	for (;;) {
		if (waitpid(victim->pid, &status, __WALL) < 0 || !WIFSTOPPED(status)) {
			victim->pid = 0;
			return DEAD;
		}
		switch (WSTOPSIG(status)) {
		case MEETING: return MET;
		case SIGTRAP: return TRAPPED;
		case SIGSEGV:
		case SIGBUS:
		case SIGILL:
		case SIGABRT: victim_end(victim); return DEAD;
		default: ptrace(PTRACE_CONT, victim->pid, NULL, (void *)(intptr_t)WSTOPSIG(status));
		}
	}
}

static enum stop go_on(struct victim *victim, bool one_instruction)
{
	ptrace(one_instruction ? PTRACE_SINGLESTEP : PTRACE_CONT, victim->pid, NULL, NULL);
	return wait_for_stop(victim);
}

void victim_write(const struct victim *victim, uintptr_t address, const void *bytes, size_t size)
{
	if (pwrite(victim->code, bytes, size, address) != (ssize_t)size)
		abort();
}

/*
 * Sets a breakpoint, or restores the instruction, which is that of this program at the same
 * address.
 */
static void set_breakpoint(struct victim *victim, uintptr_t address, bool on)
{
	victim_write(victim, address, on ? (const void *)arch_breakpoint : (const void *)address, sizeof(arch_breakpoint));
}

/* Returns: the boundary that the thread has just met; its program counter is set to it. */
static uintptr_t stopped_at(struct victim *victim)
{
	arch_registers registers;
	struct iovec iovec = { &registers, sizeof(registers) };

	ptrace(PTRACE_GETREGSET, victim->pid, (void *)NT_PRSTATUS, &iovec);
	arch_pc(&registers) -= ARCH_TRAP_SKIPS;
	ptrace(PTRACE_SETREGSET, victim->pid, (void *)NT_PRSTATUS, &iovec);
	return arch_pc(&registers);
}

void victim_start(struct victim *victim, const char *options)
{
	int requests[2], answers[2];
	unsigned nr_cpus;
	char path[64];

	victim->shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (victim->shared == MAP_FAILED || pipe2(requests, O_CLOEXEC) || pipe2(answers, O_CLOEXEC))
		abort();
	victim->options = options;
	setenv("PERCPU_OPTIONS", options, 1);
	victim->pid = fork();
	if (victim->pid < 0)
		abort();
	if (!victim->pid && victim->is_quiet)
		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
	if (!victim->pid)
		victim_main(victim->shared, requests[0], answers[1]);
	close(requests[0]);
	close(answers[1]);
	victim->to_competitor = requests[1];
	victim->from_competitor = answers[0];
	/*
	 * The library chooses its mode once in a process: it must not have started before the fork.
	 */
	if (wait_for_stop(victim) != MET ||
	    (sscanf(options, "cpus:%u", &nr_cpus) == 1 && nr_cpus != victim->shared->nr_cpus))
		abort();
	snprintf(path, sizeof(path), "/proc/%d/mem", victim->pid);
	victim->code = open(path, O_RDWR | O_CLOEXEC);
	if (victim->code < 0)
		abort();
}

void victim_end(struct victim *victim)
{
	if (victim->pid) {
		kill(victim->pid, SIGKILL);
		waitpid(victim->pid, NULL, __WALL);
	}
	victim->pid = 0;
	close(victim->code);
	close(victim->to_competitor);
	close(victim->from_competitor);
	munmap(victim->shared, sizeof(struct shared));
}

/* Returns: true if the competitor answers in this time. */
static bool competitor_answers(struct victim *victim, int patience_ms)
{
	struct pollfd answers = { victim->from_competitor, POLLIN, 0 };
	char byte;

	return poll(&answers, 1, patience_ms) == 1 && read(victim->from_competitor, &byte, 1) == 1;
}

static bool competitor_sleeps(const struct victim *victim)
{
	char path[64], state = '?';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", victim->shared->competitor);
	file = fopen(path, "r");
	if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = '?';
	if (file)
		fclose(file);
	return state == 'S';
}

/*
 * Returns: true if the competitor is done. While it runs, however slowly, the thread must not run.
 */
static bool competitor_is_done(struct victim *victim)
{
	for (int waited_ms = 0; waited_ms < MAX_PATIENCE_MS; waited_ms += PATIENCE_MS) {
		if (competitor_answers(victim, PATIENCE_MS))
			return true;
		if (competitor_sleeps(victim))
			return competitor_answers(victim, 0);
	}
	return false;
}

/* Begins a scenario: the thread is ready to run it. */
static bool begin(struct victim *victim, const struct scenario *scenario)
{
	victim->shared->scenario = scenario;
	victim->shared->moves = (struct moves){ 0, { first_cpu } };
	bind_thread(victim->pid, first_cpu);
	return go_on(victim, false) == MET;
}

/* Ends it: the thread has run it. */
static const char *finish(struct victim *victim)
{
	if (go_on(victim, false) != MET)
		return "died of the verdict";
	return victim->shared->wrong[0] ? victim->shared->wrong : NULL;
}

/* Does what the plan says for this stop. */
static void move_on(struct victim *victim, unsigned cpu)
{
	struct moves *moves = &victim->shared->moves;

	moves->cpu[++moves->nr_stops] = cpu;
	bind_thread(victim->pid, cpu);
}

static unsigned other_cpu(const struct moves *moves)
{
	return moves->cpu[moves->nr_stops] == first_cpu ? second_cpu : first_cpu;
}

static void send_away(struct victim *victim)
{
	move_on(victim, other_cpu(&victim->shared->moves));
}

/* The thread is at its next stop: the competitor runs. Returns: true if it is done. */
static bool let_compete(struct victim *victim, enum stay_or_go next)
{
	const struct moves *moves = &victim->shared->moves;
	const char byte = 0;

	victim->shared->competes_on = moves->cpu[moves->nr_stops];
	move_on(victim, next == GO ? other_cpu(moves) : victim->shared->competes_on);
	if (write(victim->to_competitor, &byte, 1) != 1)
		abort();
	return competitor_is_done(victim);
}

/* Writes a whole sequence at a time: there are too many breakpoints for a system call each. */
static void set_all_breakpoints(struct victim *victim, bool on, bool those_reached)
{
	for (const struct section *section = sections; section < sections + nr_sections; section++) {
		const size_t size = section->end - section->arm + sizeof(arch_breakpoint);
		uint8_t code[MAX_SECTION_BYTES];

		if (size > sizeof(code))
			abort();
		memcpy(code, (const void *)section->arm, size);
		for (unsigned at = 0; on && at < section->nr_boundaries; at++)
			if (those_reached || !section->is_reached_now[at])
				memcpy(code + (section->boundaries[at] - section->arm), arch_breakpoint, sizeof(arch_breakpoint));
		victim_write(victim, section->arm, code, size);
	}
}

/* Lets the thread run, or continue, with the breakpoints set. */
static const char *visit_on(struct victim *victim, uintptr_t detour, visit_fn *visit, void *arg)
{
	enum stop stop;

	while ((stop = go_on(victim, false)) == TRAPPED) {
		const struct place place = { stopped_at(victim), detour };

		set_breakpoint(victim, place.boundary, false);
		visit(place, arg);
	}
	if (stop == DEAD)
		return "died";
	set_all_breakpoints(victim, false, true);
	return finish(victim);
}

const char *victim_visit(struct victim *victim, const struct scenario *scenario, visit_fn *visit, void *arg)
{
	if (!begin(victim, scenario))
		return "died of the preparation";
	set_all_breakpoints(victim, true, true);
	return visit_on(victim, 0, visit, arg);
}

/*
 * Moves a thread that is stopped at a boundary off it, so that breakpoints can be set there again.
 */
static bool step_off(struct victim *victim)
{
	return go_on(victim, true) == TRAPPED;
}

const char *victim_visit_rest(struct victim *victim, const struct scenario *scenario, uintptr_t detour, visit_fn *visit,
			      void *arg)
{
	if (!begin(victim, scenario))
		return "died of the preparation";
	set_breakpoint(victim, detour, true);
	if (go_on(victim, false) != TRAPPED || stopped_at(victim) != detour)
		return "the way there is another every time";
	set_breakpoint(victim, detour, false);
	send_away(victim);
	set_all_breakpoints(victim, true, false);
	return visit_on(victim, detour, visit, arg);
}

const char *victim_disturb(struct victim *victim, const struct scenario *scenario, struct place place,
			   const struct plan *plan)
{
	bool is_there = !place.detour, is_done = true;
	unsigned nr_stops = 0;
	enum stop stop;

	if (!begin(victim, scenario))
		return "died of the preparation";
	set_breakpoint(victim, is_there ? place.boundary : place.detour, true);
	while ((stop = go_on(victim, false)) == TRAPPED) {
		const uintptr_t at = stopped_at(victim);

		if (at != (is_there ? place.boundary : place.detour))
			return "a breakpoint that was not set";
		set_breakpoint(victim, at, false);
		if (is_there) {
			is_done = let_compete(victim, plan->at_stop[nr_stops++]);
			/* A competitor that is not traced must not meet a breakpoint. */
			if (!is_done || nr_stops == plan->nr_stops)
				continue;
		} else {
			send_away(victim);
		}
		is_there = true;
		if (!step_off(victim)) {
			stop = DEAD;
			break;
		}
		set_breakpoint(victim, place.boundary, true);
	}
	if (stop == DEAD)
		return "died";
	set_breakpoint(victim, place.boundary, false);
	if (!is_done && !competitor_answers(victim, MAX_PATIENCE_MS))
		return "the competitor never came to an end";
	return finish(victim);
}
#endif

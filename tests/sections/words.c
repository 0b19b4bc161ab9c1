/* SPDX-License-Identifier: MIT */
/*
 * The operations of the headers on words, lists, stacks and magazines, each compared with plain C.
 *
 * A world is all memory that an operation may touch. The competitor changes it so that the order of
 * its change and of the operation can be seen afterwards (5 * x + 7 does not commute with anything
 * here, and a list gets the same head with another node behind it). So only these results are
 * right: the operation happened on one of the CPUs that the thread was on, before the competitor
 * ran there.
 */
#include "sections/scenario.h"

#include <string.h>

#define NR_NODES 20
#define NR_SLOTS 4
#define NR_OBJECTS 14

union site {
	uint8_t bytes[128];
	uint64_t word;
	struct percpu_list list;
	struct {
		struct percpu__stack head;
		void *slot[NR_SLOTS];
	} stack;
	struct magazine { /* the head of a struct percpu__magazine */
		uint64_t word, limit;
		void *slot[NR_OBJECTS];
	} objects;
};

/* The copies in a world: those of the two CPUs, and the fallback copy. */
enum { FIRST, SECOND, FALLBACK, NR_PLACES };

struct world {
	union site copies[NR_PLACES];
	struct percpu_list_node nodes[NR_NODES];
	uint64_t result, other_result;
	bool is_closed;
};

struct operation {
	void (*begin)(struct world *w);
	void (*real)(void);
	void (*plain)(struct world *w, unsigned place);
	void (*compete)(struct world *w, unsigned place);
	void (*clean)(struct world *w); /* zeroes the words whose value is unspecified */
};

/* The real world. */
static union site __percpu *site, __percpu *closed_site;
static struct percpu_list_node nodes[NR_NODES];
static uint64_t result, other_result;
static char *line_now;

static unsigned place_of(unsigned cpu)
{
	if (cpu >= percpu_nr_cpus())
		return FALLBACK;
	return cpu == first_cpu ? FIRST : SECOND;
}

static union site *copy_at(unsigned place)
{
	const unsigned copies[] = { first_cpu, second_cpu, percpu_nr_copies() - 1 };

	return copies[place] < percpu_nr_copies() && (place == FALLBACK || copies[place] < percpu_nr_cpus())
		       ? percpu_ptr(site, copies[place])
		       : NULL;
}

static void look(struct world *w)
{
	memset(w, 0, sizeof(*w));
	for (unsigned place = 0; place < NR_PLACES; place++)
		if (copy_at(place))
			memcpy(&w->copies[place], copy_at(place), sizeof(union site));
	memcpy(w->nodes, nodes, sizeof(nodes));
	w->result = result;
	w->other_result = other_result;
	w->is_closed = line_now != (char *)site;
}

static void make(const struct world *w)
{
	for (unsigned place = 0; place < NR_PLACES; place++)
		if (copy_at(place))
			memcpy(copy_at(place), &w->copies[place], sizeof(union site));
	memcpy(nodes, w->nodes, sizeof(nodes));
	result = w->result;
	other_result = w->other_result;
	line_now = (char *)(w->is_closed ? closed_site : site);
}

/* Returns: a world's own node for the address of a node of the real world. */
static struct percpu_list_node *in(struct world *w, const void *node)
{
	return &w->nodes[(const struct percpu_list_node *)node - nodes];
}

/* ---- words ---- */

#define OLD UINT64_C(0x0102a3b4c5d6e7f8)
#define OTHER_OLD UINT64_C(0x1122334455667788)
#define VALUE UINT64_C(0x55a1b2c3d4e5f629)
#define CONSTANT 0x29 /* as an immediate operand; the same in all widths */

static volatile uint64_t value = VALUE, old = OLD;

static void begin_words(struct world *w)
{
	for (unsigned place = 0; place < NR_PLACES; place++) {
		memset(&w->copies[place], 0xa5, sizeof(union site));
		w->copies[place].word = OTHER_OLD + place * UINT64_C(0x0706050403020107);
	}
}

static void begin_same_words(struct world *w)
{
	begin_words(w);
	for (unsigned place = 0; place < NR_PLACES; place++)
		w->copies[place].word = OLD;
}

#define ANSWER_UPDATE(expression) (expression)
#define ANSWER_READ(expression) result = (expression)
#define ANSWER_FETCH(expression) result = (expression)
#define ANSWER_COMPARE(expression) result = (expression)
#define CALL_UPDATE(f, p, bits, v) f(p, (uint##bits##_t)(v))
#define CALL_READ(f, p, bits, v) f(p)
#define CALL_FETCH(f, p, bits, v) f(p, (uint##bits##_t)(v))
#define CALL_COMPARE(f, p, bits, v) f(p, (uint##bits##_t)old, (uint##bits##_t)(v))

#define PLAIN_add(bits) *x += v
#define PLAIN_and(bits) *x &= v
#define PLAIN_or(bits) *x |= v
#define PLAIN_write(bits) *x = v
#define PLAIN_read(bits) w->result = *x
#define PLAIN_add_return(bits) w->result = *x += v
#define PLAIN_xchg(bits) w->result = *x, *x = v
#define PLAIN_cmpxchg(bits) w->result = *x, *x = *x == (uint##bits##_t)OLD ? v : *x

#define PLAIN_WORD(name, op, bits, given)                                                                    \
	static void name(struct world *w, unsigned place)                                                    \
	{                                                                                                    \
		uint##bits##_t *const x = (void *)&w->copies[place];                                         \
		const uint##bits##_t v = (uint##bits##_t)(given);                                            \
		PLAIN_##op(bits);                                                                            \
		(void)v;                                                                                     \
	}
#define COMPETE_WORD(bits)                                                                                   \
	static void compete_##bits(struct world *w, unsigned place)                                          \
	{                                                                                                    \
		uint##bits##_t *const x = (void *)&w->copies[place];                                         \
		*x = 5 * *x + 7;                                                                             \
	}
COMPETE_WORD(8)
COMPETE_WORD(16)
COMPETE_WORD(32)
COMPETE_WORD(64)

static void clean_nothing(struct world *w)
{
}

/* Each operation and width three times: with a value, with a constant, out of line. */
#define REAL_WORD(name, shape, f, bits, given)                                                               \
	static __attribute__((__noinline__)) void name(void)                                                 \
	{                                                                                                    \
		uint##bits##_t __percpu *const p = (uint##bits##_t __percpu *)site;                          \
		ANSWER_##shape(CALL_##shape(f, p, bits, given));                                             \
	}
#define DEFINE_WORD(shape, op, bits)                                                                         \
	REAL_WORD(value_##op##_##bits, shape, percpu_##op, bits, value)                                      \
	REAL_WORD(constant_##op##_##bits, shape, percpu_##op, bits, CONSTANT)                                \
	REAL_WORD(outline_##op##_##bits, shape, percpu_op_##op##_u##bits, bits, value)                       \
	PLAIN_WORD(plain_##op##_##bits, op, bits, VALUE)                                                     \
	PLAIN_WORD(plain_constant_##op##_##bits, op, bits, CONSTANT)
PERCPU__OPERATIONS(DEFINE_WORD)

/* ---- lists ---- */

enum { TO_PUSH = NR_NODES - 1 };

/* Four nodes on each list, or none on the first CPU's. */
static void begin_lists_of(struct world *w, unsigned nr_on_first)
{
	for (unsigned place = 0; place < NR_PLACES; place++) {
		struct percpu_list_node **link = &w->copies[place].list.head;

		for (unsigned i = 0; i < (place == FIRST ? nr_on_first : 4); i++) {
			*link = &nodes[4 * place + i];
			link = &in(w, *link)->next;
		}
	}
}

static void begin_lists(struct world *w)
{
	begin_lists_of(w, 4);
}

static void begin_empty_list(struct world *w)
{
	begin_lists_of(w, 0);
}

/*
 * Pops two and pushes the first one: the same head with another node behind it. Pushes one more if
 * the list was empty.
 */
static void compete_list(struct world *w, unsigned place)
{
	struct percpu_list_node **head = &w->copies[place].list.head;

	if (!*head)
		*head = &nodes[12 + place];
	else if (in(w, *head)->next)
		in(w, *head)->next = in(w, in(w, *head)->next)->next;
}

/* A node that is on no list may have any next. */
static void clean_lists(struct world *w)
{
	bool listed[NR_NODES] = { false };

	for (unsigned place = 0; place < NR_PLACES; place++)
		for (struct percpu_list_node *node = w->copies[place].list.head; node; node = in(w, node)->next) {
			if (listed[node - nodes])
				break; /* a cycle: leave it for the comparison */
			listed[node - nodes] = true;
		}
	for (struct percpu_list_node *node = (void *)(uintptr_t)w->result; node && !listed[node - nodes];
	     node = in(w, node)->next)
		listed[node - nodes] = true; /* the list that pop_all returned */
	for (unsigned i = 0; i < NR_NODES; i++)
		if (!listed[i])
			w->nodes[i].next = NULL;
}

static void clean_popped(struct world *w)
{
	if (w->result)
		in(w, (void *)(uintptr_t)w->result)->next = NULL;
	clean_lists(w);
}

static void plain_push(struct world *w, unsigned place)
{
	struct percpu_list_node **head = &w->copies[place].list.head;

	w->nodes[TO_PUSH].next = *head;
	*head = &nodes[TO_PUSH];
}

static void plain_pop(struct world *w, unsigned place)
{
	struct percpu_list *list = &w->copies[place].list;

	w->result = (uintptr_t)list->head;
	if (!list->head)
		return;
	list->head = in(w, list->head)->next;
	list->tag += place == FALLBACK; /* the fallback copy is updated by atomic instructions */
}

static void plain_pop_all(struct world *w, unsigned place)
{
	struct percpu_list *list = &w->copies[place].list;

	w->result = (uintptr_t)list->head;
	list->tag += place == FALLBACK && list->head;
	list->head = NULL;
}

static __attribute__((__noinline__)) void real_push(void)
{
	percpu_list_push((struct percpu_list __percpu *)site, &nodes[TO_PUSH]);
}

static __attribute__((__noinline__)) void real_pop(void)
{
	result = (uintptr_t)percpu_list_pop((struct percpu_list __percpu *)site);
}

static __attribute__((__noinline__)) void real_pop_all(void)
{
	result = (uintptr_t)percpu_list_pop_all((struct percpu_list __percpu *)site);
}

static void outline_push(void)
{
	percpu_op_list_push((struct percpu_list *)site, &nodes[TO_PUSH]);
}

static void outline_pop(void)
{
	result = (uintptr_t)percpu_op_list_pop((struct percpu_list *)site);
}

static void outline_pop_all(void)
{
	result = (uintptr_t)percpu_op_list_pop_all((struct percpu_list *)site);
}

/* ---- stacks: all but that of the fallback copy started, as in the library ---- */

static void begin_stacks_of(struct world *w, uint32_t nr_on_first, uint32_t limit_on_first)
{
	for (unsigned place = 0; place < FALLBACK; place++) {
		w->copies[place].stack.head.nr = place == FIRST ? nr_on_first : 2;
		w->copies[place].stack.head.limit = place == FIRST ? limit_on_first : NR_SLOTS;
		for (unsigned i = 0; i < NR_SLOTS; i++)
			w->copies[place].stack.slot[i] = &nodes[4 * place + i];
	}
}

static void begin_stacks(struct world *w)
{
	begin_stacks_of(w, 2, NR_SLOTS);
}

static void begin_full_stack(struct world *w)
{
	begin_stacks_of(w, NR_SLOTS, NR_SLOTS);
}

static void begin_empty_stack(struct world *w)
{
	begin_stacks_of(w, 0, NR_SLOTS);
}

static void begin_closed_stack(struct world *w)
{
	begin_stacks_of(w, 1, 0);
}

/* Starts a stopped stack; pops from a full one; otherwise pushes one with another below it. */
static void compete_stack(struct world *w, unsigned place)
{
	struct percpu__stack *stack = &w->copies[place].stack.head;

	if (!stack->limit)
		stack->limit = NR_SLOTS;
	else if (stack->nr == NR_SLOTS)
		stack->nr--;
	else
		w->copies[place].stack.slot[stack->nr++] = &nodes[12 + place];
	w->copies[place].stack.slot[0] = &nodes[16 + place];
}

/* Stops the stack and takes its contents. */
static void compete_close(struct world *w, unsigned place)
{
	w->copies[place].stack.head.limit = w->copies[place].stack.head.nr = 0;
}

static void clean_stacks(struct world *w)
{
	for (unsigned place = 0; place < NR_PLACES; place++)
		for (unsigned i = w->copies[place].stack.head.nr; i < NR_SLOTS; i++)
			w->copies[place].stack.slot[i] = NULL;
}

static void plain_stack_push(struct world *w, unsigned place)
{
	struct percpu__stack *stack = &w->copies[place].stack.head;

	w->result = place != FALLBACK && stack->nr < stack->limit;
	if (w->result)
		w->copies[place].stack.slot[stack->nr++] = &nodes[TO_PUSH];
}

static void plain_stack_pop(struct world *w, unsigned place)
{
	struct percpu__stack *stack = &w->copies[place].stack.head;
	const bool done = place != FALLBACK && stack->limit && stack->nr;

	w->result = done ? (uintptr_t)w->copies[place].stack.slot[--stack->nr] : 0;
}

static __attribute__((__noinline__)) void real_stack_push(void)
{
	result = percpu__stack_push((struct percpu__stack *)site, &nodes[TO_PUSH]);
}

static __attribute__((__noinline__)) void real_stack_pop(void)
{
	result = (uintptr_t)percpu__stack_pop((struct percpu__stack *)site);
}

/* ---- magazines: arrays, with a count of objects and of operations ---- */

#define OBJECTS_LIMIT 6

static unsigned length(const struct magazine *list)
{
	return list->word & 0xffff;
}

/* Counts an operation and sets the length. */
static void count(struct magazine *list, unsigned nr)
{
	list->word = ((list->word >> 16) + 1) << 16 | nr;
}

static void begin_objects_of(struct world *w, unsigned nr_on_first, uint64_t nr_operations)
{
	for (unsigned place = 0; place < FALLBACK; place++) {
		struct magazine *list = &w->copies[place].objects;
		const unsigned nr = place == FIRST ? nr_on_first : 4;

		list->word = nr_operations << 16 | nr;
		list->limit = OBJECTS_LIMIT;
		for (unsigned i = 0; i < nr; i++)
			list->slot[i] = &nodes[OBJECTS_LIMIT * place + i];
	}
}

static void begin_objects(struct world *w)
{
	begin_objects_of(w, 4, 0xffffffffff);
}

static void begin_full_list(struct world *w)
{
	begin_objects_of(w, OBJECTS_LIMIT, 2);
}

static void begin_no_objects(struct world *w)
{
	begin_objects_of(w, 0, 2);
}

static void begin_no_list(struct world *w)
{
	begin_objects_of(w, 0, 0);
	w->copies[FIRST].objects.limit = 0;
}

/* The object that was freed last is about to be freed again. */
static void begin_freed_before(struct world *w)
{
	begin_objects(w);
	w->copies[FIRST].objects.slot[3] = &nodes[TO_PUSH];
}

/* Starts a stopped magazine; pushes one to a short one; otherwise pops two and pushes another. */
static void compete_objects(struct world *w, unsigned place)
{
	struct magazine *list = &w->copies[place].objects;
	const unsigned nr = length(list);

	if (!list->limit) {
		list->limit = OBJECTS_LIMIT;
		return;
	}
	if (nr < 2) {
		list->slot[nr] = &nodes[12 + place];
		count(list, nr + 1);
		return;
	}
	list->slot[nr - 2] = &nodes[12 + place];
	for (unsigned i = 0; i < 3; i++)
		count(list, nr - 1);
}

static void compete_for_last(struct world *w, unsigned place)
{
	struct magazine *list = &w->copies[place].objects;

	if (length(list))
		count(list, length(list) - 1);
}

/* Stops all magazines, and takes the contents of this one. */
static void compete_close_lists(struct world *w, unsigned place)
{
	w->is_closed = true;
	w->copies[place].objects.word &= ~UINT64_C(0xffff);
}

static void clean_objects(struct world *w)
{
	for (unsigned place = 0; place < NR_PLACES; place++) {
		struct magazine *list = &w->copies[place].objects;

		for (unsigned i = length(list); i < NR_OBJECTS; i++)
			list->slot[i] = NULL;
	}
}

static void plain_take(struct world *w, unsigned place)
{
	struct magazine *list = &w->copies[place].objects;

	w->result = 0;
	if (place == FALLBACK || w->is_closed || !length(list))
		return;
	count(list, length(list) - 1);
	w->result = (uintptr_t)list->slot[length(list)];
}

static void plain_take_from(struct world *w, unsigned place)
{
	plain_take(w, place == FIRST ? FIRST : FALLBACK);
}

static void plain_put(struct world *w, unsigned place)
{
	struct magazine *list = &w->copies[place].objects;
	const unsigned nr = length(list);

	w->result = place == FIRST && !w->is_closed && nr < list->limit && (!nr || list->slot[nr - 1] != &nodes[TO_PUSH]);
	if (!w->result)
		return;
	list->slot[nr] = &nodes[TO_PUSH];
	count(list, nr + 1);
}

static char *first_list(void)
{
	return (char *)site + first_cpu * PERCPU_STRIDE;
}

static __attribute__((__noinline__)) void real_take(void)
{
	void *taken;

	result = percpu__cache_take(&line_now, &taken) ? (uintptr_t)taken : 0;
}

static __attribute__((__noinline__)) void real_take_from(void)
{
	char *const list = first_list();
	void *taken;

	result = percpu__cache_take_from(&line_now, &list, &taken) ? (uintptr_t)taken : 0;
}

static __attribute__((__noinline__)) void real_put(void)
{
	char *const list = first_list();

	result = percpu__cache_put(&line_now, &list, &nodes[TO_PUSH]);
}

/* ---- the table of scenarios ---- */

static const struct operation *operation_of(const struct scenario *self)
{
	return self->detail;
}

static void prepare(const struct scenario *self)
{
	struct world w = { .result = 0 };

	if (!site) {
		site = (union site __percpu *)percpu_alloc(sizeof(*site), 64);
		closed_site = (union site __percpu *)percpu_alloc(sizeof(*site), 64);
	}
	operation_of(self)->begin(&w);
	make(&w);
}

static void run(const struct scenario *self)
{
	operation_of(self)->real();
}

/* The thread does not run: its world can be changed and restored. */
static void compete(const struct scenario *self, unsigned cpu)
{
	struct world w;

	look(&w);
	operation_of(self)->compete(&w, place_of(cpu));
	make(&w);
}

/* The world after the operation happened at that point of the moves. */
static void expect(const struct operation *operation, const struct moves *moves, unsigned done_at, struct world *w)
{
	memset(w, 0, sizeof(*w));
	operation->begin(w);
	if (!copy_at(SECOND))
		memset(&w->copies[SECOND], 0, sizeof(union site));
	for (unsigned i = 0; i <= moves->nr_stops; i++) {
		if (i == done_at)
			operation->plain(w, place_of(moves->cpu[i]));
		if (i < moves->nr_stops)
			operation->compete(w, place_of(moves->cpu[i]));
	}
	operation->clean(w);
}

static const char *verdict(const struct scenario *self, const struct moves *moves)
{
	const struct operation *operation = operation_of(self);
	struct world seen, right;

	look(&seen);
	operation->clean(&seen);
	for (unsigned done_at = 0; done_at <= moves->nr_stops; done_at++) {
		expect(operation, moves, done_at, &right);
		if (!memcmp(&seen, &right, sizeof(seen)))
			return NULL;
	}
	return "not as if done at once, on a CPU that the thread was on, before the competitor came there";
}

#define SCENARIO(text, how, ...)                                                                             \
	{ text, how, NULL, prepare, run, compete, verdict, &(const struct operation){ __VA_ARGS__ } },
#define WORD_SCENARIOS(op, bits, begin)                                                                      \
	SCENARIO(#op #bits, "value, " #begin, begin, value_##op##_##bits, plain_##op##_##bits, compete_##bits, clean_nothing) \
	SCENARIO(#op #bits, "constant, " #begin, begin, constant_##op##_##bits, plain_constant_##op##_##bits, compete_##bits, \
		 clean_nothing)                                                                              \
	SCENARIO(#op #bits, "out of line, " #begin, begin, outline_##op##_##bits, plain_##op##_##bits, compete_##bits,  \
		 clean_nothing)
#define EVERY_WORD(shape, op, bits) WORD_SCENARIOS(op, bits, begin_words)
#define EVERY_CMPXCHG(bits) WORD_SCENARIOS(cmpxchg, bits, begin_same_words)

static const struct scenario scenarios[] = {
	PERCPU__OPERATIONS(EVERY_WORD)
	EVERY_CMPXCHG(8)
	EVERY_CMPXCHG(16)
	EVERY_CMPXCHG(32)
	EVERY_CMPXCHG(64)
	SCENARIO("list_push", "", begin_lists, real_push, plain_push, compete_list, clean_lists)
	SCENARIO("list_push", "out of line", begin_lists, outline_push, plain_push, compete_list, clean_lists)
	SCENARIO("list_push", "empty", begin_empty_list, real_push, plain_push, compete_list, clean_lists)
	SCENARIO("list_pop", "", begin_lists, real_pop, plain_pop, compete_list, clean_popped)
	SCENARIO("list_pop", "out of line", begin_lists, outline_pop, plain_pop, compete_list, clean_popped)
	SCENARIO("list_pop", "empty", begin_empty_list, real_pop, plain_pop, compete_list, clean_popped)
	SCENARIO("list_pop_all", "", begin_lists, real_pop_all, plain_pop_all, compete_list, clean_lists)
	SCENARIO("list_pop_all", "out of line", begin_lists, outline_pop_all, plain_pop_all, compete_list, clean_lists)
	SCENARIO("list_pop_all", "empty", begin_empty_list, real_pop_all, plain_pop_all, compete_list, clean_lists)
	SCENARIO("stack_push", "", begin_stacks, real_stack_push, plain_stack_push, compete_stack, clean_stacks)
	SCENARIO("stack_push", "full", begin_full_stack, real_stack_push, plain_stack_push, compete_stack, clean_stacks)
	SCENARIO("stack_push", "opening", begin_closed_stack, real_stack_push, plain_stack_push, compete_stack, clean_stacks)
	SCENARIO("stack_push", "closing", begin_stacks, real_stack_push, plain_stack_push, compete_close, clean_stacks)
	SCENARIO("stack_pop", "", begin_stacks, real_stack_pop, plain_stack_pop, compete_stack, clean_stacks)
	SCENARIO("stack_pop", "empty", begin_empty_stack, real_stack_pop, plain_stack_pop, compete_stack, clean_stacks)
	SCENARIO("stack_pop", "opening", begin_closed_stack, real_stack_pop, plain_stack_pop, compete_stack, clean_stacks)
	SCENARIO("stack_pop", "closing", begin_stacks, real_stack_pop, plain_stack_pop, compete_close, clean_stacks)
	SCENARIO("cache_take", "", begin_objects, real_take, plain_take, compete_objects, clean_objects)
	SCENARIO("cache_take", "empty", begin_no_objects, real_take, plain_take, compete_objects, clean_objects)
	SCENARIO("cache_take", "closing", begin_objects, real_take, plain_take, compete_close_lists, clean_objects)
	SCENARIO("cache_take_from", "", begin_objects, real_take_from, plain_take_from, compete_objects, clean_objects)
	SCENARIO("cache_take_from", "empty", begin_no_objects, real_take_from, plain_take_from, compete_objects, clean_objects)
	SCENARIO("cache_take_from", "closing", begin_objects, real_take_from, plain_take_from, compete_close_lists, clean_objects)
	SCENARIO("cache_put", "", begin_objects, real_put, plain_put, compete_objects, clean_objects)
	SCENARIO("cache_put", "full", begin_full_list, real_put, plain_put, compete_objects, clean_objects)
	SCENARIO("cache_put", "no list yet", begin_no_list, real_put, plain_put, compete_objects, clean_objects)
	SCENARIO("cache_put", "closing", begin_objects, real_put, plain_put, compete_close_lists, clean_objects)
	SCENARIO("cache_put", "freed before", begin_freed_before, real_put, plain_put, compete_for_last, clean_objects)
};

size_t words_scenarios(const struct scenario **list)
{
	*list = scenarios;
	return sizeof(scenarios) / sizeof(scenarios[0]);
}

static bool is_right(const struct operation *operation, struct world *w)
{
	const struct moves moves = { 1, { first_cpu, second_cpu } };
	struct world right;

	operation->clean(w);
	for (unsigned done_at = 0; done_at <= moves.nr_stops; done_at++) {
		expect(operation, &moves, done_at, &right);
		if (!memcmp(w, &right, sizeof(right)))
			return true;
	}
	return false;
}

/*
 * What a thread that is not aborted would do: the whole operation late, or stores of stale values.
 */
const char *words_blind_spot(void)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		const struct operation *operation = operation_of(&scenarios[i]);
		struct world begun, early, late, stale;

		memset(&begun, 0, sizeof(begun));
		operation->begin(&begun);
		early = late = begun;
		operation->plain(&early, FIRST);
		operation->compete(&late, FIRST);
		stale = late;
		operation->plain(&late, FIRST);
		for (size_t byte = 0; byte < sizeof(stale); byte++)
			if (((uint8_t *)&early)[byte] != ((uint8_t *)&begun)[byte])
				((uint8_t *)&stale)[byte] = ((uint8_t *)&early)[byte];
		if (is_right(operation, &late) && is_right(operation, &stale))
			return scenarios[i].name;
	}
	return NULL;
}

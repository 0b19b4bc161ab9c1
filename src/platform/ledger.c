/* SPDX-License-Identifier: MIT */
/*
 * Owns the resources that a static copy of the library leaves when the module that
 * holds it is unloaded.
 *
 * A copy in a plugin cannot clean up after itself. Its destructors run at dlclose(), when its
 * mappings must go, and at exit, when threads may still count in them; and they cannot tell the two
 * apart. Therefore such a copy keeps a ledger of its resources outside of its module, and the next
 * copy that is loaded settles the ledgers of unloaded copies. After any number of plugins, loaded
 * one after the other, the resources of one of them are left.
 *
 *	meeting (a mapping with a name, found in /proc/self/maps)
 *	   first -> ledger -> ledger -> ...          one for each copy: pages of entries
 *	               alive -> a word in the copy, which holds token while the copy is loaded
 *
 * The kernel is asked to read the word, so any content of that address is harmless. Copies may be
 * of different versions: the name contains the number of this layout. Constructors run one at a
 * time, under the loader's lock, and only they follow the list. Entries change without a lock.
 * After a fork the child has its own copy of all of this.
 *
 * Without /proc, memfds or process_vm_readv(2) nothing is settled. The shared object and a program
 * are never unloaded: they keep no ledger.
 */
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/uio.h>

#include "platform/platform.h"
#include "platform/sys.h"

#include <percpu/static.h>

#ifndef PERCPU_SHARED_OBJECT

#define MEETING_NAME "percpu-copies-1"
#define MEETING_MAGIC UINT64_C(0x7065722d63707531)
#define TOKEN_MAGIC (UINT64_C(0x70637075) << 32)

enum { VACANT, BUSY };

struct entry {
	uint64_t kind; /* VACANT, BUSY, or 2 + enum percpu__ledger_kind */
	uint64_t first, second, third;
};

struct page {
	struct page *next;     /* of the same copy; atomic */
	struct page *next_copy; /* this and below: in the first page of each copy */
	const uint64_t *alive;
	uint64_t token;
	struct entry entries[];
};

struct meeting {
	uint64_t magic;
	uint64_t last_token;
	struct page *first;
};

static uint64_t alive;     /* the token while this copy is loaded */
static struct page *pages; /* of this copy; set once, by a compare-and-swap */

bool percpu__may_be_unloaded(void)
{
	extern const ElfW(Ehdr) __ehdr_start __attribute__((weak, visibility("hidden")));

	return &__ehdr_start &&
	       (uintptr_t)&__ehdr_start + __ehdr_start.e_phoff != getauxval(AT_PHDR);
}

/* ---- entries ---- */

static unsigned nr_per_page(void)
{
	return (percpu__page_bytes() - sizeof(struct page)) / sizeof(struct entry);
}

/* Maps directly: the ledger does not list its own pages. */
static struct page *map_page(void)
{
	const intptr_t page = sys_mmap(NULL, percpu__page_bytes(), PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page < 0 ? NULL : (struct page *)page;
}

static struct page *own_pages(void)
{
	struct page *now = __atomic_load_n(&pages, __ATOMIC_ACQUIRE), *made; /* pairs with own_pages */

	if (now || !(made = map_page()))
		return now;
	if (__atomic_compare_exchange_n(&pages, &now, made, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return made;
	sys_munmap(made, percpu__page_bytes());
	return now;
}

static bool fill_in(struct page *page, struct entry with)
{
	for (unsigned i = 0; i < nr_per_page(); i++) {
		uint64_t kind = VACANT;
		struct entry *entry = &page->entries[i];

		if (__atomic_load_n(&entry->kind, __ATOMIC_RELAXED) != VACANT ||
		    !__atomic_compare_exchange_n(&entry->kind, &kind, BUSY, false, __ATOMIC_RELAXED,
						 __ATOMIC_RELAXED))
			continue;
		entry->first = with.first;
		entry->second = with.second;
		entry->third = with.third;
		__atomic_store_n(&entry->kind, with.kind, __ATOMIC_RELEASE); /* pairs with percpu__ledger_strike */
		return true;
	}
	return false;
}

/*
 * A resource for which there is no room is not in the ledger, and stays when the copy is unloaded.
 */
void percpu__ledger_add(enum percpu__ledger_kind kind, uint64_t first, uint64_t second,
			uint64_t third)
{
	const struct entry entry = { kind + 2, first, second, third };
	struct page *own = percpu__may_be_unloaded() ? own_pages() : NULL, *more;
	bool done = !own;

	for (struct page *page = own; page && !done;
	     page = __atomic_load_n(&page->next, __ATOMIC_ACQUIRE))
		done = fill_in(page, entry);
	if (!done && (more = map_page())) {
		fill_in(more, entry);
		more->next = __atomic_load_n(&own->next, __ATOMIC_RELAXED);
		/* pairs with percpu__ledger_add */
		while (!__atomic_compare_exchange_n(&own->next, &more->next, more, true,
						    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			;
	}
}

/*
 * Cuts [first, first + second) out of an entry that is BUSY. Returns: the bytes of the range that
 * follow the cut.
 */
static uint64_t cut(struct entry *entry, uint64_t first, uint64_t second)
{
	const uint64_t behind = entry->first + entry->second - (first + second);

	entry->second = first - entry->first;
	if (!entry->second && behind) {
		entry->first = first + second;
		entry->second = behind;
		return 0;
	}
	return behind;
}

static bool has(const struct entry *entry, uint64_t first, uint64_t second)
{
	return entry->first <= first && first - entry->first + second <= entry->second;
}

void percpu__ledger_strike(enum percpu__ledger_kind kind, uint64_t first, uint64_t second)
{
	const bool is_file = kind == PERCPU__LEDGER_FILE;

	for (struct page *page = __atomic_load_n(&pages, __ATOMIC_ACQUIRE); page;
	     page = __atomic_load_n(&page->next, __ATOMIC_ACQUIRE)) /* pairs with percpu__ledger_add */
		for (unsigned i = 0; i < nr_per_page(); i++) {
			struct entry *entry = &page->entries[i];
			uint64_t behind;

			/* pairs with fill_in */
			if (__atomic_load_n(&entry->kind, __ATOMIC_ACQUIRE) != kind + 2u ||
			    !(is_file ? entry->first == first : has(entry, first, second)))
				continue;
			/* No other thread has the range, or its entry. */
			__atomic_store_n(&entry->kind, BUSY, __ATOMIC_RELAXED);
			behind = is_file ? entry->second = 0 : cut(entry, first, second);
			__atomic_store_n(&entry->kind, entry->second ? kind + 2u : VACANT, __ATOMIC_RELEASE); /* pairs with percpu__ledger_strike */
			if (behind)
				percpu__ledger_add(kind, first + second, behind, 0);
			return;
		}
}

/* ---- unloaded copies ---- */

/* Strikes an entry before it acts: a child forked in between must not act again. */
static void settle_all(struct page *page, enum percpu__ledger_kind kind)
{
	for (; page; page = page->next)
		for (unsigned i = 0; i < nr_per_page(); i++) {
			struct entry *entry = &page->entries[i];

			if (entry->kind != kind + 2u)
				continue;
			__atomic_store_n(&entry->kind, VACANT, __ATOMIC_SEQ_CST);
			if (kind == PERCPU__LEDGER_POINTERS)
				percpu__forget_pointers((void *)(uintptr_t)entry->first,
							entry->second);
			else if (kind == PERCPU__LEDGER_FILE)
				percpu__file_close(
					(int)entry->first,
					(struct percpu__file_id){ entry->second, entry->third });
			else
				sys_munmap((void *)(uintptr_t)entry->first, entry->second);
		}
}

static void settle(struct page *page)
{
	settle_all(page, PERCPU__LEDGER_POINTERS);
	settle_all(page, PERCPU__LEDGER_FILE);
	settle_all(page, PERCPU__LEDGER_RANGE);
	while (page) {
		struct page *next = page->next;

		sys_munmap(page, percpu__page_bytes());
		page = next;
	}
}

/*
 * Returns: false if the copy is unloaded. If its word cannot be read for any reason but EFAULT, it
 * may be loaded.
 */
static bool is_alive(const struct page *page)
{
	uint64_t word = 0;
	const struct iovec here = { &word, sizeof(word) },
			   there = { (void *)(uintptr_t)page->alive, sizeof(word) };
	const long got =
		sys_call(syscall(SYS_process_vm_readv, getpid(), &here, 1L, &there, 1L, 0L));

	return got == sizeof(word) ? word == page->token : got != -EFAULT;
}

/* ---- the meeting ---- */

/*
 * Returns: the address at the start of a line of /proc/self/maps, if the line is that of the
 * meeting; else 0.
 */
static uintptr_t parse_line(const char *line)
{
	static const char name[] = "/memfd:" MEETING_NAME " (deleted)";
	const size_t length = strlen(line);
	uintptr_t start = 0;

	if (length < sizeof(name) || strcmp(line + length - (sizeof(name) - 1), name))
		return 0;
	for (; *line != '-' && *line; line++)
		start = 16 * start + (*line <= '9' ? *line - '0' : *line - 'a' + 10);
	return start;
}

static struct meeting *find_meeting(void)
{
	struct meeting *meeting = NULL;
	char text[4096 + 1];
	size_t filled = 0;
	long got = 0;
	const int fd = percpu__open("/proc/self/maps");

	while (fd >= 0 && !meeting &&
	       (got = sys_read(fd, text + filled, sizeof(text) - 1 - filled)) > 0) {
		char *line = text, *end;

		filled += got;
		text[filled] = '\0';
		for (; !meeting && (end = strchr(line, '\n')); line = end + 1) {
			*end = '\0';
			meeting = (struct meeting *)parse_line(line);
		}
		filled = line == text && filled == sizeof(text) - 1 ? 0 : filled - (line - text); /* a line this long is not the meeting's */
		memmove(text, line, filled);
	}
	percpu__close(fd);
	return meeting && meeting->magic == MEETING_MAGIC ? meeting : NULL;
}

static struct meeting *make_meeting(void)
{
	struct percpu__memfd file;
	struct meeting *made;
	intptr_t mapped;

	if (percpu__memfd_create_unlisted(&file, MEETING_NAME, percpu__page_bytes()) < 0)
		return NULL;
	mapped = sys_mmap(NULL, percpu__page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE, file.fd,
			  0);
	percpu__close(file.fd);
	if (mapped < 0)
		return NULL;
	made = (struct meeting *)mapped;
	*made = (struct meeting){ .magic = MEETING_MAGIC };
	return made;
}

__attribute__((constructor(PERCPU__STATIC_PRIORITY))) static void join(void)
{
	struct meeting *meeting = NULL;
	struct page *own = percpu__may_be_unloaded() ? own_pages() : NULL;

	if (own && !(meeting = find_meeting()))
		meeting = make_meeting();
	for (struct page **link = meeting ? &meeting->first : NULL; link && *link;) {
		struct page *page = *link;

		if (is_alive(page)) {
			link = &page->next_copy;
			continue;
		}
		*link = page->next_copy;
		settle(page);
	}
	if (meeting) {
		own->token = TOKEN_MAGIC | ++meeting->last_token;
		own->alive = &alive;
		own->next_copy = meeting->first;
		__atomic_store_n(&alive, own->token, __ATOMIC_SEQ_CST); /* first: a listed copy without it counts as unloaded */
		meeting->first = own;
	}
}
#endif

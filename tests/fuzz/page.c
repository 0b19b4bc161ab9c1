/* SPDX-License-Identifier: MIT */
/*
 * From published files to a page of percpu export: the input describes files of several users, and
 * bytes that overwrite parts of them. The page must follow the grammar of the Prometheus text
 * format as promtool reads it: each family once and in one piece, one HELP and one TYPE before its
 * samples, no sample twice, nothing but text in quotes. With FUZZ_PAGES the pages are stored in
 * that folder, and tests/fuzz/pages.sh shows them to promtool.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <stdarg.h>

#include "publish/liar.h"
#include "tool/tool.h"

#define POOLS_MAX 3u
#define RECORDS_MAX 12u
#define TEXT_MAX 300u

/* ---- functions that the command defines elsewhere ---- */

int complain(const char *format, ...)
{
	return STATUS_FAILED;
}

void *grow(void *memory, size_t nr, size_t bytes)
{
	void *grown = reallocarray(memory, nr, bytes);

	must(grown);
	return grown;
}

int serve(const struct options *options, page_writer *write_page)
{
	return STATUS_FAILED;
}

/* ---- files ---- */

static struct file {
	int fd;
	uid_t user;
	bool is_other_user;
} files[POOLS_MAX];
static unsigned nr_files;

int sources_visit(const struct options *options, struct ledger *ledger, void (*visit)(struct source *source, void *arg),
		  void *arg)
{
	for (unsigned i = 0; i < nr_files; i++) {
		struct source source = { .reader = percpu_reader_open(getpid(), files[i].fd), .pid = i & 1, .file = i,
					 .nr_processes = 1, .user = files[i].user, .is_other_user = files[i].is_other_user,
					 .ledger = ledger };

		ledger_begin(ledger, nr_files - i);
		if (source.reader) {
			source.domains = domain_copies(options->by, percpu_reader_nr_copies(source.reader));
			if (source.domains.nr)
				must(!percpu_reader_group(source.reader, source.domains.of_copy, source.domains.nr));
			if (!percpu_reader_update(source.reader))
				visit(&source, arg);
			domain_free(&source.domains);
		}
		percpu_reader_close(source.reader);
		ledger_end(ledger);
	}
	return STATUS_OK;
}

static const char *const parts[] = {
	"a", "b", "_", "_total", "_bucket", "_sum", "_count", "_value", "le", "pid", "pool", "pool_uid", "cpu", "exported_", "__",
	"percpu_exporter_left_out", "\n", "\"", "\\", "\x1b[2J", "\xc2\x9b", "\xff", "\xc3\xa9", "{", "}", "#", " ", ":", "9", "seconds",
};
#define NR_PARTS (sizeof(parts) / sizeof(parts[0]))

/* Makes a string with its zero byte, from common parts or from raw bytes. */
static size_t put_string(struct input *input, char *text, size_t room)
{
	size_t used = 0;

	for (uint8_t nr = next_byte(input) % 4; nr; nr--) {
		const uint8_t which = next_byte(input);
		const char *part = parts[which % NR_PARTS], byte[2] = { which, 0 };

		part = which < 240 ? part : byte;
		if (used + strlen(part) + 1 > room)
			break;
		memcpy(text + used, part, strlen(part));
		used += strlen(part);
	}
	text[used] = '\0';
	return used + 1;
}

static void add_record(struct input *input, struct liar *liar)
{
	const uint8_t kind = next_byte(input), nr_labels = next_byte(input) % 5;
	char text[TEXT_MAX * 16];
	uint32_t nr_words;
	size_t used = put_string(input, text, TEXT_MAX);

	if (used == 1)
		text[0] = 'n', text[1] = '\0', used = 2;
	for (unsigned i = 0; i < 2u + 2u * nr_labels; i++)
		used += put_string(input, text + used, TEXT_MAX);
	nr_words = kind % 3 < 2 ? 1 : 5 + next_word(input) % 2000;
	liar_add(liar, 1 + kind % 3, nr_words, next_word(input) % 8192 * 8, nr_labels, text, used);
}

static int make_file(struct input *input)
{
	struct liar liar;
	char name[TEXT_MAX];
	int fd;

	put_string(input, name, sizeof(name));
	liar_begin(&liar, 2 + next_byte(input) % 4, RECORDS_MAX * (TEXT_MAX * 16 + 128));
	for (unsigned nr = 1 + next_byte(input) % RECORDS_MAX; nr; nr--)
		add_record(input, &liar);
	fd = liar_end(&liar, name);
	for (unsigned nr = next_byte(input) % 8; nr; nr--)
		liar_count(&liar, fd, next_byte(input) % liar.header.nr_copies, next_word(input) % 8192 * 8,
			   (uint64_t)next_word(input) << next_byte(input) % 49);
	for (unsigned nr = next_byte(input) % 4; nr > 1; nr--) {
		const uint64_t word = next_word(input);

		liar_put(fd, &word, 1 + word % 8, LIAR_DIRECTORY_AT + next_word(input) % 4096);
	}
	return fd;
}

/* ---- the grammar ---- */

static bool is_name_sign(char c, bool is_first, bool colons)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c == ':' && colons) || (!is_first && c >= '0' && c <= '9');
}

static const char *skip_name(const char *at, bool colons)
{
	const char *begin = at;

	while (is_name_sign(*at, at == begin, colons))
		at++;
	must(at > begin);
	return at;
}

/* Skips a character of text, which is UTF-8 without control characters. */
static const char *skip_sign(const char *at)
{
	const unsigned char *byte = (const unsigned char *)at;
	const unsigned more = *byte < 0x80 ? 0 : *byte < 0xe0 ? 1 : *byte < 0xf0 ? 2 : 3;

	must(*byte >= 0x20 && *byte != 0x7f && (*byte < 0x80 || *byte >= 0xc2));
	must(*byte != 0xc2 || byte[1] >= 0xa0);
	for (unsigned i = 1; i <= more; i++)
		must((byte[i] & 0xc0) == 0x80);
	return at + 1 + more;
}

/* Parses labels, from behind the opening brace to behind the closing one. */
static const char *skip_labels(const char *at)
{
	const char *names[64];
	unsigned nr = 0;

	while (*at != '}') {
		const char *end = skip_name(at, false);

		for (unsigned i = 0; i < nr; i++)
			must(strncmp(names[i], at, end - at + 1)); /* including the equals sign */
		must(nr < 64);
		names[nr++] = at;
		must(end[0] == '=' && end[1] == '"');
		for (at = end + 2; *at != '"';) {
			if (*at == '\\') {
				must(at[1] == '\\' || at[1] == '"' || at[1] == 'n');
				at++;
			}
			at = skip_sign(at);
		}
		at++;
		must(*at == ',' || *at == '}');
		at += *at == ',';
	}
	return at + 1;
}

struct family {
	char name[TEXT_MAX * 8], type[16];
	bool has_help, has_samples;
};

/* The names so far, to detect repetitions. */
static char **seen;
static size_t nr_seen;

static void see_once(const char *what, size_t bytes)
{
	for (size_t i = 0; i < nr_seen; i++)
		must(strlen(seen[i]) != bytes || memcmp(seen[i], what, bytes));
	seen = grow(seen, nr_seen + 1, sizeof(*seen));
	seen[nr_seen++] = strndup(what, bytes);
}

static void begin_family(struct family *family, const char *name, size_t bytes)
{
	if (strlen(family->name) == bytes && !memcmp(family->name, name, bytes))
		return;
	must(bytes < sizeof(family->name));
	*family = (struct family){ .has_help = false };
	memcpy(family->name, name, bytes);
	see_once(family->name, bytes);
}

static void read_comment(struct family *family, const char *line)
{
	const char *name = line + 7, *end;

	must(!strncmp(line, "# HELP ", 7) || !strncmp(line, "# TYPE ", 7));
	end = skip_name(name, true);
	begin_family(family, name, end - name);
	must(!family->has_samples && *end == ' ' && !family->type[0]);
	if (line[2] == 'H') {
		must(!family->has_help);
		family->has_help = true;
		for (const char *at = end + 1; *at;) {
			if (*at == '\\') {
				must(at[1] == '\\' || at[1] == 'n');
				at++;
			}
			at = skip_sign(at);
		}
		return;
	}
	must(!strcmp(end + 1, "counter") || !strcmp(end + 1, "gauge") || !strcmp(end + 1, "histogram") || !strcmp(end + 1, "untyped"));
	strcpy(family->type, end + 1);
}

static bool belongs(const struct family *family, const char *name, size_t bytes)
{
	const size_t length = strlen(family->name);
	const char *suffix = name + length;

	if (bytes < length || memcmp(family->name, name, length))
		return false;
	if (strcmp(family->type, "histogram"))
		return bytes == length;
	return (bytes == length + 7 && !memcmp(suffix, "_bucket", 7)) || (bytes == length + 4 && !memcmp(suffix, "_sum", 4)) ||
	       (bytes == length + 6 && !memcmp(suffix, "_count", 6));
}

static void read_sample(struct family *family, const char *line)
{
	const char *end = skip_name(line, true), *value;
	char *after;

	must(family->type[0] && belongs(family, line, end - line) && *end == '{');
	family->has_samples = true;
	value = skip_labels(end + 1);
	if (!strcmp(family->type, "histogram") && !strncmp(end - 7, "_bucket", 7))
		must(memmem(end, value - end, ",le=\"", 5));
	must(*value == ' ' && value[1]);
	strtod(value + 1, &after);
	must(!*after);
	see_once(line, value - line);
}

static void check_page(char *text, size_t size)
{
	struct family family = { .has_help = false };
	char *line = text, *end;

	must(size >= 6 && !strcmp(text + size - 6, "# EOF\n") && strlen(text) == size);
	for (; strcmp(line, "# EOF\n"); line = end + 1) {
		end = strchr(line, '\n');
		must(end);
		*end = '\0';
		if (*line == '#')
			read_comment(&family, line);
		else
			read_sample(&family, line);
		*end = '\n';
	}
	for (size_t i = 0; i < nr_seen; i++)
		free(seen[i]);
	nr_seen = 0;
}

static void keep_page(const char *text, size_t size)
{
	static unsigned nr;
	const char *folder = getenv("FUZZ_PAGES");
	char path[4096];
	FILE *file;

	if (!folder)
		return;
	snprintf(path, sizeof(path), "%s/%u", folder, nr++);
	file = fopen(path, "w");
	must(file && fwrite(text, 1, size, file) == size && !fclose(file));
}

/* ---- the target ---- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input = { bytes, bytes + size };
	const uint8_t how = next_byte(&input);
	const struct options options = { .by = how & 1 ? "cpu" : NULL };
	char *text;
	size_t text_bytes;
	FILE *out = open_text(&text, &text_bytes);
	bool is_whole;

	for (nr_files = 0; nr_files < 1 + how / 2 % POOLS_MAX; nr_files++)
		files[nr_files] = (struct file){ make_file(&input), nr_files * (how >> 4 & 3), how >> 6 & 1 };
	must(!export_to(out, &options, &is_whole));
	must(!fclose(out));
	keep_page(text, text_bytes);
	check_page(text, text_bytes);
	free(text);
	for (unsigned i = 0; i < nr_files; i++)
		close(files[i].fd);
	return 0;
}

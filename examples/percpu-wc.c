/* SPDX-License-Identifier: MIT */
/*
 * percpu-wc: a parallel wc.
 *
 * Each file is cut at arbitrary bytes into as many pieces as there are threads. The threads share
 * only one per-CPU struct of counters: a thread adds each block that it has counted to the copy of
 * the CPU on which it runs. At the end, the sums over the copies are the totals. The counts of one
 * file are the sums after it minus the sums before it.
 *
 * A word is a run of printable bytes that ends at a space; any other byte (of the C locale) belongs
 * to neither and changes nothing. Whether a piece begins inside a word is therefore decided by the
 * last printable byte or space before it, for which the thread searches backwards.
 *
 * Output, widths included, is that of GNU wc in the C locale.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <percpu/percpu.h>

#define MAX_THREADS 4096
#define MAX_BLOCK_BYTES (64 << 20)

struct counts {
	uint64_t lines, words, bytes;
};
#define NR_COUNTS 3
_Static_assert(sizeof(struct counts) == NR_COUNTS * sizeof(uint64_t), "percpu_sum_u64 reads it as an array");

static struct counts __percpu *counts;

static size_t block_bytes = 16 << 10;
static unsigned long max_threads;
static bool failed;

/* One thread's share of a file; private to that thread until it is joined. */
struct piece {
	pthread_t thread;
	bool threaded;
	unsigned char *block;
	int fd;
	off_t start;      /* of the file: where its first byte to count is */
	off_t from, to;   /* of the piece */
	int error;
};

static void complain(const char *name, int error)
{
	fflush(stdout);
	fprintf(stderr, "percpu-wc: %s: %s\n", name, strerror(error));
	failed = true;
}

static bool is_space(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_printable(unsigned char c)
{
	return c > ' ' && c < 0x7f;
}

/*
 * Counts a block and adds it to this CPU's copy. Takes and returns whether a word is in progress.
 */
static bool count_block(const unsigned char *block, size_t n, bool in_word)
{
	uint64_t lines = 0, words = 0;

	for (size_t i = 0; i < n; i++) {
		bool goes_on = is_printable(block[i]) || (in_word && !is_space(block[i]));

		words += goes_on && !in_word;
		lines += block[i] == '\n';
		in_word = goes_on;
	}
	percpu_add(&counts->lines, lines);
	percpu_add(&counts->words, words);
	percpu_add(&counts->bytes, n);
	return in_word;
}

/*
 * Reads n bytes at an offset, fewer only at the end of the file. Returns: the bytes read, or -errno
 * if none.
 */
static ssize_t read_at(int fd, unsigned char *block, size_t n, off_t at)
{
	size_t have = 0;

	while (have < n) {
		ssize_t got = pread(fd, block + have, n - have, at + have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && !have)
			return -errno;
		if (got <= 0)
			break;
		have += got;
	}
	return have;
}

/* Returns: true if offset at lies inside a word of the file that starts at start. */
static bool in_word_at(int fd, off_t start, off_t at)
{
	unsigned char before[4096];

	while (at > start) {
		size_t n = at - start < (off_t)sizeof(before) ? (size_t)(at - start) : sizeof(before);
		ssize_t have = read_at(fd, before, n, at - n);

		if (have < 0)
			return false;
		while (have--)
			if (is_space(before[have]) || is_printable(before[have]))
				return is_printable(before[have]);
		at -= n;
	}
	return false;
}

static void *count_piece(void *arg)
{
	struct piece *p = arg;
	bool in_word = in_word_at(p->fd, p->start, p->from);
	ssize_t have;

	for (off_t at = p->from; at < p->to; at += have) {
		off_t left = p->to - at;

		have = read_at(p->fd, p->block, left < (off_t)block_bytes ? (size_t)left : block_bytes, at);
		if (have < 0)
			p->error = -have;
		if (have <= 0)
			break;
		in_word = count_block(p->block, have, in_word);
	}
	return NULL;
}

/* Counts in this thread all that read() still returns. Returns: 0 or an errno. */
static int count_rest(int fd, unsigned char *block, bool in_word)
{
	ssize_t got;

	while ((got = read(fd, block, block_bytes))) {
		if (got < 0 && errno != EINTR)
			return errno;
		if (got > 0)
			in_word = count_block(block, got, in_word);
	}
	return 0;
}

/*
 * Counts [start, end) of a file, cut into nr pieces. Returns: 0, or the errno of the first piece
 * that failed.
 */
static int count_pieces(struct piece *pieces, unsigned long nr, int fd, off_t start, off_t end)
{
	int error = 0;

	for (unsigned long i = nr; i--;) {
		struct piece *p = &pieces[i];

		p->fd = fd;
		p->start = start;
		p->from = start + (off_t)((unsigned __int128)(end - start) * i / nr);
		p->to = start + (off_t)((unsigned __int128)(end - start) * (i + 1) / nr);
		p->error = 0;
		p->threaded = i && !pthread_create(&p->thread, NULL, count_piece, p);
		if (!p->threaded)
			count_piece(p);
	}
	for (unsigned long i = nr; i--;) {
		if (pieces[i].threaded)
			pthread_join(pieces[i].thread, NULL);
		if (pieces[i].error)
			error = pieces[i].error;
	}
	return error;
}

/*
 * A regular file of known size is cut into pieces. This thread reads to the end of a file without a
 * size (a pipe, a file of /proc), or of one that grew meanwhile.
 */
static int count_file(struct piece *pieces, int fd)
{
	struct stat st;
	off_t start = lseek(fd, 0, SEEK_CUR);
	bool in_word = false;

	if (start >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > start) {
		unsigned long nr = (st.st_size - start - 1) / block_bytes + 1;
		int error = count_pieces(pieces, nr < max_threads ? nr : max_threads, fd, start, st.st_size);

		if (error)
			return error;
		if (lseek(fd, st.st_size, SEEK_SET) < 0)
			return errno;
		in_word = in_word_at(fd, start, st.st_size);
	}
	return count_rest(fd, pieces[0].block, in_word);
}

/* Columns are as wide as the sizes of the regular files need, and 7 wide if a file has no size. */
static int column_width(char **names, int nr_names)
{
	uint64_t total = 0;
	int width = 1, least = 1;

	for (int i = 0; i < nr_names; i++) {
		struct stat st;

		if (names[i] && strcmp(names[i], "-") ? stat(names[i], &st) : fstat(STDIN_FILENO, &st))
			continue;
		if (S_ISREG(st.st_mode))
			total += st.st_size;
		else
			least = 7;
	}
	for (; total >= 10; total /= 10)
		width++;
	return width < least ? least : width;
}

/* Prints a name, quoted for a shell if it would break the line. */
static void print_name(const char *name)
{
	bool escaping = false;

	if (!strchr(name, '\n')) {
		fputs(name, stdout);
		return;
	}
	putchar('\'');
	for (const char *c = name; *c; c++) {
		bool escape = *c != ' ' && !is_printable(*c);

		if (escape != escaping && *c != '\'')
			fputs(escape ? "'$'" : "''", stdout);
		escaping = escape;
		if (escape && *c >= '\a' && *c <= '\r')
			printf("\\%c", "abtnvfr"[*c - '\a']);
		else if (escape)
			printf("\\%03o", (unsigned char)*c);
		else if (*c == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*c);
	}
	putchar('\'');
}

static void print_counts(const struct counts *c, int width, const char *name)
{
	printf("%*" PRIu64 " %*" PRIu64 " %*" PRIu64, width, c->lines, width, c->words, width, c->bytes);
	if (name) {
		putchar(' ');
		print_name(name);
	}
	putchar('\n');
}

/* Prints the counts of each CPU and of the fallback copy; a copy that is all zero has no row. */
static void print_by_cpu(void)
{
	char label[24] = "cpu";

	printf("\n%7s %14s %14s %14s\n", label, "lines", "words", "bytes");
	percpu_for_each_copy(i) {
		const struct counts *c = percpu_ptr(counts, i);

		snprintf(label, sizeof(label), i < percpu_nr_cpus() ? "%u" : "fallback", i);
		if (c->lines || c->words || c->bytes)
			printf("%7s %14" PRIu64 " %14" PRIu64 " %14" PRIu64 "\n", label, c->lines, c->words,
			       c->bytes);
	}
}

static void sum_counts(struct counts *sum)
{
	percpu_sum_u64((uint64_t *)sum, (const uint64_t __percpu *)counts, NR_COUNTS);
}

static void count_name(struct piece *pieces, const char *name, int width)
{
	struct counts before, after;
	int fd = STDIN_FILENO, error;

	if (name && strcmp(name, "-")) {
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			complain(name, errno);
			return;
		}
	}
	sum_counts(&before);
	error = count_file(pieces, fd);
	sum_counts(&after);
	if (error)
		complain(name ? name : "standard input", error);
	after.lines -= before.lines;
	after.words -= before.words;
	after.bytes -= before.bytes;
	print_counts(&after, width, name);
	if (fd != STDIN_FILENO)
		close(fd);
}

static void usage(FILE *out)
{
	fputs("Usage: percpu-wc [-j THREADS] [--block BYTES] [--by cpu] [FILE]...\n"
	      "Counts lines, words and bytes as wc does; without FILE, or for -, of standard input.\n\n"
	      "  -j, --threads THREADS  count each file in so many threads (default: CPUs online)\n"
	      "      --block BYTES      count so many bytes at a time (default: 16384)\n"
	      "      --by cpu           then tell what each CPU counted\n"
	      "  -h, --help             this text\n", out);
}

/* A whole number in [1, max], or 0. */
static unsigned long parse_number(const char *text, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end && value <= max ? value : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "threads", required_argument, NULL, 'j' },
		{ "block", required_argument, NULL, 'k' },
		{ "by", required_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	char *only_stdin[] = { NULL };
	char **names = only_stdin;
	int nr_names = 1, width, option;
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	bool by_cpu = false;
	struct piece *pieces;

	max_threads = online > 0 ? (online < MAX_THREADS ? online : MAX_THREADS) : 1;
	while ((option = getopt_long(argc, argv, "j:h", options, NULL)) != -1) {
		if (option == 'h') {
			usage(stdout);
			return EXIT_SUCCESS;
		}
		if (option == 'j')
			max_threads = parse_number(optarg, MAX_THREADS);
		if (option == 'k')
			block_bytes = parse_number(optarg, MAX_BLOCK_BYTES);
		if (option == 'b')
			by_cpu = !strcmp(optarg, "cpu");
		if (option == '?' || !max_threads || !block_bytes || (option == 'b' && !by_cpu)) {
			usage(stderr);
			return EXIT_FAILURE;
		}
	}
	if (optind < argc) {
		names = argv + optind;
		nr_names = argc - optind;
	}

	counts = percpu_new(struct counts);
	pieces = calloc(max_threads, sizeof(*pieces));
	for (unsigned long i = 0; counts && pieces && i < max_threads; i++)
		if (!(pieces[i].block = malloc(block_bytes)))
			pieces = NULL;
	if (!counts || !pieces) {
		perror("percpu-wc");
		return EXIT_FAILURE;
	}

	width = column_width(names, nr_names);
	for (int i = 0; i < nr_names; i++)
		count_name(pieces, names[i], width);
	if (nr_names > 1) {
		struct counts total;

		sum_counts(&total);
		print_counts(&total, width, "total");
	}
	if (by_cpu)
		print_by_cpu();

	for (unsigned long i = 0; i < max_threads; i++)
		free(pieces[i].block);
	free(pieces);
	percpu_free(counts);
	if (ferror(stdout) | fclose(stdout)) {
		fprintf(stderr, "percpu-wc: write error: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

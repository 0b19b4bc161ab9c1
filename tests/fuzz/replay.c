/* SPDX-License-Identifier: MIT */
/*
 * Runs a target without libFuzzer: on the inputs of its corpus, one line of hexadecimal digits
 * each, and on pseudo-random inputs, which are the same in every run. With --unpack DIRECTORY it
 * makes files of the corpus instead. The program fuzz_<target> finds <target>.corpus in the
 * sources; FUZZ_CORPUS names another.
 */
#include "fuzz/fuzz.h"

#include <ctype.h>
#include <string.h>

#define NR_BY_CHANCE 400
#define MAX_BYTES 2048

static uint8_t bytes[MAX_BYTES];

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns: the number of bytes; 0 for a comment. */
static size_t bytes_of(const char *line)
{
	size_t size = 0;

	for (; digit(line[0]) >= 0 && digit(line[1]) >= 0 && size < MAX_BYTES; line += 2)
		bytes[size++] = digit(line[0]) << 4 | digit(line[1]);
	return size;
}

static unsigned replay(const char *path, const char *unpacked)
{
	static char line[2 * MAX_BYTES + 8], name[4096];
	FILE *corpus = fopen(path, "r");
	unsigned nr = 0;

	must(corpus);
	while (fgets(line, sizeof(line), corpus)) {
		const size_t size = bytes_of(line);

		if (!size)
			continue;
		nr++;
		if (unpacked) {
			FILE *file;

			snprintf(name, sizeof(name), "%s/%u", unpacked, nr);
			file = fopen(name, "w");
			must(file && fwrite(bytes, size, 1, file) == 1 && !fclose(file));
		} else {
			LLVMFuzzerTestOneInput(bytes, size);
		}
	}
	fclose(corpus);
	return nr;
}

static uint64_t chance(void)
{
	static uint64_t state = 1;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 8;
}

static const char *corpus_of(const char *program)
{
	static char path[4096];
	const char *named = getenv("FUZZ_CORPUS"), *target = strstr(program, "fuzz_");

	if (named)
		return named;
	must(target && getenv("top_srcdir"));
	snprintf(path, sizeof(path), "%s/tests/fuzz/%s.corpus", getenv("top_srcdir"), target + strlen("fuzz_"));
	return path;
}

int main(int argc, char **argv)
{
	const char *corpus = corpus_of(argv[0]);
	unsigned nr;

	if (argc == 3 && !strcmp(argv[1], "--unpack")) {
		replay(corpus, argv[2]);
		return 0;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..2\n");
	LLVMFuzzerInitialize(&argc, &argv);
	nr = replay(corpus, NULL);
	printf("%sok 1 - %u inputs of %s\n", nr ? "" : "not ", nr, strrchr(corpus, '/') + 1);
	for (nr = 0; nr < NR_BY_CHANCE; nr++) {
		const size_t size = chance() % MAX_BYTES;

		for (size_t at = 0; at < size; at++)
			bytes[at] = chance();
		LLVMFuzzerTestOneInput(bytes, size);
	}
	printf("ok 2 - %u pseudo-random inputs\n", nr);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Owns the table: the entries of __rseq_cs in this program, divided into instructions by objdump,
 * or by the fixed length of instructions.
 */
#include "sections/table.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sections/arch.h"

struct section *sections;
size_t nr_sections;

#if ARCH_IS_KNOWN
extern struct descriptor __start___rseq_cs[], __stop___rseq_cs[];
extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));

struct section *section_at(uintptr_t address, unsigned *index)
{
	for (size_t i = 0; i < nr_sections; i++)
		for (unsigned at = 0; at < sections[i].nr_boundaries; at++)
			if (sections[i].boundaries[at] == address) {
				*index = at;
				return &sections[i];
			}
	return NULL;
}

/* The difference between addresses in memory and in this program's file. */
static uintptr_t bias(void)
{
	return __ehdr_start.e_type == ET_DYN ? (uintptr_t)&__ehdr_start : 0;
}

static bool add_boundary(struct section *section, uintptr_t address)
{
	if (section->nr_boundaries == MAX_BOUNDARIES)
		return false;
	if (address < section->end)
		section->last = address;
	section->boundaries[section->nr_boundaries++] = address;
	return true;
}

#if ARCH_STEP
/* Opens this program's file, which has its symbols. Returns: NULL if it cannot be read. */
static const char *map_program(void)
{
	const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat stat;
	void *image = MAP_FAILED;

	if (file >= 0 && !fstat(file, &stat))
		image = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, file, 0);
	if (file >= 0)
		close(file);
	return image == MAP_FAILED ? NULL : image;
}

static const char *function_in(const char *image, uintptr_t address)
{
	const Elf64_Ehdr *file = (const Elf64_Ehdr *)image;
	const Elf64_Shdr *parts = (const Elf64_Shdr *)(image + file->e_shoff);

	for (unsigned i = 0; i < file->e_shnum; i++) {
		const Elf64_Sym *symbols = (const Elf64_Sym *)(image + parts[i].sh_offset);

		for (size_t at = 0; parts[i].sh_type == SHT_SYMTAB && at < parts[i].sh_size / sizeof(*symbols); at++)
			if (ELF64_ST_TYPE(symbols[at].st_info) == STT_FUNC &&
			    address - symbols[at].st_value < symbols[at].st_size)
				return image + parts[parts[i].sh_link].sh_offset + symbols[at].st_name;
	}
	return "?";
}

static const char *read_instructions(void)
{
	const char *image = map_program();

	if (!image)
		return "this program's file cannot be read";
	for (size_t i = 0; i < nr_sections; i++) {
		struct section *section = &sections[i];

		snprintf(section->function, sizeof(section->function), "%s", function_in(image, section->start - bias()));
		for (uintptr_t at = section->arm; at <= section->end; at += ARCH_STEP)
			if (!add_boundary(section, at))
				return "a section is longer than this harness thinks";
	}
	return NULL;
}
#else
static bool add_instruction(uintptr_t address, const char *function)
{
	for (size_t i = 0; i < nr_sections; i++) {
		if (address < sections[i].arm || address > sections[i].end)
			continue;
		snprintf(sections[i].function, sizeof(sections[i].function), "%s", function);
		if (!add_boundary(&sections[i], address))
			return false;
	}
	return true;
}

static const char *read_instructions(void)
{
	char command[64], line[512], function[64] = "?";
	unsigned long address;
	const char *why = NULL;
	FILE *said;

	snprintf(command, sizeof(command), "objdump -d --no-show-raw-insn /proc/%d/exe", getpid());
	said = popen(command, "r");
	if (!said)
		return "no objdump";
	while (fgets(line, sizeof(line), said)) {
		if (sscanf(line, "%lx <%63[^>]>:", &address, function) == 2)
			continue;
		if (line[0] == ' ' && sscanf(line, " %lx:", &address) == 1 && !add_instruction(address + bias(), function))
			why = "a section is longer than this harness thinks";
	}
	if (pclose(said))
		why = "objdump does not know this program";
	return why;
}
#endif

const char *sections_read(void)
{
	const char *why;

	nr_sections = __stop___rseq_cs - __start___rseq_cs;
	sections = calloc(nr_sections, sizeof(*sections));
	for (size_t i = 0; i < nr_sections; i++) {
		struct descriptor *descriptor = &__start___rseq_cs[i];

		sections[i].descriptor = descriptor;
		sections[i].start = descriptor->start;
		sections[i].end = descriptor->start + descriptor->length;
		sections[i].abort = descriptor->abort;
		sections[i].arm = arch_jump_target(descriptor->abort);
		if (sections[i].arm >= sections[i].start || sections[i].start - sections[i].arm > 64)
			return "an abort handler that does not begin again";
	}
	why = read_instructions();
	for (size_t i = 0; i < nr_sections && !why; i++) {
		bool has_start = false, has_end = false;

		for (unsigned at = 0; at < sections[i].nr_boundaries; at++) {
			has_start |= sections[i].boundaries[at] == sections[i].start;
			has_end |= sections[i].boundaries[at] == sections[i].end;
		}
		if (!has_start || !has_end)
			why = "a section that does not begin or end with an instruction";
	}
	return why;
}
#endif

#!/bin/sh
# SPDX-License-Identifier: MIT
# A file of src/ includes its own layer and, of each lower layer, only layer/layer.h; never a higher
# layer, never a .c. Only src/platform/ talks to the system. The highest layer is a program, not a
# part of the library: it may talk to the system, and uses the library as any program does.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

layers="platform topology area ops percpu counter cache publish tool"
system_headers="sys/mman.h sys/syscall.h sys/ioctl.h sys/stat.h sys/auxv.h sys/utsname.h sys/prctl.h unistd.h
	fcntl.h sched.h signal.h syscall.h linux/ asm/ numaif.h"
system_calls="syscall getenv secure_getenv mmap mmap64 munmap mremap mprotect madvise mlock mbind move_pages
	set_mempolicy get_mempolicy open openat creat close read write pread pwrite fstat lseek ioctl fopen getpid
	gettid getauxval getcpu sched_getcpu sched_getaffinity sched_setaffinity sched_yield memfd_create fallocate
	ftruncate membarrier kill raise tgkill sigaction sigprocmask pthread_sigmask fork vfork execve nanosleep usleep
	sysconf getpagesize abort exit _exit perror"

cd "$top_srcdir/src" || exit 1

report "every folder of src/ is a layer" "$(for dir in */; do
	case " $layers " in
	*" ${dir%/} "*) ;;
	*) [ ! -e "${dir}Makefile.inc" ] || echo "src/$dir is not in the order: $layers" ;;
	esac
done)"

# Strips comments and the contents of strings, which the compiler ignores.
strip_comments()
{
	awk '{
		line = $0; out = ""
		while (line != "") {
			if (inside) {
				i = index(line, "*/")
				if (!i) { line = ""; break }
				line = substr(line, i + 2); inside = 0; out = out " "
			} else if (match(line, /"([^"\\]|\\.)*"|\/\*|\/\/|'"'"'([^'"'"'\\]|\\.)'"'"'/)) {
				token = substr(line, RSTART, RLENGTH)
				out = out substr(line, 1, RSTART - 1)
				line = substr(line, RSTART + RLENGTH)
				if (token == "/*") inside = 1
				else if (token == "//") line = ""
				else if (out ~ /^[ \t]*#[ \t]*include[ \t]*$/) out = out token
				else out = out "\"\""
			} else { out = out line; line = "" }
		}
		print FILENAME ":" FNR ": " out
	}' "$1"
}

# Prints the rank of a layer, or nothing.
rank_of()
{
	rank=0
	for f in $layers; do
		[ "$f" = "$1" ] && echo "$rank" && return
		rank=$((rank + 1))
	done
}

check_includes()
{
	layer=${1%%/*}
	strip_comments "$1" | sed -n 's/^\([^ ]*\) [ \t]*#[ \t]*include[ \t]*"\([^"]*\)".*/\1 \2/p' |
	while read -r where header; do
		case $header in
		*.c) echo "src/$where includes a .c: $header" && continue ;;
		config.h) continue ;;
		*/*/*) echo "src/$where reaches into a folder of a layer: $header" && continue ;;
		*/*) ;;
		*) [ -e "$layer/$header" ] || echo "src/$where: no such file in its own layer: $header"
		   continue ;;
		esac
		of=${header%%/*}
		if [ "$of" = "$layer" ]; then
			[ -e "$header" ] || echo "src/$where: no such file: $header"
		elif [ -z "$(rank_of "$of")" ]; then
			echo "src/$where: no such layer: $header"
		elif [ "$(rank_of "$of")" -gt "$(rank_of "$layer")" ]; then
			echo "src/$where includes upward: $header"
		elif [ "$header" != "$of/$of.h" ]; then
			echo "src/$where goes past $of/$of.h: $header"
		fi
	done
}

check_system()
{
	headers=$(printf '%s' "$system_headers" | tr -s ' \n\t' '|' | sed 's/[.]/[.]/g')
	calls=$(printf '%s' "$system_calls" | tr -s ' \n\t' '|')
	strip_comments "$1" | grep -E "#[[:space:]]*include[[:space:]]*<($headers)|(^|[^[:alnum:]_.>])($calls)[[:space:]]*\(" |
		sed 's,^,src/,'
}

sources=$(find . -name '*.[chS]' -o -name '*.cc' | sed 's,^\./,,' | grep / | sort)
for layer in $layers; do
	[ -d "$layer" ] || continue
	files=$(echo "$sources" | grep "^$layer/")
	report "$layer includes downward only" "$(for file in $files; do check_includes "$file"; done)"
	[ "$layer" != tool ] || report "tool uses the public interface alone" "$(for file in $files; do
		strip_comments "$file" | grep -E '#[[:space:]]*include[[:space:]]*"|percpu__' | grep -v '"tool/'
	done)"
	[ "$layer" = platform ] || [ "$layer" = tool ] ||
		report "$layer leaves the system to platform" "$(for file in $files; do check_system "$file"; done)"
done
report "no source lies outside the layers" "$(find . -maxdepth 1 -name '*.[chS]' | sed 's,^\.,src,')"

cd "$top_srcdir" || exit 1
report "public headers include public headers alone" "$(find include -name '*.h*' | while read -r file; do
	strip_comments "$file" | grep -E '#[[:space:]]*include[[:space:]]*"|#[[:space:]]*include[[:space:]]*<sys/mman.h>'
done)"
finish

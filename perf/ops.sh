#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds perf/ops, which has the same loops compiled by every compiler, for a program and for a shared
# object. The environment has srcdir, LIBRSEQ_CFLAGS and LIBRSEQ_LIBS.
# usage: perf/ops.sh PROGRAM LIBDIR		LIBDIR holds libpercpu.so
set -eu

program=$1
libdir=$(cd "$2" && pwd)
here=$(cd "$(dirname "$program")" && pwd)
src=${srcdir:-.}
flags="-std=gnu11 -D_GNU_SOURCE -O2 -falign-loops=1 -I. -I$src/include -I$src/perf ${LIBRSEQ_CFLAGS-}"
[ -z "${LIBRSEQ_LIBS-}" ] || flags="$flags -DHAVE_LIBRSEQ"
parts=

# The flags are words.
# shellcheck disable=SC2086
for compiler in gcc clang; do
	command -v $compiler >/dev/null || continue
	loops="$compiler $flags -DCOMPILER=$compiler $src/perf/ops_loops.c"
	$loops -fPIE -c -o "$here/ops-$compiler.o"
	$loops -fPIC -shared -o "$here/libops-$compiler.so"
	parts="$parts $here/ops-$compiler.o $here/libops-$compiler.so"
done
rpath=$libdir:$here
for word in ${LIBRSEQ_LIBS-}; do
	case $word in
	-L*) rpath=$rpath:${word#-L} ;;
	esac
done
# HAVE_LIBRSEQ of config.h and of the flags agree.
# shellcheck disable=SC2086
${CC:-cc} $flags -UHAVE_LIBRSEQ -pie -fPIE -rdynamic -o "$program" "$src/perf/ops.c" -Wl,--no-as-needed $parts \
	-L"$libdir" -lpercpu ${LIBRSEQ_LIBS-} -lm -Wl,-rpath,"$rpath"

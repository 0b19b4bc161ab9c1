#!/bin/sh
# SPDX-License-Identifier: MIT
# Each check finds the violation that is planted for it in a copy of the tree.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

tree=$tap_dir/tree

# Copies what the checks read, without what was built.
plant_nothing()
{
	[ ! -e "$tree" ] || chmod -R u+w "$tree"
	rm -rf "$tree"
	mkdir "$tree"
	(cd "$top_srcdir" && tar -cf - --exclude='*.o' --exclude='*.lo' --exclude=.libs --exclude=.deps bootstrap configure.ac \
		Makefile.am quickstart LICENSE README NEWS CONTRIBUTING .ci include src tests perf examples man doc scripts share) |
		(cd "$tree" && tar -xf -)
	chmod -R u+w "$tree"
}

# finds CHECK TEST VIOLATION: reports whether that test of that check fails with the violation in its log.
finds()
{
	(cd "$tree" && top_srcdir=$tree sh "scripts/$1.sh") >"$tap_dir/planted" 2>&1
	report "$1: $3" "$(
		awk -v test="$2" -v violation="$3" '
			/^(not )?ok / { on = index($0, "not ok") == 1 && index($0, " - " test) }
			on && /^#/ && index($0, violation) { found = 1 }
			END { exit !found }
		' "$tap_dir/planted" || { echo "not found in:" && grep -v '^ok' "$tap_dir/planted"; })"
	plant_nothing
}

cd "$tap_dir" || exit 1
plant_nothing

echo '#include "percpu/percpu.h"' >>"$tree/src/area/area.h"
finds layers "area includes downward only" "includes upward: percpu/percpu.h"
mkdir -p "$tree/src/percpu" && printf '#include "area/area.h"\n#include "area/hidden.h"\n' >"$tree/src/percpu/planted.c"
finds layers "percpu includes downward only" "goes past area/area.h: area/hidden.h"
echo '#include "planted.c"' >>"$tree/src/area/area.h"
finds layers "area includes downward only" "includes a .c: planted.c"
echo 'static const char *planted(void) { return getenv("X"); }' >>"$tree/src/area/area.h"
finds layers "area leaves the system to platform" 'getenv("")'
printf '#include <sys/mman.h>\n' >"$tree/src/percpu/planted.h"
finds layers "percpu leaves the system to platform" "<sys/mman.h>"
printf '#include "platform/platform.h"\n' >"$tree/src/tool/planted.c"
finds layers "tool uses the public interface alone" "platform/platform.h"
mkdir "$tree/src/cellar" && : >"$tree/src/cellar/Makefile.inc"
finds layers "every folder of src/ is a layer" "src/cellar/ is not in the order"

echo 'static inline size_t planted(void) { return 0; }' >"$tree/include/percpu/planted.h"
finds headers "percpu/planted.h" "size_t"
echo '/* planted */' >"$tree/include/percpu/planted.h"
finds headers "every public header is installed" "include/percpu/planted.h"
rm "$tree/include/percpu/pool.h"
finds headers "every header of Makefile.inc exists" "include/percpu/pool.h"

printf '/* Pairs with planted_nowhere. */\n' >>"$tree/src/area/area.h"
finds pairs "pairs with: the function exists" "planted_nowhere"
printf 'int planted(int *p)\n{\n\treturn __atomic_load_n(p, __ATOMIC_ACQUIRE);\n}\n' >"$tree/src/area/planted.c"
finds pairs "pairs with: stands where" "src/area/planted.c: which function pairs with lines 3?"

echo 'See src/nowhere.c.' >>"$tree/README"
finds paths "README: its paths exist" "src/nowhere.c"
echo 'Call percpu_planted() then.' >>"$tree/doc/design.md"
finds paths "doc/design.md: its names exist" "percpu_planted"
echo '.BR percpu_planted (3)' >>"$tree/man/percpu.7"
finds paths "manual pages refer" "percpu_planted.3"
sed -i 's/^\([[:space:]]*\)percpu_free;/&\n\1percpu_planted;/' "$tree/src/libpercpu.map"
finds paths "every exported function has a manual page" "percpu_planted"
sed -i 's/^\([[:space:]]*\)percpu_free;/&\n\1percpu_planted;/' "$tree/src/libpercpu.map"
finds symbols "libpercpu.so exports what the map says" "in the map, not exported: percpu_planted"
sed -i '/^[[:space:]]*percpu_free;/d' "$tree/src/libpercpu.map"
finds symbols "libpercpu.so exports what the map says" "exported, not in the map: percpu_free"

if ! sh "$top_srcdir/scripts/abi.sh" | grep -q "^1\.\.0"; then
	sed -i 's/uint64_t reserved\[5\];/uint64_t planted, reserved[4];/' "$tree/include/percpu/abi/counter.h"
	finds abi "the ABI is that of tests/abi/program.abi" "planted"
	sed -i 's/PERCPU_MAX_ALIGN ((size_t)4096)/PERCPU_MAX_ALIGN ((size_t)8192)/' "$tree/include/percpu/abi/base.h"
	finds abi "the constants are those" "PERCPU_MAX_ALIGN = 8192"
else
	skip "abi: a changed struct and a changed constant" "scripts/abi.sh is skipped here"
fi

sed -i 's/percpu_inc(hits)/percpu_add(hits, 1)/' "$tree/examples/counters.c"
finds paths "README shows examples/counters.c as it is" "percpu_add(hits, 1)"

sed -i 's/START_TEST(words_that_lie)/START_TEST(planted)/' "$tree/tests/publish/test_faults.c"
finds claims "the tests that doc/security.md names exist" "words_that_lie"
sed -i 's/ malloced,/ planted_nowhere,/' "$tree/doc/security.md"
finds claims "the tests that doc/security.md names exist" "tests/misuse/misuse.c: planted_nowhere"
printf '| claim | tested by |\n|---|---|\n| planted | by nobody |\n' >>"$tree/doc/security.md"
finds claims "every claim of doc/security.md has a test" "doc/security.md:"

sed -i 's/"double free of %p"/"planted free of %p"/' "$tree/src/platform/faults.h"
finds messages "DIAGNOSTICS in percpu(7) lists the catalogue" "planted free of POINTER"
sed -i 's/"double free of " POINTER/"planted free of " POINTER/' "$tree/man/percpu.7"
finds messages "DIAGNOSTICS in percpu(7) lists the catalogue" "planted free of POINTER"

echo '/* The floor below does it. */' >>"$tree/src/area/area.h"
finds words 'no "floors?"' "src/area/area.h"

# A circle shows in objects, so there is a build of two files that call one another, and nothing else.
built=$top_builddir
top_builddir=$tap_dir/built
export top_builddir
mkdir -p "$top_builddir/src/area"
for planted in one:two two:one; do
	file=planted_${planted%:*}
	printf 'void %s(void);\nvoid %s(void);\nvoid %s(void)\n{\n\t%s();\n}\n' "$file" "planted_${planted#*:}" "$file" \
		"planted_${planted#*:}" >"$tree/src/area/$file.c"
	${CC:-cc} -c "$tree/src/area/$file.c" -o "$top_builddir/src/area/libpercpu_la-$file.o"
done
finds circles "no circle of calls between files of the library" "src/area/planted_one.c -> src/area/planted_two.c"
top_builddir=$built

sed -i 1,2d "$tree/examples/counters.c"
finds spdx "SPDX lines" "examples/counters.c"
# shellcheck disable=SC2016
printf '#!/bin/sh\n# SPDX-License-Identifier: MIT\nif echo $1; then\n' >"$tree/scripts/planted-syntax.sh"
finds shell "s" "scripts/planted-syntax.sh"
printf '%s\n' 'real_texts | head -n 12' >>"$tree/quickstart"
finds shell "quickstart reads every pipe to its end" "real_texts | head"

sed -i 's/^\.SH CONCURRENCY/.SH NOTES/' "$tree/man/percpu_sum.3"
finds man "percpu_sum.3 has the fixed sections" "NOTES"
sed -i 's/ percpu_trim$/ percpu_planted/' "$tree/man/aliases"
finds man "every alias is named by its page" "percpu_pool.3: percpu_planted"
sed -i 's/return sums\[0\] != 2000/return sums[0] == 2000/' "$tree/man/percpu_sum.3"
finds man "percpu_sum.3: the example compiles and runs" "failed"
sed -i 's/percpu_inc(small)/percpu_planted(small)/' "$tree/man/percpu_ops.3"
finds man "percpu_ops.3: the example compiles and runs" "percpu_planted"
sed -i 's/^\.BR percpu_sum ()/.PLANTED percpu_sum ()/' "$tree/man/percpu_sum.3"
if command -v groff >/dev/null; then
	finds man "percpu_sum.3 formats without a warning" "PLANTED"
else
	skip "man: PLANTED" "groff is not installed"
fi
finish

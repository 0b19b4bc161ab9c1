# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# TAP for shell tests: sourced by every *.sh test.
# Wants top_srcdir and top_builddir in the environment, as make check sets them.

: "${top_srcdir:?run by make check, or set it to the top of the sources}"
: "${top_builddir:=$top_srcdir}"
export LC_ALL=C
unset CDPATH MAKEFLAGS MAKELEVEL MFLAGS

tap_count=0
tap_dir=$(mktemp -d "${TMPDIR:-/tmp}/percpu-test.XXXXXX") || exit 1
trap 'rm -rf "$tap_dir"' EXIT
trap 'exit 1' HUP INT TERM

# report NAME [VIOLATIONS]: passes when there are none; each line of them goes to the log.
report()
{
	tap_count=$((tap_count + 1))
	if [ -z "${2-}" ]; then
		echo "ok $tap_count - $1"
		return
	fi
	echo "not ok $tap_count - $1"
	printf '%s\n' "$2" | sed 's/^/# /'
}

# try NAME COMMAND...: passes when the command does; what it says goes to the log when it fails.
try()
{
	tap_name=$1
	shift
	if "$@" >"$tap_dir/said" 2>&1; then
		report "$tap_name"
	else
		report "$tap_name" "failed: $*
$(head -n 60 "$tap_dir/said")"
	fi
}

# judge STATUS NAME: as try, of commands that have run; what they said is in $tap_dir/said.
judge()
{
	if [ "$1" = 0 ]; then
		report "$2"
	else
		report "$2" "status $1
$(head -n 60 "$tap_dir/said")"
	fi
}

skip()
{
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $1 # SKIP $2"
}

# skip_all WHY: instead of all tests.
skip_all()
{
	echo "1..0 # SKIP $1"
	exit 0
}

# wants TOOL...: without one of them no test can run.
wants()
{
	for tap_tool; do
		command -v "$tap_tool" >/dev/null || skip_all "$tap_tool is not installed"
	done
}

# For tests that bring compilers and flags of their own: once they have shown what they can, no more.
once()
{
	[ "${TESTS_RUN_ONCE-}" != yes ] || skip_all "compilers and flags of its own, run before"
}

# The last line of every test script. The status is that of the script, not of its tests: a harness
# that reads TAP would count a failure twice.
finish()
{
	echo "1..$tap_count"
}

#!/bin/sh
# SPDX-License-Identifier: MIT
# slowest.sh BUILD-DIR [NR]: prints the slowest tests of the last make check and make lint there, and
# the sum of all.
find "$1/scripts" "$1/tests" -name '*.log' -exec awk -v from="$1/" '
	/^# took [0-9]+ s, / { name = substr(FILENAME, length(from) + 1); sub(/\.log$/, "", name); print $3, $5, name }' {} + |
	sort -rn | awk -v nr="${2:-15}" '
		NR <= nr { printf "%5d s %5d s of CPU  %s\n", $1, $2, $3 }
		{ wall += $1; cpu += $2 }
		END { printf "%5d s %5d s of CPU  all %d tests\n", wall, cpu, NR }'

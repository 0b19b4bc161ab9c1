#!/bin/sh
# SPDX-License-Identifier: MIT
# tally.sh BUILD-DIR [SUITE...]: prints "N passed, N failed, N skipped" from the logs of the suites:
# test-suite (make check) by default, or lint-suite (make lint). A suite without results is one
# failure. The status is 1 if anything failed.
dir=$1
shift
[ $# != 0 ] || set -- test-suite
for suite; do
	[ ! -f "$dir/$suite.log" ] || cat "$dir/$suite.log"
	[ -f "$dir/$suite.log" ] || echo "# FAIL: 1"
	echo "# end of a suite"
done | awk '
	/^# end of a suite$/ { in_log = 0; next }
	in_log { next }
	/^# PASS: / || /^# XFAIL: / { passed += $3 }
	/^# FAIL: / || /^# XPASS: / || /^# ERROR: / { failed += $3 }
	/^# SKIP: / { skipped += $3 }
	/^# ERROR: / { in_log = 1 } # what follows is of tests
	END {
		printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
		exit failed > 0 || passed == 0
	}
'

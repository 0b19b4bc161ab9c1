#!/bin/sh
# SPDX-License-Identifier: MIT
# tally.sh BUILD-DIR: "N passed, N failed, N skipped", of what make check wrote there; a build that
# never came to its tests is one failure. Fails when anything did.
if [ ! -f "$1/test-suite.log" ]; then
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
fi
awk '
	/^# PASS: / || /^# XFAIL: / { passed += $3 }
	/^# FAIL: / || /^# XPASS: / || /^# ERROR: / { failed += $3 }
	/^# SKIP: / { skipped += $3 }
	/^# ERROR: / { exit }
	END {
		printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
		exit failed > 0 || passed == 0
	}
' "$1/test-suite.log"

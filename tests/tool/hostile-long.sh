#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/tool/hostile.sh with 64 users, each with 600 pools and 64 MiB.
: "${top_srcdir:?run by make check-long, or set it to the top of the sources}"
if [ "$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)" -lt 8 ]; then
	echo "1..0 # SKIP there are not 8 GiB of memory"
	exit
fi
HOSTILE_USERS=64 HOSTILE_POOLS=600 HOSTILE_MIB=64 exec sh "$top_srcdir/tests/tool/hostile.sh"

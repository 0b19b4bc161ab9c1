#!/bin/sh
# SPDX-License-Identifier: MIT
# Ten thousand loads of a plugin that contains the library.
LOADS=${LOADS:-10000}
export LOADS
exec sh "${top_srcdir:?run by make check-long}/tests/modules/again.sh"

#!/bin/sh
# SPDX-License-Identifier: MIT
# Ten thousand loads of a plugin with the library inside.
LOADS=${LOADS:-10000}
export LOADS
exec sh "${top_srcdir:?run by make check-long}/tests/modules/again.sh"

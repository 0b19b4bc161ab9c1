/* SPDX-License-Identifier: MIT */
/* percpu top: values, rates and skew, again and again. */
#include <string.h>

#include "tool/tool.h"

bool top_sort_is_known(const char *column)
{
	static const char *const columns[] = { "name", "value", "rate", "skew" };

	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		if (!strcmp(columns[i], column))
			return true;
	return false;
}

int command_top(const struct options *options)
{
	return complain("built without ncurses, so there is no top");
}

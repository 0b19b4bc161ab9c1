/* SPDX-License-Identifier: MIT */
/* Owns the version of the library, as a string. */
#include <percpu/version.h>

#define STRING_OF(number) #number
#define STRING(number) STRING_OF(number)

const char *percpu_version(void)
{
	return STRING(PERCPU_VERSION_MAJOR) "." STRING(PERCPU_VERSION_MINOR) "." STRING(
		PERCPU_VERSION_PATCH);
}

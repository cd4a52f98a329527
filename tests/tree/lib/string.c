// SPDX-License-Identifier: MIT
#include <linux/module.h>
#include <linux/string.h>

size_t strlen(const char *text)
{
	const char *end = text;

	while (*end)
		end++;
	return end - text;
}
EXPORT_SYMBOL(strlen);

int strcmp(const char *left, const char *right)
{
	while (*left && *left == *right) {
		left++;
		right++;
	}
	return *left - *right;
}
EXPORT_SYMBOL(strcmp);

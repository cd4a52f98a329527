// SPDX-License-Identifier: MIT
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/string.h>

static volatile char console;

void printk(const char *text)
{
	for (size_t i = 0; i < strlen(text); i++)
		console = text[i];
}
EXPORT_SYMBOL(printk);

// SPDX-License-Identifier: MIT
#include <linux/printk.h>
#include <generated/utsrelease.h>

void start_kernel(void);

void start_kernel(void)
{
	printk("A miniature kernel, " UTS_RELEASE);
	for (;;)
		;
}

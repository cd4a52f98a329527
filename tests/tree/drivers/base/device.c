// SPDX-License-Identifier: MIT
#include <linux/device.h>
#include <linux/module.h>
#include <linux/printk.h>

int device_add(struct device *device)
{
	printk(device->name);
	return 0;
}
EXPORT_SYMBOL(device_add);

// SPDX-License-Identifier: MIT
#include <linux/device.h>
#include <linux/module.h>

int cog_probe(struct device *device);

int cog_probe(struct device *device)
{
	return device_add(device);
}

MODULE_LICENSE("MIT");

// SPDX-License-Identifier: MIT
#include <linux/gizmo.h>
#include <linux/module.h>

int sprocket_teeth(void)
{
	return 12;
}
EXPORT_SYMBOL(sprocket_teeth);

MODULE_LICENSE("MIT");

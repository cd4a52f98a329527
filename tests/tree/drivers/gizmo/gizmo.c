// SPDX-License-Identifier: MIT
#include <linux/gizmo.h>
#include <linux/module.h>
#include <linux/printk.h>

int gizmo_turn(int turns);

int gizmo_turn(int turns)
{
	printk("gizmo");
	return turns * 2;
}

MODULE_LICENSE("MIT");

// SPDX-License-Identifier: MIT
#include <linux/irqbypass.h>
#include <linux/kvm_host.h>
#include <linux/module.h>
#include <linux/printk.h>

static struct kvm the_machine;

int kvm_init(void)
{
	printk(KBUILD_MODNAME);
	return kvm_arch_init(&the_machine) + irq_bypass_register(0);
}
EXPORT_SYMBOL(kvm_init);

MODULE_LICENSE("MIT");

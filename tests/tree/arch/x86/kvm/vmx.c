// SPDX-License-Identifier: MIT
#include <linux/kvm_host.h>
#include <linux/module.h>

int vmx_init(void);

int vmx_init(void)
{
	return kvm_init();
}

MODULE_LICENSE("MIT");

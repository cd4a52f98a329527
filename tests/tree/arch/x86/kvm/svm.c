// SPDX-License-Identifier: MIT
#include <linux/kvm_host.h>
#include <linux/module.h>

int svm_init(void);

int svm_init(void)
{
	return kvm_init();
}

MODULE_LICENSE("MIT");

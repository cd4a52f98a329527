// SPDX-License-Identifier: MIT
#include <linux/kvm_host.h>
#include <linux/module.h>
#include "book3s_hv.h"

int hv_run(struct kvm *kvm);

int hv_run(struct kvm *kvm)
{
	return hv_map(kvm) + kvm_init();
}

MODULE_LICENSE("MIT");

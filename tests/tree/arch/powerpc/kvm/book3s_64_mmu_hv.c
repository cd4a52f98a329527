// SPDX-License-Identifier: MIT
#include <linux/kvm_host.h>
#include "book3s_hv.h"

int hv_map(struct kvm *kvm)
{
	return kvm->arch.lpid ? 0 : -1;
}

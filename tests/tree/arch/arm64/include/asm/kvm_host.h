/* SPDX-License-Identifier: MIT */
#ifndef _ASM_KVM_HOST_H
#define _ASM_KVM_HOST_H

#include <linux/types.h>

struct kvm_arch {
	u64 vttbr;
};

#endif

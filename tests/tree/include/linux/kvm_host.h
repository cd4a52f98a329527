/* SPDX-License-Identifier: MIT */
#ifndef _LINUX_KVM_HOST_H
#define _LINUX_KVM_HOST_H

#include <linux/fs.h>
#include <linux/types.h>
#include <asm/kvm_host.h>
#include <generated/bounds.h>

struct kvm {
	int vcpus[NR_CPUS_BOUND];
	struct kvm_arch arch;
#ifdef CONFIG_KVM_VFIO
	struct file *vfio_file;
#endif
};

int kvm_init(void);
int kvm_arch_init(struct kvm *kvm);
int kvm_eventfd_assign(struct kvm *kvm, int number);
int kvm_vfio_attach(struct kvm *kvm, struct file *file);

#endif

// SPDX-License-Identifier: MIT
#include <linux/kvm_host.h>

int kvm_eventfd_assign(struct kvm *kvm, int number)
{
	kvm->vcpus[number % NR_CPUS_BOUND]++;
	return number;
}

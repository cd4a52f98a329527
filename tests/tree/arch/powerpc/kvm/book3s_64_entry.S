/* SPDX-License-Identifier: MIT */
	.section .text, "ax"
	.globl	kvm_guest_entry
kvm_guest_entry:
#ifdef CONFIG_KVM_BOOK3S_64_HV
	nop
#endif
	blr

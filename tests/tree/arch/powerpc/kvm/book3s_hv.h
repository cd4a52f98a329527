/* SPDX-License-Identifier: MIT */
#ifndef _BOOK3S_HV_H
#define _BOOK3S_HV_H

struct kvm;

int hv_map(struct kvm *kvm);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef _VFIO_VFIO_H
#define _VFIO_VFIO_H

#include <linux/vfio.h>

struct vfio_group {
	struct iommu_group group;
	struct kvm *kvm;
};

#ifdef CONFIG_VFIO_GROUP
bool vfio_group_holds(struct vfio_group *group, struct device *device);
#else
static inline bool vfio_group_holds(struct vfio_group *group, struct device *device)
{
	return true;
}
#endif

#endif

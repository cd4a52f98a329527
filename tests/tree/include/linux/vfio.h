/* SPDX-License-Identifier: MIT */
#ifndef _LINUX_VFIO_H
#define _LINUX_VFIO_H

#include <linux/device.h>
#include <linux/fs.h>
#include <linux/types.h>

struct kvm;

bool vfio_file_is_valid(struct file *file);
void vfio_file_set_kvm(struct file *file, struct kvm *kvm);

struct iommu_group *vfio_file_iommu_group(struct file *file);

#if IS_ENABLED(CONFIG_VFIO_GROUP)
bool vfio_file_has_dev(struct file *file, struct device *device);
#else
static inline bool vfio_file_has_dev(struct file *file, struct device *device)
{
	return false;
}
#endif

#endif

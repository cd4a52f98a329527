// SPDX-License-Identifier: MIT
#include <linux/module.h>
#include "vfio.h"

bool vfio_group_holds(struct vfio_group *group, struct device *device)
{
	return device && device->group == &group->group;
}

struct iommu_group *vfio_file_iommu_group(struct file *file)
{
	struct vfio_group *group = file->private_data;

	return &group->group;
}
EXPORT_SYMBOL(vfio_file_iommu_group);

bool vfio_file_has_dev(struct file *file, struct device *device)
{
	return vfio_group_holds(file->private_data, device);
}
EXPORT_SYMBOL(vfio_file_has_dev);

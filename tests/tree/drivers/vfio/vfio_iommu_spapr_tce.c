// SPDX-License-Identifier: MIT
#include <linux/module.h>
#include <linux/vfio.h>

int tce_attach(struct file *file);

int tce_attach(struct file *file)
{
	return vfio_file_iommu_group(file) ? 0 : -1;
}

MODULE_LICENSE("MIT");

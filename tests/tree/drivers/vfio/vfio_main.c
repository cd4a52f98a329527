// SPDX-License-Identifier: MIT
#include <linux/module.h>
#include <linux/printk.h>
#include "vfio.h"

bool vfio_file_is_valid(struct file *file)
{
	return file && file->private_data;
}
EXPORT_SYMBOL(vfio_file_is_valid);

void vfio_file_set_kvm(struct file *file, struct kvm *kvm)
{
	struct vfio_group *group = file->private_data;

	if (vfio_group_holds(group, NULL))
		printk("vfio: a machine for a file");
	group->kvm = kvm;
}
EXPORT_SYMBOL(vfio_file_set_kvm);

MODULE_LICENSE("MIT");

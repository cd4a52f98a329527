// SPDX-License-Identifier: MIT
#include <linux/module.h>
#include <linux/vfio.h>

int vfio_pci_probe(struct file *file, struct device *device);

int vfio_pci_probe(struct file *file, struct device *device)
{
	return vfio_file_has_dev(file, device) ? device_add(device) : -1;
}

MODULE_LICENSE("MIT");

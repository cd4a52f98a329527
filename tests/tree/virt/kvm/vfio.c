// SPDX-License-Identifier: MIT
#include <linux/kvm_host.h>
#include <linux/module.h>
#include <linux/vfio.h>

/* VFIO may be absent, built in or a module: everything of it is asked for by name. */
static void set_kvm(struct file *file, struct kvm *kvm)
{
	void (*set)(struct file *file, struct kvm *kvm) = symbol_get(vfio_file_set_kvm);

	if (set)
		set(file, kvm);
}

static bool is_valid(struct file *file)
{
	bool (*valid)(struct file *file) = symbol_get(vfio_file_is_valid);

	return valid && valid(file);
}

#ifdef CONFIG_SPAPR_TCE_IOMMU
static struct iommu_group *group_of(struct file *file)
{
	struct iommu_group *(*group)(struct file *file);

	group = symbol_get(vfio_file_iommu_group);
	return group ? group(file) : NULL;
}
#endif

int kvm_vfio_attach(struct kvm *kvm, struct file *file)
{
	if (!is_valid(file))
		return -1;
#ifdef CONFIG_SPAPR_TCE_IOMMU
	if (!group_of(file))
		return -1;
#endif
	kvm->vfio_file = file;
	set_kvm(file, kvm);
	return 0;
}

/* SPDX-License-Identifier: MIT */
#ifndef _LINUX_MODULE_H
#define _LINUX_MODULE_H

#include <linux/types.h>

#define MODULE_LICENSE(text) static const char __license[] __used = text
#define EXPORT_SYMBOL(name) static const char __export_##name[] __used = #name

/*
 * symbol_get(name): the address of what may not be there, or NULL. With modules it is looked up when
 * asked for; without, all that can ever be there is linked in, and the linker knows.
 */
#ifdef CONFIG_MODULES
void *find_symbol(const char *name);
#define symbol_get(name) ((__typeof__(&name))find_symbol(#name))
#else
#define symbol_get(name)						\
({									\
	extern __typeof__(name) name __hidden_weak;			\
	&name;								\
})
#endif

#endif

/* SPDX-License-Identifier: MIT */
#ifndef _LINUX_TYPES_H
#define _LINUX_TYPES_H

#include <linux/compiler.h>
#include <asm/types.h>

typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

typedef __SIZE_TYPE__ size_t;

#endif

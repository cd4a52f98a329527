/* SPDX-License-Identifier: MIT */
#ifndef _ASM_TYPES_H
#define _ASM_TYPES_H

typedef unsigned long long u64;

#endif

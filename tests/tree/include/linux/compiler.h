/* SPDX-License-Identifier: MIT */
#ifndef _LINUX_COMPILER_H
#define _LINUX_COMPILER_H

#define __hidden_weak __attribute__((weak, visibility("hidden")))
#define __used __attribute__((used))

#endif

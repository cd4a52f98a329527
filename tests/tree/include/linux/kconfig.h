/* SPDX-License-Identifier: MIT */
#ifndef _LINUX_KCONFIG_H
#define _LINUX_KCONFIG_H

#include <generated/autoconf.h>

/*
 * IS_ENABLED(CONFIG_THING) is 1 when THING is y or m. A defined option is 1, and only a 1 makes the
 * pasted name a macro, which pushes the 1 into second place.
 */
#define _probe_1 ~, 1
#define _second(first, second, ...) second
#define _answer(...) _second(__VA_ARGS__, 0, ~)
#define _pasted(value) _answer(_probe_##value)
#define _is_one(value) _pasted(value)

#define IS_BUILTIN(option) _is_one(option)
#define IS_MODULE(option) _is_one(option##_MODULE)
#define IS_ENABLED(option) (IS_BUILTIN(option) || IS_MODULE(option))

#endif

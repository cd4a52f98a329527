/* SPDX-License-Identifier: MIT */
#ifndef _LINUX_IRQBYPASS_H
#define _LINUX_IRQBYPASS_H

int irq_bypass_register(int number);

#endif

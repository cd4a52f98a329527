/* SPDX-License-Identifier: MIT */
	.section .text, "ax"
	.globl	_start
_start:
	b	start_kernel

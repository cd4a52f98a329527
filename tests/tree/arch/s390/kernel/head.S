/* SPDX-License-Identifier: MIT */
	.section .text, "ax"
	.globl	_start
_start:
	jg	start_kernel

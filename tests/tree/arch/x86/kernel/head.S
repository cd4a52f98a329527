/* SPDX-License-Identifier: MIT */
	.section .text, "ax"
	.globl	_start
_start:
	jmp	start_kernel

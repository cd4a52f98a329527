// SPDX-License-Identifier: MIT
/* Constants for headers, worked out by the compiler: scripts read the assembly that this becomes. */
#define DEFINE(name, value) __asm__ volatile("\n.ascii \"DEFINE " #name " %0\"" : : "i"(value))

int main(void);

int main(void)
{
	DEFINE(NR_CPUS_BOUND, CONFIG_NR_CPUS);
	return 0;
}

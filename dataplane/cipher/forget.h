/* forget.h - the end of a kernel of cipher/ that has worked on secrets with 512-bit registers. */
#ifndef RAMSON_CIPHER_FORGET_H
#define RAMSON_CIPHER_FORGET_H

#include <immintrin.h>

#include "dataplane/base/base.h"

/* What registers and the stack below still hold of scalars and points. */
__attribute__((target("avx512f,avx512vl"), noinline, unused)) static void kernel_forget(void)
{
	uint8_t below[8192]; /* the deepest of what was called takes less */

	wipe(below, sizeof(below));
	_mm256_zeroall();
	__asm__ volatile(".irp n,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n\t"
			 "vpxorq %%zmm\\n, %%zmm\\n, %%zmm\\n\n\t"
			 ".endr" ::
				 : "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22",
				   "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29",
				   "xmm30", "xmm31");
}

#endif

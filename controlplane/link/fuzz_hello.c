/* fuzz_hello.c - a first record of a stranger to hello.c: what it gives lies within the record. */
#include "controlplane/link/internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool within(const uint8_t *p, size_t n, const uint8_t *data, size_t len)
{
	return p >= data && n <= len && p <= data + len - n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct hello h;

	if (!hello_read(&h, data, len))
		return 0;
	if (!within(h.message, h.len, data, len) || !within(h.session, 32, data, len) ||
	    !within(h.share, HELLO_POINT, data, len))
		abort();
	return 0;
}

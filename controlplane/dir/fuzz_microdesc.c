/* fuzz_microdesc.c - runs of microdescriptors and of server descriptors. */
#include <stdlib.h>

#include "controlplane/dir/docs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = bytes_of(data, size);
	struct microdesc m;
	struct router r;
	int got;

	while ((got = microdesc_next(&m, &rest)) != 0)
		if (got == 1 && (m.text.p < data || m.text.p + m.text.len > data + size))
			abort();
	rest = bytes_of(data, size);
	while ((got = router_next(&r, &rest)) != 0)
		if (got == 1 && (r.text.p < data || r.text.p + r.text.len > data + size))
			abort();
	return 0;
}

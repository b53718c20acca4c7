/* fuzz_conflux.c - any bytes as LINK and SWITCH: what is read is written the same. */
#include <stdlib.h>

#include "dataplane/wire/conflux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t back[CONFLUX_LINK_LEN];
	struct conflux_link l;

	if (!conflux_link_get(&l, data, len)) {
		conflux_link_put(back, &l);
		if (memcmp(back, data, sizeof(back)))
			abort();
	}
	if (conflux_switch_get(data, len) && len < CONFLUX_SWITCH_LEN)
		abort();
	return 0;
}

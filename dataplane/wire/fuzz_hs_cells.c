/* fuzz_hs_cells.c - any bytes as ESTABLISH_INTRO, INTRODUCE1 and RENDEZVOUS1. */
#include <stdlib.h>

#include "dataplane/wire/hs_cells.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct establish_intro e;
	struct introduce1 i;
	struct rendezvous1 r;

	if (!establish_intro_get(&e, data, len) &&
	    (e.maced.p != data || e.signed_part.len > len || e.maced.len + 32 != e.signed_part.len))
		abort();
	if (!establish_intro_get(&e, data, len) && e.limit.said == HS_LIMIT_ON &&
	    (!e.limit.rate || e.limit.burst < e.limit.rate || e.limit.burst > INT32_MAX))
		abort();
	if (!introduce1_get(&i, data, len) && len > HS_INTRODUCE_MAX)
		abort();
	if (!rendezvous1_get(&r, data, len) && r.body.len + HS_COOKIE_LEN != len)
		abort();
	return 0;
}

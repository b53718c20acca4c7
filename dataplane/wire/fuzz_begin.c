/* fuzz_begin.c - any bytes as BEGIN, CONNECTED, RESOLVE and RESOLVED. */
#include <stdlib.h>

#include "dataplane/wire/begin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t again[1024], type;
	char name[BEGIN_HOST];
	struct reader r = reader_of(data, len);
	struct begin b, c;
	struct bytes value;
	struct addr a;
	uint32_t ttl;

	if (!begin_get(&b, data, len)) {
		int put = begin_put(&b, again, sizeof(again));

		if (put < 0 || begin_get(&c, again, (size_t)put) || memcmp(&b, &c, sizeof(b)))
			abort();
	}
	if (!connected_get(&a, &ttl, data, len) && len && a.family != 4 && a.family != 6)
		abort();
	if (!resolve_get(name, data, len) && strlen(name) > len)
		abort();
	while (resolved_next(&r, &type, &value, &ttl) == 1)
		if (value.p < data || value.p + value.len > data + len)
			abort();
	return 0;
}

/* fuzz_onionskin.c - any bytes as EXTEND2, CREATE2, CREATED2; what parses must survive a round. */
#include <stdlib.h>

#include "dataplane/wire/onionskin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t again[1024];
	struct extend2 e, f;
	struct create2 c;
	struct bytes b;

	if (!create2_get(&c, data, len) && create2_put(&c, again, sizeof(again)) < 0)
		abort();
	if (!created2_get(&b, data, len) && created2_put(b.p, b.len, again, sizeof(again)) < 0)
		abort();
	if (extend2_get(&e, data, len))
		return 0;
	int put = extend2_put(&e, again, sizeof(again));
	if (put < 0 || extend2_get(&f, again, (size_t)put) || f.has_ed != e.has_ed ||
	    !addr_same(&e.or4, &f.or4) || !addr_same(&e.or6, &f.or6) ||
	    memcmp(e.rsa_id, f.rsa_id, 20) || f.create_bytes.len != e.create_bytes.len)
		abort();
	return 0;
}

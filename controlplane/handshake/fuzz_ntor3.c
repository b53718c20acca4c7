/* fuzz_ntor3.c - any bytes as the client's extensions, and as whole onion skins of each type. */
#include <stdlib.h>

#include "controlplane/handshake/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct handshake_keys keys;
	struct handshake_client c = {0};
	struct handshake_done done;
	uint8_t reply[8], skin[HANDSHAKE_SKIN_MAX];
	size_t reply_len, skin_len;

	if (!keys.n_onion) {
		keys.n_onion = 1;
		if (handshake_pair_new(&keys.onion[0]) || handshake_pair_new(&keys.junk))
			abort();
	}
	if (!handshake_extensions(data, len, reply, &reply_len, sizeof(reply)) &&
	    (reply_len != 1 || reply[0] || !len))
		abort();
	if (len > HANDSHAKE_SKIN_MAX)
		return 0;
	for (uint16_t type = 0; type < 5; type++) {
		handshake_answer(type, &keys, data, len, &done);
		if (!handshake_begin(&c, type, NULL, skin, &skin_len))
			handshake_finish(&c, data, len, &done);
	}
	return 0;
}

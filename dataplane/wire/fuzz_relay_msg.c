/* fuzz_relay_msg.c - any payload as a relay message of either format: what is read lies inside it,
 * and written again it is the same header. */
#include <stdlib.h>

#include "dataplane/wire/relay_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Version 0 has two fields that a reader does not look at. */
static void blank(uint8_t *head, enum relay_format format)
{
	if (format == RELAY_V1) {
		memset(head, 0, 16);
		return;
	}
	memset(head + 1, 0, 2);
	memset(head + 5, 0, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t payload[CELL_PAYLOAD] = {0}, again[CELL_PAYLOAD];
	struct relay_msg m;

	memcpy(payload, data, MIN(len, sizeof(payload)));
	memcpy(again, payload, sizeof(again));
	for (int f = RELAY_V0; f < N_RELAY_FORMATS; f++) {
		enum relay_format format = (enum relay_format)f;

		if (relay_msg_read(&m, payload, format))
			continue;
		if (m.body < payload || m.body + m.len > payload + sizeof(payload) ||
		    m.len > relay_body_max(format, m.command))
			abort();
		relay_msg_write(again, format, m.command, m.stream_id, m.len);
		blank(payload, format);
		if (memcmp(again, payload, sizeof(again)) != 0)
			abort();
	}
	return 0;
}

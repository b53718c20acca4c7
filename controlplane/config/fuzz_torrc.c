/* fuzz_torrc.c - any bytes as a torrc: values or errors, never a crash, and nothing left behind. */
#include "controlplane/config/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct config_messages m = {0};
	struct config a, b;
	int rc = config_parse((const char *)data, len, &a, &m);

	if ((rc == 0) != (m.n_errors == 0))
		abort();
	config_messages_free(&m);
	if (rc == 0) {
		/* The same text again is no change. */
		if (config_parse((const char *)data, len, &b, &m) < 0 ||
		    config_changed(&a, &b, &m) < 0)
			abort();
		config_messages_free(&m);
		config_free(&b);
	}
	config_free(&a);
	return 0;
}

/* fuzz_authcert.c - runs of authority certificates. */
#include "controlplane/dir/docs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = bytes_of(data, size);
	struct auth_cert c;
	int got;

	while ((got = auth_cert_parse(&c, &rest)) != 0)
		if (got == 1)
			auth_cert_free(&c);
	return 0;
}

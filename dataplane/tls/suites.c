/* suites.c - the cipher suites that the record layer serves: a row each. */
#include "dataplane/tls/internal.h"

static const struct tls_suite suites[] = {
	/* RFC 8446 */
	{0x1301, VERSION_13, AEAD_AES128_GCM, HASH_SHA256, 12, 0},
	{0x1302, VERSION_13, AEAD_AES256_GCM, HASH_SHA384, 12, 0},
	{0x1303, VERSION_13, AEAD_CHACHA20_POLY1305, HASH_SHA256, 12, 0},
	/* RFC 5289: ECDHE-ECDSA, ECDHE-RSA */
	{0xc02b, VERSION_12, AEAD_AES128_GCM, HASH_SHA256, 4, 8},
	{0xc02c, VERSION_12, AEAD_AES256_GCM, HASH_SHA384, 4, 8},
	{0xc02f, VERSION_12, AEAD_AES128_GCM, HASH_SHA256, 4, 8},
	{0xc030, VERSION_12, AEAD_AES256_GCM, HASH_SHA384, 4, 8},
	/* RFC 7905: ECDHE-RSA, ECDHE-ECDSA */
	{0xcca8, VERSION_12, AEAD_CHACHA20_POLY1305, HASH_SHA256, 12, 0},
	{0xcca9, VERSION_12, AEAD_CHACHA20_POLY1305, HASH_SHA256, 12, 0},
};

const struct tls_suite *tls_suite_find(uint16_t version, uint16_t id)
{
	for (size_t i = 0; i < ARRAY_LEN(suites); i++)
		if (suites[i].id == id && suites[i].version == version)
			return &suites[i];
	return NULL;
}

/* record.c - the head of a TLS record, read and written. */
#include "dataplane/wire/record.h"

int record_parse(struct record *r, const uint8_t *p, size_t len)
{
	struct record got;

	if (len < RECORD_HEAD)
		return ERR_NOT_NOW;
	got = (struct record) {p[0], be16_get(p + 1), be16_get(p + 3)};
	if (got.type < RECORD_CHANGE_CIPHER_SPEC || got.type > RECORD_DATA ||
	    got.version >> 8 != 3 || got.len > RECORD_BODY_MAX)
		return ERR_MALFORMED;
	*r = got;
	return 0;
}

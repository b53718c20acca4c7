/* onionskin.h - bodies that make circuits longer: CREATE2, CREATED2, EXTEND2, EXTENDED2 (tor-spec
 * sections 5.1 and 5.3). Pure codecs: they say whether bytes parse, not whether we allow it. */
#ifndef RAMSON_WIRE_ONIONSKIN_H
#define RAMSON_WIRE_ONIONSKIN_H

#include "dataplane/base/base.h"

#define CREATE2_DATA_MAX  505 /* 509 less type and length */
#define CREATED2_DATA_MAX 496 /* what fits an EXTENDED2 */

struct create2 {
	uint16_t type;
	uint16_t len;
	const uint8_t *data; /* in the bytes parsed */
};
/* Reads type, length and data; bytes may follow (the cell's padding). 0 or ERR_MALFORMED. */
int create2_get(struct create2 *c, const uint8_t *p, size_t len);
/* Writes the same; the length, or ERR_FULL. */
int create2_put(const struct create2 *c, uint8_t *to, size_t cap);

/* Reads length and data of a CREATED2 or EXTENDED2 body. 0 or ERR_MALFORMED (over
 * CREATED2_DATA_MAX too). */
int created2_get(struct bytes *data, const uint8_t *p, size_t len);
int created2_put(const void *data, size_t data_len, uint8_t *to, size_t cap);

enum link_specifier { LSPEC_IPV4 = 0, LSPEC_IPV6 = 1, LSPEC_RSA_ID = 2, LSPEC_ED_ID = 3 };

struct extend2 {
	struct addr or4, or6; /* family 0: not named */
	bool has_ed;
	uint8_t rsa_id[20];
	uint8_t ed_id[32];
	struct create2 create;	   /* points into the bytes parsed */
	struct bytes create_bytes; /* the same as it stood: type, length, data */
};
/* Reads an EXTEND2 body (interop C2): an RSA id and an address of either family must be there; the
 * first address of a family counts; a second id of a kind is an error; unknown specifiers are
 * passed over. 0 or ERR_MALFORMED. */
int extend2_get(struct extend2 *e, const uint8_t *p, size_t len);
/* Writes one in the order of C tor (IPv4, RSA, Ed25519 if has_ed, IPv6); create_bytes is not
 * looked at. The length, or ERR_FULL. */
int extend2_put(const struct extend2 *e, uint8_t *to, size_t cap);

#endif

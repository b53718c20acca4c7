/* record.h - the five bytes in front of every TLS record: tcp collects by them, tls opens by them,
 * control hands whole records to OpenSSL (RFC 8446 5.1, RFC 5246 6.2). */
#ifndef RAMSON_WIRE_RECORD_H
#define RAMSON_WIRE_RECORD_H

#include "dataplane/base/base.h"

#define RECORD_HEAD	5
#define RECORD_BODY_MAX (16384 + 2048) /* of any version, protected or not */
#define RECORD_MAX	(RECORD_HEAD + RECORD_BODY_MAX)

enum record_type {
	RECORD_CHANGE_CIPHER_SPEC = 20,
	RECORD_ALERT = 21,
	RECORD_HANDSHAKE = 22,
	RECORD_DATA = 23,
};
struct record {
	uint8_t type;
	uint16_t version; /* 0x0301..0x0304 on the wire, mostly 0x0303 */
	uint16_t len;	  /* of the body behind the head */
};
/* Reads the head of a record. 0; ERR_NOT_NOW when fewer than RECORD_HEAD bytes are there; or
 * ERR_MALFORMED when no TLS record begins so: a type that is not one of the four, a major version
 * other than 3, a body over RECORD_BODY_MAX. */
int record_parse(struct record *r, const uint8_t *p, size_t len);
/* Its RECORD_HEAD bytes, as the first of eight in wire order. */
static inline uint64_t record_word(struct record r)
{
	return (uint64_t)r.type << 56 | (uint64_t)r.version << 40 | (uint64_t)r.len << 24;
}
/* Writes RECORD_HEAD bytes. */
static inline void record_put(uint8_t *p, struct record r)
{
	uint8_t head[8];

	be64_put(head, record_word(r));
	memcpy(p, head, RECORD_HEAD);
}

#endif

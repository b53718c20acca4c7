/* begin.h - bodies of stream messages: BEGIN, CONNECTED, END, RESOLVE, RESOLVED (tor-spec section
 * 6). Pure codecs; END reasons and command numbers stand in relay_msg.h. */
#ifndef RAMSON_WIRE_BEGIN_H
#define RAMSON_WIRE_BEGIN_H

#include "dataplane/base/base.h"

enum begin_flag { BEGIN_IPV6_OK = 1, BEGIN_IPV4_NOT_OK = 2, BEGIN_IPV6_PREFERRED = 4 };

#define BEGIN_HOST 512 /* longer than any body: what is too long for a name is judged later */

struct begin {
	char host[BEGIN_HOST]; /* lower case, as it stood; may be empty */
	uint16_t port;
	uint32_t flags;	     /* enum begin_flag */
	struct addr literal; /* with the port, when host is an address; else family 0 */
};
/* Reads "host:port", NUL and optional flags (only if all four bytes are there). 0 or ERR_MALFORMED:
 * no NUL, no port or port 0 (interop E1). */
int begin_get(struct begin *b, const uint8_t *p, size_t len);
/* The length, or ERR_FULL. Flags of 0 are left out. */
int begin_put(const struct begin *b, uint8_t *to, size_t cap);

#define CONNECTED_MAX 25
/* Writes address and TTL; the length (8 or 25), 0 when addr is none (directory streams). */
size_t connected_put(const struct addr *addr, uint32_t ttl, uint8_t to[CONNECTED_MAX]);
/* An empty body gives family 0. 0 or ERR_MALFORMED. */
int connected_get(struct addr *addr, uint32_t *ttl, const uint8_t *p, size_t len);

#define END_MAX 21
/* Writes the reason; for EXITPOLICY with an address also that and the TTL. The length. */
size_t end_put(uint8_t reason, const struct addr *addr, uint32_t ttl, uint8_t to[END_MAX]);

/* RESOLVE: the name, lower-cased; it ends at a NUL or with the body, and may be empty. 0, or
 * ERR_MALFORMED when it does not fit. */
int resolve_get(char name[BEGIN_HOST], const uint8_t *p, size_t len);
/* The address that a host name spells, port 0; false when it spells none. Brackets around IPv6 are
 * allowed. */
bool host_literal(struct addr *a, const char *host);

enum resolved_type {
	RESOLVED_NAME = 0x00,
	RESOLVED_IPV4 = 0x04,
	RESOLVED_IPV6 = 0x06,
	RESOLVED_TRANSIENT = 0xf0,
	RESOLVED_ERROR = 0xf1,
};
#define RESOLVED_TTL 60 /* whatever the record says (interop N2) */
/* Appends one answer: an address, or text (a name or the sentence of an error). */
void resolved_put_addr(struct writer *w, const struct addr *a, uint32_t ttl);
void resolved_put_text(struct writer *w, uint8_t type, const char *text, uint32_t ttl);
/* Takes the next answer; its value stays in place. 1, 0 at the end, or ERR_MALFORMED. */
int resolved_next(struct reader *r, uint8_t *type, struct bytes *value, uint32_t *ttl);

#endif

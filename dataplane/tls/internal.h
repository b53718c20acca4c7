/* internal.h - what the files of tls/ share: the state of one connection, and the suites. */
#ifndef RAMSON_TLS_INTERNAL_H
#define RAMSON_TLS_INTERNAL_H

#include "dataplane/cipher/cipher.h"
#include "dataplane/tls/tls.h"
#include "dataplane/wire/record.h"

#define VERSION_12 0x0303
#define VERSION_13 0x0304

struct tls_suite {
	uint16_t id, version;
	enum aead_alg aead;
	enum hash_alg hash;
	uint8_t fixed_iv_len;	    /* part of the nonce that comes from the keys */
	uint8_t explicit_nonce_len; /* part that stands in the record (RFC 5288) */
};
/* NULL when it is not served. */
const struct tls_suite *tls_suite_find(uint16_t version, uint16_t id);

typedef uint64_t whole16 __attribute__((vector_size(16))); /* one store */

/* One direction. */
struct tls_half {
	/* The nonce at seq, and the head of the last record sealed. The cipher reads each whole,
	 * and must not wait for pieces on their way to the cache: the one has stood here for a
	 * while, the other is written at once. */
	_Alignas(CACHE_LINE) uint8_t nonce[16];
	whole16 head;
	uint64_t seq;
	uint8_t iv[AEAD_NONCE];
	uint8_t secret[HASH_MAX]; /* 1.3 only: the traffic secret, for KeyUpdate */
	struct aead_key key;
};

enum tls_pend {
	PEND_FATAL = 1,	 /* alert of conn->fatal */
	PEND_UPDATE = 2, /* KeyUpdate, before the next data */
	PEND_RENEW = 4,	 /* KeyUpdate of our own wish: data may go first */
	PEND_NO_RENEGOTIATION = 8,
	PEND_CLOSE = 16,
};

struct tls_conn {
	const struct tls_suite *suite; /* NULL: not started */
	uint8_t head_len, tail_len;
	uint8_t pending; /* enum tls_pend, or-ed */
	uint8_t fatal;	 /* description of the alert we owe */
	bool in_over;	 /* close_notify came, or something broke */
	bool out_over;	 /* close_notify or a fatal alert was made */
	/* A handshake message may be split over records; of bodies only the last byte is kept. */
	uint8_t hs_have;  /* bytes of its head so far; 0: none has begun */
	uint8_t hs_value; /* the last byte of the body so far */
	uint8_t hs_head[4];
	uint32_t hs_left; /* bytes of the body to come */
	/* How much a peer may ask without sending data. */
	uint8_t idle;
	uint8_t update_credit;
	uint8_t data_records;
	struct tls_half in, out;
};

#define IDLE_MAX	  32	     /* records without data in a row */
#define UPDATE_CREDIT	  32	     /* KeyUpdates in hand; one comes back ... */
#define UPDATE_CREDIT_FOR 64	     /* ... for so many data records */
#define GCM_RECORDS_MAX	  (1u << 24) /* under one key (RFC 8446 5.5) */
#define GCM_RECORDS_RENEW (GCM_RECORDS_MAX - (1u << 16))
#define TICKET_MAX	  (1u << 16)

enum {
	ALERT_WARNING = 1,
	ALERT_FATAL = 2,
	ALERT_CLOSE_NOTIFY = 0,
	ALERT_UNEXPECTED_MESSAGE = 10,
	ALERT_BAD_RECORD_MAC = 20,
	ALERT_RECORD_OVERFLOW = 22,
	ALERT_ILLEGAL_PARAMETER = 47,
	ALERT_DECODE_ERROR = 50,
	ALERT_PROTOCOL_VERSION = 70,
	ALERT_INTERNAL_ERROR = 80,
	ALERT_USER_CANCELED = 90,
	ALERT_NO_RENEGOTIATION = 100,
};

/* The next traffic secret, its key and iv; sequence numbers begin again (RFC 8446 7.2). */
void tls_half_update(struct tls *t, const struct tls_suite *suite, struct tls_half *h);
/* The nonce of the record that h is at, where it follows from the sequence number alone. */
static inline void tls_nonce(const struct tls_half *h, uint8_t nonce[AEAD_NONCE])
{
	memcpy(nonce, h->iv, 4);
	be64_put(nonce + 4, be64_get(h->iv + 4) ^ h->seq);
}
/* Another sequence number. */
static inline void tls_half_at(struct tls_half *h, uint64_t seq)
{
	h->seq = seq;
	tls_nonce(h, h->nonce);
}
/* seq | type | version | length: what a 1.2 record authenticates (RFC 5246 6.2.3.3). */
#define AAD_12 13
static inline void tls_aad_12(const struct tls_half *h, uint8_t type, size_t len,
			      uint8_t aad[AAD_12])
{
	be64_put(aad, h->seq);
	aad[8] = type;
	be16_put(aad + 9, VERSION_12);
	be16_put(aad + 11, len);
}

#endif

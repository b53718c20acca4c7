/* tls.h - the TLS record layer after control has handed a connection over: a column per conn index.
 * _in opens records that tcp has collected, _out seals what link has packed. Handshakes are
 * control's; from them come only keys and sequence numbers (RFC 8446, RFC 5246, RFC 5288, RFC
 * 7905). */
#ifndef RAMSON_TLS_H
#define RAMSON_TLS_H

#include "dataplane/base/base.h"

struct cipher;
struct tls_conn;
struct tls {
	struct cipher *cipher;
	struct counts *counts;
	uint32_t n;
	struct tls_conn *conns;
};
/* 0, or ERR_FULL when memory is short. cipher and counts are borrowed. */
int tls_init(struct tls *t, uint32_t n_conns, struct cipher *cipher, struct counts *counts);
void tls_fini(struct tls *t);

struct tls_keys {
	uint16_t version; /* 0x0303 or 0x0304 */
	uint16_t suite;
	struct tls_keys_dir {
		uint64_t seq;	    /* of the next record */
		uint8_t secret[48]; /* 1.3: traffic secret; 1.2: the write key, zero-padded */
		uint8_t iv[16];	    /* 1.2: implicit part of the nonce, 4 (GCM) or 12 bytes */
	} in, out;
};
/* The record layer of conn is ours from here on. 0; ERR_UNKNOWN for a version or suite that no row
 * of suites.c serves; ERR_NOT_NOW when it runs already. The caller wipes keys. */
int tls_start(struct tls *t, uint32_t conn, const struct tls_keys *keys);
/* Forgets conn and wipes its keys; also when it was never started. */
void tls_stop(struct tls *t, uint32_t conn);
bool tls_started(const struct tls *t, uint32_t conn);
/* Brings a conn's keys near, as far as a record of about len bytes needs them (up to 18 lines: ask
 * for few conns at a time); in: the receiving side. */
void tls_prefetch(const struct tls *t, uint32_t conn, bool in, size_t len);

/* Why a connection must end: each is also a counter. */
enum tls_why {
	TLS_FINE,
	TLS_OVER,	 /* not started, or ended before */
	TLS_BAD_LENGTH,	 /* the header does not fit what came */
	TLS_BAD_VERSION, /* of the record header */
	TLS_BAD_TAG,
	TLS_BAD_PLAINTEXT,    /* over 2^14 bytes, or nothing but padding */
	TLS_BAD_TYPE,	      /* neither data, alert nor handshake; or unprotected */
	TLS_BAD_HANDSHAKE,    /* a message that may not come after the handshake, or malformed */
	TLS_BAD_ALERT,	      /* malformed */
	TLS_PEER_ALERT,	      /* a fatal alert came */
	TLS_TOO_MANY_UPDATES, /* KeyUpdates without data to match */
	TLS_TOO_IDLE,	      /* records without data, one after the other */
	TLS_SEQ_END,	      /* the sequence number would wrap */
	N_TLS_WHYS
};
const char *tls_why_name(enum tls_why why);

enum tls_outcome {
	TLS_DATA,  /* data, len: application bytes within the record */
	TLS_NONE,  /* handled here (KeyUpdate, ticket, empty record); look at tls_pending */
	TLS_CLOSE, /* close_notify: nothing comes after it */
	TLS_ERROR, /* why: end the conn after sending what tls_pending announces */
};
struct tls_got {
	enum tls_outcome what;
	enum tls_why why;
	uint8_t alert; /* TLS_PEER_ALERT: its description */
	uint8_t *data;
	size_t len;
};
/* Opens one whole record (header included, len bytes) in place. Records must come in the order of
 * the stream, from the offset of the hand-over on. After TLS_CLOSE or TLS_ERROR every further call
 * gives TLS_ERROR. Every failure is counted. */
struct tls_got tls_in(struct tls *t, uint32_t conn, uint8_t *record, size_t len);

/* ---- out: the caller reserves tls_head_len() + payload + tls_tail_len() bytes, writes the payload
 * behind the head and seals it there. Sealed and made records go into the stream in the order of
 * the calls. ---- */
#define TLS_HEAD_MAX	13
#define TLS_TAIL_MAX	17
#define TLS_PAYLOAD_MAX 16384
#define TLS_RECORD_MAX	(TLS_HEAD_MAX + TLS_PAYLOAD_MAX + TLS_TAIL_MAX)
unsigned tls_head_len(const struct tls *t, uint32_t conn);
unsigned tls_tail_len(const struct tls *t, uint32_t conn);
/* Seals payload_len (1..16384) bytes as application data. The length of the whole record, or 0 when
 * this conn can send no data: not started, close_notify made, an alert or KeyUpdate is overdue
 * (send what tls_pending announces first), or sequence numbers are used up. */
size_t tls_seal(struct tls *t, uint32_t conn, uint8_t *record, size_t payload_len);

/* Whether tls_seal would take data now: ask before cells are packed that cannot go back. */
bool tls_ready(const struct tls *t, uint32_t conn);

/* Small records of the layer itself that wait to be sent: KeyUpdate, alerts, close_notify. */
#define TLS_SMALL_MAX 64
bool tls_pending(const struct tls *t, uint32_t conn);
/* Makes the next one in buf (TLS_SMALL_MAX bytes); its length, 0 when there is none. */
size_t tls_make(struct tls *t, uint32_t conn, uint8_t *buf);
/* Asks for a close_notify, after everything sealed before it is made. */
void tls_close(struct tls *t, uint32_t conn);
/* True when the key in use has sealed so much that no new circuit should go over this conn: a 1.2
 * link with AES-GCM, which cannot change its key (RFC 8446 5.5). */
bool tls_worn(const struct tls *t, uint32_t conn);

#endif

/* out.c - records for tcp: data that link has packed is sealed where it lies; KeyUpdate, alerts and
 * close_notify are made here. */
#include "dataplane/tls/internal.h"

#include <endian.h>

unsigned tls_head_len(const struct tls *t, uint32_t conn)
{
	return t->conns[conn].head_len;
}

unsigned tls_tail_len(const struct tls *t, uint32_t conn)
{
	return t->conns[conn].tail_len;
}

static bool is_gcm(const struct tls_conn *c)
{
	return c->suite->aead != AEAD_CHACHA20_POLY1305;
}

static size_t seal_13(struct tls *t, struct tls_conn *c, uint8_t type, uint8_t *record, size_t len)
{
	struct tls_half *h = &c->out;
	size_t body_len = len + 1 + AEAD_TAG;
	uint64_t head = htobe64(record_word((struct record) {RECORD_DATA, VERSION_12, body_len}));

	if (h->head[0] != head)
		h->head = (whole16) {head};
	memcpy(record, &head, RECORD_HEAD);
	record[RECORD_HEAD + len] = type;
	aead_seal(t->cipher, &h->key, h->nonce, &h->head, RECORD_HEAD, record + RECORD_HEAD,
		  len + 1);
	return RECORD_HEAD + body_len;
}

static size_t seal_12(struct tls *t, struct tls_conn *c, uint8_t type, uint8_t *record, size_t len)
{
	const unsigned explicit_len = c->suite->explicit_nonce_len;
	const uint8_t *nonce = c->out.nonce;
	size_t body_len = explicit_len + len + AEAD_TAG;
	uint8_t aad[AAD_12];

	record_put(record, (struct record) {type, VERSION_12, body_len});
	/* An iv of 4 bytes is padded with zeroes, so this gives salt and sequence number. The one
	 * record that OpenSSL sealed before us took its explicit part at random. */
	memcpy(record + RECORD_HEAD, nonce + AEAD_NONCE - explicit_len, explicit_len);
	tls_aad_12(&c->out, type, len, aad);
	aead_seal(t->cipher, &c->out.key, nonce, aad, sizeof(aad), record + c->head_len, len);
	return RECORD_HEAD + body_len;
}

/* 0 when the sequence number is used up. */
static size_t seal(struct tls *t, struct tls_conn *c, uint8_t type, uint8_t *record, size_t len)
{
	size_t n;

	if (UNLIKELY(c->out.seq == UINT64_MAX)) {
		count(t->counts, tls_seq_end);
		c->out_over = true;
		c->pending = 0;
		return 0;
	}
	n = c->suite->version == VERSION_13 ? seal_13(t, c, type, record, len)
					    : seal_12(t, c, type, record, len);
	tls_half_at(&c->out, c->out.seq + 1);
	count(t->counts, tls_records_out);
	return n;
}

/* A key that has sealed enough must be changed, where it can be. */
static bool key_at(const struct tls_conn *c, uint64_t n_records)
{
	return UNLIKELY(c->out.seq >= n_records) && is_gcm(c) && c->suite->version == VERSION_13;
}

static bool ready(const struct tls_conn *c)
{
	return c->suite && !c->out_over && !(c->pending & (PEND_FATAL | PEND_UPDATE)) &&
	       !key_at(c, GCM_RECORDS_MAX);
}

bool tls_ready(const struct tls *t, uint32_t conn)
{
	return conn < t->n && ready(&t->conns[conn]);
}

size_t tls_seal(struct tls *t, uint32_t conn, uint8_t *record, size_t payload_len)
{
	struct tls_conn *c = &t->conns[conn];

	if (c->suite && !c->out_over && key_at(c, GCM_RECORDS_RENEW))
		c->pending |= PEND_RENEW;
	if (UNLIKELY(!ready(c) || !payload_len || payload_len > TLS_PAYLOAD_MAX))
		return 0;
	return seal(t, c, RECORD_DATA, record, payload_len);
}

bool tls_pending(const struct tls *t, uint32_t conn)
{
	return conn < t->n && t->conns[conn].pending;
}

static size_t make(struct tls *t, struct tls_conn *c, uint8_t type, const uint8_t *text, size_t len,
		   uint8_t *buf)
{
	memcpy(buf + c->head_len, text, len);
	return seal(t, c, type, buf, len);
}

static size_t make_alert(struct tls *t, struct tls_conn *c, uint8_t level, uint8_t description,
			 uint8_t *buf)
{
	const uint8_t text[2] = {level, description};

	count(t->counts, tls_alerts_out);
	return make(t, c, RECORD_ALERT, text, sizeof(text), buf);
}

static size_t make_update(struct tls *t, struct tls_conn *c, uint8_t *buf)
{
	/* update_not_requested: the peer minds its own keys (RFC 8446 4.6.3). */
	static const uint8_t text[] = {24, 0, 0, 1, 0};
	size_t len = make(t, c, RECORD_HANDSHAKE, text, sizeof(text), buf);

	if (len)
		tls_half_update(t, c->suite, &c->out);
	count(t->counts, tls_updates_out);
	return len;
}

size_t tls_make(struct tls *t, uint32_t conn, uint8_t *buf)
{
	struct tls_conn *c = &t->conns[conn];
	const uint8_t pending = c->pending;

	if (!c->suite || c->out_over)
		return 0;
	if (pending & PEND_FATAL) { /* the last word */
		c->pending = 0;
		size_t len = make_alert(t, c, ALERT_FATAL, c->fatal, buf);

		c->out_over = true;
		return len;
	}
	if (pending & (PEND_UPDATE | PEND_RENEW)) { /* one does for both */
		c->pending &= ~(PEND_UPDATE | PEND_RENEW);
		return make_update(t, c, buf);
	}
	if (pending & PEND_NO_RENEGOTIATION) {
		c->pending &= ~PEND_NO_RENEGOTIATION;
		return make_alert(t, c, ALERT_WARNING, ALERT_NO_RENEGOTIATION, buf);
	}
	if (pending & PEND_CLOSE) {
		c->pending = 0;
		size_t len = make_alert(t, c, ALERT_WARNING, ALERT_CLOSE_NOTIFY, buf);

		c->out_over = true;
		return len;
	}
	return 0;
}

void tls_close(struct tls *t, uint32_t conn)
{
	if (tls_started(t, conn) && !t->conns[conn].out_over)
		t->conns[conn].pending |= PEND_CLOSE;
}

bool tls_worn(const struct tls *t, uint32_t conn)
{
	const struct tls_conn *c = &t->conns[conn];

	return c->suite && c->suite->version == VERSION_12 && is_gcm(c) &&
	       MAX(c->in.seq, c->out.seq) >= GCM_RECORDS_RENEW;
}

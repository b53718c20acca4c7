/* in.c - records from tcp: opened in place; data goes on to link, the rest ends here. */
#include "dataplane/tls/internal.h"

struct inner {
	uint8_t type;
	uint8_t *data;
	size_t len;
};

/* What each failure is called, the alert that answers it (0: none) and its counter. */
static const struct why_row {
	const char *name;
	uint8_t alert;
	enum count_id count;
} whys[N_TLS_WHYS] = {
	[TLS_FINE] = {"fine", 0, N_COUNTS},
	[TLS_OVER] = {"over", 0, COUNT_tls_over},
	[TLS_BAD_LENGTH] = {"bad length", ALERT_RECORD_OVERFLOW, COUNT_tls_bad_length},
	[TLS_BAD_VERSION] = {"bad version", ALERT_PROTOCOL_VERSION, COUNT_tls_bad_version},
	[TLS_BAD_TAG] = {"bad tag", ALERT_BAD_RECORD_MAC, COUNT_tls_bad_tag},
	[TLS_BAD_PLAINTEXT] = {"bad plaintext", ALERT_UNEXPECTED_MESSAGE, COUNT_tls_bad_plaintext},
	[TLS_BAD_TYPE] = {"bad type", ALERT_UNEXPECTED_MESSAGE, COUNT_tls_bad_type},
	[TLS_BAD_HANDSHAKE] = {"bad handshake", ALERT_UNEXPECTED_MESSAGE, COUNT_tls_bad_handshake},
	[TLS_BAD_ALERT] = {"bad alert", ALERT_DECODE_ERROR, COUNT_tls_bad_alert},
	[TLS_PEER_ALERT] = {"alert from peer", 0, COUNT_tls_peer_alert},
	[TLS_TOO_MANY_UPDATES] = {"too many key updates", ALERT_UNEXPECTED_MESSAGE,
				  COUNT_tls_too_many_updates},
	[TLS_TOO_IDLE] = {"too many records without data", ALERT_UNEXPECTED_MESSAGE,
			  COUNT_tls_too_idle},
	[TLS_SEQ_END] = {"sequence number used up", ALERT_INTERNAL_ERROR, COUNT_tls_seq_end},
};

const char *tls_why_name(enum tls_why why)
{
	return (size_t)why < N_TLS_WHYS ? whys[why].name : "unknown";
}

static struct tls_got failed(struct tls *t, struct tls_conn *c, enum tls_why why)
{
	t->counts->v[whys[why].count]++;
	if (c && whys[why].alert && !c->out_over) {
		c->pending = PEND_FATAL;
		c->fatal = whys[why].alert;
	}
	if (c)
		c->in_over = true;
	return (struct tls_got) {.what = TLS_ERROR, .why = why};
}

/* ---- opening ---- */

static enum tls_why open_13(struct tls *t, struct tls_conn *c, uint8_t *record,
			    const struct record *head, struct inner *inner)
{
	uint8_t *data = record + RECORD_HEAD;
	size_t len = head->len - AEAD_TAG;

	if (head->type != RECORD_DATA)
		return TLS_BAD_TYPE;
	if (aead_open(t->cipher, &c->in.key, c->in.nonce, record, RECORD_HEAD, data, len))
		return TLS_BAD_TAG;
	if (len > TLS_PAYLOAD_MAX + 1)
		return TLS_BAD_LENGTH;
	while (len && !data[len - 1])
		len--;
	if (!len)
		return TLS_BAD_PLAINTEXT;
	*inner = (struct inner) {data[len - 1], data, len - 1};
	return TLS_FINE;
}

static enum tls_why open_12(struct tls *t, struct tls_conn *c, uint8_t *record,
			    const struct record *head, struct inner *inner)
{
	const unsigned explicit_len = c->suite->explicit_nonce_len;
	uint8_t nonce[AEAD_NONCE], aad[AAD_12], *data = record + c->head_len;
	size_t len = head->len - explicit_len - AEAD_TAG;

	if (explicit_len) {
		memcpy(nonce, c->in.iv, c->suite->fixed_iv_len);
		memcpy(nonce + c->suite->fixed_iv_len, record + RECORD_HEAD, explicit_len);
	} else {
		tls_nonce(&c->in, nonce);
	}
	tls_aad_12(&c->in, head->type, len, aad);
	if (aead_open(t->cipher, &c->in.key, nonce, aad, sizeof(aad), data, len))
		return TLS_BAD_TAG;
	if (len > TLS_PAYLOAD_MAX)
		return TLS_BAD_LENGTH;
	*inner = (struct inner) {head->type, data, len};
	return TLS_FINE;
}

static enum tls_why open_record(struct tls *t, struct tls_conn *c, uint8_t *record, size_t len,
				struct inner *inner)
{
	const bool is_13 = c->suite->version == VERSION_13;
	struct record head;
	enum tls_why why;

	if (record_parse(&head, record, len))
		return len < RECORD_HEAD ? TLS_BAD_LENGTH : TLS_BAD_TYPE;
	if (head.len != len - RECORD_HEAD || (is_13 && head.len > TLS_PAYLOAD_MAX + 256))
		return TLS_BAD_LENGTH;
	if (head.version != VERSION_12) /* 1.3 records say so too */
		return TLS_BAD_VERSION;
	if (head.len < c->head_len - RECORD_HEAD + AEAD_TAG)
		return TLS_BAD_TAG;
	if (c->in.seq == UINT64_MAX)
		return TLS_SEQ_END;
	why = is_13 ? open_13(t, c, record, &head, inner) : open_12(t, c, record, &head, inner);
	if (why == TLS_FINE)
		tls_half_at(&c->in, c->in.seq + 1);
	return why;
}

/* ---- handshake messages after the handshake ---- */

enum { HELLO_REQUEST = 0, CLIENT_HELLO = 1, NEW_SESSION_TICKET = 4, KEY_UPDATE = 24 };

static enum tls_why end_update(struct tls *t, struct tls_conn *c, size_t left)
{
	/* Nothing may stand behind it under the old key (RFC 8446 5.1). */
	if (left || c->hs_value > 1)
		return TLS_BAD_HANDSHAKE;
	if (!c->update_credit)
		return TLS_TOO_MANY_UPDATES;
	c->update_credit--;
	count(t->counts, tls_updates_in);
	tls_half_update(t, c->suite, &c->in);
	if (c->hs_value && !c->out_over)
		c->pending |= PEND_UPDATE;
	return TLS_FINE;
}

static enum tls_why end_ticket(struct tls *t, struct tls_conn *c, size_t left)
{
	count(t->counts, tls_tickets);
	return TLS_FINE;
}

static enum tls_why end_hello(struct tls *t, struct tls_conn *c, size_t left)
{
	count(t->counts, tls_renegotiations);
	if (!c->out_over)
		c->pending |= PEND_NO_RENEGOTIATION;
	return TLS_FINE;
}

static const struct message_row {
	uint16_t version;
	uint8_t type;
	uint32_t min_len, max_len;
	enum tls_why (*end)(struct tls *t, struct tls_conn *c, size_t left);
} messages[] = {
	{VERSION_13, NEW_SESSION_TICKET, 0, TICKET_MAX, end_ticket},
	{VERSION_13, KEY_UPDATE, 1, 1, end_update},
	{VERSION_12, HELLO_REQUEST, 0, 0, end_hello},
	{VERSION_12, CLIENT_HELLO, 0, TLS_PAYLOAD_MAX, end_hello},
};

static const struct message_row *message_of(const struct tls_conn *c)
{
	uint32_t len = be32_get(c->hs_head) & 0xffffff;

	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		const struct message_row *m = &messages[i];

		if (m->version == c->suite->version && m->type == c->hs_head[0])
			return len < m->min_len || len > m->max_len ? NULL : m;
	}
	return NULL;
}

static enum tls_why in_handshake(struct tls *t, struct tls_conn *c, struct inner *in)
{
	const struct message_row *m;
	struct reader r = reader_of(in->data, in->len);

	if (!in->len)
		return TLS_BAD_HANDSHAKE;
	while (rd_left(&r)) {
		enum tls_why why;
		size_t take;

		while (c->hs_have < 4 && rd_left(&r)) {
			c->hs_head[c->hs_have++] = rd_u8(&r);
			c->hs_left = c->hs_have == 4 ? be32_get(c->hs_head) & 0xffffff : 0;
		}
		if (c->hs_have < 4)
			break;
		m = message_of(c);
		if (!m)
			return TLS_BAD_HANDSHAKE;
		take = MIN(c->hs_left, rd_left(&r));
		if (take)
			c->hs_value = rd_bytes(&r, take)[take - 1];
		c->hs_left -= take;
		if (c->hs_left)
			break;
		c->hs_have = 0;
		why = m->end(t, c, rd_left(&r));
		if (why != TLS_FINE)
			return why;
	}
	return TLS_FINE;
}

/* ---- by type ---- */

static struct tls_got nothing(struct tls *t, struct tls_conn *c)
{
	if (++c->idle > IDLE_MAX)
		return failed(t, c, TLS_TOO_IDLE);
	return (struct tls_got) {.what = TLS_NONE};
}

static struct tls_got got_data(struct tls *t, struct tls_conn *c, struct inner *in)
{
	if (c->hs_have && c->suite->version == VERSION_13) /* between two parts of a message */
		return failed(t, c, TLS_BAD_HANDSHAKE);
	if (!in->len)
		return nothing(t, c);
	c->idle = 0;
	if (UNLIKELY(++c->data_records == UPDATE_CREDIT_FOR)) {
		c->data_records = 0;
		c->update_credit += c->update_credit < UPDATE_CREDIT;
	}
	return (struct tls_got) {.what = TLS_DATA, .data = in->data, .len = in->len};
}

static struct tls_got got_handshake(struct tls *t, struct tls_conn *c, struct inner *in)
{
	enum tls_why why = in_handshake(t, c, in);

	return why == TLS_FINE ? nothing(t, c) : failed(t, c, why);
}

static struct tls_got got_alert(struct tls *t, struct tls_conn *c, struct inner *in)
{
	struct tls_got got;
	bool warning;

	if (in->len != 2 || (in->data[0] != ALERT_WARNING && in->data[0] != ALERT_FATAL))
		return failed(t, c, TLS_BAD_ALERT);
	if (in->data[1] == ALERT_CLOSE_NOTIFY) {
		c->in_over = true;
		return (struct tls_got) {.what = TLS_CLOSE};
	}
	/* 1.3 has two alerts that are no errors, whatever their level says (RFC 8446 6). */
	warning = c->suite->version == VERSION_13 ? in->data[1] == ALERT_USER_CANCELED
						  : in->data[0] == ALERT_WARNING;
	if (warning)
		return nothing(t, c);
	got = failed(t, c, TLS_PEER_ALERT);
	got.alert = in->data[1];
	/* The peer has gone: whatever we owed it is owed no more (RFC 8446 6.2). */
	c->pending = 0;
	c->out_over = true;
	return got;
}

static struct tls_got got_other(struct tls *t, struct tls_conn *c, struct inner *in)
{
	return failed(t, c, TLS_BAD_TYPE);
}

struct tls_got tls_in(struct tls *t, uint32_t conn, uint8_t *record, size_t len)
{
	struct tls_conn *c = conn < t->n ? &t->conns[conn] : NULL;
	struct inner inner;
	enum tls_why why;

	if (UNLIKELY(!c || !c->suite || c->in_over))
		return failed(t, NULL, TLS_OVER);
	why = open_record(t, c, record, len, &inner);
	if (UNLIKELY(why != TLS_FINE))
		return failed(t, c, why);
	count(t->counts, tls_records_in);
	if (LIKELY(inner.type == RECORD_DATA))
		return got_data(t, c, &inner);
	if (inner.type == RECORD_HANDSHAKE)
		return got_handshake(t, c, &inner);
	return inner.type == RECORD_ALERT ? got_alert(t, c, &inner) : got_other(t, c, &inner);
}

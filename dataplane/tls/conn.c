/* conn.c - the column: a connection's keys come with the hand-over, change with KeyUpdate and are
 * wiped at its end. */
#include "dataplane/tls/internal.h"

int tls_init(struct tls *t, uint32_t n_conns, struct cipher *cipher, struct counts *counts)
{
	*t = (struct tls) {.cipher = cipher, .counts = counts, .n = n_conns};
	t->conns = column_new(n_conns, sizeof(*t->conns));
	return t->conns ? 0 : ERR_FULL;
}

void tls_fini(struct tls *t)
{
	for (uint32_t i = 0; t->conns && i < t->n; i++)
		tls_stop(t, i);
	column_free(t->conns, t->n, sizeof(*t->conns));
	memset(t, 0, sizeof(*t));
}

/* Key and iv from the traffic secret (RFC 8446 7.3). */
static void half_derive(struct tls *t, const struct tls_suite *suite, struct tls_half *h)
{
	uint8_t key[32];
	size_t key_len = aead_key_len(suite->aead);

	hkdf_expand_label(t->cipher, suite->hash, h->secret, "key", key, key_len);
	hkdf_expand_label(t->cipher, suite->hash, h->secret, "iv", h->iv, AEAD_NONCE);
	aead_key_init(t->cipher, &h->key, suite->aead, key);
	wipe(key, sizeof(key));
}

static void half_start(struct tls *t, const struct tls_suite *suite, struct tls_half *h,
		       const struct tls_keys_dir *keys)
{
	if (suite->version == VERSION_13) {
		memcpy(h->secret, keys->secret, hash_len(suite->hash));
		half_derive(t, suite, h);
	} else {
		memcpy(h->iv, keys->iv, suite->fixed_iv_len);
		aead_key_init(t->cipher, &h->key, suite->aead, keys->secret);
	}
	tls_half_at(h, keys->seq);
}

void tls_half_update(struct tls *t, const struct tls_suite *suite, struct tls_half *h)
{
	uint8_t next[HASH_MAX];

	hkdf_expand_label(t->cipher, suite->hash, h->secret, "traffic upd", next,
			  hash_len(suite->hash));
	memcpy(h->secret, next, hash_len(suite->hash));
	wipe(next, sizeof(next));
	half_derive(t, suite, h);
	tls_half_at(h, 0);
}

int tls_start(struct tls *t, uint32_t conn, const struct tls_keys *keys)
{
	const struct tls_suite *suite = tls_suite_find(keys->version, keys->suite);
	struct tls_conn *c;

	if (!suite || conn >= t->n)
		return ERR_UNKNOWN;
	c = &t->conns[conn];
	if (c->suite)
		return ERR_NOT_NOW;
	c->suite = suite;
	c->head_len = RECORD_HEAD + suite->explicit_nonce_len;
	c->tail_len = AEAD_TAG + (suite->version == VERSION_13);
	c->update_credit = UPDATE_CREDIT;
	half_start(t, suite, &c->in, &keys->in);
	half_start(t, suite, &c->out, &keys->out);
	return 0;
}

void tls_stop(struct tls *t, uint32_t conn)
{
	/* Untouched rows are left so: their pages need not exist. */
	if (conn < t->n && t->conns[conn].suite)
		wipe(&t->conns[conn], sizeof(t->conns[conn]));
}

bool tls_started(const struct tls *t, uint32_t conn)
{
	return conn < t->n && t->conns[conn].suite;
}

void tls_prefetch(const struct tls *t, uint32_t conn, bool in, size_t len)
{
	const struct tls_conn *c = &t->conns[conn];
	const struct tls_half *half = in ? &c->in : &c->out;

	__builtin_prefetch(c);
	__builtin_prefetch(half);
	aead_fetch(&half->key, len);
}

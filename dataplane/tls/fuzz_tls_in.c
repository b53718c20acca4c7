/* fuzz_tls_in.c - records of any bytes, raw or well sealed, into tls_in. Input: a byte that picks
 * the suite, then items of: kind (0 raw; else sealed with that inner type), 16-bit length,
 * bytes. */
#include <stdlib.h>

#include "dataplane/tls/internal.h"

static struct cipher cipher;
static struct counts counts;
static struct tls tls;

enum { US, PEER };

static const uint16_t suites[][2] = {{0x0304, 0x1301}, {0x0304, 0x1302}, {0x0304, 0x1303},
				     {0x0303, 0xc02f}, {0x0303, 0xc030}, {0x0303, 0xcca8}};

static void begin(unsigned which)
{
	struct tls_keys keys = {.version = suites[which][0], .suite = suites[which][1]};

	if (!cipher.mgr && (cipher_init(&cipher, 0) || tls_init(&tls, 2, &cipher, &counts)))
		abort();
	memset(&counts, 0, sizeof(counts));
	tls_stop(&tls, US);
	tls_stop(&tls, PEER);
	/* Both directions have the same keys, so each conn reads what the other writes. */
	if (tls_start(&tls, US, &keys) || tls_start(&tls, PEER, &keys))
		abort();
}

/* What PEER would write, whatever its type and length. */
static size_t seal_as_peer(uint8_t type, uint8_t *record, size_t len)
{
	struct tls_conn *c = &tls.conns[PEER];
	uint8_t nonce[AEAD_NONCE], aad[AAD_12], *data = record + c->head_len;
	const bool is_13 = c->suite->version == VERSION_13;
	size_t sealed = len + is_13;

	if (is_13)
		data[len] = type;
	record_put(record, (struct record) {is_13 ? RECORD_DATA : type, VERSION_12,
					    c->head_len - RECORD_HEAD + sealed + AEAD_TAG});
	tls_nonce(&c->out, nonce);
	memcpy(record + RECORD_HEAD, nonce + 4, c->suite->explicit_nonce_len);
	tls_aad_12(&c->out, type, len, aad);
	aead_seal(&cipher, &c->out.key, nonce, is_13 ? record : aad, is_13 ? RECORD_HEAD : AAD_12,
		  data, sealed);
	tls_half_at(&c->out, c->out.seq + 1);
	return c->head_len + sealed + AEAD_TAG;
}

static bool feed(uint8_t kind, struct reader text)
{
	size_t len = rd_left(&text), total = len;
	uint8_t *record = malloc(len + TLS_HEAD_MAX + TLS_TAIL_MAX), small[TLS_SMALL_MAX];
	uint64_t updates = counts.v[COUNT_tls_updates_in];
	struct tls_got got;

	memcpy(record + (kind ? tls.conns[PEER].head_len : 0), text.p, len);
	if (kind)
		total = seal_as_peer(kind, record, len);
	got = tls_in(&tls, US, record, total);
	if (got.what == TLS_DATA &&
	    (!got.len || got.data < record || got.data + got.len > record + total))
		abort();
	if ((got.what == TLS_ERROR) != (got.why != TLS_FINE))
		abort();
	if (counts.v[COUNT_tls_updates_in] > updates + 1) /* one record, one key at most */
		abort();
	if (counts.v[COUNT_tls_updates_in] > updates)
		tls_half_update(&tls, tls.conns[PEER].suite, &tls.conns[PEER].out);
	for (unsigned i = 0; tls_pending(&tls, US); i++)
		if (i > 4 || (tls_make(&tls, US, small) == 0 && tls_pending(&tls, US)))
			abort();
	free(record);
	return got.what != TLS_ERROR && got.what != TLS_CLOSE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);

	begin(rd_u8(&r) % ARRAY_LEN(suites));
	for (unsigned i = 0; i < 100 && rd_left(&r) >= 3; i++) {
		uint8_t kind = rd_u8(&r);
		size_t n = rd_u16(&r);

		if (!feed(kind, rd_sub(&r, MIN(n, rd_left(&r)))))
			break;
	}
	return 0;
}

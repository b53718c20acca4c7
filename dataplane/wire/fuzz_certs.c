/* fuzz_certs.c - every parser of certs.h over the same bytes; what parses must lie inside them, and
 * what was written from it must parse the same. */
#include <stdlib.h>

#include "dataplane/wire/certs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void inside(const uint8_t *data, size_t len, struct bytes b)
{
	if (b.p && (b.p < data || b.len > len || b.p + b.len > data + len))
		abort();
}

static void ed(const uint8_t *data, size_t len)
{
	uint8_t again[ED_CERT_MAX];
	struct writer w = writer_of(again, sizeof(again));
	struct ed_cert c, d;

	if (ed_cert_parse(&c, data, len) < 0)
		return;
	inside(data, len, c.body);
	inside(data, len, (struct bytes) {c.sig, ED_SIG});
	ed_cert_write(&w, c.type, c.key_type, c.key, (int64_t)c.expires_h * 3600,
		      c.has_signer ? c.signer : NULL);
	wr_bytes(&w, c.sig, ED_SIG);
	if (w.bad || ed_cert_parse(&d, again, wr_len(&w)) < 0 || d.expires_h != c.expires_h ||
	    memcmp(d.key, c.key, 32) || d.has_signer != c.has_signer)
		abort();
}

static void netinfo(const uint8_t *data, size_t len)
{
	uint8_t again[2048] = {0};
	struct writer w = writer_of(again, sizeof(again));
	struct netinfo n, m;

	if (netinfo_parse(&n, data, len) < 0)
		return;
	netinfo_write(&w, &n);
	if (w.bad || n.n_mine > NETINFO_ADDRS || netinfo_parse(&m, again, wr_len(&w)) < 0 ||
	    m.n_mine != n.n_mine || !addr_same(&m.other, &n.other))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct certs_body certs;
	struct rsa_ed_cross cross;
	struct bytes body;
	uint16_t method;

	ed(data, len);
	netinfo(data, len);
	if (certs_parse(&certs, data, len) == 0)
		for (unsigned i = 0; i < N_CERTS_TYPES; i++)
			inside(data, len, certs.cert[i]);
	if (rsa_ed_cross_parse(&cross, data, len) == 0)
		inside(data, len, cross.sig);
	if (authenticate_parse(data, len, &method, &body) == 0)
		inside(data, len, body);
	versions_pick(data, len, 0x30);
	auth_challenge_has(data, len, AUTH_METHOD_ED25519);
	return 0;
}

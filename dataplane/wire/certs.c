/* certs.c - reads and writes Tor's certificates and the bodies of the link handshake's cells. Pure:
 * nothing is kept, nothing is verified. */
#include "dataplane/wire/certs.h"

enum { EXT_AFFECTS_VALIDATION = 1 };

static int ed_cert_ext(struct ed_cert *c, struct reader *r)
{
	size_t len = rd_u16(r);
	uint8_t type = rd_u8(r), flags = rd_u8(r);
	struct reader body = rd_sub(r, len);

	if (type != ED_CERT_EXT_SIGNER)
		return r->bad || (flags & EXT_AFFECTS_VALIDATION) ? ERR_MALFORMED : 0;
	if (c->has_signer || len != sizeof(c->signer))
		return ERR_MALFORMED;
	rd_copy(&body, c->signer, sizeof(c->signer));
	c->has_signer = true;
	return body.bad ? ERR_MALFORMED : 0;
}

int ed_cert_parse(struct ed_cert *out, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	struct ed_cert c = {0};
	unsigned n_ext;

	if (rd_u8(&r) != 1)
		return ERR_MALFORMED;
	c.type = rd_u8(&r);
	c.expires_h = rd_u32(&r);
	c.key_type = rd_u8(&r);
	rd_copy(&r, c.key, sizeof(c.key));
	for (n_ext = rd_u8(&r); n_ext && !r.bad; n_ext--)
		if (ed_cert_ext(&c, &r) < 0)
			return ERR_MALFORMED;
	c.body = (struct bytes) {p, (size_t)(r.p - p)};
	c.sig = rd_bytes(&r, ED_SIG);
	if (r.bad || rd_left(&r))
		return ERR_MALFORMED;
	*out = c;
	return 0;
}

void ed_cert_write(struct writer *w, uint8_t type, uint8_t key_type, const uint8_t key[32],
		   int64_t expires_s, const uint8_t *signer)
{
	wr_u8(w, 1);
	wr_u8(w, type);
	wr_u32(w, (uint32_t)((expires_s + 3599) / 3600));
	wr_u8(w, key_type);
	wr_bytes(w, key, 32);
	wr_u8(w, signer != NULL);
	if (!signer)
		return;
	wr_u16(w, 32);
	wr_u8(w, ED_CERT_EXT_SIGNER);
	wr_u8(w, 0);
	wr_bytes(w, signer, 32);
}

int rsa_ed_cross_parse(struct rsa_ed_cross *out, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	struct rsa_ed_cross c;

	rd_copy(&r, c.ed_id, sizeof(c.ed_id));
	c.expires_h = rd_u32(&r);
	c.signed_part = (struct bytes) {p, sizeof(c.ed_id) + 4};
	c.sig.len = rd_u8(&r);
	c.sig.p = rd_bytes(&r, c.sig.len);
	if (r.bad || rd_left(&r))
		return ERR_MALFORMED;
	*out = c;
	return 0;
}

int certs_parse(struct certs_body *out, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	struct certs_body c = {0};
	unsigned n = rd_u8(&r);

	for (; n && !r.bad; n--) {
		uint8_t type = rd_u8(&r);
		size_t cert_len = rd_u16(&r);
		const uint8_t *cert = rd_bytes(&r, cert_len);

		if (!type || type >= N_CERTS_TYPES || !cert)
			continue;
		if (c.cert[type].p)
			c.dup |= 1u << type;
		else
			c.cert[type] = (struct bytes) {cert, cert_len};
	}
	if (r.bad)
		return ERR_MALFORMED;
	*out = c;
	return 0;
}

void certs_write(struct writer *w, const struct bytes cert[N_CERTS_TYPES], const uint8_t *types,
		 unsigned n_types)
{
	wr_u8(w, (uint8_t)n_types);
	for (unsigned i = 0; i < n_types; i++) {
		const struct bytes *c = &cert[types[i]];

		wr_u8(w, types[i]);
		wr_u16(w, (uint16_t)c->len);
		wr_bytes(w, c->p, c->len);
	}
}

int versions_pick(const uint8_t *p, size_t len, uint32_t mask)
{
	int best = 0;

	if (len % 2)
		return ERR_MALFORMED;
	for (size_t i = 0; i < len; i += 2) {
		int v = be16_get(p + i);

		if (v < 32 && (mask >> v & 1) && v > best)
			best = v;
	}
	return best;
}

int auth_challenge_has(const uint8_t *p, size_t len, uint16_t method)
{
	struct reader r = reader_of(p, len);
	int found = 0;

	rd_bytes(&r, AUTH_CHALLENGE_LEN);
	for (unsigned n = rd_u16(&r); n && !r.bad; n--)
		found |= rd_u16(&r) == method;
	return r.bad ? ERR_MALFORMED : found;
}

void auth_challenge_write(struct writer *w, const uint8_t challenge[AUTH_CHALLENGE_LEN])
{
	wr_bytes(w, challenge, AUTH_CHALLENGE_LEN);
	wr_u16(w, 1);
	wr_u16(w, AUTH_METHOD_ED25519);
}

void auth_fixed_write(struct writer *w, const struct auth_fields *f)
{
	wr_bytes(w, AUTH_PREFIX, 8);
	wr_bytes(w, f->cid, 32);
	wr_bytes(w, f->sid, 32);
	wr_bytes(w, f->cid_ed, 32);
	wr_bytes(w, f->sid_ed, 32);
	wr_bytes(w, f->slog, 32);
	wr_bytes(w, f->clog, 32);
	wr_bytes(w, f->scert, 32);
	wr_bytes(w, f->tls_secrets, 32);
}

int authenticate_parse(const uint8_t *p, size_t len, uint16_t *method, struct bytes *body)
{
	struct reader r = reader_of(p, len);
	uint16_t type = rd_u16(&r);
	size_t body_len = rd_u16(&r);
	const uint8_t *b = rd_bytes(&r, body_len);

	if (r.bad)
		return ERR_MALFORMED;
	*method = type;
	*body = (struct bytes) {b, body_len};
	return 0;
}

/* 1 when *a is an address, 0 when it is of a type that we do not know, or ERR_MALFORMED. */
static int netinfo_addr_parse(struct reader *r, struct addr *a)
{
	uint8_t type = rd_u8(r);
	size_t len = rd_u8(r), want = type == 4 ? 4 : type == 6 ? 16 : len;
	const uint8_t *p = rd_bytes(r, len);

	*a = (struct addr) {0};
	if (!p || len != want)
		return ERR_MALFORMED;
	if (type != 4 && type != 6)
		return 0;
	a->family = type;
	memcpy(a->ip, p, len);
	return 1;
}

int netinfo_parse(struct netinfo *out, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	struct netinfo n = {.time_s = rd_u32(&r)};
	int ok = netinfo_addr_parse(&r, &n.other);

	if (ok != 1)
		return ERR_MALFORMED;
	for (unsigned left = rd_u8(&r); left; left--) {
		struct addr a;

		ok = netinfo_addr_parse(&r, &a);
		if (ok < 0)
			return ERR_MALFORMED;
		if (ok && n.n_mine < NETINFO_ADDRS)
			n.mine[n.n_mine++] = a;
	}
	if (r.bad)
		return ERR_MALFORMED;
	*out = n;
	return 0;
}

static void netinfo_addr_write(struct writer *w, const struct addr *a)
{
	wr_u8(w, a->family);
	wr_u8(w, (uint8_t)addr_ip_len(a));
	wr_bytes(w, a->ip, addr_ip_len(a));
}

void netinfo_write(struct writer *w, const struct netinfo *n)
{
	wr_u32(w, n->time_s);
	netinfo_addr_write(w, &n->other);
	wr_u8(w, (uint8_t)n->n_mine);
	for (unsigned i = 0; i < n->n_mine; i++)
		netinfo_addr_write(w, &n->mine[i]);
}

/* hs_cells.c - what a relay reads of ESTABLISH_INTRO, INTRODUCE1 and RENDEZVOUS1. */
#include "dataplane/wire/hs_cells.h"

/* Passes over a list of extensions: count, then type, length and body of each. */
static void extensions_skip(struct reader *r)
{
	unsigned n = rd_u8(r);

	for (; n && !r->bad; n--) {
		rd_u8(r);
		rd_bytes(r, rd_u8(r));
	}
}

int establish_intro_get(struct establish_intro *e, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	struct establish_intro x;
	uint16_t sig_len;

	if (rd_u8(&r) != HS_AUTH_ED25519 || rd_u16(&r) != sizeof(x.auth_key))
		return ERR_MALFORMED;
	rd_copy(&r, x.auth_key, sizeof(x.auth_key));
	extensions_skip(&r);
	if (r.bad)
		return ERR_MALFORMED;
	x.maced = (struct bytes) {p, (size_t)(r.p - p)};
	rd_copy(&r, x.mac, sizeof(x.mac));
	x.signed_part = (struct bytes) {p, r.bad ? 0 : (size_t)(r.p - p)};
	sig_len = rd_u16(&r);
	rd_copy(&r, x.sig, sizeof(x.sig));
	if (r.bad || sig_len != sizeof(x.sig))
		return ERR_MALFORMED;
	*e = x;
	return 0;
}

int introduce1_get(struct introduce1 *i, const uint8_t *p, size_t len)
{
	static const uint8_t zero[20];
	struct reader r = reader_of(p, len);
	const uint8_t *legacy = rd_bytes(&r, sizeof(zero));
	struct introduce1 x;

	if (len > HS_INTRODUCE_MAX || !legacy || memcmp(legacy, zero, sizeof(zero)))
		return ERR_MALFORMED;
	if (rd_u8(&r) != HS_AUTH_ED25519 || rd_u16(&r) != sizeof(x.auth_key))
		return ERR_MALFORMED;
	rd_copy(&r, x.auth_key, sizeof(x.auth_key));
	extensions_skip(&r);
	if (r.bad || !rd_left(&r))
		return ERR_MALFORMED;
	*i = x;
	return 0;
}

void introduce_ack_put(uint8_t *to, enum introduce_status status)
{
	be16_put(to, (uint16_t)status);
	to[2] = 0;
}

int rendezvous1_get(struct rendezvous1 *v, const uint8_t *p, size_t len)
{
	if (len < HS_COOKIE_LEN)
		return ERR_MALFORMED;
	*v = (struct rendezvous1) {p, {p + HS_COOKIE_LEN, len - HS_COOKIE_LEN}};
	return 0;
}

/* hs_cells.c - what a relay reads of ESTABLISH_INTRO, INTRODUCE1 and RENDEZVOUS1. */
#include "dataplane/wire/hs_cells.h"

enum { EXT_DOS = 1 };
enum { DOS_RATE = 1, DOS_BURST = 2 };

/* A DoS extension: count, then type and 64-bit value of each parameter. One that does not parse or
 * has an unknown parameter changes nothing. */
static void limit_read(struct hs_limit *limit, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	uint64_t rate = 0, burst = 0;

	for (unsigned n = rd_u8(&r); n && !r.bad; n--) {
		uint8_t type = rd_u8(&r);
		uint64_t value = rd_u64(&r);

		if (type == DOS_RATE)
			rate = value;
		else if (type == DOS_BURST)
			burst = value;
		else
			return;
	}
	if (r.bad)
		return;
	if (!rate || rate > INT32_MAX || burst > INT32_MAX || burst < rate)
		*limit = (struct hs_limit) {.said = HS_LIMIT_OFF};
	else
		*limit = (struct hs_limit) {HS_LIMIT_ON, (uint32_t)rate, (uint32_t)burst};
}

/* A list of extensions: count, then type, length and body of each. limit may be NULL. */
static void extensions_read(struct reader *r, struct hs_limit *limit)
{
	unsigned n = rd_u8(r);

	for (; n && !r->bad; n--) {
		uint8_t type = rd_u8(r), len = rd_u8(r);
		const uint8_t *p = rd_bytes(r, len);

		if (p && limit && type == EXT_DOS)
			limit_read(limit, p, len);
	}
}

int establish_intro_get(struct establish_intro *e, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	struct establish_intro x = {.limit = {.said = HS_LIMIT_NONE}};
	uint16_t sig_len;

	if (rd_u8(&r) != HS_AUTH_ED25519 || rd_u16(&r) != sizeof(x.auth_key))
		return ERR_MALFORMED;
	rd_copy(&r, x.auth_key, sizeof(x.auth_key));
	extensions_read(&r, &x.limit);
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
	extensions_read(&r, NULL);
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

/* hello.c - reads the ClientHello that nearly all peers send (RFC 8446 section 4.1.2), to answer it
 * without OpenSSL. It refuses nothing: what is odd in any way is left to OpenSSL, which decides and
 * says so to the peer. Hence extensions are named one by one, and each must be wholly in order. */
#include "controlplane/link/internal.h"

#define GROUP_P224   21
#define GROUP_P256   23
#define GROUP_X25519 29
#define UNCOMPRESSED 4 /* point format; the curve would take others too */
#define SIG_PSS_256  0x0804
#define SESSION_LEN  32
#define TYPES	     64 /* extensions below this are remembered by a bit */

/* A list of 16-bit numbers that fills r holds value. */
static bool holds(struct reader r, uint16_t value)
{
	bool found = false;

	if (r.bad || !rd_left(&r) || rd_left(&r) % 2)
		return false;
	while (rd_left(&r))
		found |= rd_u16(&r) == value;
	return found;
}

/* A list that fills r, behind its length in so many bytes. */
static struct reader list_of(struct reader *r, unsigned len_bytes)
{
	size_t len = len_bytes == 1 ? rd_u8(r) : rd_u16(r);
	struct reader list = rd_sub(r, len);

	if (rd_left(r) || !len)
		list.bad = true;
	return list;
}

/* One name of a host (RFC 6066 section 3). */
static bool name_good(struct reader *r)
{
	struct reader list = list_of(r, 2);
	bool host = rd_u8(&list) == 0;
	size_t len = rd_u16(&list);
	const uint8_t *p = rd_bytes(&list, len);

	return host && p && len && len <= 255 && !rd_left(&list) && !memchr(p, 0, len);
}

/* The first share of a group that we serve is the one that OpenSSL takes; it must be P-256. */
static bool shares_good(struct hello *h, struct reader *r, const struct reader *groups)
{
	struct reader list = list_of(r, 2);

	while (!list.bad && rd_left(&list)) {
		uint16_t group = rd_u16(&list);
		size_t len = rd_u16(&list);
		const uint8_t *p = rd_bytes(&list, len);

		if (!p || !len || !holds(*groups, group))
			return false;
		if (!h->share && (group == GROUP_P224 || group == GROUP_X25519))
			return false;
		if (group == GROUP_P256 && (h->share || len != HELLO_POINT || p[0] != UNCOMPRESSED))
			return false;
		if (group == GROUP_P256)
			h->share = p;
	}
	return !list.bad && h->share;
}

struct extensions {
	struct reader versions, groups, sigs, shares;
	uint64_t seen;
};

static bool extension_take(struct extensions *e, uint16_t type, struct reader body)
{
	bool again = type < TYPES && e->seen >> type & 1;

	if (type < TYPES)
		e->seen |= 1ull << type;
	switch (type) {
	case 0: /* server_name */
		return !again && name_good(&body);
	case 10: /* supported_groups */
		e->groups = list_of(&body, 2);
		return !again;
	case 11: /* ec_point_formats */
		return !again && !list_of(&body, 1).bad;
	case 13: /* signature_algorithms */
		e->sigs = list_of(&body, 2);
		return !again;
	case 22: /* encrypt_then_mac, extended_master_secret, session_ticket: of TLS 1.2 */
	case 23:
	case 35:
		return !again && !rd_left(&body);
	case 43: /* supported_versions */
		e->versions = list_of(&body, 1);
		return !again;
	case 45: /* psk_key_exchange_modes, without a key */
		return !again && !list_of(&body, 1).bad;
	case 51: /* key_share */
		e->shares = body;
		return !again;
	}
	return false;
}

static bool extensions_good(struct hello *h, struct reader *r)
{
	static const uint64_t needed = 1ull << 10 | 1ull << 13 | 1ull << 43 | 1ull << 51;
	struct reader all = list_of(r, 2);
	struct extensions e = {.seen = 0};

	while (!all.bad && rd_left(&all)) {
		uint16_t type = rd_u16(&all);
		size_t len = rd_u16(&all);
		struct reader body = rd_sub(&all, len);

		if (body.bad || !extension_take(&e, type, body))
			return false;
	}
	return !all.bad && (e.seen & needed) == needed && holds(e.versions, 0x0304) &&
	       holds(e.groups, GROUP_P256) && holds(e.sigs, SIG_PSS_256) &&
	       shares_good(h, &e.shares, &e.groups);
}

bool hello_read(struct hello *h, const uint8_t *record, size_t len)
{
	struct reader r = reader_of(record, len), suites;
	bool good;

	memset(h, 0, sizeof(*h));
	if (len <= 5)
		return false;
	h->message = record + 5;
	h->len = len - 5;
	good = rd_u8(&r) == 22 && rd_u8(&r) == 3;
	good = good && (rd_u8(&r) & ~2) == 1 && rd_u16(&r) == h->len;	    /* 3.1 or 3.3 */
	good = good && rd_u32(&r) == (1u << 24 | (uint32_t)(h->len - 4)) && /* one whole message */
	       rd_u16(&r) == 0x0303 && rd_bytes(&r, 32);
	good = good && rd_u8(&r) == SESSION_LEN && (h->session = rd_bytes(&r, SESSION_LEN));
	if (!good)
		return false;
	suites = rd_sub(&r, rd_u16(&r));
	return holds(suites, BRIEF_SUITE) && rd_u16(&r) == 0x0100 /* compression: none */ &&
	       extensions_good(h, &r) && !r.bad;
}

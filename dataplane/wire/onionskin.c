/* onionskin.c - CREATE2, CREATED2, EXTEND2 and EXTENDED2 bodies: from the wire and back. */
#include "dataplane/wire/onionskin.h"

int create2_get(struct create2 *c, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	uint16_t type = rd_u16(&r);
	uint16_t data_len = rd_u16(&r);
	const uint8_t *data = rd_bytes(&r, data_len);

	if (r.bad || data_len > CREATE2_DATA_MAX)
		return ERR_MALFORMED;
	*c = (struct create2) {type, data_len, data};
	return 0;
}

int create2_put(const struct create2 *c, uint8_t *to, size_t cap)
{
	struct writer w = writer_of(to, cap);

	wr_u16(&w, c->type);
	wr_u16(&w, c->len);
	wr_bytes(&w, c->data, c->len);
	return w.bad || c->len > CREATE2_DATA_MAX ? ERR_FULL : (int)wr_len(&w);
}

int created2_get(struct bytes *data, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	uint16_t data_len = rd_u16(&r);
	const uint8_t *at = rd_bytes(&r, data_len);

	if (r.bad || data_len > CREATED2_DATA_MAX)
		return ERR_MALFORMED;
	*data = (struct bytes) {at, data_len};
	return 0;
}

int created2_put(const void *data, size_t data_len, uint8_t *to, size_t cap)
{
	struct writer w = writer_of(to, cap);

	if (data_len > CREATED2_DATA_MAX)
		return ERR_FULL;
	wr_u16(&w, (uint16_t)data_len);
	wr_bytes(&w, data, data_len);
	return w.bad ? ERR_FULL : (int)wr_len(&w);
}

/* An address specifier: the first of its family counts. */
static int specifier_addr(struct addr *a, unsigned family, struct reader *body)
{
	struct addr found = {.family = (uint8_t)family};

	rd_copy(body, found.ip, addr_ip_len(&found));
	found.port = rd_u16(body);
	if (body->bad || rd_left(body))
		return ERR_MALFORMED;
	if (!a->family)
		*a = found;
	return 0;
}

/* An identity specifier: a second one of its kind is an error. */
static int specifier_id(uint8_t *id, size_t id_len, bool *has, struct reader *body)
{
	if (*has || rd_left(body) != id_len)
		return ERR_MALFORMED;
	rd_copy(body, id, id_len);
	*has = true;
	return 0;
}

static int specifier_get(struct extend2 *e, bool *has_rsa, struct reader *r)
{
	uint8_t type = rd_u8(r), len = rd_u8(r);
	struct reader body = rd_sub(r, len);

	if (r->bad)
		return ERR_MALFORMED;
	switch (type) {
	case LSPEC_IPV4:
		return specifier_addr(&e->or4, 4, &body);
	case LSPEC_IPV6:
		return specifier_addr(&e->or6, 6, &body);
	case LSPEC_RSA_ID:
		return specifier_id(e->rsa_id, sizeof(e->rsa_id), has_rsa, &body);
	case LSPEC_ED_ID:
		return specifier_id(e->ed_id, sizeof(e->ed_id), &e->has_ed, &body);
	}
	return 0;
}

int extend2_get(struct extend2 *e, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	unsigned n = rd_u8(&r);
	struct extend2 x = {0};
	bool has_rsa = false;

	for (; n && !r.bad; n--)
		if (specifier_get(&x, &has_rsa, &r))
			return ERR_MALFORMED;
	if (r.bad || !has_rsa || !(x.or4.family || x.or6.family))
		return ERR_MALFORMED;
	if (create2_get(&x.create, r.p, rd_left(&r)))
		return ERR_MALFORMED;
	x.create_bytes = (struct bytes) {r.p, 4u + x.create.len};
	*e = x;
	return 0;
}

static void put_addr(struct writer *w, uint8_t type, const struct addr *a)
{
	wr_u8(w, type);
	wr_u8(w, (uint8_t)(addr_ip_len(a) + 2));
	wr_bytes(w, a->ip, addr_ip_len(a));
	wr_u16(w, a->port);
}

static void put_id(struct writer *w, uint8_t type, const uint8_t *id, uint8_t len)
{
	wr_u8(w, type);
	wr_u8(w, len);
	wr_bytes(w, id, len);
}

int extend2_put(const struct extend2 *e, uint8_t *to, size_t cap)
{
	struct writer w = writer_of(to, cap);
	int len;

	wr_u8(&w, (uint8_t)(1 + !!e->or4.family + !!e->or6.family + e->has_ed));
	if (e->or4.family)
		put_addr(&w, LSPEC_IPV4, &e->or4);
	put_id(&w, LSPEC_RSA_ID, e->rsa_id, sizeof(e->rsa_id));
	if (e->has_ed)
		put_id(&w, LSPEC_ED_ID, e->ed_id, sizeof(e->ed_id));
	if (e->or6.family)
		put_addr(&w, LSPEC_IPV6, &e->or6);
	if (w.bad)
		return ERR_FULL;
	len = create2_put(&e->create, w.p, (size_t)(w.end - w.p));
	return len < 0 ? len : (int)wr_len(&w) + len;
}

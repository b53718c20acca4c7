/* begin.c - bodies of BEGIN, CONNECTED, END, RESOLVE and RESOLVED: from the wire and back. */
#include "dataplane/wire/begin.h"
#include "dataplane/wire/relay_msg.h"

/* Names are compared in ASCII: no locale may have a say. */
static void lower_copy(char *to, const uint8_t *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (char)(from[i] >= 'A' && from[i] <= 'Z' ? from[i] + 32 : from[i]);
	to[len] = 0;
}

bool host_literal(struct addr *a, const char *host)
{
	size_t len = strlen(host);
	const char *colon = strchr(host, ':');
	bool bracket = host[0] == '[';
	struct addr found;

	/* "address:port" means something to addr_parse, but it is no host. */
	if (bracket ? host[len - 1] != ']' : colon && !strchr(colon + 1, ':'))
		return false;
	if (addr_parse(&found, host) || found.port)
		return false;
	*a = found;
	return true;
}

/* The decimal port at p, 1 to 65535; 0 when it is none. */
static uint16_t port_get(const uint8_t *p, size_t len)
{
	unsigned port = 0;

	if (!len || len > 5)
		return 0;
	for (; len; len--, p++) {
		if (*p < '0' || *p > '9')
			return 0;
		port = port * 10 + (*p - '0');
	}
	return port > 65535 ? 0 : (uint16_t)port;
}

int begin_get(struct begin *b, const uint8_t *p, size_t len)
{
	const uint8_t *nul = len ? memchr(p, 0, len) : NULL;
	const uint8_t *colon = nul ? memrchr(p, ':', (size_t)(nul - p)) : NULL;
	uint16_t port = colon ? port_get(colon + 1, (size_t)(nul - colon - 1)) : 0;

	if (!port || colon - p >= BEGIN_HOST)
		return ERR_MALFORMED;
	memset(b, 0, sizeof(*b));
	b->port = port;
	lower_copy(b->host, p, (size_t)(colon - p));
	if (p + len > nul + 4)
		b->flags = be32_get(nul + 1);
	if (host_literal(&b->literal, b->host))
		b->literal.port = port;
	return 0;
}

static void put_decimal(struct writer *w, unsigned v)
{
	if (v >= 10)
		put_decimal(w, v / 10);
	wr_u8(w, (uint8_t)('0' + v % 10));
}

int begin_put(const struct begin *b, uint8_t *to, size_t cap)
{
	struct writer w = writer_of(to, cap);

	wr_bytes(&w, b->host, strlen(b->host));
	wr_u8(&w, ':');
	put_decimal(&w, b->port);
	wr_u8(&w, 0);
	if (b->flags)
		wr_u32(&w, b->flags);
	return w.bad ? ERR_FULL : (int)wr_len(&w);
}

size_t connected_put(const struct addr *addr, uint32_t ttl, uint8_t to[CONNECTED_MAX])
{
	struct writer w = writer_of(to, CONNECTED_MAX);

	if (addr->family != 4 && addr->family != 6)
		return 0;
	if (addr->family == 6) {
		wr_u32(&w, 0);
		wr_u8(&w, 6);
	}
	wr_bytes(&w, addr->ip, addr_ip_len(addr));
	wr_u32(&w, ttl);
	return wr_len(&w);
}

int connected_get(struct addr *addr, uint32_t *ttl, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	struct addr a = {.family = 4};
	uint32_t t;

	if (!len) {
		*addr = (struct addr) {0};
		*ttl = 0;
		return 0;
	}
	rd_copy(&r, a.ip, 4);
	if (!be32_get(a.ip)) {
		if (rd_u8(&r) != 6)
			return ERR_MALFORMED;
		a.family = 6;
		rd_copy(&r, a.ip, 16);
	}
	t = rd_u32(&r);
	if (r.bad)
		return ERR_MALFORMED;
	*addr = a;
	*ttl = t;
	return 0;
}

size_t end_put(uint8_t reason, const struct addr *addr, uint32_t ttl, uint8_t to[END_MAX])
{
	struct writer w = writer_of(to, END_MAX);

	wr_u8(&w, reason);
	if (reason == END_EXITPOLICY && addr && addr_ip_len(addr)) {
		wr_bytes(&w, addr->ip, addr_ip_len(addr));
		wr_u32(&w, ttl);
	}
	return wr_len(&w);
}

int resolve_get(char name[BEGIN_HOST], const uint8_t *p, size_t len)
{
	size_t name_len = len ? strnlen((const char *)p, len) : 0;

	if (name_len >= BEGIN_HOST)
		return ERR_MALFORMED;
	lower_copy(name, p, name_len);
	return 0;
}

static void put_resolved(struct writer *w, uint8_t type, const void *value, size_t len,
			 uint32_t ttl)
{
	wr_u8(w, type);
	wr_u8(w, (uint8_t)len);
	wr_bytes(w, value, len);
	wr_u32(w, ttl);
}

void resolved_put_addr(struct writer *w, const struct addr *a, uint32_t ttl)
{
	put_resolved(w, a->family == 6 ? RESOLVED_IPV6 : RESOLVED_IPV4, a->ip, addr_ip_len(a), ttl);
}

void resolved_put_text(struct writer *w, uint8_t type, const char *text, uint32_t ttl)
{
	put_resolved(w, type, text, MIN(strlen(text), (size_t)255), ttl);
}

int resolved_next(struct reader *r, uint8_t *type, struct bytes *value, uint32_t *ttl)
{
	struct reader at = *r;
	uint8_t t, len;
	const uint8_t *p;
	uint32_t seconds;

	if (!rd_left(r))
		return 0;
	t = rd_u8(&at);
	len = rd_u8(&at);
	p = rd_bytes(&at, len);
	seconds = rd_u32(&at);
	if (at.bad)
		return ERR_MALFORMED;
	*r = at;
	*type = t;
	*value = (struct bytes) {p, len};
	*ttl = seconds;
	return 1;
}

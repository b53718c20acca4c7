/* rule.c - one line of an exit policy in tor's syntax: accept|reject[6] address[/mask][:ports]. */
#include "controlplane/exit/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define NET4(a, b, c, d, n)                                                                        \
	{                                                                                          \
		.bits = n, .net = {.family = 4, .ip = {a, b, c, d} }                               \
	}
#define NET6(a, b, n)                                                                              \
	{                                                                                          \
		.bits = n, .net = {.family = 6, .ip = {a, b} }                                     \
	}

/* In the order that the whole network uses when it summarises policies. */
const struct rule policy_private[] = {
	NET4(0, 0, 0, 0, 8),	NET4(169, 254, 0, 0, 16),
	NET4(127, 0, 0, 0, 8),	NET4(192, 168, 0, 0, 16),
	NET4(10, 0, 0, 0, 8),	NET4(172, 16, 0, 0, 12),
	NET6(0, 0, 8),		NET6(0xfc, 0, 7),
	NET6(0xfe, 0x80, 10),	NET6(0xfe, 0xc0, 10),
	NET6(0xff, 0, 8),	NET6(0, 0, 127),
	{.net = {.family = 0}},
};

static bool prefix_same(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	if (memcmp(a, b, bytes))
		return false;
	return !rest || !((a[bytes] ^ b[bytes]) >> (8 - rest));
}

bool rule_covers_addr(const struct rule *r, const struct addr *a)
{
	return r->net.family == a->family && a->port >= r->lo && a->port <= r->hi &&
	       prefix_same(r->net.ip, a->ip, r->bits);
}

bool rule_covers(const struct rule *a, const struct rule *b)
{
	return a->net.family == b->net.family && a->bits <= b->bits && a->lo <= b->lo &&
	       a->hi >= b->hi && prefix_same(a->net.ip, b->net.ip, a->bits);
}

bool rule_meets(const struct rule *a, const struct rule *b)
{
	return a->net.family == b->net.family && a->lo <= b->hi && b->lo <= a->hi &&
	       prefix_same(a->net.ip, b->net.ip, MIN(a->bits, b->bits));
}

int policy_add(struct policy *p, const struct rule *r)
{
	struct rule *wide;
	size_t cap;

	if (p->n == p->cap) {
		cap = p->cap ? p->cap * 2 : 64;
		wide = p->n >= RULES_MAX ? NULL : realloc(p->rules, cap * sizeof(*wide));
		if (!wide)
			return ERR_FULL;
		p->rules = wide;
		p->cap = cap;
	}
	p->rules[p->n++] = *r;
	return 0;
}

/* ---- the text ---- */

static bool number_get(const char *s, const char *end, unsigned most, unsigned *v)
{
	unsigned n = 0;

	if (s == end || end - s > 5)
		return false;
	for (; s < end; s++) {
		if (!isdigit((unsigned char)*s))
			return false;
		n = n * 10 + (unsigned)(*s - '0');
	}
	*v = n;
	return n <= most;
}

/* "*", "80", "80-90"; text ends at its NUL. */
static bool ports_get(struct rule *r, const char *text)
{
	const char *end = text + strlen(text), *dash = strchr(text, '-');
	unsigned lo, hi;

	if (!strcmp(text, "*")) {
		r->lo = 1;
		r->hi = 65535;
		return true;
	}
	if (!number_get(text, dash ? dash : end, 65535, &lo))
		return false;
	hi = lo;
	if (dash && !number_get(dash + 1, end, 65535, &hi))
		return false;
	r->lo = (uint16_t)lo;
	r->hi = (uint16_t)hi;
	return lo >= 1 && lo <= hi;
}

/* "24", or for IPv4 "255.255.255.0". */
static bool mask_get(struct rule *r, const char *text)
{
	unsigned bits, most = r->net.family == 6 ? 128 : 32;
	struct addr mask;
	uint32_t m;

	if (number_get(text, text + strlen(text), most, &bits)) {
		r->bits = (uint8_t)bits;
		return true;
	}
	if (r->net.family != 4 || addr_parse(&mask, text) || mask.family != 4 || mask.port)
		return false;
	m = be32_get(mask.ip);
	r->bits = (uint8_t)(m ? 32 - __builtin_ctz(m) : 0);
	return !m || m == UINT32_MAX << __builtin_ctz(m);
}

/* A rule with its host bits cleared, as it is printed and compared. */
static void net_clean(struct rule *r)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned from = i * 8;

		if (from >= r->bits)
			r->net.ip[i] = 0;
		else if (r->bits - from < 8)
			r->net.ip[i] &= (uint8_t)(0xff << (8 - (r->bits - from)));
	}
}

/* A "*" or "private": several rules of either family; only6 leaves out IPv4. */
static int add_many(struct policy *p, const struct rule *like, const char *host, bool only6)
{
	const struct rule all[] = {NET4(0, 0, 0, 0, 0), NET6(0, 0, 0), {.net = {.family = 0}}};
	const struct rule *from = host[0] == '*' ? all : policy_private;

	for (; from->net.family; from++) {
		struct rule r = *like;
		int error;

		if (from->net.family == 4 && (only6 || !strcmp(host, "*6")))
			continue;
		if (from->net.family == 6 && !strcmp(host, "*4"))
			continue;
		r.net = from->net;
		r.bits = from->bits;
		error = policy_add(p, &r);
		if (error)
			return error;
	}
	return 0;
}

static int wrong(char *why, const char *what, const char *item)
{
	snprintf(why, POLICY_ERROR, "%s in \"%.80s\"", what, item);
	return ERR_CONFIG;
}

/* Cuts "host/mask:ports" in three; brackets of IPv6 stay with the host. */
static void target_cut(char *text, char **mask, char **ports)
{
	char *from = text[0] == '[' ? strchr(text, ']') : text;
	char *slash, *colon;

	if (!from)
		from = text;
	slash = strchr(from, '/');
	colon = strchr(slash ? slash : from, ':');
	*mask = slash ? slash + 1 : NULL;
	*ports = colon ? colon + 1 : NULL;
	if (colon)
		*colon = 0;
	if (slash)
		*slash = 0;
}

static int target_parse(struct policy *p, struct rule *r, char *text, bool only6, char *why,
			const char *item)
{
	char *mask, *ports;

	target_cut(text, &mask, &ports);
	if (!ports_get(r, ports ? ports : "*"))
		return wrong(why, "port is not 1 to 65535, a range of these, or *", item);
	if (!strcmp(text, "*") || !strcmp(text, "*4") || !strcmp(text, "*6") ||
	    !strcmp(text, "private")) {
		if (mask)
			return wrong(why, "a mask cannot follow * or private", item);
		if (only6 && !strcmp(text, "*4"))
			return wrong(why, "accept6 and reject6 take IPv6 only", item);
		/* tor expands "private" in both families here, whatever the keyword. */
		return add_many(p, r, text, only6 && text[0] == '*');
	}
	if (addr_parse(&r->net, text) || r->net.port)
		return wrong(why, "address is neither IPv4, [IPv6], *, *4, *6 nor private", item);
	if (only6 && r->net.family == 4)
		return wrong(why, "accept6 and reject6 take IPv6 only", item);
	r->bits = r->net.family == 6 ? 128 : 32;
	if (mask && !mask_get(r, mask))
		return wrong(why, "mask is wrong", item);
	net_clean(r);
	return policy_add(p, r);
}

static const struct {
	const char *word;
	bool accept, only6;
} words[] = {
	{"accept", true, false},
	{"reject", false, false},
	{"accept6", true, true},
	{"reject6", false, true},
};

static int item_parse(struct policy *p, const char *item, char *why)
{
	struct rule r = {0};
	char word[16], target[96], rest;

	if (sscanf(item, " %15s %95s %c", word, target, &rest) != 2)
		return wrong(why, "want accept or reject and one address:port", item);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcasecmp(word, words[i].word)) {
			r.accept = words[i].accept;
			return target_parse(p, &r, target, words[i].only6, why, item);
		}
	return wrong(why, "want accept, reject, accept6 or reject6", item);
}

static bool is_blank(const char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	return !*s;
}

int policy_parse(struct policy *p, const char *line, char *why)
{
	char item[160];

	for (const char *end; *line; line = *end ? end + 1 : end) {
		size_t len;
		int error;

		end = strchrnul(line, ',');
		len = (size_t)(end - line);
		if (len >= sizeof(item))
			return wrong(why, "item is too long", line);
		memcpy(item, line, len);
		item[len] = 0;
		if (is_blank(item))
			continue;
		error = item_parse(p, item, why);
		if (error)
			return error;
	}
	return 0;
}

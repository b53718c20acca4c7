/* policy.c - the exit policy: made of the torrc's lines as tor makes it, asked for each stream, and
 * written for the descriptor (interop E5, E15). */
#include "controlplane/exit/internal.h"

#include <stdio.h>
#include <stdlib.h>

static const char policy_default[] =
	"reject *:25,reject *:119,reject *:135-139,reject *:445,reject *:563,reject *:1214,"
	"reject *:4661-4666,reject *:6346-6429,reject *:6699,reject *:6881-6999,accept *:*";

/* Ports of the reduced policy that tor builds in; everything else is refused. */
static const uint16_t reduced_ports[][2] = {
	{20, 23},	{43, 43},	{53, 53},	{79, 81},	{88, 88},
	{110, 110},	{143, 143},	{194, 194},	{220, 220},	{389, 389},
	{443, 443},	{464, 464},	{465, 465},	{531, 531},	{543, 544},
	{554, 554},	{563, 563},	{587, 587},	{636, 636},	{706, 706},
	{749, 749},	{873, 873},	{902, 904},	{981, 981},	{989, 995},
	{1194, 1194},	{1220, 1220},	{1293, 1293},	{1500, 1500},	{1533, 1533},
	{1677, 1677},	{1723, 1723},	{1755, 1755},	{1863, 1863},	{2082, 2083},
	{2086, 2087},	{2095, 2096},	{2102, 2104},	{3128, 3128},	{3389, 3389},
	{3690, 3690},	{4321, 4321},	{4643, 4643},	{5050, 5050},	{5190, 5190},
	{5222, 5223},	{5228, 5228},	{5900, 5900},	{6660, 6669},	{6679, 6679},
	{6697, 6697},	{8000, 8000},	{8008, 8008},	{8074, 8074},	{8080, 8080},
	{8082, 8082},	{8087, 8088},	{8232, 8233},	{8332, 8333},	{8443, 8443},
	{8888, 8888},	{9418, 9418},	{9999, 9999},	{10000, 10000}, {11371, 11371},
	{18080, 18081}, {18089, 18089}, {19294, 19294}, {19638, 19638}, {50002, 50002},
	{64738, 64738},
};

/* ---- pruning: what never decides is not published either ---- */

static void rule_del(struct policy *p, size_t i)
{
	memmove(&p->rules[i], &p->rules[i + 1], (--p->n - i) * sizeof(*p->rules));
}

/* A rule behind one that covers it is never reached. */
static void prune_unreached(struct policy *p)
{
	for (size_t i = 0; i < p->n; i++)
		for (size_t j = i + 1; j < p->n; j++)
			if (rule_covers(&p->rules[i], &p->rules[j]))
				rule_del(p, j--);
}

/* Would a later rule of the same kind say the same, with none of the other kind between? */
static bool said_later(const struct policy *p, size_t i)
{
	const struct rule *a = &p->rules[i];

	for (size_t j = i + 1; j < p->n; j++) {
		const struct rule *b = &p->rules[j];

		if (a->accept == b->accept ? rule_covers(b, a) : rule_meets(a, b))
			return a->accept == b->accept;
	}
	return false;
}

void policy_prune(struct policy *p)
{
	prune_unreached(p);
	for (size_t i = 0; i < p->n; i++)
		if (said_later(p, i))
			rule_del(p, i--);
}

/* ---- making one ---- */

static int add_own(struct policy *p, const struct addr *own, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct rule r = {.lo = 1, .hi = 65535, .net = own[i]};
		int error;

		if (!own[i].family)
			continue;
		r.bits = own[i].family == 6 ? 128 : 32;
		r.net.port = 0;
		error = policy_add(p, &r);
		if (error)
			return error;
	}
	return 0;
}

static int add_reduced(struct policy *p, char *why)
{
	char line[64];
	int error = 0;

	for (size_t i = 0; i < ARRAY_LEN(reduced_ports) && !error; i++) {
		snprintf(line, sizeof(line), "accept *:%u-%u", reduced_ports[i][0],
			 reduced_ports[i][1]);
		error = policy_parse(p, line, why);
	}
	return error ? error : policy_parse(p, "reject *:*", why);
}

static bool is_exit(const struct policy_setup *s)
{
	return s->exit_relay > 0 ||
	       (s->exit_relay < 0 && (s->n_lines || s->reduced || s->ipv6_exit));
}

static int fill(struct policy *p, const struct policy_setup *s, char *why)
{
	int error = 0;

	if (!is_exit(s))
		return policy_parse(p, "reject *:*", why);
	if (!s->ipv6_exit)
		error = policy_parse(p, "reject *6:*", why);
	if (!error && s->reject_private)
		error = policy_parse(p, "reject private:*", why);
	if (!error)
		error = add_own(p, s->own, s->n_own);
	for (size_t i = 0; i < s->n_lines && !error; i++)
		error = policy_parse(p, s->lines[i], why);
	if (error)
		return error;
	return s->reduced ? add_reduced(p, why) : policy_parse(p, policy_default, why);
}

int policy_new(struct policy **policy, const struct policy_setup *s, char *why)
{
	struct policy *p = calloc(1, sizeof(*p));
	int error;

	if (!p)
		return ERR_FULL;
	error = fill(p, s, why);
	if (error) {
		policy_free(p);
		return error;
	}
	policy_prune(p);
	*policy = p;
	return 0;
}

void policy_free(struct policy *p)
{
	if (p)
		free(p->rules);
	free(p);
}

int policy_check_line(const char *line, char *why)
{
	struct policy p = {0};
	int error = policy_parse(&p, line, why);

	free(p.rules);
	return error;
}

/* ---- asking it ---- */

bool policy_allows(const struct policy *p, const struct addr *to)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	/* IPv4 in IPv6 clothes would pass by the rules for IPv4. */
	if (!p || !to->port || (to->family == 6 && !memcmp(to->ip, mapped, sizeof(mapped))))
		return false;
	for (size_t i = 0; i < p->n; i++)
		if (rule_covers_addr(&p->rules[i], to))
			return p->rules[i].accept;
	return false;
}

bool policy_rejects_all(const struct policy *p)
{
	for (size_t i = 0; p && i < p->n; i++)
		if (p->rules[i].accept)
			return false;
	return true;
}

/* ---- writing it ---- */

static int rule_text(const struct rule *r, char *to, size_t cap)
{
	char net[ADDR_TEXT], bits[8] = "", ports[16] = "*";

	if (r->bits == 0)
		strcpy(net, "*");
	else
		addr_text(&r->net, net);
	if (r->bits && r->bits < 32)
		snprintf(bits, sizeof(bits), "/%u", r->bits);
	if (r->lo == r->hi)
		snprintf(ports, sizeof(ports), "%u", r->lo);
	else if (r->lo > 1 || r->hi < 65535)
		snprintf(ports, sizeof(ports), "%u-%u", r->lo, r->hi);
	return snprintf(to, cap, "%s %s%s:%s\n", r->accept ? "accept" : "reject", net, bits, ports);
}

int policy_lines(const struct policy *p, char *buf, size_t cap)
{
	size_t len = 0;
	bool any = false;

	for (size_t i = 0; i < p->n; i++) {
		int n;

		if (p->rules[i].net.family != 4)
			continue;
		n = rule_text(&p->rules[i], buf + len, cap - len);
		if (n < 0 || (size_t)n >= cap - len)
			return ERR_FULL;
		len += (size_t)n;
		any = true;
	}
	if (!any)
		return snprintf(buf, cap, "reject *:*\n") < (int)cap ? 11 : ERR_FULL;
	return (int)len;
}

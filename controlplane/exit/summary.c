/* summary.c - the port summary of a policy (dir-spec section 3.8.2): a port counts as allowed when
 * it is allowed to nearly every address. */
#include "controlplane/exit/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define SUMMARY_MAX 1000 /* characters of a p or p6 line behind its keyword */

/* Addresses refused at a port before it counts as refused: two /8 of IPv4; of IPv6 in units of /64,
 * one /16. */
#define MOST4 (UINT64_C(1) << 25)
#define MOST6 (UINT64_C(1) << 48)

/* What is known of each port; 65,536 of these are cheaper than to be clever. */
struct ports {
	uint64_t refused[65536];
	bool allowed[65536];
};

static bool is_private_net(const struct rule *r)
{
	for (const struct rule *p = policy_private; p->net.family; p++)
		if (p->bits == r->bits && addr_same_ip(&p->net, &r->net))
			return true;
	return false;
}

static uint64_t addresses_of(const struct rule *r)
{
	unsigned host = r->net.family == 4 ? 32 : 64;

	if (r->bits > host)
		return 0; /* less than a /64 */
	return host - r->bits >= 64 ? UINT64_MAX : UINT64_C(1) << (host - r->bits);
}

static void rule_count(struct ports *ports, const struct rule *r)
{
	uint64_t most = r->net.family == 4 ? MOST4 : MOST6, n = addresses_of(r);
	bool is_private = is_private_net(r);

	for (unsigned port = r->lo; port <= r->hi; port++) {
		if (!r->accept && !is_private)
			ports->refused[port] = ports->refused[port] > UINT64_MAX - n
						       ? UINT64_MAX
						       : ports->refused[port] + n;
		else if (r->accept && !r->bits && ports->refused[port] <= most)
			ports->allowed[port] = true;
	}
}

/* Writes the ranges of ports that are allowed (or not), by comma. Returns their full length, even
 * when it is cut at cap. */
static size_t ranges(const struct ports *ports, bool allowed, char *to, size_t cap)
{
	size_t len = 0;

	for (unsigned lo = 1, hi; lo <= 65535; lo = hi + 1) {
		hi = lo;
		while (hi < 65535 && ports->allowed[hi + 1] == ports->allowed[lo])
			hi++;
		if (ports->allowed[lo] != allowed)
			continue;
		len += (size_t)snprintf(len < cap ? to + len : NULL, len < cap ? cap - len : 0,
					lo == hi ? "%s%u" : "%s%u-%u", len ? "," : "", lo, hi);
	}
	return len;
}

/* Cuts at the last comma that leaves at most most characters. */
static void cut(char *text, size_t most)
{
	if (strlen(text) <= most)
		return;
	text[most + 1] = 0;
	char *comma = strrchr(text, ',');
	if (comma)
		*comma = 0;
}

int policy_summary(const struct policy *p, unsigned family, char *buf, size_t cap)
{
	struct ports *ports = calloc(1, sizeof(*ports));
	char accept[SUMMARY_MAX + 16], reject[SUMMARY_MAX + 16];
	size_t accept_len, reject_len, most = SUMMARY_MAX - sizeof("accept");
	bool shows_reject;
	int len;

	if (!ports)
		return ERR_FULL;
	for (size_t i = 0; i < p->n; i++)
		if (p->rules[i].net.family == family)
			rule_count(ports, &p->rules[i]);
	accept_len = ranges(ports, true, accept, sizeof(accept));
	reject_len = ranges(ports, false, reject, sizeof(reject));
	free(ports);
	shows_reject = !accept_len || (reject_len && reject_len < accept_len);
	if (accept_len > most && reject_len > most) {
		shows_reject = false;
		cut(accept, most);
	}
	len = snprintf(buf, cap, "%s %s", shows_reject ? "reject" : "accept",
		       shows_reject ? reject : accept);
	return len < 0 || (size_t)len >= cap ? ERR_FULL : len;
}

/* address.c - the addresses that we advertise: of ORPort lines, and of Address lines, which may be
 * names (interop T4). */
#include "controlplane/config/internal.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

static struct addr *own(struct config *c, int family)
{
	return family == 4 ? &c->address4 : &c->address6;
}

static void of_ports(struct config *c, int family)
{
	*own(c, family) = (struct addr) {0};
	for (int i = 0; i < c->n_or_ports; i++) {
		if (c->or_port[i].advertise && c->or_port[i].at.family == family) {
			*own(c, family) = c->or_port[i].at;
			return;
		}
	}
}

/* A family without an advertised ORPort has no use for an address. */
static void take(struct config *c, struct addr a)
{
	struct addr *to = own(c, a.family);

	a.port = to->port;
	if (a.port)
		*to = a;
}

static bool is_name(const char *text)
{
	size_t len = strlen(text);

	return len && len <= 253 &&
	       strpbrk(text, "abcdefghijklmnopqrstuvwxyz"
			     "ABCDEFGHIJKLMNOPQRSTUVWXYZ") &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
		       len;
}

/* Each family may be given once. */
static bool is_first(bool given[2], int family, const char *line, struct config_messages *m)
{
	bool again = given[family == 6];

	given[family == 6] = true;
	if (again)
		config_say(m, true, NULL, 0,
			   "Address \"%s\" is a second IPv%d address: keep one of each family",
			   line, family);
	return !again;
}

void derive_addresses(struct config *c, struct config_messages *m)
{
	bool given[2] = {false};

	of_ports(c, 4);
	of_ports(c, 6);
	c->n_address_names = 0;
	for (int i = 0; i < c->address_lines.n; i++) {
		const char *line = c->address_lines.v[i];
		struct addr a;

		if (addr_parse(&a, line) == 0 && !a.port) {
			if (is_first(given, a.family, line, m))
				take(c, a);
		} else if (!is_name(line)) {
			config_say(m, true, NULL, 0,
				   "Address \"%s\" is no address and no name: write it like "
				   "192.0.2.7, 2001:db8::7 or relay.example.org",
				   line);
		} else if (c->n_address_names == CONFIG_NAMES) {
			config_say(m, true, NULL, 0,
				   "more than %d Address lines with names: "
				   "remove some",
				   CONFIG_NAMES);
		} else {
			c->address_names[c->n_address_names++] = line;
		}
	}
}

/* ---- names ---- */

static int by_system(const char *name, int family, struct addr *a, const char **why)
{
	struct addrinfo hints = {.ai_family = family == 4 ? AF_INET : AF_INET6,
				 .ai_socktype = SOCK_STREAM};
	struct addrinfo *all = NULL;
	int rc = getaddrinfo(name, NULL, &hints, &all);

	if (rc) {
		*why = gai_strerror(rc);
		return ERR_UNKNOWN;
	}
	*a = (struct addr) {.family = (uint8_t)family};
	if (family == 4)
		memcpy(a->ip, &((struct sockaddr_in *)(void *)all->ai_addr)->sin_addr, 4);
	else
		memcpy(a->ip, &((struct sockaddr_in6 *)(void *)all->ai_addr)->sin6_addr, 16);
	freeaddrinfo(all);
	return 0;
}

static bool is_private(const struct addr *a)
{
	static const uint8_t loop6[16] = {[15] = 1}, none6[16];
	const uint8_t *ip = a->ip;

	if (a->family == 6)
		return (ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && (ip[1] & 0x80)) ||
		       !memcmp(ip, loop6, 16) || !memcmp(ip, none6, 16);
	return ip[0] == 0 || ip[0] == 10 || ip[0] == 127 || (ip[0] == 172 && ip[1] >> 4 == 1) ||
	       (ip[0] == 192 && ip[1] == 168) || (ip[0] == 169 && ip[1] == 254) ||
	       (ip[0] == 100 && ip[1] >> 6 == 1);
}

/* As tor has it: what a name leads to may be private only for a relay that keeps to itself. */
static bool is_usable(const struct config *c, const struct addr *a)
{
	bool waived = c->assume_reachable || (a->family == 6 && c->assume_reachable_ipv6 == 1);

	return !is_private(a) || (!c->publish && waived);
}

static void resolve_one(struct config *c, const char *name, bool given[2], config_find find,
			struct config_messages *m)
{
	const char *why = "no address";
	struct addr a;
	char text[ADDR_TEXT];
	int n = 0;

	for (int family = 4; family <= 6; family += 2) {
		if ((family == 6 && c->address_disable_ipv6) || find(name, family, &a, &why) < 0)
			continue;
		n++;
		if (!is_usable(c, &a))
			config_say(m, true, NULL, 0,
				   "Address \"%s\" leads to %s, which is private: write the "
				   "address itself if that is what others reach",
				   name, addr_text(&a, text));
		else if (is_first(given, family, name, m))
			take(c, a);
	}
	if (!n)
		config_say(m, true, NULL, 0,
			   "Address \"%s\" cannot be resolved (%s): correct the name or the "
			   "resolver, or write the address itself",
			   name, why);
}

static bool same_lines(const struct config_list *a, const struct config_list *b)
{
	return config_types[TYPE_LIST].same(a, b);
}

static void keep(struct config *c, const struct config *old)
{
	c->address4 = old->address4;
	c->address6 = old->address6;
}

int config_resolve(struct config *c, const struct config *old, config_find find,
		   struct config_messages *m)
{
	bool given[2] = {false};
	int before = m->n_errors;
	struct addr a;

	if (!c->n_address_names)
		return 0;
	if (old && !old->unresolved && same_lines(&c->address_lines, &old->address_lines)) {
		keep(c, old);
	} else {
		for (int i = 0; i < c->address_lines.n; i++)
			if (addr_parse(&a, c->address_lines.v[i]) == 0)
				given[a.family == 6] = true;
		for (int i = 0; i < c->n_address_names; i++)
			resolve_one(c, c->address_names[i], given, find ? find : by_system, m);
		if (old && m->n_errors != before)
			keep(c, old);
	}
	derive_outbound(c, m);
	c->unresolved = m->n_errors != before;
	return c->unresolved ? ERR_CONFIG : 0;
}

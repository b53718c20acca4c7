/* derive.c - what follows from the options: ports and addresses, cores, log targets, limits. */
#include "controlplane/config/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int text_words(char *text, char *words[], int max)
{
	char *save = NULL;
	int n = 0;

	for (char *w = strtok_r(text, " \t", &save); w && n < max; w = strtok_r(NULL, " \t", &save))
		words[n++] = w;
	return n;
}

bool text_hex(const char *text, uint8_t *to, size_t len)
{
	if (strlen(text) != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		char pair[3] = {text[2 * i], text[2 * i + 1], 0};

		if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1]))
			return false;
		to[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return true;
}

/* ---- DataplaneAddress, DataplaneGateway, DataplaneCores ---- */

static bool parse_prefix(const char *text, struct config_prefix *p)
{
	const char *slash = strchr(text, '/');
	char ip[64];
	char *end;
	long bits;

	if (!slash || (size_t)(slash - text) >= sizeof(ip))
		return false;
	memcpy(ip, text, (size_t)(slash - text));
	ip[slash - text] = '\0';
	bits = strtol(slash + 1, &end, 10);
	if (addr_parse(&p->at, ip) < 0 || p->at.port || end == slash + 1 || *end || bits < 0 ||
	    bits > (p->at.family == 4 ? 32 : 128))
		return false;
	p->bits = (uint8_t)bits;
	return true;
}

static void derive_prefixes(struct config *c, struct config_messages *m)
{
	const struct config_list *l = &c->dataplane_address_lines;

	c->n_prefixes = 0;
	for (int i = 0; i < l->n; i++) {
		if (c->n_prefixes == CONFIG_PREFIXES)
			config_say(m, true, NULL, 0,
				   "more than %d DataplaneAddress lines: remove some",
				   CONFIG_PREFIXES);
		else if (!parse_prefix(l->v[i], &c->prefix[c->n_prefixes]))
			config_say(m, true, NULL, 0,
				   "DataplaneAddress \"%s\" is no address with a "
				   "prefix length: write it like 192.0.2.7/24 or 2001:db8::7/64",
				   l->v[i]);
		else
			c->n_prefixes++;
	}
}

static void derive_gateways(struct config *c, struct config_messages *m)
{
	const struct config_list *l = &c->dataplane_gateway_lines;

	c->n_gateways = 0;
	for (int i = 0; i < l->n; i++) {
		struct addr a;

		if (addr_parse(&a, l->v[i]) < 0 || a.port || c->n_gateways == CONFIG_PREFIXES)
			config_say(m, true, NULL, 0,
				   "DataplaneGateway \"%s\" is no address: write it "
				   "like 192.0.2.1 or 2001:db8::1",
				   l->v[i]);
		else
			c->gateway[c->n_gateways++] = a;
	}
}

static bool add_cores(struct config *c, const char *text)
{
	char *end;
	long first = strtol(text, &end, 10), last = first;

	if (end == text)
		return false;
	if (*end == '-') {
		text = end + 1;
		last = strtol(text, &end, 10);
		if (end == text)
			return false;
	}
	if (*end || first < 0 || last < first || last > 1023)
		return false;
	for (; first <= last; first++) {
		if (c->n_cores == CONFIG_CORES)
			return false;
		c->cores[c->n_cores++] = (int)first;
	}
	return true;
}

static void derive_cores(struct config *c, struct config_messages *m)
{
	char *text = strdup(c->dataplane_cores_text ? c->dataplane_cores_text : "");
	char *save = NULL;

	c->n_cores = 0;
	for (char *w = text ? strtok_r(text, ", ", &save) : NULL; w;
	     w = strtok_r(NULL, ", ", &save)) {
		if (!add_cores(c, w))
			config_say(m, true, NULL, 0,
				   "DataplaneCores \"%s\" is no list of cores: write "
				   "it like 1,2 or 2-5",
				   c->dataplane_cores_text);
	}
	free(text);
}

bool config_is_ours(const struct config *c, const struct addr *a)
{
	for (int i = 0; i < c->n_prefixes; i++) {
		if (addr_same_ip(&c->prefix[i].at, a))
			return true;
	}
	return false;
}

/* ---- ORPort ---- */

enum { OR_NO_LISTEN = 1, OR_NO_ADVERTISE = 2, OR_ONLY4 = 4, OR_ONLY6 = 8 };
static const struct {
	const char *name;
	int bit;
} or_flags[] = {
	{"NoListen", OR_NO_LISTEN},
	{"NoAdvertise", OR_NO_ADVERTISE},
	{"IPv4Only", OR_ONLY4},
	{"IPv6Only", OR_ONLY6},
};

static bool parse_or_flags(char *words[], int n, int *bits)
{
	*bits = 0;
	for (int i = 0; i < n; i++) {
		bool found = false;

		for (size_t k = 0; k < ARRAY_LEN(or_flags); k++) {
			if (strcasecmp(words[i], or_flags[k].name) == 0) {
				*bits |= or_flags[k].bit;
				found = true;
			}
		}
		if (!found)
			return false;
	}
	return (*bits & (OR_ONLY4 | OR_ONLY6)) != (OR_ONLY4 | OR_ONLY6) &&
	       (*bits & (OR_NO_LISTEN | OR_NO_ADVERTISE)) != (OR_NO_LISTEN | OR_NO_ADVERTISE);
}

static void add_or_port(struct config *c, struct addr at, int bits, struct config_messages *m)
{
	if (c->n_or_ports == CONFIG_PORTS) {
		config_say(m, true, NULL, 0, "more than %d ORPorts: remove some", CONFIG_PORTS);
		return;
	}
	c->or_port[c->n_or_ports++] = (struct config_or_port) {
		.at = at, .listen = !(bits & OR_NO_LISTEN), .advertise = !(bits & OR_NO_ADVERTISE)};
}

/* A port without an address is one on every DataplaneAddress of its families. */
static void add_or_everywhere(struct config *c, int family, uint16_t port, int bits,
			      struct config_messages *m)
{
	int before = c->n_or_ports;

	for (int i = 0; i < c->n_prefixes; i++) {
		struct addr at = c->prefix[i].at;

		if ((family && family != at.family) || (at.family == 4 && (bits & OR_ONLY6)) ||
		    (at.family == 6 && ((bits & OR_ONLY4) || c->address_disable_ipv6)))
			continue;
		at.port = port;
		add_or_port(c, at, bits, m);
	}
	if (c->n_or_ports == before && c->n_prefixes)
		config_say(m, true, NULL, 0,
			   "ORPort %u finds no DataplaneAddress of its family: "
			   "add one, or change the line",
			   port);
}

static bool is_unspecified(const struct addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->ip, zero, 16) == 0;
}

static void derive_or_port(struct config *c, const char *line, struct config_messages *m)
{
	char text[256], *words[8];
	struct addr at = {0};
	char *end;
	int n, bits;
	unsigned long port;

	snprintf(text, sizeof(text), "%s", line);
	n = text_words(text, words, ARRAY_LEN(words));
	if (!n || !parse_or_flags(words + 1, n - 1, &bits)) {
		config_say(m, true, NULL, 0,
			   "ORPort \"%s\": the flags are NoListen or NoAdvertise, "
			   "IPv4Only or IPv6Only: correct the line",
			   line);
		return;
	}
	port = strtoul(words[0], &end, 10);
	if (isdigit((unsigned char)words[0][0]) && !*end && port <= 65535) {
		if (port)
			add_or_everywhere(c, 0, (uint16_t)port, bits, m);
	} else if (addr_parse(&at, words[0]) < 0 || !at.port) {
		config_say(m, true, NULL, 0,
			   "ORPort \"%s\" is no port: write it like 9001, "
			   "192.0.2.7:9001 or [2001:db8::7]:9001",
			   line);
	} else if (is_unspecified(&at)) {
		add_or_everywhere(c, at.family, at.port, bits, m);
	} else {
		add_or_port(c, at, bits, m);
	}
}

static void derive_or_ports(struct config *c, struct config_messages *m)
{
	char text[ADDR_TEXT];

	c->n_or_ports = 0;
	for (int i = 0; i < c->or_port_lines.n; i++)
		derive_or_port(c, c->or_port_lines.v[i], m);
	for (int i = 0; i < c->n_or_ports; i++) {
		struct config_or_port *p = &c->or_port[i];

		if (p->listen && c->n_prefixes && !config_is_ours(c, &p->at))
			config_say(m, true, NULL, 0,
				   "ORPort %s is on an address that is not ours: add "
				   "it as a DataplaneAddress, or mark the line NoListen",
				   addr_text(&p->at, text));
	}
}

/* ---- OutboundBindAddress* ---- */

static void derive_out_line(struct config *c, const char *name, const char *text, struct addr *to4,
			    struct addr *to6, struct config_messages *m)
{
	struct addr a;

	if (addr_parse(&a, text) < 0 || a.port)
		config_say(m, true, NULL, 0, "%s \"%s\" is no address: write it like 192.0.2.7",
			   name, text);
	else if (!config_is_ours(c, &a))
		config_say(m, true, NULL, 0, "%s %s is not ours: add it as a DataplaneAddress",
			   name, text);
	else
		*(a.family == 4 ? to4 : to6) = a;
}

void derive_outbound(struct config *c, struct config_messages *m)
{
	struct addr out4 = c->address4, out6 = c->address6;

	for (int i = c->n_prefixes - 1; i >= 0; i--) {
		struct addr *to = c->prefix[i].at.family == 4 ? &out4 : &out6;

		if (!config_is_ours(c, to))
			*to = c->prefix[i].at;
	}
	if (c->n_prefixes && !config_is_ours(c, &out4))
		out4.family = 0;
	if (c->n_prefixes && !config_is_ours(c, &out6))
		out6.family = 0;
	out4.port = out6.port = 0;
	for (int i = 0; i < c->outbound_lines.n && c->n_prefixes; i++)
		derive_out_line(c, "OutboundBindAddress", c->outbound_lines.v[i], &out4, &out6, m);
	c->out_or4 = c->out_exit4 = out4;
	c->out_or6 = c->out_exit6 = out6;
	for (int i = 0; i < c->outbound_or_lines.n && c->n_prefixes; i++)
		derive_out_line(c, "OutboundBindAddressOR", c->outbound_or_lines.v[i], &c->out_or4,
				&c->out_or6, m);
	for (int i = 0; i < c->outbound_exit_lines.n && c->n_prefixes; i++)
		derive_out_line(c, "OutboundBindAddressExit", c->outbound_exit_lines.v[i],
				&c->out_exit4, &c->out_exit6, m);
}

const struct addr *config_dial_from(const struct config *c, int family, bool is_exit_stream)
{
	const struct addr *a = family == 4 ? (is_exit_stream ? &c->out_exit4 : &c->out_or4)
					   : (is_exit_stream ? &c->out_exit6 : &c->out_or6);

	return (family == 4 || family == 6) && a->family ? a : NULL;
}

/* ---- SafeLogging, limits ---- */

static void derive_scrub(struct config *c, struct config_messages *m)
{
	const char *t = c->safe_logging_text ? c->safe_logging_text : "1";

	c->scrub = CONFIG_SCRUB_ALL;
	if (strcmp(t, "0") == 0)
		c->scrub = CONFIG_SCRUB_NONE;
	else if (strcasecmp(t, "relay") == 0)
		c->scrub = CONFIG_SCRUB_RELAY;
	else if (strcmp(t, "1") != 0)
		config_say(m, true, NULL, 0,
			   "SafeLogging \"%s\" is not possible: give 0, 1 or relay", t);
}

/* What tor takes when MaxMemInQueues is not set: 0.4 of a large memory, 0.75 of a small one. */
int64_t config_memory_for_queues(int64_t all)
{
	int64_t v = all >= 8ll << 30 ? all / 5 * 2 : all / 4 * 3;

	return MIN(MAX(v, 256ll << 20), 8ll << 30);
}

static int64_t smaller_limit(int64_t a, int64_t b)
{
	return b && (!a || b < a) ? b : a;
}

#define HALFLIFE_LEAST_S 0.00001 /* below it tor takes its default (circuitmux_ewma.c) */

static void derive_limits(struct config *c, struct config_messages *m)
{
	int64_t *caps[] = {&c->bandwidth_rate,		 &c->bandwidth_burst,
			   &c->relay_bandwidth_rate,	 &c->relay_bandwidth_burst,
			   &c->max_advertised_bandwidth, &c->per_conn_bw_rate,
			   &c->per_conn_bw_burst};

	for (size_t i = 0; i < ARRAY_LEN(caps); i++)
		*caps[i] = MIN(*caps[i], INT32_MAX);
	if (!c->relay_bandwidth_burst)
		c->relay_bandwidth_burst = c->relay_bandwidth_rate;
	if (!c->relay_bandwidth_rate)
		c->relay_bandwidth_rate = c->relay_bandwidth_burst;
	c->bandwidth_rate = MAX(c->bandwidth_rate, c->relay_bandwidth_rate);
	c->bandwidth_burst = MAX(c->bandwidth_burst, c->relay_bandwidth_burst);
	c->relay_rate = smaller_limit(c->bandwidth_rate, c->relay_bandwidth_rate);
	c->relay_burst = smaller_limit(c->bandwidth_burst, c->relay_bandwidth_burst);
	if (c->circuit_priority_halflife_s >= -HALFLIFE_LEAST_S &&
	    c->circuit_priority_halflife_s < HALFLIFE_LEAST_S) {
		config_say(m, false, NULL, 0,
			   "CircuitPriorityHalflife is too small: 30 seconds are taken");
		c->circuit_priority_halflife_s = 30;
	}
	c->max_mem = c->max_mem_in_queues;
	if (!c->max_mem)
		c->max_mem = config_memory_for_queues((int64_t)sysconf(_SC_PHYS_PAGES) *
						      sysconf(_SC_PAGESIZE));
	if (c->max_mem < 64ll << 20) {
		config_say(m, false, NULL, 0,
			   "MaxMemInQueues is too low for a relay: 64 MB are taken");
		c->max_mem = 64ll << 20;
	}
}

static void derive_publish(struct config *c, struct config_messages *m)
{
	static const char *const known[] = {"0", "1", "v1", "v2", "v3", "hidserv"};

	c->publish = false;
	for (int i = 0; i < c->publish_server_descriptor_csv.n; i++) {
		const char *v = c->publish_server_descriptor_csv.v[i];
		bool ok = false;

		for (size_t k = 0; k < ARRAY_LEN(known); k++)
			ok |= strcasecmp(known[k], v) == 0;
		if (!ok)
			config_say(m, true, NULL, 0,
				   "PublishServerDescriptor \"%s\" is not possible: "
				   "give 0 or 1 (bridges are not served)",
				   v);
		if (strcmp(v, "1") == 0 || strcasecmp(v, "v3") == 0)
			c->publish = true;
	}
}

static char *directory_or(const char *given, const char *base_dir, const char *below)
{
	char *path = NULL;

	if (given)
		return strdup(given);
	if (asprintf(&path, "%s%s", base_dir ? base_dir : "", below) < 0)
		return NULL;
	return path;
}

void config_derive_drop(struct config *c)
{
	logs_drop(c);
	free(c->keys_dir);
	free(c->cache_dir);
	c->keys_dir = c->cache_dir = NULL;
}

int config_derive(struct config *c, struct config_messages *m)
{
	config_derive_drop(c);
	derive_prefixes(c, m);
	derive_gateways(c, m);
	derive_cores(c, m);
	derive_or_ports(c, m);
	derive_addresses(c, m);
	derive_outbound(c, m);
	derive_dir_auths(c, m);
	derive_logs(c, m);
	derive_scrub(c, m);
	derive_limits(c, m);
	derive_publish(c, m);
	c->is_exit =
		c->exit_relay == 1 ||
		(c->exit_relay < 0 && (c->exit_policy.n || c->ipv6_exit || c->reduced_exit_policy));
	c->keys_dir = directory_or(c->key_directory, c->data_directory, "/keys");
	c->cache_dir = directory_or(c->cache_directory, c->data_directory, "");
	if (!c->keys_dir || !c->cache_dir)
		config_say(m, true, NULL, 0, "out of memory");
	return m->n_errors ? ERR_CONFIG : 0;
}

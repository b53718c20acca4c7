/* rules.c - what options demand of each other. Each rule names the option and the way out. */
#include "controlplane/config/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define LEAST_BANDWIDTH (75 * 1024) /* tor's for a relay, bytes a second */

static void rule_identity(struct config *c, struct config_messages *m)
{
	const char *n = c->nickname ? c->nickname : "";
	size_t len = strlen(n);

	for (const char *p = n; *p; p++) {
		if (!isalnum((unsigned char)*p))
			len = 0;
	}
	if (len < 1 || len > 19)
		config_say(m, true, NULL, 0,
			   "Nickname \"%s\" is not possible: take 1 to 19 letters and "
			   "digits",
			   n);
	if (c->contact_info && strpbrk(c->contact_info, "\r\n"))
		config_say(m, true, NULL, 0,
			   "ContactInfo holds a line break: write it on one line");
	if (!c->contact_info && c->publish)
		config_say(m, false, NULL, 0,
			   "ContactInfo is not set: set it, so that the network can "
			   "reach you when something is wrong");
	if (!c->contact_info && c->my_family.n)
		config_say(m, false, NULL, 0,
			   "MyFamily without ContactInfo is useless to others: set "
			   "ContactInfo");
}

/* "$FINGERPRINT" in capitals, or a nickname in small letters, as in a descriptor. */
static void rule_family(struct config *c, struct config_messages *m)
{
	for (int i = 0; i < c->my_family.n; i++) {
		char *item = c->my_family.v[i], *fresh = NULL;
		uint8_t id[20];
		size_t skip = *item == '$', len = strcspn(item, "=~");

		if (len == 40 + skip)
			item[len] = '\0';
		if (text_hex(item + skip, id, 20)) {
			if (asprintf(&fresh, "$%s", item + skip) < 0)
				fresh = NULL;
			for (char *p = fresh; p && *p; p++)
				*p = (char)toupper((unsigned char)*p);
		} else {
			config_say(m, skip, NULL, 0,
				   "MyFamily \"%s\" is no fingerprint: write $ and 40 hex "
				   "digits",
				   item);
			fresh = strdup(item);
		}
		if (fresh) {
			free(item);
			c->my_family.v[i] = fresh;
		}
	}
}

static void rule_bandwidth(struct config *c, struct config_messages *m)
{
	const struct {
		const char *name;
		int64_t value, least;
	} rows[] = {
		{"BandwidthRate", c->bandwidth_rate, LEAST_BANDWIDTH},
		{"MaxAdvertisedBandwidth", c->max_advertised_bandwidth, LEAST_BANDWIDTH / 2},
		{"RelayBandwidthRate",
		 c->relay_bandwidth_rate ? c->relay_bandwidth_rate : LEAST_BANDWIDTH,
		 LEAST_BANDWIDTH},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].value < rows[i].least)
			config_say(m, true, NULL, 0,
				   "%s is %lld bytes a second: a relay needs at least "
				   "%lld",
				   rows[i].name, (long long)rows[i].value,
				   (long long)rows[i].least);
	}
	if (c->bandwidth_burst < c->bandwidth_rate)
		config_say(m, true, NULL, 0, "BandwidthBurst is below BandwidthRate: raise it");
	if (c->relay_bandwidth_burst < c->relay_bandwidth_rate)
		config_say(m, true, NULL, 0,
			   "RelayBandwidthBurst is below RelayBandwidthRate: raise it");
}

static void rule_ports(struct config *c, struct config_messages *m)
{
	static const char *const kinds[] = {"af_packet", "af_packet_pmd", "af_xdp",
					    "tap",	 "memif",	  "pci"};
	const char *port = c->dataplane_port ? c->dataplane_port : "";
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t len = strlen(kinds[i]);

		known |= strncmp(port, kinds[i], len) == 0 && port[len] == ':' && port[len + 1];
	}
	if (!known)
		config_say(m, true, NULL, 0,
			   "DataplanePort \"%s\" names no port: write it like "
			   "af_packet:eth1, af_xdp:eth1, tap:ramson0, memif:/run/m.sock "
			   "or pci:0000:01:00.0",
			   port);
	if (!c->n_prefixes && !c->dataplane_address_lines.n)
		config_say(m, true, NULL, 0,
			   "DataplaneAddress is missing: give the relay an address of "
			   "its own, like DataplaneAddress 192.0.2.7/24");
	if (!c->or_port_lines.n)
		config_say(m, true, NULL, 0, "ORPort is missing: add a line like ORPort 9001");
	else if (!c->address4.family && !m->n_errors)
		config_say(m, true, NULL, 0,
			   "no advertised ORPort has an IPv4 address, which every relay "
			   "needs: add an IPv4 DataplaneAddress and ORPort");
}

static bool is_one_of(const char *v, const char *a, const char *b)
{
	return v && (strcasecmp(v, a) == 0 || strcasecmp(v, b) == 0);
}

static void rule_switches(struct config *c, struct config_messages *m)
{
	if (!is_one_of(c->dataplane_polling, "adaptive", "busy"))
		config_say(m, true, NULL, 0,
			   "DataplanePolling is adaptive or busy: correct the line");
	if (!is_one_of(c->dataplane_tls_order, "ramson", "tor"))
		config_say(m, true, NULL, 0,
			   "DataplaneTLSOrder is ramson or tor: correct the line");
	if (c->assume_reachable && c->assume_reachable_ipv6 == 0)
		config_say(m, true, NULL, 0,
			   "AssumeReachable 1 and AssumeReachableIPv6 0 contradict each "
			   "other: remove one");
	if (c->connection_padding >= 0)
		config_say(m, true, NULL, 0,
			   "ConnectionPadding must be auto on a relay: remove the line");
	if (c->reduced_connection_padding)
		config_say(m, true, NULL, 0,
			   "ReducedConnectionPadding is for clients: remove the line");
	if (c->heartbeat_period_s && c->heartbeat_period_s < 1800 && !c->testing_tor_network)
		c->heartbeat_period_s = 1800;
}

static void rule_network(struct config *c, struct config_messages *m)
{
	int n_voters = 0;

	for (int i = 0; i < c->n_dir_auths; i++)
		n_voters += c->dir_auth[i].has_v3ident;
	if (!c->dir_authority_lines.n)
		config_say(m, true, NULL, 0,
			   "DirAuthority is missing: this version serves private networks "
			   "only and knows no public authorities: add the DirAuthority "
			   "lines of your network");
	else if (!n_voters && !m->n_errors)
		config_say(m, true, NULL, 0,
			   "no DirAuthority has a v3ident=: add it, or no consensus can "
			   "ever be believed");
}

static void rule_paths(struct config *c, struct config_messages *m)
{
	const struct {
		const char *name, *path;
	} rows[] = {
		{"DataDirectory", c->data_directory},
		{"KeyDirectory", c->keys_dir},
		{"CacheDirectory", c->cache_dir},
		{"PidFile", c->pid_file},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].path && rows[i].path[0] != '/')
			config_say(m, true, NULL, 0,
				   "%s \"%s\" is a relative path: write it from / on", rows[i].name,
				   rows[i].path);
	}
	for (int i = 0; i < c->n_log_targets; i++) {
		const char *path = c->log_target[i].path;

		if (path && *path != '/')
			config_say(m, true, NULL, 0,
				   "Log file \"%s\" is a relative path: write it from / on", path);
	}
}

void config_rules(struct config *c, struct config_messages *m)
{
	rule_identity(c, m);
	rule_family(c, m);
	rule_bandwidth(c, m);
	rule_ports(c, m);
	rule_switches(c, m);
	rule_network(c, m);
	rule_paths(c, m);
}

/* status.c - what each room shows in the status document: sums, never one peer or circuit. */
#include "controlplane/main/control.h"

#include <jansson.h>
#include <stdio.h>

static void put(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void put_hex(json_t *o, const char *key, const uint8_t *p, size_t len)
{
	char text[65];

	for (size_t i = 0; i < len && i < 32; i++)
		snprintf(text + 2 * i, 3, "%02X", p[i]);
	json_object_set_new(o, key, json_string(text));
}

static void put_address(json_t *o, const char *key, const struct addr *a)
{
	char text[ADDR_TEXT];

	if (a->family)
		json_object_set_new(o, key, json_string(addr_text(a, text)));
}

static json_t *relay_section(struct control *c)
{
	static const char *const phases[] = {"running", "draining", "ending"};
	json_t *o = json_object();

	json_object_set_new(o, "state", json_string(phases[c->phase]));
	put_hex(o, "fingerprint", keys_rsa_id(c->keys), KEYS_RSA_ID);
	put_hex(o, "ed25519", keys_ed_id(c->keys), KEYS_ED_ID);
	put_address(o, "orport_ipv4", &c->config.address4);
	put_address(o, "orport_ipv6", &c->config.address6);
	json_object_set_new(o, "exit", json_boolean(c->config.is_exit));
	return o;
}

static json_t *network_section(struct control *c)
{
	int64_t now_s = clock_wall_s();
	json_t *o = json_object();
	struct dir_status s;
	char flags[160];

	dir_status(c->dir, now_s, &s);
	json_object_set_new(o, "consensus", json_string(s.has_consensus ? "live" : "none yet"));
	put(o, "consensus_valid_after", (uint64_t)s.valid_after);
	put(o, "consensus_valid_until", (uint64_t)s.valid_until);
	put(o, "relays_listed", s.n_nodes);
	put(o, "microdescriptors", s.n_mds);
	put(o, "descriptors", s.n_descriptors);
	json_object_set_new(o, "listed", json_boolean(s.is_listed));
	json_object_set_new(o, "flags",
			    json_string(s.is_listed ? dir_flags_text(s.flags, flags) : ""));
	put(o, "weight", s.bandwidth);
	json_object_set_new(o, "reachable_ipv4", json_boolean(s.reachable4));
	json_object_set_new(o, "reachable_ipv6", json_boolean(s.reachable6));
	put(o, "published", (uint64_t)s.published);
	put(o, "authorities_that_took_it", s.n_accepted);
	put(o, "observed_bandwidth", s.observed);
	if (s.why_not_published)
		json_object_set_new(o, "not_published_because", json_string(s.why_not_published));
	put(o, "requests_answered", s.n_requests);
	put(o, "bytes_served", s.n_bytes_served);
	put(o, "fetches", s.n_fetches);
	put(o, "fetch_failures", s.n_fetch_failures);
	return o;
}

static json_t *links_section(struct control *c)
{
	const struct links_stats *s = links_stats(c->links);
	json_t *o = json_object();

#define FIG(name) put(o, #name, s->name)
	FIG(n_clients);
	FIG(n_relays);
	FIG(n_handshakes);
	FIG(n_dials);
	FIG(accepted);
	FIG(dialled);
	FIG(opened_in);
	FIG(opened_out);
	FIG(closed);
	FIG(tls_failed);
	FIG(handshake_failed);
	FIG(timed_out);
	FIG(refused_full);
	FIG(dial_failed);
	FIG(dial_cached);
	FIG(identity_mismatch);
	FIG(stray_messages);
	FIG(reused);
#undef FIG
	put(o, "tls_1_2", s->tls_version[0]);
	put(o, "tls_1_3", s->tls_version[1]);
	return o;
}

static json_t *circuits_section(struct control *c)
{
	const struct circ_figures *f = circ_figures(c->circs);
	json_t *o = json_object();

#define X(name, what) put(o, #name, f->name);
	CIRC_FIGURES(X)
#undef X
	put(o, "n_circs", f->n_circs);
	put(o, "n_dir_streams", f->n_dir_streams);
	put(o, "dir_bytes", f->dir_bytes);
	return o;
}

static json_t *handshakes_section(struct control *c)
{
	static const char *const names[] = {"tap", "fast", "ntor", "ntor3"};
	struct handshake_figures f;
	json_t *o = json_object();
	char key[32];

	handshake_pool_figures(c->pool, &f);
	for (int i = 1; i < 4; i++) {
		const struct {
			const char *name;
			uint64_t v;
		} rows[] = {
			{"asked", f.asked[i]},	   {"answered", f.answered[i]},
			{"failed", f.failed[i]},   {"refused", f.refused[i]},
			{"too_old", f.too_old[i]},
		};

		for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
			snprintf(key, sizeof(key), "%s_%s", names[i], rows[k].name);
			put(o, key, rows[k].v);
		}
	}
	put(o, "threads", f.n_threads);
	put(o, "waiting", f.n_waiting);
	put(o, "usec_each", f.usec_each);
	return o;
}

static json_t *dns_section(struct control *c)
{
	struct dns_figures f;
	json_t *o = json_object();

	dns_figures(c->dns, &f);
#define X(name, what) put(o, #name, f.name);
	DNS_FIGURES(X)
#undef X
	put(o, "n_cached", f.n_cached);
	put(o, "n_waiting", f.n_waiting);
	put(o, "n_in_flight", f.n_in_flight);
	return o;
}

static json_t *hs_section(struct control *c)
{
	const struct hs_figures *f = hs_figures(c->hs);
	json_t *o = json_object();

#define X(name, what) put(o, #name, f->name);
	HS_FIGURES(X)
#undef X
	return o;
}

static json_t *origin_section(struct control *c)
{
	struct origin_status s;
	json_t *o = json_object();

	origin_status(c->origin, &s);
	put(o, "circuits_open", s.n_circs);
	put(o, "fetches_open", s.n_fetches);
	put(o, "circuits_opened", s.n_opened);
	put(o, "circuits_failed", s.n_failed);
	put(o, "cells_bad", s.n_cells_bad);
	return o;
}

static json_t *defences_section(struct control *c)
{
	struct defend_figures f = defend_figures(c);
	json_t *o = json_object();

#define FIG(name) put(o, #name, f.name)
	FIG(circuit_rejected);
	FIG(circuit_killed_max_cell);
	FIG(circuit_killed_max_cell_outq);
	FIG(marked_address);
	FIG(marked_address_maxq);
	FIG(conn_rejected);
	FIG(concurrent_conn_rejected);
	FIG(single_hop_refused);
	FIG(introduce2_rejected);
	FIG(stream_rejected);
	FIG(n_addresses);
	FIG(forgotten);
#undef FIG
	return o;
}

void status_fill(void *arg, json_t *root)
{
	static const struct {
		const char *name;
		json_t *(*make)(struct control *c);
	} sections[] = {
		{"relay", relay_section},	    {"network", network_section},
		{"links", links_section},	    {"circuits", circuits_section},
		{"handshakes", handshakes_section}, {"dns", dns_section},
		{"onion services", hs_section},	    {"own circuits", origin_section},
		{"defences", defences_section},
	};

	for (size_t i = 0; i < ARRAY_LEN(sections); i++)
		json_object_set_new(root, sections[i].name, sections[i].make(arg));
}

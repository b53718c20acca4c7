/* publish.c - when our descriptor is made anew and who gets it: the gate (T2), the reasons to
 * republish (D4), the uploads (D3). */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/dir/internal.h"
#include "controlplane/keys/keys.h"

#define REPUBLISH_S	  (18 * 3600)
#define MISSING_RETRY_S	  (90 * 60)
#define BANDWIDTH_GAP_S	  (3 * 3600)
#define BANDWIDTH_EARLY_S 86400
#define BANDWIDTH_TEST_S  30 /* from the test's first cell until its seconds are counted */
#define LOOK_S		  60
#define DIR_RATE_MIN	  51200
#define TEST_RATE	  51200
#define TEST_EVERY_S	  (12 * 3600)

const struct config_or_port *advertised(const struct config *c, int family)
{
	for (int i = 0; i < c->n_or_ports; i++)
		if (c->or_port[i].advertise && c->or_port[i].at.family == family)
			return &c->or_port[i];
	return NULL;
}

static const struct addr *published_addr(const struct config *c, int family)
{
	return family == 4 ? &c->address4 : &c->address6;
}

static bool is_waived(const struct dir *d, int family)
{
	int v6 = d->config->assume_reachable_ipv6;

	if (family == 4)
		return d->config->assume_reachable || dir_param(d, DIR_PARAM_assume_reachable);
	if (v6 >= 0)
		return v6;
	return d->config->assume_reachable || dir_param(d, DIR_PARAM_assume_reachable) ||
	       dir_param(d, DIR_PARAM_assume_reachable_ipv6);
}

/* What was proven of another address than today's counts no more. */
static bool is_proven(const struct dir *d, int family)
{
	const struct addr *a = &d->reached[family == 6], *now = published_addr(d->config, family);

	return a->family && addr_same_ip(a, now) && a->port == now->port;
}

/* The authorities test every published ORPort themselves. As long as they list us as running at
 * this very address, to hold back a descriptor that repeats it helps nobody: it would only keep
 * what has changed from them, for as long as the self-test takes after a restart. */
static bool is_listed(const struct dir *d, int family)
{
	const struct consensus *c = d->current[FLAVOUR_MICRODESC];
	const struct addr *now = published_addr(d->config, family), *at;
	const struct dir_node *n;

	if (!c || d->now > c->valid_until)
		return false;
	n = consensus_find(c, keys_rsa_id(d->keys));
	if (!n || !(n->flags & DIR_RUNNING))
		return false;
	at = family == 4 ? &n->or4 : &n->or6;
	return at->family && addr_same_ip(at, now) && at->port == now->port;
}

bool is_reachable(const struct dir *d, int family)
{
	return is_proven(d, family) || is_waived(d, family) || is_listed(d, family);
}

bool dir_wants_selftest(const struct dir *d, int family)
{
	return published_addr(d->config, family)->family && !is_proven(d, family) &&
	       !is_waived(d, family);
}

void dir_set_reachable(struct dir *d, int family)
{
	char buf[ADDR_TEXT];

	if ((family != 4 && family != 6) || !published_addr(d->config, family)->family ||
	    is_proven(d, family))
		return;
	d->reached[family == 6] = *published_addr(d->config, family);
	log_notice("Self-test: our ORPort %s is reachable from the outside.",
		   config_addr_text(d->config, published_addr(d->config, family), buf));
	publish_dirty(d, "ORPort found reachable");
}

void publish_dirty(struct dir *d, const char *reason)
{
	if (d->pub.dirty)
		return;
	d->pub.dirty = true;
	snprintf(d->pub.reason, sizeof(d->pub.reason), "%s", reason);
}

/* Why the descriptor must not go out yet; NULL: nothing (T2, V2). */
static const char *gate(const struct dir *d)
{
	const struct config *c = d->config;

	if (!c->publish)
		return "PublishServerDescriptor is 0";
	if (!c->address4.family || !c->address4.port)
		return "no IPv4 ORPort to advertise";
	if (!is_reachable(d, 4))
		return "the IPv4 ORPort is not proven reachable";
	if (c->address6.family && !is_reachable(d, 6))
		return "the IPv6 ORPort is not proven reachable";
	if (d->missing_protocol[0] && !c->testing_tor_network)
		return "the network requires a protocol that this version lacks";
	return NULL;
}

/* ---- making ---- */
static uint32_t capped(int64_t v)
{
	return (uint32_t)MIN(MAX(v, 0), INT32_MAX);
}

static uint32_t observed_now(const struct dir *d)
{
	int64_t min_s = d->config->testing_min_time_to_report_bandwidth_s;
	uint64_t r = bwhist_best(&d->read, min_s), w = bwhist_best(&d->written, min_s);

	if (d->hibernating)
		return 0;
	return capped((int64_t)MIN(MIN(r, w), INT32_MAX));
}

static bool serves_directory(const struct config *c)
{
	return c->dir_cache && c->address4.family && c->bandwidth_rate >= DIR_RATE_MIN &&
	       (!c->relay_bandwidth_rate || c->relay_bandwidth_rate >= DIR_RATE_MIN);
}

static void document_fill(const struct dir *d, struct own_document *o, int64_t now)
{
	const struct config *c = d->config;

	o->published = MAX(now, d->pub.published + 1);
	o->with_or6 = c->address6.family && is_reachable(d, 6);
	o->rate = capped(MIN(c->relay_rate, c->max_advertised_bandwidth));
	o->burst = capped(MAX(c->relay_burst, (int64_t)o->rate));
	o->observed = observed_now(d);
	o->uptime = MAX(now - d->started, 0);
	o->hibernating = d->hibernating;
	o->tunnelled_dir = serves_directory(c);
	o->extra_stats = c->extra_info_statistics;
	if (c->overload_statistics)
		o->overload_hour = stats_overload_hour(&d->stats, now);
	o->policy = d->policy ? d->policy : "reject *:*\n";
	o->policy6 = d->policy6;
}

static int documents_make(struct dir *d, const struct own_document *o, struct text *descriptor,
			  struct text *extra)
{
	uint8_t sha1[20], sha256[32];
	int error = extrainfo_build(d, o, extra, sha1, sha256);

	return error ? error : descriptor_build(d, o, sha1, sha256, descriptor);
}

static void publish_make(struct dir *d, int64_t now)
{
	struct publisher *p = &d->pub;
	struct own_document o = {0};
	struct text descriptor = {0}, extra = {0};
	struct bytes rest;
	struct router r;

	p->looked_at = now;
	document_fill(d, &o, now);
	if (documents_make(d, &o, &descriptor, &extra))
		goto bad;
	rest = bytes_of(descriptor.p, descriptor.len);
	if (router_next(&r, &rest) != 1)
		goto bad;
	memcpy(p->digest, r.digest, 20);
	text_free(&p->descriptor);
	text_free(&p->extrainfo);
	p->descriptor = descriptor;
	p->extrainfo = extra;
	p->published = o.published;
	p->made_at = now;
	if (p->observed != o.observed)
		p->bandwidth_changed_at = now;
	p->observed = o.observed;
	p->with_or6 = o.with_or6;
	p->dirty = false;
	p->generation++;
	for (unsigned i = 0; i < CONFIG_DIR_AUTHS; i++) {
		p->to[i].accepted = p->to[i].refused = false;
		p->to[i].retry.next_at = now;
		p->to[i].retry.n_tries = 0;
	}
	log_info("Made a new descriptor (%s): observed bandwidth %u B/s.", p->reason, p->observed);
	return;
bad:
	text_free(&descriptor);
	text_free(&extra);
	log_warn("Could not make our descriptor: keys, memory or a setting are not as they "
		 "should be.");
}

/* ---- reasons ---- */
static void check_age(struct dir *d, int64_t now)
{
	const struct publisher *p = &d->pub;

	if (!p->made_at)
		publish_dirty(d, "first descriptor since start");
	else if (now - p->made_at >= REPUBLISH_S || now < p->made_at - 3600)
		publish_dirty(d, "time for new descriptor");
}

static void check_bandwidth(struct dir *d, int64_t now)
{
	struct publisher *p = &d->pub;
	uint32_t was = p->observed, is = observed_now(d);
	int64_t settled = d->bandwidth_test_at + BANDWIDTH_TEST_S;

	if (!p->made_at || now - d->started > BANDWIDTH_EARLY_S)
		return;
	/* What was published before our own bandwidth test had shown anything is no figure: it may
	 * be corrected once. */
	if (was && now - p->bandwidth_changed_at < BANDWIDTH_GAP_S &&
	    !(p->made_at < settled && now >= settled))
		return;
	if (was != is && (!was || is > 2 * (uint64_t)was || is < was / 2))
		publish_dirty(d, "bandwidth has changed");
}

static void check_listed(struct dir *d, int64_t now)
{
	const struct consensus *c = d->current[FLAVOUR_MICRODESC];
	int64_t wait = d->config->testing_tor_network ? LOOK_S : MISSING_RETRY_S;
	const struct dir_node *n;

	if (!d->pub.made_at || !c || now - d->pub.made_at < wait || now > c->valid_until)
		return;
	n = consensus_find(c, keys_rsa_id(d->keys));
	if (!n)
		publish_dirty(d, "not listed in consensus");
	else if (n->flags & DIR_STALE_DESC)
		publish_dirty(d, "listed as stale in consensus");
}

/* ---- uploads ---- */
struct upload_ask {
	struct dir *d;
	unsigned i, generation;
};

static const char *auth_name(const struct dir *d, unsigned i)
{
	return d->config->dir_auth[i].nickname;
}

static void upload_done(void *arg, int status, const uint8_t *body, size_t len)
{
	struct upload_ask *a = arg;
	struct dir *d = a->d;
	struct upload *u = &d->pub.to[a->i];
	bool testing = d->config->testing_tor_network;

	u->retry.busy = false;
	if (a->generation != d->pub.generation) {
		u->retry.next_at = d->now; /* what it took is history */
	} else if (status == 200) {
		u->accepted = true;
		u->accepted_at = d->now;
		log_notice("Authority %s took our descriptor.", auth_name(d, a->i));
	} else if (status == 400) {
		u->refused = true;
		log_warn("Authority %s refused our descriptor: %.*s", auth_name(d, a->i),
			 (int)MIN(len, 200), body ? (const char *)body : "");
	} else {
		u->retry.next_at = d->now + retry_delay(d, u->retry.n_tries++, testing ? 2 : 60,
							testing ? 20 : 3600);
		log_info("Upload to authority %s failed (%d).", auth_name(d, a->i), status);
	}
	free(a);
}

static void auth_target(const struct dir *d, unsigned i, struct dir_target *t)
{
	const struct config_dir_auth *a = &d->config->dir_auth[i];
	const struct dir_node *n = dir_node_by_rsa(d, a->rsa_id);

	memset(t, 0, sizeof(*t));
	if (n)
		dir_target_of(t, n);
	memcpy(t->rsa_id, a->rsa_id, 20);
	if (a->or4.family)
		t->or4 = a->or4;
	if (a->or6.family)
		t->or6 = a->or6;
}

static void upload_start(struct dir *d, unsigned i, int64_t now)
{
	struct upload *u = &d->pub.to[i];
	struct upload_ask *a = malloc(sizeof(*a));
	struct dir_target target;
	struct text req = {0};
	char buf[ADDR_TEXT];
	int error = ERR_FULL;

	auth_target(d, i, &target);
	text_printf(&req,
		    "POST /tor/ HTTP/1.0\r\nHost: %s\r\nX-Desc-Gen-Reason: %s\r\n"
		    "Content-Length: %zu\r\n\r\n",
		    addr_text(&d->config->dir_auth[i].dir, buf), d->pub.reason,
		    d->pub.descriptor.len + d->pub.extrainfo.len);
	text_add(&req, d->pub.descriptor.p, d->pub.descriptor.len);
	text_add(&req, d->pub.extrainfo.p, d->pub.extrainfo.len);
	if (a && !req.bad) {
		*a = (struct upload_ask) {d, i, d->pub.generation};
		error = d->fetch(d->fetch_ctx, &target, (uint8_t *)req.p, req.len, 65536,
				 upload_done, a);
	}
	text_free(&req);
	if (error) {
		free(a);
		u->retry.next_at = now + retry_delay(d, u->retry.n_tries++, 2, 600);
		return;
	}
	u->retry.busy = true;
}

static bool is_ours(const struct dir *d, unsigned i)
{
	return memcmp(d->config->dir_auth[i].rsa_id, keys_rsa_id(d->keys), 20) == 0;
}

void publish_tick(struct dir *d, int64_t now)
{
	struct publisher *p = &d->pub;
	int64_t gap = d->config->testing_tor_network ? 2 : LOOK_S;

	check_age(d, now);
	if (now - p->looked_at >= gap || now < p->looked_at) {
		check_bandwidth(d, now);
		check_listed(d, now);
		if (p->dirty && d->config->address4.family)
			publish_make(d, now);
		p->looked_at = now;
	}
	p->why_not = gate(d);
	if (p->why_not || !p->made_at)
		return;
	for (int i = 0; i < d->config->n_dir_auths; i++) {
		struct upload *u = &p->to[i];

		if (d->config->dir_auth[i].has_v3ident && !is_ours(d, (unsigned)i) &&
		    !u->retry.busy && !u->accepted && !u->refused && now >= u->retry.next_at)
			upload_start(d, (unsigned)i, now);
	}
}

void publish_fini(struct dir *d)
{
	text_free(&d->pub.descriptor);
	text_free(&d->pub.extrainfo);
}

/* ---- the public face ---- */
static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

void dir_set_policy(struct dir *d, const char *lines, const char *ipv6_summary)
{
	if (ipv6_summary && strcmp(ipv6_summary, "reject 1-65535") == 0)
		ipv6_summary = NULL;
	if (same_text(d->policy, lines) && same_text(d->policy6, ipv6_summary))
		return;
	free(d->policy);
	free(d->policy6);
	d->policy = strdup(lines);
	d->policy6 = ipv6_summary ? strdup(ipv6_summary) : NULL;
	publish_dirty(d, "exit policy changed");
}

void dir_keys_changed(struct dir *d)
{
	publish_dirty(d, "rotated keys");
}

void dir_set_hibernating(struct dir *d, bool hibernating)
{
	if (d->hibernating != hibernating)
		publish_dirty(d, "hibernation state changed");
	d->hibernating = hibernating;
}

bool dir_wants_bandwidth_test(const struct dir *d, int64_t now)
{
	if (!is_reachable(d, 4) || d->hibernating)
		return false;
	if (!d->bandwidth_test_at)
		return true;
	return now - d->bandwidth_test_at >= TEST_EVERY_S && observed_now(d) < TEST_RATE;
}

void dir_bandwidth_test_done(struct dir *d, int64_t now)
{
	d->bandwidth_test_at = now;
}

void dir_count_bytes(struct dir *d, int64_t now, uint64_t n_read, uint64_t n_written)
{
	bwhist_add(&d->read, now, n_read);
	bwhist_add(&d->written, now, n_written);
}

const char *dir_own_descriptor(const struct dir *d, size_t *len)
{
	*len = d->pub.descriptor.len;
	return d->pub.descriptor.p;
}

const char *dir_own_extrainfo(const struct dir *d, size_t *len)
{
	*len = d->pub.extrainfo.len;
	return d->pub.extrainfo.p;
}

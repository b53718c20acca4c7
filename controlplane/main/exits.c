/* exits.c - what leaves here: the policy for streams and descriptor, the resolver, and addresses
 * that no stream may reach. */
#include "controlplane/main/control.h"

#define POLICY_TEXT 65536

/* Addresses that a policy must know as ours: published ones; with
 * ExitPolicyRejectLocalInterfaces all. */
static size_t own_addresses(const struct config *f, struct addr own[CONFIG_PREFIXES + 2])
{
	size_t n = 0;

	if (f->address4.family)
		own[n++] = f->address4;
	if (f->address6.family)
		own[n++] = f->address6;
	for (int i = 0; i < f->n_prefixes && f->exit_policy_reject_local_interfaces; i++)
		own[n++] = f->prefix[i].at;
	return n;
}

int exits_policy(const struct config *f, struct policy **p, char *why)
{
	struct addr own[CONFIG_PREFIXES + 2];
	struct policy_setup s = {
		.lines = (const char *const *)f->exit_policy.v,
		.n_lines = (size_t)f->exit_policy.n,
		.exit_relay = f->exit_relay,
		.ipv6_exit = f->ipv6_exit,
		.reject_private = f->exit_policy_reject_private,
		.reduced = f->reduced_exit_policy,
		.own = own,
		.n_own = own_addresses(f, own),
	};

	return policy_new(p, &s, why);
}

struct dns_setup exits_dns_setup(const struct config *f)
{
	struct dns_setup s = DNS_SETUP_DEFAULT;

	s.resolv_conf = f->server_dns_resolv_conf_file;
	s.randomize_case = f->server_dns_randomize_case;
	return s;
}

int exits_open(struct control *c)
{
	struct dns_setup s = exits_dns_setup(&c->config);
	char why[POLICY_ERROR];

	if (exits_policy(&c->config, &c->policy, why) < 0) {
		log_err("ExitPolicy: %s", why);
		return ERR_CONFIG;
	}
	if (dns_new(&c->dns, c->base, &s) < 0) {
		log_err("the resolver could not be set up");
		return ERR_SYSTEM;
	}
	return 0;
}

/* The same policy for all three: streams, descriptor, and its IPv6 summary. */
static void publish_policy(struct control *c)
{
	static char lines[POLICY_TEXT], summary[POLICY_TEXT];

	if (policy_lines(c->policy, lines, sizeof(lines)) < 0 ||
	    policy_summary(c->policy, 6, summary, sizeof(summary)) < 0) {
		log_warn("the exit policy is too long for a descriptor: nothing is announced as "
			 "open");
		dir_set_policy(c->dir, "reject *:*\n", NULL);
		return;
	}
	dir_set_policy(c->dir, lines, c->config.ipv6_exit ? summary : NULL);
}

void exits_settings(struct control *c, struct circ_settings *s, struct addr deny[CONTROL_DENY])
{
	const struct config *f = &c->config;
	size_t n = 0;

	for (int i = 0; i < f->n_gateways && n < CONTROL_DENY; i++)
		deny[n++] = f->gateway[i];
	for (int i = 0; i < f->n_prefixes && n < CONTROL_DENY; i++)
		deny[n++] = f->prefix[i].at;
	n += dns_servers(c->dns, deny + n, CONTROL_DENY - n);
	s->deny = deny;
	s->n_deny = n;
	s->policy = c->policy;
	s->ipv6_exit = f->ipv6_exit;
	s->exit4 = f->out_exit4;
	s->exit6 = f->out_exit6;
}

/* What introduction and rendezvous points obey. */
static void configure_hs(struct control *c)
{
	const struct hs_settings s = {
		.intro_defence = dir_param(c->dir, DIR_PARAM_HiddenServiceEnableIntroDoSDefense),
		.intro_rate = (uint32_t)dir_param(c->dir,
						  DIR_PARAM_HiddenServiceEnableIntroDoSRatePerSec),
		.intro_burst = (uint32_t)dir_param(
			c->dir, DIR_PARAM_HiddenServiceEnableIntroDoSBurstPerSec),
		.refuse_single_hop =
			dir_param(c->dir, DIR_PARAM_DoSRefuseSingleHopClientRendezvous),
	};

	hs_configure(c->hs, &s);
}

static void configure_circs(struct control *c)
{
	struct addr deny[CONTROL_DENY];
	struct circ_settings s = {
		.extend_private = c->config.extend_allow_private_addresses,
		.ipv6_orport = c->config.address6.family != 0,
		.refuse_unknown_exits = dir_param(c->dir, DIR_PARAM_refuseunknownexits) != 0,
		.allow_reentry = dir_param(c->dir, DIR_PARAM_allow_network_reentry) != 0,
		.dir_cache = c->config.dir_cache,
		.dir_stall_s = (uint32_t)c->config.testing_dir_connection_max_stall_s,
		.hibernating = c->phase != CONTROL_RUNS,
	};

	memcpy(s.rsa_id, keys_rsa_id(c->keys), sizeof(s.rsa_id));
	memcpy(s.ed_id, keys_ed_id(c->keys), sizeof(s.ed_id));
	exits_settings(c, &s, deny);
	if (circ_configure(c->circs, &s) < 0)
		log_warn("memory is short: circuits keep their old settings");
}

void exits_configure(struct control *c)
{
	struct policy *fresh, *old = c->policy;
	char why[POLICY_ERROR];

	dns_params(c->dns, (uint32_t)dir_param(c->dir, DIR_PARAM_exit_dns_timeout),
		   (uint32_t)dir_param(c->dir, DIR_PARAM_exit_dns_num_attempts));
	if (exits_policy(&c->config, &fresh, why) < 0) {
		log_warn("ExitPolicy: %s: the old policy stays", why);
		fresh = NULL;
	} else {
		c->policy = fresh;
	}
	configure_circs(c);
	configure_hs(c);
	publish_policy(c);
	if (fresh)
		policy_free(old);
}

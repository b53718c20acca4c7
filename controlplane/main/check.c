/* check.c - control's part of `ramson check` and `ramson keygen`: policy, resolver, keys. */
#include "controlplane/main/control.h"

#include <stdio.h>

#define ANSWER_WAIT_MS 5000

/* Any answer will do, also that there is no such name. */
static void on_answer(void *arg, const struct dns_answer *a)
{
	bool *reached = arg;

	*reached = a->outcome4 == DNS_OK || a->outcome4 == DNS_NO_SUCH || a->outcome6 == DNS_OK ||
		   a->outcome6 == DNS_NO_SUCH;
}

static bool resolver_answers(struct control *c)
{
	static const struct timeval limit = {ANSWER_WAIT_MS / 1000 + 3, 0};
	struct dns_setup s = exits_dns_setup(&c->config);
	const struct config_list *names = &c->config.server_dns_test_addresses;
	bool reached = false;

	s.limit_ms = ANSWER_WAIT_MS;
	c->base = event_base_new();
	if (!c->base || dns_new(&c->dns, c->base, &s) < 0)
		return false;
	if (dns_ask(c->dns, names->n ? names->v[0] : "www.torproject.org", on_answer, &reached) ==
	    0) {
		struct dns_figures f;

		event_base_loopexit(c->base, &limit);
		do {
			event_base_loop(c->base, EVLOOP_ONCE);
			dns_figures(c->dns, &f);
		} while (f.n_waiting && !event_base_got_exit(c->base));
	}
	dns_free(c->dns);
	c->dns = NULL;
	return reached;
}

int control_check(struct control *c)
{
	char why[POLICY_ERROR];

	if (exits_policy(&c->config, &c->policy, why) < 0) {
		log_err("ExitPolicy: %s: correct the line", why);
		return 2;
	}
	if (!policy_rejects_all(c->policy) && !resolver_answers(c)) {
		log_err("no resolver answers: an exit needs one: correct %s, or name another file "
			"with "
			"ServerDNSResolvConfFile",
			c->config.server_dns_resolv_conf_file
				? c->config.server_dns_resolv_conf_file
				: "/etc/resolv.conf");
		return 2;
	}
	return 0;
}

static void print_hex(const char *name, const uint8_t *p, size_t len)
{
	printf("%s ", name);
	for (size_t i = 0; i < len; i++)
		printf("%02X", p[i]);
	putchar('\n');
}

int control_keygen(struct control *c)
{
	struct keys_config kc = rooms_keys_config(&c->config);
	char why[KEYS_WHY_MAX];

	c->keys = keys_open(&kc, clock_wall_s(), why);
	if (!c->keys) {
		log_err("%s", why);
		return 2;
	}
	print_hex("fingerprint", keys_rsa_id(c->keys), KEYS_RSA_ID);
	print_hex("fingerprint-ed25519", keys_ed_id(c->keys), KEYS_ED_ID);
	printf("keys are in %s\n", c->config.keys_dir);
	return 0;
}

/* check.c - control's part of `ramson check` and `ramson keygen`: policy, resolver, keys. */
#include "controlplane/main/control.h"

#include <stdio.h>

#define ANSWER_WAIT_MS 5000

void control_say(const struct config_messages *m)
{
	for (int i = 0; i < m->n; i++)
		log_line(m->v[i].is_error ? LOG_ERR : LOG_WARN, "%s", m->v[i].text);
}

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

static void check_policy(struct control *c, struct config_messages *m)
{
	char why[POLICY_ERROR];

	if (exits_policy(&c->config, &c->policy, why) < 0)
		config_say(m, true, NULL, 0, "ExitPolicy: %s: correct the line", why);
}

static void check_resolver(struct control *c, struct config_messages *m)
{
	const char *file = c->config.server_dns_resolv_conf_file;

	if (!c->policy || policy_rejects_all(c->policy) || resolver_answers(c))
		return;
	if (file)
		config_say(m, true, NULL, 0,
			   "ServerDNSResolvConfFile %s: no resolver answers: an exit needs one: "
			   "correct the file, or name another",
			   file);
	else
		config_say(m, true, NULL, 0,
			   "no resolver answers: an exit needs one: correct /etc/resolv.conf, or "
			   "name another file with ServerDNSResolvConfFile");
}

int control_check(struct control *c)
{
	struct config_messages m = {.lines = c->config.lines};
	int code;

	config_resolve(&c->config, NULL, NULL, &m);
	check_policy(c, &m);
	check_resolver(c, &m);
	code = m.n_errors ? 2 : 0;
	control_say(&m);
	config_messages_free(&m);
	return code;
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

/* stop.c - signals: drain and end, end at once, read the torrc again. */
#include "controlplane/main/control.h"

#include <signal.h>

#define END_WAIT_US 2000000 /* for SHUTDOWN to get through rings that are full */

/* DESTROY, close_notify and FIN everywhere are the dataplane's work; it ends by itself then. */
void stop_now(struct control *c, int code)
{
	if (c->phase == CONTROL_ENDS)
		return;
	c->phase = CONTROL_ENDS;
	c->code = code;
	c->end_at_us = clock_us() + END_WAIT_US;
	door_send_all(c->door, CTL_SHUTDOWN, WID_NONE, 1, NULL, 0, NULL, 0);
	log_notice("closing every link");
}

static void drain(struct control *c)
{
	if (c->phase != CONTROL_RUNS || !c->config.shutdown_wait_length_s) {
		stop_now(c, 0);
		return;
	}
	c->phase = CONTROL_DRAINS;
	c->end_at_us = clock_us() + (uint64_t)c->config.shutdown_wait_length_s * 1000000;
	settings_accept(c, false);
	rooms_configure(c);
	log_notice("no new connections and circuits; closing in %lld s",
		   (long long)c->config.shutdown_wait_length_s);
}

void stop_tick(struct control *c)
{
	if (c->phase == CONTROL_RUNS)
		return;
	if (c->phase == CONTROL_DRAINS && clock_us() >= c->end_at_us)
		stop_now(c, 0);
	if (c->phase == CONTROL_ENDS &&
	    (!door_counts(c->door).queued_bytes || clock_us() >= c->end_at_us))
		event_base_loopbreak(c->base);
}

/* As tor does on SIGHUP: keys and resolver are read again too (interop K12). */
static void reload_rooms(struct control *c, bool same)
{
	int changed = keys_reload(c->keys, clock_wall_s());

	if (changed < 0)
		log_warn("the keys could not be read again: the old ones stay");
	else if (links_renew(c->links) < 0)
		log_warn("the new link certificates could not be taken into use");
	if (changed > 0 && changed & (KEYS_SIGNING | KEYS_ONION))
		dir_keys_changed(c->dir);
	if (dns_reload(c->dns) < 0)
		log_warn("the resolver's settings could not be read again");
	if (!same)
		dir_reconfigure(c->dir, &c->config, clock_wall_s());
	origin_reconfigure(c->origin, &c->config);
	ops_reconfigure(c->ops, &c->config);
	rooms_configure(c);
	settings_push(c);
}

static void reload(struct control *c)
{
	struct config_messages m = {0};
	struct config fresh;

	if (config_load(c->torrc, c->args, c->n_args, &fresh, &m) < 0) {
		log_err("the torrc is wrong: the old settings stay");
	} else {
		config_changed(&c->config, &fresh, &m);
		m.lines = fresh.lines;
		config_resolve(&fresh, &c->config, NULL, &m);
		struct config old = c->config;
		bool same = config_same(&old, &fresh) &&
			    addr_same_ip(&old.address4, &fresh.address4) &&
			    addr_same_ip(&old.address6, &fresh.address6);

		c->config = fresh;
		log_set_level(config_log_level(&c->config));
		reload_rooms(c, same);
		config_free(&old);
		log_notice("read the torrc again");
	}
	control_say(&m);
	config_messages_free(&m);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct control *c = arg;

	if (sig == SIGINT)
		drain(c);
	else if (sig == SIGTERM)
		stop_now(c, 0);
	else if (sig == SIGHUP && c->phase == CONTROL_RUNS)
		reload(c);
}

int signals_open(struct control *c)
{
	static const int which[CONTROL_SIGNALS] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};

	for (int i = 0; i < CONTROL_SIGNALS; i++) {
		c->signals[i] = evsignal_new(c->base, which[i], on_signal, c);
		if (!c->signals[i] || event_add(c->signals[i], NULL) < 0)
			return ERR_SYSTEM;
	}
	return 0;
}

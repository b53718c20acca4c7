/* main.c - ramson-control: reads the torrc, becomes undumpable, opens every room and runs the event
 * loop. The parent starts it, already as User, with the descriptors that ctl.h names. */
#include "controlplane/main/control.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum mode { MODE_RUN, MODE_CHECK, MODE_KEYGEN };

/* No core dump, no debugger, no new privileges: identity keys are in this memory. */
static void harden(const struct config *c)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		log_warn("hardening: %s", strerror(errno));
	if (c->disable_debugger_attachment && prctl(PR_SET_DUMPABLE, 0) < 0)
		log_warn("DisableDebuggerAttachment: %s", strerror(errno));
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	c->tick_n++;
	rooms_tick(c);
	stop_tick(c);
}

static int add_tick(struct control *c)
{
	static const struct timeval tenth = {0, 100000};

	c->tick = event_new(c->base, -1, EV_PERSIST, on_tick, c);
	return c->tick && event_add(c->tick, &tenth) == 0 ? 0 : ERR_SYSTEM;
}

/* The first descriptors that control may be handed; all of them must be its alone. */
static void close_on_exec(unsigned n_workers)
{
	for (unsigned fd = CTL_FD_MEMORY; fd < CTL_FD_WAKE_WORKER + n_workers; fd++)
		fcntl((int)fd, F_SETFD, FD_CLOEXEC);
}

static int attach(struct control *c)
{
	int wake[CTL_WORKERS];
	const char *why;

	for (int i = 0; i < CTL_WORKERS; i++)
		wake[i] = CTL_FD_WAKE_WORKER + i;
	c->door = door_open(CTL_FD_MEMORY, CTL_FD_WAKE_CONTROL, wake, CTL_WORKERS, c->base,
			    control_table, c, &why);
	if (!c->door) {
		log_err("%s (%s): this program is started by \"ramson run\"", why, strerror(errno));
		return ERR_SYSTEM;
	}
	close_on_exec(door_workers(c->door));
	/* Another control was here before, and what it made still flows. Asked for before anything
	 * else: what a worker sends up about a circuit then comes after its replay. */
	if (door_epoch(c->door) > 1 &&
	    door_send_all(c->door, CTL_REPLAY, WID_NONE, 0, NULL, 0, NULL, 0) == 0)
		c->replays_due = door_workers(c->door);
	return 0;
}

static int control_run(struct control *c)
{
	c->base = event_base_new();
	if (!c->base || attach(c) < 0 || signals_open(c) < 0)
		return 1;
	if (rooms_open(c) < 0 || add_tick(c) < 0)
		return 1;
	settings_push(c);
	settings_listen(c);
	log_notice("attached to %u worker(s), epoch %u", door_workers(c->door),
		   door_epoch(c->door));
	event_base_dispatch(c->base);
	return c->code;
}

static void control_free(struct control *c)
{
	rooms_close(c);
	door_close(c->door);
	for (int i = 0; i < CONTROL_SIGNALS; i++) {
		if (c->signals[i])
			event_free(c->signals[i]);
	}
	if (c->tick)
		event_free(c->tick);
	if (c->base)
		event_base_free(c->base);
	config_free(&c->config);
}

/* The parent has said the warnings already; errors can only be new ones, or of names. */
static int load(struct control *c, enum mode mode)
{
	struct config_messages m = {0};
	int rc = config_load(c->torrc, c->args, c->n_args, &c->config, &m);

	m.lines = c->config.lines;
	if (rc == 0 && mode == MODE_RUN)
		rc = config_resolve(&c->config, NULL, NULL, &m);
	if (rc < 0)
		control_say(&m);
	config_messages_free(&m);
	if (rc == 0 && mode == MODE_RUN)
		log_set_level(config_log_level(&c->config));
	return rc;
}

/* [--check|--keygen] -f TORRC [overrides] */
static bool parse(struct control *c, enum mode *mode, int argc, char **argv)
{
	int i = 1;

	*mode = MODE_RUN;
	if (i < argc && strcmp(argv[i], "--check") == 0)
		*mode = MODE_CHECK;
	else if (i < argc && strcmp(argv[i], "--keygen") == 0)
		*mode = MODE_KEYGEN;
	i += *mode != MODE_RUN;
	if (i + 1 >= argc || strcmp(argv[i], "-f") != 0)
		return false;
	c->torrc = argv[i + 1];
	c->args = argv + i + 2;
	c->n_args = argc - i - 2;
	return true;
}

int main(int argc, char **argv)
{
	static struct control c;
	enum mode mode;
	int rc;

	log_open(2, LOG_NOTICE, "control");
	if (!parse(&c, &mode, argc, argv)) {
		log_err("usage: ramson-control [--check|--keygen] -f TORRC; \"ramson run\" starts "
			"it");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (mode == MODE_RUN) /* the parent listens */
		log_open_piped(2, LOG_NOTICE, "control");
	if (load(&c, mode) < 0)
		return 2;
	harden(&c.config);
	switch (mode) {
	case MODE_CHECK:
		rc = control_check(&c);
		break;
	case MODE_KEYGEN:
		rc = control_keygen(&c);
		break;
	default:
		rc = control_run(&c);
	}
	control_free(&c);
	return rc;
}

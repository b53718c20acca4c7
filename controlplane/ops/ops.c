/* ops.c - the status socket and the heartbeat: the figures of the workers, sampled once a second,
 * and what the other rooms add, as one JSON document for each reader. */
#include "controlplane/ops/ops.h"

#include "controlplane/config/config.h"
#include "controlplane/door/door.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_READERS 16

struct sample {
	int64_t at_s;
	struct ctl_figures f[CTL_WORKERS];
};

struct ops {
	struct ops_setup setup;
	struct evconnlistener *listener;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	unsigned n_readers;
	int64_t started_s, now_s, next_heartbeat_s;
	struct sample now, before;
	struct ops_sums at_heartbeat;
};

/* ---- the document ---- */

static void put(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

/* What one second brought; counters that went backwards are those of a new worker. */
static uint64_t rate(const struct ops *o, uint64_t now, uint64_t before)
{
	int64_t s = o->now.at_s - o->before.at_s;

	return s > 0 && now >= before ? (now - before) / (uint64_t)s : 0;
}

static double busy_share(const struct ctl_figures *now, const struct ctl_figures *before)
{
	uint64_t total = now->total_ns - before->total_ns, busy = now->busy_ns - before->busy_ns;

	if (now->total_ns <= before->total_ns || busy > total)
		return 0;
	return (double)busy / (double)total;
}

/* Figures that are summed and shown by worker alike; is_rate: as a rate too. */
static const struct {
	const char *name, *rate_name;
	size_t offset;
} figure_rows[] = {
#define FIG(name, rate)                                                                            \
	{                                                                                          \
#name, rate, offsetof(struct ctl_figures, name)                                    \
	}
	FIG(n_conns, NULL),
	FIG(n_links, NULL),
	FIG(n_circs, NULL),
	FIG(n_streams, NULL),
	FIG(n_legs, NULL),
	FIG(mem_bytes, NULL),
	FIG(link_bytes_in, "link_in_rate"),
	FIG(link_bytes_out, "link_out_rate"),
	FIG(exit_bytes_in, "exit_in_rate"),
	FIG(exit_bytes_out, "exit_out_rate"),
	FIG(cells_in, "cells_in_rate"),
	FIG(cells_out, "cells_out_rate"),
	FIG(cells_relayed, "cells_relayed_rate"),
#undef FIG
};

static uint64_t figure(const struct ctl_figures *f, size_t row)
{
	uint64_t v;

	memcpy(&v, (const uint8_t *)f + figure_rows[row].offset, sizeof(v));
	return v;
}

static json_t *core_object(const struct ops *o, unsigned w)
{
	const struct ctl_figures *now = &o->now.f[w], *before = &o->before.f[w];
	json_t *c = json_object();

	put(c, "worker", w);
	json_object_set_new(c, "busy", json_real(busy_share(now, before)));
	put(c, "turns_rate", rate(o, now->turns, before->turns));
	for (size_t i = 0; i < ARRAY_LEN(figure_rows); i++) {
		put(c, figure_rows[i].name, figure(now, i));
		if (figure_rows[i].rate_name)
			put(c, figure_rows[i].rate_name,
			    rate(o, figure(now, i), figure(before, i)));
	}
	return c;
}

static json_t *totals_object(const struct ops *o)
{
	json_t *t = json_object();

	for (size_t i = 0; i < ARRAY_LEN(figure_rows); i++) {
		uint64_t now = 0, a_second = 0;

		for (unsigned w = 0; w < door_workers(o->setup.door); w++) {
			now += figure(&o->now.f[w], i);
			a_second += rate(o, figure(&o->now.f[w], i), figure(&o->before.f[w], i));
		}
		put(t, figure_rows[i].name, now);
		if (figure_rows[i].rate_name)
			put(t, figure_rows[i].rate_name, a_second);
	}
	return t;
}

void ops_counts(const struct ops *o, uint64_t sums[N_COUNTS])
{
	memset(sums, 0, N_COUNTS * sizeof(*sums));
	for (unsigned w = 0; w < door_workers(o->setup.door); w++)
		for (unsigned id = 0; id < N_COUNTS; id++)
			sums[id] += o->now.f[w].counts.v[id];
}

static json_t *counters_object(const struct ops *o)
{
	uint64_t sums[N_COUNTS];
	json_t *c = json_object();

	ops_counts(o, sums);
	for (unsigned id = 0; id < N_COUNTS; id++)
		if (sums[id])
			put(c, count_name(id), sums[id]);
	return c;
}

static json_t *door_object(const struct ops *o)
{
	struct door_counts d = door_counts(o->setup.door);
	json_t *j = json_object();

	put(j, "epoch", door_epoch(o->setup.door));
	put(j, "up", d.n_up);
	put(j, "down", d.n_down);
	put(j, "queued", d.n_queued);
	put(j, "queued_bytes", d.queued_bytes);
	put(j, "refused", d.n_refused);
	put(j, "bad_message", d.n_bad_message);
	put(j, "old_epoch", d.n_old_epoch);
	put(j, "unhandled", d.n_unhandled);
	return j;
}

static json_t *document(const struct ops *o)
{
	json_t *root = json_object(), *cores = json_array();

	json_object_set_new(root, "program", json_string("ramson"));
	json_object_set_new(root, "version", json_string(o->setup.version));
	json_object_set_new(root, "nickname", json_string(o->setup.config->nickname));
	put(root, "time", (uint64_t)o->now_s);
	put(root, "uptime_s", (uint64_t)(o->now_s - o->started_s));
	json_object_set_new(root, "totals", totals_object(o));
	for (unsigned w = 0; w < door_workers(o->setup.door); w++)
		json_array_append_new(cores, core_object(o, w));
	json_object_set_new(root, "cores", cores);
	json_object_set_new(root, "counters", counters_object(o));
	json_object_set_new(root, "door", door_object(o));
	if (o->setup.fill)
		o->setup.fill(o->setup.ctx, root);
	return root;
}

/* ---- the socket ---- */

static void reader_drop(struct bufferevent *bev, void *arg)
{
	struct ops *o = arg;

	o->n_readers--;
	bufferevent_free(bev);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	reader_drop(bev, arg);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	reader_drop(bev, arg);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len,
		      void *arg)
{
	static const struct timeval patience = {5, 0};
	struct ops *o = arg;
	struct bufferevent *bev;
	json_t *root;
	char *text;

	bev = o->n_readers < MAX_READERS
		      ? bufferevent_socket_new(o->setup.base, fd, BEV_OPT_CLOSE_ON_FREE)
		      : NULL;
	if (!bev) {
		close(fd);
		return;
	}
	o->n_readers++;
	root = document(o);
	text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(4));
	json_decref(root);
	bufferevent_setcb(bev, NULL, on_written, on_event, o);
	bufferevent_set_timeouts(bev, NULL, &patience);
	if (!text || bufferevent_write(bev, text, strlen(text)) < 0 ||
	    bufferevent_write(bev, "\n", 1) < 0 || bufferevent_enable(bev, EV_WRITE) < 0)
		reader_drop(bev, o);
	free(text);
}

static void open_socket(struct ops *o)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int n = snprintf(o->path, sizeof(o->path), "%s/%s", o->setup.config->data_directory,
			 OPS_SOCKET);
	mode_t old;

	if (n >= (int)sizeof(o->path)) {
		log_warn("DataDirectory is too long a path for a status socket: no status");
		o->path[0] = '\0';
		return;
	}
	memcpy(un.sun_path, o->path, sizeof(o->path));
	unlink(o->path); /* of an earlier run */
	old = umask(0177);
	o->listener = evconnlistener_new_bind(o->setup.base, on_accept, o,
					      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 16,
					      (struct sockaddr *)&un, sizeof(un));
	umask(old);
	if (!o->listener)
		log_warn("status socket %s: %s: no status", o->path, strerror(errno));
}

/* ---- life ---- */

static void sample(struct ops *o, int64_t now_s)
{
	o->before = o->now;
	o->now.at_s = o->now_s = now_s;
	for (unsigned w = 0; w < door_workers(o->setup.door); w++)
		door_figures(o->setup.door, w, &o->now.f[w]);
}

struct ops *ops_new(const struct ops_setup *s, int64_t now_s)
{
	struct ops *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->setup = *s;
	o->started_s = s->since_s ? s->since_s : now_s;
	o->next_heartbeat_s = now_s + s->config->heartbeat_period_s;
	sample(o, now_s);
	ops_sums(o, &o->at_heartbeat);
	open_socket(o);
	return o;
}

void ops_free(struct ops *o)
{
	if (!o)
		return;
	if (o->listener)
		evconnlistener_free(o->listener);
	if (o->path[0] && o->listener)
		unlink(o->path);
	free(o);
}

void ops_reconfigure(struct ops *o, const struct config *config)
{
	o->setup.config = config;
	o->next_heartbeat_s = o->now_s + config->heartbeat_period_s;
}

void ops_sums(const struct ops *o, struct ops_sums *s)
{
	*s = (struct ops_sums) {0};
	for (unsigned w = 0; w < door_workers(o->setup.door); w++) {
		const struct ctl_figures *f = &o->now.f[w];

		s->link_in += f->link_bytes_in;
		s->link_out += f->link_bytes_out;
		s->exit_in += f->exit_bytes_in;
		s->exit_out += f->exit_bytes_out;
		s->n_conns += f->n_conns;
		s->n_links += f->n_links;
		s->n_circs += f->n_circs;
		s->n_streams += f->n_streams;
	}
}

static void heartbeat(struct ops *o)
{
	int64_t up_s = o->now_s - o->started_s;
	struct ops_sums s;

	ops_sums(o, &s);
	log_notice("Heartbeat: up for %lld days %lld:%02lld hours, with %llu links, %llu circuits "
		   "and %llu "
		   "exit streams open. Sent %.2f MB and received %.2f MB since the last one.",
		   (long long)(up_s / 86400), (long long)(up_s % 86400 / 3600),
		   (long long)(up_s % 3600 / 60), (unsigned long long)s.n_links,
		   (unsigned long long)s.n_circs, (unsigned long long)s.n_streams,
		   (double)(s.link_out - o->at_heartbeat.link_out) / 1e6,
		   (double)(s.link_in - o->at_heartbeat.link_in) / 1e6);
	o->at_heartbeat = s;
}

void ops_tick(struct ops *o, int64_t now_s)
{
	if (now_s == o->now_s)
		return;
	sample(o, now_s);
	/* A clock that was set far back must not silence us for as long. */
	if (o->next_heartbeat_s > now_s + o->setup.config->heartbeat_period_s)
		o->next_heartbeat_s = now_s + o->setup.config->heartbeat_period_s;
	if (o->setup.config->heartbeat_period_s && now_s >= o->next_heartbeat_s) {
		o->next_heartbeat_s = now_s + o->setup.config->heartbeat_period_s;
		heartbeat(o);
		if (o->setup.heartbeat)
			o->setup.heartbeat(o->setup.ctx);
	}
}

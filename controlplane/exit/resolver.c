/* resolver.c - questions to the host's resolvers through c-ares, whose sockets and timers stand in
 * the event loop. No search domain, alias, hosts file or environment has a say (DESIGN: DNS). */
#include "controlplane/exit/internal.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

struct watch { /* of one socket */
	struct watch *next;
	struct resolver *r;
	evutil_socket_t fd;
	struct event *event;
};

struct resolver {
	struct event_base *base;
	ares_channel channel;
	struct watch *watches;
	struct event *timer;
	uint32_t n_asked;
	bool busy; /* inside c-ares: the timer is set behind it */
};

struct asked {
	struct resolver *r;
	resolver_fn *fn;
	void *arg;
};

/* ---- sockets and time ---- */

static void timer_set(struct resolver *r)
{
	struct timeval tv;

	if (r->busy)
		return;
	if (ares_timeout(r->channel, NULL, &tv))
		event_add(r->timer, &tv);
	else
		event_del(r->timer);
}

static void process(struct resolver *r, ares_socket_t in, ares_socket_t out)
{
	bool was = r->busy;

	r->busy = true;
	ares_process_fd(r->channel, in, out);
	r->busy = was;
	timer_set(r);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	process(arg, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	process(w->r, what & EV_READ ? fd : ARES_SOCKET_BAD,
		what & EV_WRITE ? fd : ARES_SOCKET_BAD);
}

static void watch_drop(struct watch **at)
{
	struct watch *w = *at;

	*at = w->next;
	if (w->event)
		event_free(w->event);
	free(w);
}

/* c-ares says what it wants of a socket; neither: it is about to close it. */
static void on_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0) | EV_PERSIST);
	struct resolver *r = arg;
	struct watch **at = &r->watches, *w;

	while (*at && (*at)->fd != fd)
		at = &(*at)->next;
	if (*at)
		watch_drop(at);
	if (!readable && !writable)
		return;
	w = calloc(1, sizeof(*w));
	if (!w)
		return; /* the question times out */
	*w = (struct watch) {r->watches, r, fd, NULL};
	r->watches = w;
	w->event = event_new(r->base, fd, what, on_socket, w);
	if (w->event)
		event_add(w->event, NULL);
}

/* ---- questions ---- */

static void on_answer(void *arg, int status, int timeouts, unsigned char *answer, int len)
{
	struct asked *a = arg;

	a->r->n_asked--;
	a->fn(a->arg, status, answer, answer && len > 0 ? (size_t)len : 0);
	free(a);
}

void resolver_ask(struct resolver *r, const char *name, int type, resolver_fn *fn, void *arg)
{
	struct asked *a = malloc(sizeof(*a));
	bool was = r->busy;

	if (!a) {
		fn(arg, ARES_ENOMEM, NULL, 0);
		return;
	}
	*a = (struct asked) {r, fn, arg};
	r->n_asked++;
	r->busy = true;
	ares_query(r->channel, name, ns_c_in, type, on_answer, a);
	r->busy = was;
	timer_set(r);
}

uint32_t resolver_n_asked(const struct resolver *r)
{
	return r->n_asked;
}

/* ---- servers ---- */

static void warn_unreadable(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[512];
	bool named = false;

	while (f && fgets(line, sizeof(line), f))
		named |= strstr(line, "nameserver") != NULL;
	if (!named)
		log_warn("%s %s; asking 127.0.0.1. Set ServerDNSResolvConfFile to a file with a "
			 "nameserver line.",
			 path, f ? "names no server" : "cannot be read");
	if (f)
		fclose(f);
}

static int server_set(struct resolver *r, const struct addr *server)
{
	char text[ADDR_TEXT];

	return ares_set_servers_ports_csv(r->channel, addr_text(server, text)) == ARES_SUCCESS
		       ? 0
		       : ERR_SYSTEM;
}

size_t resolver_servers(const struct resolver *r, struct addr *servers, size_t max)
{
	struct ares_addr_port_node *list, *at;
	size_t n = 0;

	if (ares_get_servers_ports(r->channel, &list) != ARES_SUCCESS)
		return 0;
	for (at = list; at && n < max; at = at->next, n++) {
		servers[n] = (struct addr) {.family = at->family == AF_INET ? 4 : 6,
					    .port = (uint16_t)(at->udp_port ? at->udp_port : 53)};
		memcpy(servers[n].ip, &at->addr, addr_ip_len(&servers[n]));
	}
	ares_free_data(list);
	return n;
}

/* ---- life ---- */

int resolver_new(struct resolver **resolver, struct event_base *base, const struct dns_setup *s)
{
	const char *path = s->resolv_conf ? s->resolv_conf : "/etc/resolv.conf";
	struct resolver *r = calloc(1, sizeof(*r));
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = (int)MAX(s->timeout_ms / 1000 * 1000, 1000u),
		.tries = (int)MAX(s->n_attempts, 1u),
		.lookups = (char *)"b",
		.sock_state_cb = on_state,
		.sock_state_cb_data = r,
		.resolvconf_path = (char *)path,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
		   ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF | ARES_OPT_DOMAINS;

	if (!r)
		return ERR_FULL;
	unsetenv("LOCALDOMAIN");
	unsetenv("RES_OPTIONS");
	unsetenv("HOSTALIASES");
	r->base = base;
	r->timer = event_new(base, -1, 0, on_timer, r);
	if (!s->server.family)
		warn_unreadable(path);
	if (!r->timer || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
	    ares_init_options(&r->channel, &o, mask) != ARES_SUCCESS ||
	    (s->server.family && server_set(r, &s->server))) {
		resolver_free(r);
		return ERR_SYSTEM;
	}
	*resolver = r;
	return 0;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	r->busy = true;
	if (r->channel)
		ares_destroy(r->channel);
	while (r->watches)
		watch_drop(&r->watches);
	if (r->timer)
		event_free(r->timer);
	free(r);
}

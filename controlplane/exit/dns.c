/* dns.c - names for exit streams: one cache, questions under way merged, answers checked for the
 * case that we drew (interop N1 to N5). An entry lives exactly its clipped TTL. */
#include "controlplane/exit/internal.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <ctype.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define NAME_MAX_LEN 255
#define TTL_LOW	     300
#define TTL_HIGH     3600
#define TTL_FUZZ     240
#define KINDS	     2 /* A and AAAA; a reverse look-up has one */
#define TICK_MS	     250
#define SWEEP	     512 /* one in so many buckets is swept each tick */
#define LOOK_MOST    256 /* buckets looked at for one to evict */
#define RETRIES	     2	 /* after an answer in the wrong case */

struct waiter {
	struct waiter *next;
	dns_fn *fn;
	void *arg;
};

struct entry;
struct question {
	struct dns *dns;
	struct entry *e; /* NULL: nobody wants to know any more */
	uint8_t kind, tries;
	bool under_way;
	char sent[NAME_MAX_LEN + 1];
};

struct entry {
	struct entry *next;	       /* in its bucket */
	struct entry *later, *earlier; /* in the queue of those not asked yet, or of those asked */
	char *name;
	bool pending, started, reverse;
	struct addr of;	 /* reverse: whose name */
	uint64_t due_ms; /* pending: the limit; else when it dies */
	uint8_t n_open;	 /* questions without an answer */
	struct question *q[KINDS];
	struct waiter *waiters, **last;
	struct dns_answer answer;
};

struct list {
	struct entry *head, *tail;
};

struct dns {
	struct event_base *base;
	struct dns_setup set;
	char *resolv_conf;
	struct resolver *resolver, *old; /* old: ends with its questions */
	struct event *tick;
	struct hash_key key;
	struct entry **buckets;
	uint32_t n_buckets, n_entries, n_waiting, sweep_at;
	size_t bytes;		    /* of the entries */
	struct list asked, unasked; /* pending entries, oldest first */
	bool ending, starting;
	struct dns_figures figures;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- lists of pending entries ---- */

static void list_add(struct list *l, struct entry *e)
{
	e->later = NULL;
	e->earlier = l->tail;
	*(l->tail ? &l->tail->later : &l->head) = e;
	l->tail = e;
}

static void list_del(struct list *l, struct entry *e)
{
	*(e->earlier ? &e->earlier->later : &l->head) = e->later;
	*(e->later ? &e->later->earlier : &l->tail) = e->earlier;
}

/* ---- the table ---- */

static struct entry **place_of(struct dns *d, const char *name)
{
	uint64_t h = hash_bytes(&d->key, name, strlen(name));
	struct entry **at = &d->buckets[h & (d->n_buckets - 1)];

	while (*at && strcmp((*at)->name, name))
		at = &(*at)->next;
	return at;
}

static void question_orphan(struct question *q)
{
	if (q && q->under_way)
		q->e = NULL; /* freed when its answer comes */
	else
		free(q);
}

/* Takes the entry out and frees it. Its waiters must have been told. */
static void entry_drop(struct dns *d, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	if (e->pending)
		list_del(e->started ? &d->asked : &d->unasked, e);
	for (int i = 0; i < KINDS; i++)
		question_orphan(e->q[i]);
	d->n_entries--;
	d->bytes -= sizeof(*e) + strlen(e->name) + 1;
	free(e->name);
	free(e);
}

/* Some entry that is not pending and dies soon makes room. When the look finds only pending ones,
 * the table is full of questions: the asker is turned away rather than the table walked. */
static bool evict_one(struct dns *d)
{
	struct entry **soonest = NULL;
	uint32_t from = 0;

	if (getrandom(&from, sizeof(from), 0) != sizeof(from))
		from = 0;
	for (uint32_t i = 0, seen = 0; i < MIN(d->n_buckets, LOOK_MOST) && seen < 8; i++) {
		struct entry **at = &d->buckets[(from + i) & (d->n_buckets - 1)];

		for (; *at; at = &(*at)->next) {
			seen += !(*at)->pending;
			if (!(*at)->pending && (!soonest || (*at)->due_ms < (*soonest)->due_ms))
				soonest = at;
		}
	}
	if (soonest)
		entry_drop(d, soonest);
	return soonest != NULL;
}

/* ---- telling ---- */

static void tell(struct dns *d, struct entry *e, const struct dns_answer *a)
{
	struct waiter *w = e->waiters, *next;

	e->waiters = NULL;
	e->last = &e->waiters;
	for (; w; w = next) {
		next = w->next;
		d->n_waiting--;
		w->fn(w->arg, a);
		free(w);
	}
}

static void give_up(struct dns *d, struct entry **at, enum dns_outcome outcome)
{
	struct entry *e = *at;
	struct dns_answer a = {.outcome4 = outcome, .outcome6 = outcome, .outcome_name = outcome};
	struct waiter *waiters = e->waiters;
	struct entry told = {.waiters = waiters};

	/* The entry goes first: a waiter may ask again at once. */
	e->waiters = NULL;
	entry_drop(d, at);
	tell(d, &told, &a);
}

/* ---- answers ---- */

/* Two values only, with a fuzz drawn once for the entry (interop N2). */
static uint32_t ttl_clip(uint32_t ttl)
{
	uint32_t fuzz;

	if (getrandom(&fuzz, sizeof(fuzz), 0) != sizeof(fuzz))
		fuzz = TTL_FUZZ;
	return (ttl < TTL_LOW ? TTL_LOW : TTL_HIGH) - TTL_FUZZ + fuzz % (2 * TTL_FUZZ + 1);
}

static enum dns_outcome outcome_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return DNS_OK;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
	case ARES_EBADNAME:
	case ARES_EFORMERR:
	case ARES_ENOTIMP:
	case ARES_EREFUSED:
		return DNS_NO_SUCH;
	}
	return DNS_TRANSIENT;
}

static int read_a(struct entry *e, const uint8_t *p, int len)
{
	struct ares_addrttl found[16];
	int n = ARRAY_LEN(found), status = ares_parse_a_reply(p, len, NULL, found, &n);

	if (status == ARES_SUCCESS && n < 1)
		return ARES_ENODATA;
	if (status != ARES_SUCCESS)
		return status;
	e->answer.a4.family = 4;
	memcpy(e->answer.a4.ip, &found[0].ipaddr, 4);
	e->answer.ttl4 = ttl_clip((uint32_t)MAX(found[0].ttl, 0));
	return status;
}

static int read_aaaa(struct entry *e, const uint8_t *p, int len)
{
	struct ares_addr6ttl found[16];
	int n = ARRAY_LEN(found), status = ares_parse_aaaa_reply(p, len, NULL, found, &n);

	if (status == ARES_SUCCESS && n < 1)
		return ARES_ENODATA;
	if (status != ARES_SUCCESS)
		return status;
	e->answer.a6.family = 6;
	memcpy(e->answer.a6.ip, &found[0].ip6addr, 16);
	e->answer.ttl6 = ttl_clip((uint32_t)MAX(found[0].ttl, 0));
	return status;
}

static int read_ptr(struct entry *e, const uint8_t *p, int len)
{
	struct hostent *host = NULL;
	int status = ares_parse_ptr_reply(p, len, e->of.ip, (int)addr_ip_len(&e->of),
					  e->of.family == 6 ? AF_INET6 : AF_INET, &host);

	if (status == ARES_SUCCESS && (!host->h_name || strlen(host->h_name) > NAME_MAX_LEN))
		status = ARES_EBADRESP;
	if (status == ARES_SUCCESS)
		strcpy(e->answer.name, host->h_name);
	if (host)
		ares_free_hostent(host);
	return status;
}

enum kind { KIND_A, KIND_AAAA, KIND_PTR };
static const struct {
	int type;
	int (*read)(struct entry *e, const uint8_t *p, int len);
	size_t outcome; /* where in the answer */
} kinds[] = {
	[KIND_A] = {ns_t_a, read_a, offsetof(struct dns_answer, outcome4)},
	[KIND_AAAA] = {ns_t_aaaa, read_aaaa, offsetof(struct dns_answer, outcome6)},
	[KIND_PTR] = {ns_t_ptr, read_ptr, offsetof(struct dns_answer, outcome_name)},
};

static void start_some(struct dns *d);

/* All questions of an entry are answered: it becomes part of the cache, or goes when a resolver
 * failed (the next asker may have more luck). */
static void entry_done(struct dns *d, struct entry *e)
{
	const struct dns_answer *a = &e->answer;
	uint32_t ttl = UINT32_MAX, scale = d->set.cache_ttl_scale ? d->set.cache_ttl_scale : 1000;
	struct dns_answer told = *a;
	struct entry waiting = {.waiters = e->waiters};
	bool known = a->outcome4 == DNS_OK || a->outcome6 == DNS_OK || a->outcome_name == DNS_OK;
	bool failed = a->outcome4 == DNS_TRANSIENT || a->outcome6 == DNS_TRANSIENT ||
		      a->outcome_name == DNS_TRANSIENT;

	e->waiters = NULL;
	e->last = &e->waiters;
	if (failed && !known) {
		entry_drop(d, place_of(d, e->name));
	} else {
		list_del(&d->asked, e);
		e->pending = false;
		if (a->ttl4)
			ttl = MIN(ttl, a->ttl4);
		if (a->ttl6)
			ttl = MIN(ttl, a->ttl6);
		if (ttl == UINT32_MAX) /* a name of an address, or that there is none */
			ttl = ttl_clip(0);
		e->due_ms = now_ms() + (uint64_t)ttl * scale;
	}
	tell(d, &waiting, &told);
	start_some(d);
}

/* Does the question in the answer have the case that we sent? */
static bool case_holds(const struct question *q, const uint8_t *p, size_t len)
{
	char *name = NULL;
	long used;
	size_t n = strlen(q->sent);
	bool ok = len > 12 && ares_expand_name(p + 12, p, (int)len, &name, &used) == ARES_SUCCESS;

	if (n && q->sent[n - 1] == '.')
		n--;
	ok = ok && strlen(name) == n && !memcmp(name, q->sent, n);
	if (name)
		ares_free_string(name);
	return ok;
}

static void on_answer(void *arg, int status, const uint8_t *p, size_t len);

static void question_send(struct question *q)
{
	struct dns *d = q->dns;
	uint8_t coins[NAME_MAX_LEN / 8 + 1] = {0};

	strcpy(q->sent, q->e->name);
	if (d->set.randomize_case && getrandom(coins, sizeof(coins), 0) == sizeof(coins))
		for (size_t i = 0; q->sent[i]; i++)
			if (coins[i / 8] >> (i % 8) & 1)
				q->sent[i] = (char)toupper((unsigned char)q->sent[i]);
	q->under_way = true;
	d->figures.sent++;
	resolver_ask(d->resolver, q->sent, kinds[q->kind].type, on_answer, q);
}

static void count_answer(struct dns *d, int status)
{
	enum dns_outcome o = outcome_of(status);

	d->figures.answered += o == DNS_OK;
	d->figures.no_such += o == DNS_NO_SUCH;
	d->figures.timed_out += status == ARES_ETIMEOUT;
	d->figures.failed += o == DNS_TRANSIENT && status != ARES_ETIMEOUT;
}

static void on_answer(void *arg, int status, const uint8_t *p, size_t len)
{
	struct question *q = arg;
	struct dns *d = q->dns;
	struct entry *e = q->e;
	enum dns_outcome outcome;

	q->under_way = false;
	if (!e) {
		free(q);
		return;
	}
	if (p && d->set.randomize_case && !case_holds(q, p, len)) {
		d->figures.failed++;
		if (q->tries++ < RETRIES && !d->ending) {
			question_send(q);
			return;
		}
		status = ARES_EBADRESP;
	} else if (status == ARES_SUCCESS) {
		status = kinds[q->kind].read(e, p, (int)len);
	}
	count_answer(d, status);
	outcome = outcome_of(status);
	memcpy((uint8_t *)&e->answer + kinds[q->kind].outcome, &outcome, sizeof(outcome));
	if (!--e->n_open)
		entry_done(d, e);
}

/* ---- asking ---- */

static void entry_start(struct dns *d, struct entry *e)
{
	struct question *q[KINDS] = {e->q[0], e->q[1]};

	list_del(&d->unasked, e);
	e->started = true;
	list_add(&d->asked, e);
	/* An answer may come while we ask, and end the entry: n_open is set to both already, and
	 * with the last question the entry is not touched again. */
	for (int i = 0; i < KINDS; i++)
		if (q[i])
			question_send(q[i]);
}

static void start_some(struct dns *d)
{
	/* A question that fails at once ends in here again: the outer call goes on. */
	if (d->starting || d->ending)
		return;
	d->starting = true;
	while (d->unasked.head && resolver_n_asked(d->resolver) + KINDS <= d->set.n_in_flight)
		entry_start(d, d->unasked.head);
	d->starting = false;
}

static bool question_add(struct dns *d, struct entry *e, int at, enum kind kind)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		return false;
	*q = (struct question) {.dns = d, .e = e, .kind = (uint8_t)kind};
	e->q[at] = q;
	e->n_open++;
	return true;
}

static struct entry *entry_new(struct dns *d, const char *name, struct entry **at)
{
	struct entry *e = calloc(1, sizeof(*e));
	bool ok = e && (e->name = strdup(name));

	if (!e)
		return NULL;
	e->last = &e->waiters;
	e->reverse = addr_from_arpa(&e->of, name) == 1;
	e->answer = (struct dns_answer) {
		.outcome4 = DNS_NO_SUCH, .outcome6 = DNS_NO_SUCH, .outcome_name = DNS_NO_SUCH};
	ok = ok && question_add(d, e, 0, e->reverse ? KIND_PTR : KIND_A);
	ok = ok && (e->reverse || question_add(d, e, 1, KIND_AAAA));
	if (!ok) {
		free(e->q[0]);
		free(e->name);
		free(e);
		return NULL;
	}
	e->pending = true;
	e->due_ms = now_ms() + d->set.limit_ms;
	e->next = *at;
	*at = e;
	d->n_entries++;
	d->bytes += sizeof(*e) + strlen(e->name) + 1;
	list_add(&d->unasked, e);
	return e;
}

static int wait_for(struct dns *d, struct entry *e, dns_fn *fn, void *arg)
{
	struct waiter *w = malloc(sizeof(*w));

	if (!w)
		return ERR_FULL;
	*w = (struct waiter) {NULL, fn, arg};
	*e->last = w;
	e->last = &w->next;
	d->n_waiting++;
	return 0;
}

static bool name_passes(const char *name)
{
	size_t len = strlen(name);

	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("-._", *c))
			return false;
	return len > 0 && len <= NAME_MAX_LEN;
}

int dns_ask(struct dns *d, const char *name, dns_fn *fn, void *arg)
{
	struct entry **at, *e;
	struct addr a;

	if (!name_passes(name) || addr_from_arpa(&a, name) < 0)
		return ERR_MALFORMED;
	if (d->ending)
		return ERR_FULL;
	d->figures.asked++;
	at = place_of(d, name);
	if (*at && !(*at)->pending) {
		if (now_ms() < (*at)->due_ms) {
			struct dns_answer cached = (*at)->answer;

			d->figures.cached++;
			fn(arg, &cached);
			return 0;
		}
		entry_drop(d, at);
	}
	if (d->n_waiting >= d->set.n_waiting) {
		d->figures.refused++;
		return ERR_FULL;
	}
	at = place_of(d, name);
	e = *at;
	d->figures.merged += e != NULL;
	if (!e && d->n_entries >= d->set.n_cache && !evict_one(d)) {
		d->figures.refused++;
		return ERR_FULL;
	}
	if (!e)
		e = entry_new(d, name, place_of(d, name));
	if (!e)
		return ERR_FULL;
	if (wait_for(d, e, fn, arg))
		return ERR_FULL; /* the entry stays: its answer goes to the cache */
	start_some(d);
	return 0;
}

/* ---- time ---- */

static void limits_enforce(struct dns *d, struct list *l, uint64_t now)
{
	while (l->head && l->head->due_ms <= now)
		give_up(d, place_of(d, l->head->name), DNS_TIMED_OUT);
}

/* A part of the table each time: what is over is not kept for later. */
static void sweep(struct dns *d, uint64_t now)
{
	for (uint32_t i = 0; i <= d->n_buckets / SWEEP; i++) {
		struct entry **at = &d->buckets[d->sweep_at++ & (d->n_buckets - 1)];

		while (*at)
			if (!(*at)->pending && (*at)->due_ms <= now)
				entry_drop(d, at);
			else
				at = &(*at)->next;
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;
	uint64_t now = now_ms();

	limits_enforce(d, &d->asked, now);
	limits_enforce(d, &d->unasked, now);
	sweep(d, now);
	if (d->old && !resolver_n_asked(d->old)) {
		resolver_free(d->old);
		d->old = NULL;
	}
	start_some(d);
}

/* ---- life ---- */

static int dns_init(struct dns *d)
{
	struct timeval every = {.tv_usec = TICK_MS * 1000};

	for (d->n_buckets = 256; d->n_buckets < d->set.n_cache;)
		d->n_buckets *= 2;
	d->buckets = calloc(d->n_buckets, sizeof(*d->buckets));
	if (!d->buckets || getrandom(&d->key, sizeof(d->key), 0) != sizeof(d->key))
		return ERR_FULL;
	if (d->set.resolv_conf) {
		d->resolv_conf = strdup(d->set.resolv_conf);
		d->set.resolv_conf = d->resolv_conf;
	}
	d->tick = event_new(d->base, -1, EV_PERSIST, on_tick, d);
	if (!d->tick || event_add(d->tick, &every))
		return ERR_SYSTEM;
	return resolver_new(&d->resolver, d->base, &d->set);
}

int dns_new(struct dns **dns, struct event_base *base, const struct dns_setup *s)
{
	struct dns *d = calloc(1, sizeof(*d));
	int error;

	if (!d)
		return ERR_FULL;
	d->base = base;
	d->set = *s;
	error = dns_init(d);
	if (error)
		dns_free(d);
	else
		*dns = d;
	return error;
}

void dns_free(struct dns *d)
{
	if (!d)
		return;
	d->ending = true;
	for (uint32_t i = 0; d->buckets && i < d->n_buckets; i++)
		while (d->buckets[i])
			give_up(d, &d->buckets[i], DNS_TRANSIENT);
	resolver_free(d->old);
	resolver_free(d->resolver);
	if (d->tick)
		event_free(d->tick);
	free(d->buckets);
	free(d->resolv_conf);
	free(d);
}

int dns_reload(struct dns *d)
{
	struct resolver *next;
	int error = resolver_new(&next, d->base, &d->set);

	if (error)
		return error;
	resolver_free(d->old); /* twice within a time-out: the oldest questions fail */
	d->old = d->resolver;
	d->resolver = next;
	return 0;
}

void dns_params(struct dns *d, uint32_t timeout_ms, uint32_t n_attempts)
{
	if (d->set.timeout_ms == timeout_ms && d->set.n_attempts == n_attempts)
		return;
	d->set.timeout_ms = timeout_ms;
	d->set.n_attempts = n_attempts;
	if (dns_reload(d))
		log_warn("dns: the consensus's new time-outs could not be taken over");
}

size_t dns_servers(const struct dns *d, struct addr *servers, size_t max)
{
	return resolver_servers(d->resolver, servers, max);
}

size_t dns_memory(const struct dns *d)
{
	return d->bytes;
}

void dns_relieve(struct dns *d, size_t to)
{
	size_t before = d->bytes;

	/* In the table's order, which is keyed: no stranger can choose what goes. */
	for (uint32_t i = 0; i < d->n_buckets && d->bytes > to; i++) {
		struct entry **at = &d->buckets[i];

		while (*at && d->bytes > to) {
			if ((*at)->pending)
				at = &(*at)->next;
			else
				entry_drop(d, at);
		}
	}
	d->figures.relieved += before - d->bytes;
}

void dns_figures(const struct dns *d, struct dns_figures *f)
{
	*f = d->figures;
	f->n_cached = d->n_entries;
	f->n_waiting = d->n_waiting;
	f->n_in_flight = resolver_n_asked(d->resolver);
}

/* test_dns.c - look-ups against a small resolver in this process, on loopback: one that answers,
 * is slow, lies, truncates, fails, or is dead, as the first label of the name says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <ctype.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "controlplane/exit/internal.h"

/* ---- the resolver ---- */
static struct event_base *base;
static struct event *udp_event;
static struct evconnlistener *tcp_listener;
static int udp = -1;
static struct addr at;
static struct {
	unsigned n_udp, n_tcp, n_upper, n_queries[256]; /* by type */
} seen;

struct query {
	uint8_t head[12];
	char name[256]; /* as it stands */
	uint16_t type;
	size_t len; /* to behind the question */
};

static bool query_read(struct query *q, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	size_t n = 0;
	uint8_t label;

	rd_copy(&r, q->head, 12);
	while ((label = rd_u8(&r)) && !r.bad && n + label + 1 < sizeof(q->name)) {
		rd_copy(&r, q->name + n, label);
		n += label;
		q->name[n++] = '.';
	}
	q->name[n ? n - 1 : 0] = 0;
	q->type = rd_u16(&r);
	rd_u16(&r);
	q->len = (size_t)(r.p - p);
	return !r.bad;
}

static bool begins(const char *name, const char *with)
{
	return !strncasecmp(name, with, strlen(with));
}

static void put_record(struct writer *w, uint16_t type, uint32_t ttl, const void *data, size_t len)
{
	wr_u16(w, 0xc00c);
	wr_u16(w, type);
	wr_u16(w, 1);
	wr_u32(w, ttl);
	wr_u16(w, (uint16_t)len);
	wr_bytes(w, data, len);
}

/* The answer's length; 0: silence. */
static size_t answer_make(uint8_t *to, size_t cap, const uint8_t *p, const struct query *q,
			  bool over_tcp)
{
	static const uint8_t a4[] = {93, 184, 216, 34}, b4[] = {93, 184, 216, 35};
	static const uint8_t a6[16] = {0x20, 1, 0xd, 0xb8, [15] = 5};
	struct writer w = writer_of(to, cap);
	const char *name = q->name;
	uint8_t rcode = 0, n = 0, tc = 0;

	if (begins(name, "dead."))
		return 0;
	wr_bytes(&w, p, q->len);
	if (begins(name, "liar.")) /* it knows the name, but not how we wrote it */
		for (size_t i = 12; i < q->len - 4; i++)
			to[i] = (uint8_t)tolower(to[i]);
	if (begins(name, "other."))
		to[13] ^= 3; /* another question altogether */
	if (begins(name, "nx."))
		rcode = 3;
	else if (begins(name, "fail."))
		rcode = 2;
	else if (begins(name, "refused."))
		rcode = 5;
	else if (begins(name, "tc.") && !over_tcp)
		tc = 2;
	else if (begins(name, "junk."))
		n = 5; /* says five records, has none */
	else if (q->type == 12)
		put_record(&w, 12, 30, "\4host\7example\0", 14), n = 1;
	else if (q->type == 1 && !begins(name, "v6."))
		put_record(&w, 1, 100, a4, 4), put_record(&w, 1, 100, b4, 4), n = 2;
	else if (q->type == 28 && !begins(name, "v4.") && !begins(name, "half."))
		put_record(&w, 28, 7200, a6, 16), n = 1;
	else if (q->type == 28 && begins(name, "half."))
		rcode = 2;
	to[2] = (uint8_t)(0x80 | (p[2] & 1) | tc);
	to[3] = (uint8_t)(0x80 | rcode);
	be16_put(to + 6, n);
	return wr_len(&w);
}

struct late {
	uint8_t p[600];
	size_t len;
	struct sockaddr_in to;
	struct event *event;
};

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct late *l = arg;

	sendto(udp, l->p, l->len, 0, (struct sockaddr *)&l->to, sizeof(l->to));
	event_free(l->event);
	free(l);
}

static void on_udp(evutil_socket_t fd, short what, void *arg)
{
	struct timeval slow = {.tv_usec = 200000}, now = {0};
	struct late *l = calloc(1, sizeof(*l));
	socklen_t to_len = sizeof(l->to);
	uint8_t p[600];
	ssize_t len = recvfrom(fd, p, sizeof(p), 0, (struct sockaddr *)&l->to, &to_len);
	struct query q;

	if (len <= 0 || !query_read(&q, p, (size_t)len)) {
		free(l);
		return;
	}
	seen.n_udp++;
	seen.n_queries[q.type & 255]++;
	for (const char *c = q.name; *c; c++)
		seen.n_upper += isupper((unsigned char)*c) != 0;
	l->len = answer_make(l->p, sizeof(l->p), p, &q, false);
	if (!l->len) {
		free(l);
		return;
	}
	l->event = event_new(base, -1, 0, on_late, l);
	event_add(l->event, begins(q.name, "slow.") ? &slow : &now);
}

static void on_tcp_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	uint8_t p[600], out[600];
	struct query q;
	size_t len;

	while (evbuffer_copyout(in, p, sizeof(p)) > 2) {
		len = be16_get(p);
		if (evbuffer_get_length(in) < 2 + len)
			return;
		evbuffer_drain(in, 2 + len);
		if (!query_read(&q, p + 2, len))
			continue;
		seen.n_tcp++;
		len = answer_make(out + 2, sizeof(out) - 2, p + 2, &q, true);
		be16_put(out, (uint16_t)len);
		bufferevent_write(bev, out, len + 2);
	}
}

static void on_tcp_end(struct bufferevent *bev, short what, void *arg)
{
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		bufferevent_free(bev);
}

static void on_tcp(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
		   int len, void *arg)
{
	struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

	bufferevent_setcb(bev, on_tcp_read, NULL, on_tcp_end, NULL);
	bufferevent_enable(bev, EV_READ);
}

/* UDP and TCP on one port of loopback. */
static int server_start(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	socklen_t len = sizeof(sin);

	for (int i = 0; i < 20 && !tcp_listener; i++) {
		if (udp >= 0)
			close(udp);
		udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		sin.sin_port = 0;
		if (udp < 0 || bind(udp, (struct sockaddr *)&sin, sizeof(sin)) ||
		    getsockname(udp, (struct sockaddr *)&sin, &len))
			return -1;
		tcp_listener = evconnlistener_new_bind(base, on_tcp, NULL,
						       LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 8,
						       (struct sockaddr *)&sin, sizeof(sin));
	}
	at = (struct addr) {.family = 4, .port = ntohs(sin.sin_port), .ip = {127, 0, 0, 1}};
	udp_event = event_new(base, udp, EV_READ | EV_PERSIST, on_udp, NULL);
	return tcp_listener && udp_event ? event_add(udp_event, NULL) : -1;
}

/* ---- the asker ---- */
static struct dns *dns;
static struct got {
	unsigned n;
	struct dns_answer a;
} got;

static void on_name(void *arg, const struct dns_answer *a)
{
	struct got *g = arg;

	g->n++;
	g->a = *a;
}

static int setup_with(struct dns_setup s)
{
	base = event_base_new();
	memset(&seen, 0, sizeof(seen));
	memset(&got, 0, sizeof(got));
	if (!base || server_start())
		return -1;
	s.server = at;
	return dns_new(&dns, base, &s);
}

static int setup(void **state)
{
	struct dns_setup s = DNS_SETUP_DEFAULT;

	s.n_attempts = 1;
	return setup_with(s);
}

static int teardown(void **state)
{
	dns_free(dns);
	for (int i = 0; i < 20; i++, usleep(500)) /* the ends of its TCP connections */
		event_base_loop(base, EVLOOP_NONBLOCK);
	evconnlistener_free(tcp_listener);
	event_free(udp_event);
	close(udp);
	tcp_listener = NULL;
	udp = -1;
	event_base_free(base);
	return 0;
}

static void run_until(const unsigned *n, unsigned want)
{
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(500);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (*n < want && now.tv_sec - start.tv_sec < 20);
	assert_int_equal(*n, want);
}

static const struct dns_answer *look(const char *name)
{
	unsigned before = got.n;

	assert_int_equal(dns_ask(dns, name, on_name, &got), 0);
	run_until(&got.n, before + 1);
	return &got.a;
}

static const struct {
	const char *name;
	enum dns_outcome o4, o6;
	unsigned low4, low6; /* the TTL lies within 240 of these */
} rows[] = {
	{"ok.example.com", DNS_OK, DNS_OK, 300, 3600},
	{"v4.example.com", DNS_OK, DNS_NO_SUCH, 300, 0},
	{"v6.example.com", DNS_NO_SUCH, DNS_OK, 0, 3600},
	{"half.example.com", DNS_OK, DNS_TRANSIENT, 300, 0},
	{"nx.example.com", DNS_NO_SUCH, DNS_NO_SUCH, 0, 0},
	{"refused.example.com", DNS_TRANSIENT, DNS_TRANSIENT, 0, 0}, /* no server is left */
	{"fail.example.com", DNS_TRANSIENT, DNS_TRANSIENT, 0, 0},
	{"tc.example.com", DNS_OK, DNS_OK, 300, 3600},
	{"slow.example.com", DNS_OK, DNS_OK, 300, 3600},
	{"liar.example-with-many-letters.com", DNS_TRANSIENT, DNS_TRANSIENT, 0, 0},
	{"junk.example.com", DNS_TRANSIENT, DNS_TRANSIENT, 0, 0},
	{"a_b-c.example.com.", DNS_OK, DNS_OK, 300, 3600},
};

static void test_names(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct dns_answer *a = look(rows[i].name);

		if (a->outcome4 != rows[i].o4 || a->outcome6 != rows[i].o6)
			fail_msg("%s: %d %d", rows[i].name, a->outcome4, a->outcome6);
		assert_int_equal(a->a4.family, rows[i].o4 == DNS_OK ? 4 : 0);
		assert_int_equal(a->a6.family, rows[i].o6 == DNS_OK ? 6 : 0);
		if (rows[i].low4)
			assert_in_range(a->ttl4, rows[i].low4 - 240, rows[i].low4 + 240);
		if (rows[i].low6)
			assert_in_range(a->ttl6, rows[i].low6 - 240, rows[i].low6 + 240);
		if (a->a4.family)
			assert_memory_equal(a->a4.ip, "\x5d\xb8\xd8\x22", 4); /* the first */
	}
	assert_true(seen.n_tcp >= 2);
	assert_true(seen.n_upper > 20); /* letters were turned by chance */
}

static void test_dead(void **state)
{
	struct dns_figures f;

	assert_int_equal(look("dead.example.com")->outcome4, DNS_TRANSIENT);
	dns_figures(dns, &f);
	assert_int_equal(f.timed_out, 2);
	assert_int_equal(f.n_cached, 0); /* a failure is not kept */
	/* An answer to another question is none. */
	assert_int_equal(look("other.example.com")->outcome4, DNS_TRANSIENT);
}

static void test_bad_names(void **state)
{
	char name[300];

	memset(name, 'a', sizeof(name));
	name[256] = 0;
	assert_int_equal(dns_ask(dns, "", on_name, &got), ERR_MALFORMED);
	assert_int_equal(dns_ask(dns, "a b", on_name, &got), ERR_MALFORMED);
	assert_int_equal(dns_ask(dns, "a/b", on_name, &got), ERR_MALFORMED);
	assert_int_equal(dns_ask(dns, name, on_name, &got), ERR_MALFORMED);
	assert_int_equal(dns_ask(dns, "1.2.3.in-addr.arpa", on_name, &got), ERR_MALFORMED);
	name[100] = 0; /* a label of more than 63 */
	assert_int_equal(look(name)->outcome4, DNS_NO_SUCH);
	assert_int_equal(look("a..b")->outcome4, DNS_NO_SUCH);
	assert_int_equal(seen.n_udp, 0);
}

static void test_reverse(void **state)
{
	const struct dns_answer *a = look("4.3.2.1.in-addr.arpa");

	assert_int_equal(a->outcome_name, DNS_OK);
	assert_string_equal(a->name, "host.example");
	assert_int_equal(a->a4.family + a->a6.family, 0);
	assert_int_equal(seen.n_queries[12], 1);
	look("4.3.2.1.in-addr.arpa");
	assert_int_equal(seen.n_udp, 1);
}

static void test_cache_and_merge(void **state)
{
	struct got many[50] = {0};
	struct dns_figures f;
	uint32_t ttl;

	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(dns_ask(dns, "slow.example.org", on_name, &many[i]), 0);
	for (unsigned i = 0; i < 50; i++)
		run_until(&many[i].n, 1);
	assert_int_equal(seen.n_udp, 2);
	ttl = many[0].a.ttl4;
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(many[i].a.ttl4, ttl); /* one draw for the entry */
	assert_int_equal(look("slow.example.org")->ttl4, ttl);
	look("nx.example.org");
	look("nx.example.org");
	assert_int_equal(seen.n_udp, 4); /* that there is no such name is remembered */
	dns_figures(dns, &f);
	assert_int_equal(f.merged, 49);
	assert_int_equal(f.cached, 2);
	assert_int_equal(f.n_waiting, 0);
	assert_int_equal(f.n_in_flight, 0);
}

static void test_expiry(void **state)
{
	struct dns_setup s = DNS_SETUP_DEFAULT;
	struct dns_figures f;

	s.cache_ttl_scale = 1; /* 60 to 540 ms */
	assert_int_equal(setup_with(s), 0);
	look("v4.example.com");
	look("v4.example.com");
	assert_int_equal(seen.n_udp, 2);
	for (int i = 0; i < 600; i++, usleep(1000))
		event_base_loop(base, EVLOOP_NONBLOCK);
	look("v4.example.com");
	assert_int_equal(seen.n_udp, 4);
	dns_figures(dns, &f);
	assert_int_equal(f.n_cached, 1);
	teardown(state);
}

static void test_bounds(void **state)
{
	struct dns_setup s = DNS_SETUP_DEFAULT;
	struct dns_figures f;
	char name[40];
	size_t held;

	s.n_in_flight = 4;
	s.n_waiting = 20;
	s.n_cache = 12;
	assert_int_equal(setup_with(s), 0);
	for (unsigned i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "slow.n%u.example", i);
		assert_int_equal(dns_ask(dns, name, on_name, &got), 0);
	}
	assert_int_equal(dns_ask(dns, "one.too.many", on_name, &got), ERR_FULL); /* all pending */
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(dns_ask(dns, name, on_name, &got), 0);
	assert_int_equal(dns_ask(dns, name, on_name, &got), ERR_FULL); /* askers */
	dns_figures(dns, &f);
	assert_in_range(f.n_in_flight, 1, 4);
	run_until(&got.n, 20);
	assert_int_equal(seen.n_udp, 24);
	look("ok.new.example"); /* an older one makes room */
	dns_figures(dns, &f);
	assert_int_equal(f.n_cached, 12);
	/* Memory is short: down to half, then to nothing but what is being asked for. */
	held = dns_memory(dns);
	assert_true(held > 12 * sizeof(struct dns_answer));
	dns_relieve(dns, held);
	assert_int_equal(dns_memory(dns), held);
	dns_relieve(dns, held / 2);
	assert_in_range(dns_memory(dns), 1, held / 2);
	assert_int_equal(dns_ask(dns, "slow.asked.example", on_name, &got), 0);
	dns_relieve(dns, 0);
	dns_figures(dns, &f);
	assert_int_equal(f.n_cached, 1);
	assert_true(f.relieved >= held);
	run_until(&got.n, got.n + 1);
	dns_relieve(dns, 0);
	assert_int_equal(dns_memory(dns), 0);
	teardown(state);
}

static void test_limit(void **state)
{
	struct dns_setup s = DNS_SETUP_DEFAULT;

	s.limit_ms = 300;
	s.timeout_ms = 5000;
	assert_int_equal(setup_with(s), 0);
	assert_int_equal(look("dead.example.com")->outcome4, DNS_TIMED_OUT);
	assert_int_equal(look("ok.example.com")->outcome4, DNS_OK);
	teardown(state); /* with the dead question still in flight */
}

/* A waiter that asks again from inside its answer, and one told at the end. */
static void ask_again(void *arg, const struct dns_answer *a)
{
	got.n++;
	if (got.n < 5)
		dns_ask(dns, "nx.again.example", ask_again, arg);
	if (got.n < 9)
		dns_ask(dns, got.n & 1 ? "fail.example" : "ok.example", ask_again, arg);
}

static void test_reentrance(void **state)
{
	assert_int_equal(dns_ask(dns, "fail.example", ask_again, NULL), 0);
	for (int i = 0; i < 200; i++, usleep(1000))
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_true(got.n >= 9);
	got.n = 100;
	assert_int_equal(dns_ask(dns, "dead.example", on_name, &got), 0);
	assert_int_equal(dns_ask(dns, "dead.example", on_name, &got), 0);
	assert_int_equal(dns_reload(dns), 0);
	assert_int_equal(dns_ask(dns, "dead.other.example", on_name, &got), 0);
	dns_free(dns);
	dns = NULL;
	assert_int_equal(got.n, 103);
	assert_int_equal(got.a.outcome4, DNS_TRANSIENT);
}

static void test_reload(void **state)
{
	struct addr servers[4];
	unsigned before;

	assert_int_equal(dns_servers(dns, servers, 4), 1);
	assert_true(addr_same(&servers[0], &at));
	before = got.n;
	assert_int_equal(dns_ask(dns, "slow.reload.example", on_name, &got), 0);
	dns_params(dns, 2000, 3);
	run_until(&got.n, before + 1); /* answered through the old channel */
	assert_int_equal(got.a.outcome4, DNS_OK);
	for (int i = 0; i < 400; i++, usleep(1000))
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(look("ok.reload.example")->outcome4, DNS_OK);
}

static void test_resolv_conf(void **state)
{
	static const char two[] = "search example.com\nnameserver 127.1.2.3\nnameserver ::1\n";
	char path[] = "/tmp/ramson-test-resolv-XXXXXX";
	struct dns_setup s = DNS_SETUP_DEFAULT;
	struct addr servers[4];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, two, sizeof(two) - 1), sizeof(two) - 1);
	base = event_base_new();
	s.resolv_conf = path;
	assert_int_equal(dns_new(&dns, base, &s), 0);
	assert_int_equal(dns_servers(dns, servers, 4), 2);
	assert_memory_equal(servers[0].ip, "\x7f\1\2\3", 4);
	assert_int_equal(servers[0].port, 53);
	assert_int_equal(servers[1].family, 6);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_true(pwrite(fd, "nameserver 127.9.9.9\n", 21, 0) == 21);
	assert_int_equal(dns_reload(dns), 0);
	assert_int_equal(dns_servers(dns, servers, 4), 1);
	assert_memory_equal(servers[0].ip, "\x7f\x9\x9\x9", 4);
	unlink(path);
	close(fd);
	log_open(-1, LOG_ERR, "test");
	assert_int_equal(dns_reload(dns), 0); /* gone: 127.0.0.1, and a warning */
	assert_int_equal(dns_servers(dns, servers, 4), 1);
	assert_memory_equal(servers[0].ip, "\x7f\0\0\1", 4);
	dns_free(dns);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dead, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reverse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_and_merge, setup, teardown),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_limit),
		cmocka_unit_test_setup_teardown(test_reentrance, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
		cmocka_unit_test(test_resolv_conf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

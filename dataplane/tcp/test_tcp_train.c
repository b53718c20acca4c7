/* test_tcp_train.c - segments of one batch that say the same but for their bytes, and what only
 * looks like it. */
#include "dataplane/tcp/pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECOND 1000000ull

struct wagon {
	uint8_t at, len; /* of "abcdefgh" */
	uint8_t flags;	 /* beside ACK */
	uint8_t older;	 /* ms of its timestamp */
	uint8_t future;	 /* bytes that it acknowledges and nobody has sent */
};

/* The segments of a train from the client to the server, taken at once. start: where byte a is. */
static void train_in(struct pair *p, const struct conn *c, uint32_t start, const struct wagon *w,
		     unsigned n)
{
	static uint8_t bytes[4][64];
	struct tcp_seg seg[4];

	for (unsigned i = 0; i < n; i++) {
		struct tcp_hdr h = {.src_port = c->remote.port,
				    .dst_port = c->local.port,
				    .seq = start + w[i].at,
				    .ack = c->snd_nxt + w[i].future,
				    .flags = TCP_ACK | w[i].flags,
				    .window = 100,
				    .opts = TCP_OPT_TS,
				    .ts_val = c->ts_recent - w[i].older};
		size_t head = tcp_hdr_build(&h, bytes[i]);

		memcpy(bytes[i] + head, &"abcdefgh"[w[i].at], w[i].len);
		seg[i] = (struct tcp_seg) {.tcp = bytes[i],
					   .tcp_len = (uint32_t)head + w[i].len,
					   .src = c->remote,
					   .dst = c->local};
	}
	tcp_in(p->t[SERVER], seg, n, p->now_us);
}

/* clang-format off */
#define PLAIN(at, len)	{at, len, 0, 0, 0}
#define OLD(at, len)	{at, len, 0, 1, 0}
#define FUTURE(at, len)	{at, len, 0, 0, 1}

static const struct {
	const char *what;
	struct wagon first, train[4]; /* first comes by itself, if it has anything */
	const char *reads;
	bool eof;
} rows[] = {
	{"1 a train", {0}, {PLAIN(0, 2), PLAIN(2, 2), PLAIN(4, 2)}, "abcdef", false},
	{"2 one is missing", {0}, {PLAIN(0, 2), PLAIN(4, 2), PLAIN(6, 2)}, "ab", false},
	{"3 one came before", PLAIN(4, 2), {PLAIN(0, 2), PLAIN(2, 2)}, "abcdef", false},
	{"4 one comes twice", {0}, {PLAIN(0, 2), PLAIN(0, 2), PLAIN(2, 2)}, "abcd", false},
	{"5 out of order", {0}, {PLAIN(2, 2), PLAIN(4, 2), PLAIN(0, 2)}, "abcdef", false},
	{"6 the FIN came before", {4, 0, TCP_FIN, 0, 0}, {PLAIN(0, 2), PLAIN(2, 2)}, "abcd", true},
	{"7 the FIN is last", {0}, {PLAIN(0, 4), {4, 4, TCP_FIN, 0, 0}}, "abcdefgh", true},
	{"8 a push is nothing new", {0}, {PLAIN(0, 4), {4, 4, TCP_PSH, 0, 0}}, "abcdefgh", false},
	{"9 an old one behind", {0}, {PLAIN(0, 4), OLD(4, 4)}, "abcd", false},
	{"10 all are old", {0}, {OLD(0, 4), OLD(4, 4)}, NULL, false},
	{"11 old behind a repetition", PLAIN(0, 2), {OLD(0, 2), OLD(2, 2)}, "ab", false},
	{"12 an ack of nothing sent", {0}, {FUTURE(0, 2), FUTURE(2, 2)}, NULL, false},
	{"13 the same behind a repetition", PLAIN(0, 2), {FUTURE(0, 2), FUTURE(2, 2)}, "ab", false},
};
/* clang-format on */

static void test_trains(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pair *p = pair_new(1, NULL);
		uint32_t conn[2], seen[2] = {0};
		unsigned n = 0;
		uint32_t len;
		uint8_t *b;
		bool any;

		pair_connect(p, KIND_RAW, conn);
		pair_run(p, SECOND, NULL);
		const struct conn *c = &p->t[SERVER]->conns[conn[SERVER]];
		uint32_t start = c->rcv_nxt;
		if (rows[i].first.len || rows[i].first.flags)
			train_in(p, c, start, &rows[i].first, 1);
		while (n < 4 && rows[i].train[n].len)
			n++;
		train_in(p, c, start, rows[i].train, n);
		pair_turn(p);
		any = tcp_peek(p->t[SERVER], conn[SERVER], &b, &len);
		if (any != !!rows[i].reads ||
		    (any && (len != strlen(rows[i].reads) || memcmp(b, rows[i].reads, len))))
			fail_msg("row %s", rows[i].what);
		if (any)
			tcp_take(p->t[SERVER], conn[SERVER], len);
		pair_run(p, SECOND, seen);
		if (!(seen[SERVER] & TCP_EOF) == rows[i].eof)
			fail_msg("row %s", rows[i].what);
		pair_free(p);
	}
}

/* Frames whose bytes lie in several records, odd and even ones: the wire compares what tcp says of
 * their sums with what is in them. */
static void test_sums(void **state)
{
	struct pair *p = pair_new(2, NULL);
	uint32_t conn[2], seen[2], len, got = 0, sent = 0;
	uint8_t *b;

	(void)state;
	pair_connect(p, KIND_TLS, conn);
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t body = 1 + 37 * i % 600;

		b = tcp_reserve(p->t[SERVER], conn[SERVER], 5 + body);
		assert_non_null(b);
		rng_bytes(&p->rng, b, 5 + body);
		b[1] = 3;
		be16_put(b + 3, (uint16_t)body);
		tcp_push(p->t[SERVER], conn[SERVER], 5 + body);
		sent += 5 + body;
	}
	pair_run(p, SECOND, seen);
	while (tcp_peek(p->t[CLIENT], conn[CLIENT], &b, &len)) {
		got += len;
		tcp_take(p->t[CLIENT], conn[CLIENT], len);
	}
	assert_int_equal(got, sent);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_trains),
					   cmocka_unit_test(test_sums)};

	pair_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_tcp.c - the life of connections: opening, closing and resetting in every state, strangers'
 * segments, closed windows, full tables, paths that change. Two stacks on the test wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dataplane/tcp/pair.h"

#define SECOND		 1000000ull
#define REASON(r)	 ((uint32_t)(r) << 16)
#define SEEN_REASON(s)	 ((s) >> 16 & 0xff)
#define COUNTED(p, s, c) ((p)->counts[s].v[COUNT_tcp_##c])

static struct addr server(const struct pair *p)
{
	struct addr a = p->ip[SERVER];

	a.port = PAIR_PORT;
	return a;
}

static void write_bytes(struct pair *p, int side, uint32_t conn, const char *text)
{
	uint32_t len = (uint32_t)strlen(text);
	uint8_t *b = tcp_reserve(p->t[side], conn, len);

	assert_non_null(b);
	memcpy(b, text, len);
	tcp_push(p->t[side], conn, len);
}

static void assert_reads(struct pair *p, int side, uint32_t conn, const char *text)
{
	uint32_t len;
	uint8_t *b;

	assert_true(tcp_peek(p->t[side], conn, &b, &len));
	assert_int_equal(len, strlen(text));
	assert_memory_equal(b, text, len);
	tcp_take(p->t[side], conn, len);
}

/* Nothing of any connection is left but TIME-WAIT. */
static void assert_empty(struct pair *p)
{
	pair_turn(p);
	for (int side = 0; side < 2; side++) {
		assert_int_equal(tcp_n_conns(p->t[side]), 0);
		assert_int_equal(tcp_n_half(p->t[side]), 0);
		assert_int_equal(tcp_mem_all(p->t[side]), 0);
	}
}

/* ---- opening ---- */

static void test_refused(void **state)
{
	struct pair *p = pair_new(1, NULL);
	uint32_t seen[2] = {0};
	struct addr to = server(p);

	assert_true(tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_RAW, p->now_us) >= 0);
	pair_run(p, SECOND, seen);
	assert_int_equal(seen[CLIENT], TCP_CLOSED | REASON(TCP_REFUSED));
	assert_empty(p);
	pair_free(p);
}

static void test_no_answer(void **state)
{
	struct pair *p = pair_new(1, NULL);
	uint32_t seen[2] = {0};
	struct addr to = server(p);

	p->cut[CLIENT] = true;
	assert_true(tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_RAW, p->now_us) >= 0);
	pair_run(p, 126 * SECOND, seen);
	assert_int_equal(seen[CLIENT], 0);
	pair_run(p, 4 * SECOND, seen);
	assert_int_equal(seen[CLIENT], TCP_CLOSED | REASON(TCP_TIMEOUT));
	assert_int_equal(COUNTED(p, CLIENT, segs_out), 7);
	assert_empty(p);
	pair_free(p);
}

static void test_bad_dials(void **state)
{
	struct pair *p = pair_new(1, NULL);
	struct addr to = server(p), any = {.family = 4}, v6;

	addr_parse(&v6, "fd00::1");
	assert_int_equal(tcp_open(p->t[0], &any, &to, KIND_RAW, p->now_us), ERR_NOT_NOW);
	assert_int_equal(tcp_open(p->t[0], &v6, &to, KIND_RAW, p->now_us), ERR_NOT_NOW);
	to.port = 0;
	assert_int_equal(tcp_open(p->t[0], &p->ip[0], &to, KIND_RAW, p->now_us), ERR_NOT_NOW);
	pair_free(p);
}

static void test_unreachable(void **state)
{
	struct pair *p = pair_new(1, NULL);
	struct addr to = server(p), from, far;
	uint32_t seen[2] = {0};
	int conn;

	p->cut[CLIENT] = true;
	conn = tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_RAW, p->now_us);
	pair_turn(p);
	tcp_addrs(p->t[CLIENT], (uint32_t)conn, &from, &far);
	uint32_t iss = p->t[CLIENT]->conns[conn].iss;
	tcp_unreach(p->t[CLIENT], &from, &far, iss + 1); /* quotes nothing in flight */
	pair_run(p, 10000, seen);
	assert_int_equal(seen[CLIENT], 0);
	assert_int_equal(COUNTED(p, CLIENT, icmp_ignored), 1);
	tcp_unreach(p->t[CLIENT], &from, &far, iss);
	pair_run(p, 10000, seen);
	assert_int_equal(seen[CLIENT], TCP_CLOSED | REASON(TCP_UNREACHABLE));
	pair_free(p);
}

/* Both dial each other from the port the other dials: one connection, no listener. */
static void one_port(struct tcp_config *cfg, int side)
{
	cfg->port_min = cfg->port_max = PAIR_PORT;
}

static void test_simultaneous_open(void **state)
{
	struct pair *p = pair_new(1, one_port);
	uint32_t seen[2] = {0};
	int conn[2];

	for (int side = 0; side < 2; side++) {
		struct addr to = p->ip[!side];

		to.port = PAIR_PORT;
		conn[side] = tcp_open(p->t[side], &p->ip[side], &to, KIND_RAW, p->now_us);
		assert_true(conn[side] >= 0);
	}
	pair_run(p, SECOND, seen);
	assert_int_equal(seen[0], TCP_OPENED | TCP_WRITABLE);
	assert_int_equal(seen[1], TCP_OPENED | TCP_WRITABLE);
	write_bytes(p, 0, (uint32_t)conn[0], "hello");
	write_bytes(p, 1, (uint32_t)conn[1], "there");
	pair_run(p, SECOND, seen);
	assert_reads(p, 0, (uint32_t)conn[0], "there");
	assert_reads(p, 1, (uint32_t)conn[1], "hello");
	pair_free(p);
}

static void three_ports(struct tcp_config *cfg, int side)
{
	cfg->port_min = 30000;
	cfg->port_max = 30002;
}

static void test_ports_exhausted(void **state)
{
	struct pair *p = pair_new(1, three_ports);
	struct addr to = server(p), other = to;
	uint32_t seen[2] = {0}, ports = 0;

	tcp_listen(p->t[SERVER], &to, KIND_RAW, 16);
	for (int i = 0; i < 3; i++) {
		struct addr local, remote;
		int conn = tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_RAW, p->now_us);

		assert_true(conn >= 0);
		tcp_addrs(p->t[CLIENT], (uint32_t)conn, &local, &remote);
		ports |= 1u << (local.port - 30000);
	}
	assert_int_equal(ports, 7);
	assert_int_equal(tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_RAW, p->now_us),
			 ERR_FULL);
	assert_int_equal(COUNTED(p, CLIENT, ports_exhausted), 1);
	other.port++; /* towards another port there are three more */
	assert_true(tcp_open(p->t[CLIENT], &p->ip[CLIENT], &other, KIND_RAW, p->now_us) >= 0);
	pair_run(p, SECOND, seen);
	/* In TIME-WAIT a tuple stays taken, and becomes free after it. */
	for (uint32_t i = 0; i < 3; i++) {
		tcp_close(p->t[CLIENT], i, p->now_us);
		tcp_close(p->t[SERVER], i, p->now_us + 1);
	}
	pair_run(p, SECOND, seen);
	assert_true(tcp_n_time_wait(p->t[CLIENT]) == 3);
	assert_int_equal(tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_RAW, p->now_us),
			 ERR_FULL);
	pair_run(p, 61 * SECOND, seen);
	assert_int_equal(tcp_n_time_wait(p->t[CLIENT]), 0);
	assert_true(tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_RAW, p->now_us) >= 0);
	pair_free(p);
}

static bool odd_ports(void *arg, const struct addr *local, const struct addr *remote)
{
	return local->port & 1;
}

static void odd_config(struct tcp_config *cfg, int side)
{
	cfg->lands_here = odd_ports;
}

static void test_port_lands_here(void **state)
{
	struct pair *p = pair_new(1, odd_config);
	struct addr to = server(p), local, remote;

	for (int i = 0; i < 20; i++) {
		int conn = tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_RAW, p->now_us);

		assert_true(conn >= 0);
		tcp_addrs(p->t[CLIENT], (uint32_t)conn, &local, &remote);
		assert_int_equal(local.port & 1, 1);
	}
	pair_free(p);
}

static void test_slots_full(void **state)
{
	struct pair *p = pair_new(1, NULL);
	struct addr to = server(p);

	p->cut[CLIENT] = true;
	for (int i = 0; i < 64; i++)
		assert_true(tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_RAW, p->now_us) >= 0);
	assert_int_equal(tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_RAW, p->now_us),
			 ERR_FULL);
	assert_int_equal(COUNTED(p, CLIENT, no_conn), 1);
	for (uint32_t i = 0; i < 64; i++)
		tcp_abort(p->t[CLIENT], i);
	pair_run(p, 10000, NULL);
	assert_empty(p);
	pair_free(p);
}

/* ---- strangers ---- */

static struct tcp_hdr stranger(uint16_t port, uint8_t flags)
{
	return (struct tcp_hdr) {.src_port = port,
				 .dst_port = PAIR_PORT,
				 .seq = 1000u * port,
				 .flags = flags,
				 .window = 1000};
}

/* What goes to the strangers' ports reaches nobody. */
static bool to_nobody(struct pair *p, int from, const struct tcp_hdr *h, uint32_t payload)
{
	return from == SERVER && h->dst_port < 1000;
}

/* Half-open connections fill the backlog; then cookies keep the door open. */
static void test_cookies(void **state)
{
	struct pair *p = pair_new(3, NULL);
	struct addr to = server(p), from;
	uint32_t seen[2] = {0}, conn[2];
	struct tcp_info info;

	addr_parse(&from, "10.9.9.9");
	p->filter = to_nobody;
	tcp_listen(p->t[SERVER], &to, KIND_RAW, 8);
	for (uint16_t port = 1; port <= 40; port++) {
		struct tcp_hdr h = stranger(port, TCP_SYN);

		pair_inject(p, SERVER, &from, &to, &h, NULL, 0);
	}
	assert_int_equal(tcp_n_half(p->t[SERVER]), 8);
	assert_int_equal(COUNTED(p, SERVER, cookies_sent), 32);
	/* A guess is no cookie. */
	struct tcp_hdr guess = stranger(99, TCP_ACK);
	guess.ack = 0x12345678;
	pair_inject(p, SERVER, &from, &to, &guess, NULL, 0);
	assert_int_equal(COUNTED(p, SERVER, resets_out), 1);

	pair_connect(p, KIND_RAW, conn);
	assert_int_equal(COUNTED(p, SERVER, cookies_good), 1);
	assert_true(p->t[SERVER]->conns[conn[SERVER]].flags & F_SACK);
	assert_int_equal(p->t[SERVER]->conns[conn[SERVER]].snd_wscale, RCV_WSCALE);
	assert_int_equal(tcp_info(p->t[SERVER], conn[SERVER], &info), 0);
	assert_int_equal(info.mss, 1460);
	write_bytes(p, CLIENT, conn[CLIENT], "through the crowd");
	write_bytes(p, SERVER, conn[SERVER], "welcome");
	pair_run(p, SECOND, seen);
	assert_reads(p, SERVER, conn[SERVER], "through the crowd");
	assert_reads(p, CLIENT, conn[CLIENT], "welcome");
	/* The others are forgotten after their last SYN-ACK. */
	pair_run(p, 70 * SECOND, seen);
	assert_int_equal(tcp_n_half(p->t[SERVER]), 0);
	assert_int_equal(COUNTED(p, SERVER, half_timed_out), 8);
	pair_free(p);
}

static uint64_t cookie_of; /* the last SYN-ACK's number */
static bool note_syn_ack(struct pair *p, int from, const struct tcp_hdr *h, uint32_t payload)
{
	if (from == SERVER && h->flags & TCP_SYN)
		cookie_of = h->seq;
	return from == SERVER;
}

static void test_cookie_ages(void **state)
{
	static const struct {
		uint64_t wait_us;
		bool good;
	} rows[] = {{1000, true}, {60 * SECOND, true}, {140 * SECOND, false}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pair *p = pair_new(4, NULL);
		struct addr to = server(p), from;

		addr_parse(&from, "10.9.9.9");
		p->filter = note_syn_ack;
		tcp_listen(p->t[SERVER], &to, KIND_RAW, 0);
		struct tcp_hdr h = stranger(5, TCP_SYN);
		pair_inject(p, SERVER, &from, &to, &h, NULL, 0);
		pair_run(p, rows[i].wait_us, NULL);
		/* Another SYN keeps cookies in use: age alone decides. */
		h = stranger(6, TCP_SYN);
		uint32_t cookie = (uint32_t)cookie_of;
		pair_inject(p, SERVER, &from, &to, &h, NULL, 0);
		h = stranger(5, TCP_ACK);
		h.seq++;
		h.ack = cookie + 1;
		pair_inject(p, SERVER, &from, &to, &h, NULL, 0);
		assert_int_equal(COUNTED(p, SERVER, cookies_good), rows[i].good);
		pair_free(p);
	}
}

static void test_not_accepting(void **state)
{
	struct pair *p = pair_new(1, NULL);
	struct addr to = server(p);
	uint32_t seen[2] = {0};

	tcp_listen(p->t[SERVER], &to, KIND_RAW, 8);
	assert_int_equal(tcp_listen(p->t[SERVER], &to, KIND_RAW, 8), ERR_NOT_NOW);
	tcp_accepting(p->t[SERVER], false);
	tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_RAW, p->now_us);
	pair_run(p, SECOND / 2, seen);
	assert_int_equal(seen[CLIENT] | seen[SERVER], 0);
	assert_int_equal(COUNTED(p, SERVER, not_accepting), 1);
	tcp_accepting(p->t[SERVER], true);
	pair_run(p, 2 * SECOND, seen); /* by the SYN's repetition */
	assert_int_equal(seen[SERVER], TCP_OPENED | TCP_WRITABLE);
	assert_int_equal(tcp_unlisten(p->t[SERVER], &to), 0);
	assert_int_equal(tcp_unlisten(p->t[SERVER], &to), ERR_UNKNOWN);
	pair_free(p);
}

/* The wildcard of a family listens on each address, an exact one comes first. */
static void test_wildcard(void **state)
{
	struct pair *p = pair_new(1, NULL);
	struct addr any = {.family = 4, .port = PAIR_PORT}, to = server(p);
	uint32_t seen[2] = {0};

	tcp_listen(p->t[SERVER], &any, KIND_TLS, 8);
	tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_RAW, p->now_us);
	pair_run(p, SECOND, seen);
	assert_int_equal(seen[SERVER], TCP_OPENED | TCP_WRITABLE);
	assert_int_equal(tcp_kind(p->t[SERVER], 0), KIND_TLS);
	pair_free(p);
}

static void test_unknown_segments(void **state)
{
	struct pair *p = pair_new(1, NULL);
	struct addr to = server(p), from;
	struct tcp_hdr h;

	addr_parse(&from, "10.9.9.9");
	pair_run(p, SECOND, NULL);
	h = stranger(7, TCP_RST); /* never a reset for a reset */
	pair_inject(p, SERVER, &from, &to, &h, NULL, 0);
	assert_int_equal(COUNTED(p, SERVER, resets_out), 0);
	for (int i = 0; i < 5000; i++) {
		h = stranger(7, TCP_ACK);
		pair_inject(p, SERVER, &from, &to, &h, "x", 1);
	}
	assert_int_equal(COUNTED(p, SERVER, resets_out), 2000);
	assert_int_equal(COUNTED(p, SERVER, resets_spared), 3000);
	pair_free(p);
}

/* RFC 5961: what a blind attacker can guess does no harm. */
static void test_blind_attacks(void **state)
{
	static const struct {
		const char *what;
		uint8_t flags;
		uint32_t seq_off, ack_off;
		bool kills;
	} rows[] = {
		{"1 reset, one off", TCP_RST, 1, 0, false},
		{"2 reset, far in the window", TCP_RST, 30000, 0, false},
		{"3 reset behind", TCP_RST, (uint32_t)-1, 0, false},
		{"4 reset beyond", TCP_RST, 0x7fffffff, 0, false},
		{"5 syn in the window", TCP_SYN, 0, 0, false},
		{"6 syn outside", TCP_SYN, 0x40000000, 0, false},
		{"7 ack of the future", TCP_ACK, 0, 1, false},
		{"8 ack of long ago", TCP_ACK, 0, 0x80000001, false},
		{"9 fin without ack", TCP_FIN, 0, 0, false},
		{"10 no flags", 0, 0, 0, false},
		{"11 exact reset", TCP_RST, 0, 0, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pair *p = pair_new(1, NULL);
		uint32_t conn[2], seen[2] = {0};

		pair_connect(p, KIND_RAW, conn);
		pair_run(p, SECOND, NULL);
		const struct conn *c = &p->t[SERVER]->conns[conn[SERVER]];
		struct tcp_hdr h = {.src_port = c->remote.port,
				    .dst_port = c->local.port,
				    .seq = c->rcv_nxt + rows[i].seq_off,
				    .ack = c->snd_nxt + rows[i].ack_off,
				    .flags = rows[i].flags,
				    .window = 100,
				    .opts = TCP_OPT_TS,
				    .ts_val = c->ts_recent};
		pair_inject(p, SERVER, &c->remote, &c->local, &h, NULL, 0);
		pair_run(p, SECOND, seen);
		if (!(seen[SERVER] & TCP_CLOSED) == rows[i].kills)
			fail_msg("row %s", rows[i].what);
		if (!rows[i].kills) {
			write_bytes(p, CLIENT, conn[CLIENT], "alive");
			pair_run(p, SECOND, NULL);
			assert_reads(p, SERVER, conn[SERVER], "alive");
		}
		pair_free(p);
	}
}

/* ---- closing ---- */

enum close_op { CLOSE_CLIENT = 1, CLOSE_SERVER = 2, CLOSE_BOTH = 3 };

static void test_closings(void **state)
{
	for (int op = CLOSE_CLIENT; op <= CLOSE_BOTH; op++)
		for (uint32_t loss = 0; loss <= 300000; loss += 100000)
			for (int data = 0; data < 2; data++) {
				struct pair *p = pair_new(loss + (uint32_t)op, NULL);
				uint32_t conn[2], seen[2] = {0};

				pair_connect(p, KIND_RAW, conn);
				p->loss_ppm = loss;
				for (int side = 0; side < 2; side++) {
					if (data)
						write_bytes(p, side, conn[side], "last words");
					if (op >> side & 1)
						tcp_close(p->t[side], conn[side], p->now_us);
				}
				for (int i = 0;
				     i < 100 && !(seen[op & 1] & TCP_EOF) && op != CLOSE_BOTH;
				     i++) {
					uint32_t len;
					uint8_t *b;

					pair_run(p, SECOND, seen);
					if (tcp_peek(p->t[op & 1], conn[op & 1], &b, &len))
						tcp_take(p->t[op & 1], conn[op & 1], len);
				}
				if (op != CLOSE_BOTH) {
					assert_true(seen[op & 1] & TCP_EOF);
					tcp_close(p->t[op & 1], conn[op & 1], p->now_us);
				}
				pair_run(p, 55 * SECOND, seen);
				/* Words for one who has closed and is acknowledged are reset. */
				bool may_reset = data && loss && op == CLOSE_BOTH;
				for (int side = 0; side < 2; side++)
					if (SEEN_REASON(seen[side]) != TCP_DONE && !may_reset)
						fail_msg("op %d loss %u side %d: %x", op, loss,
							 side, seen[side]);
					else
						assert_true(seen[side] & TCP_CLOSED);
				assert_empty(p);
				if (!may_reset)
					assert_true(tcp_n_time_wait(p->t[0]) +
						    tcp_n_time_wait(p->t[1]));
				pair_run(p, 125 * SECOND, NULL);
				assert_int_equal(
					tcp_n_time_wait(p->t[0]) + tcp_n_time_wait(p->t[1]), 0);
				pair_free(p);
			}
}

/* tcp_abort in every state ends both sides. */
static void test_aborts(void **state)
{
	enum { IN_SYN_SENT, IN_OPEN, IN_FIN_WAIT_1, IN_FIN_WAIT_2, IN_CLOSE_WAIT, N_WHEN };

	for (int when = 0; when < N_WHEN; when++) {
		struct pair *p = pair_new(5, NULL);
		uint32_t conn[2] = {0}, seen[2] = {0};
		struct addr to = server(p);
		int by = CLIENT;

		if (when == IN_SYN_SENT)
			conn[CLIENT] = (uint32_t)tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to,
							  KIND_RAW, p->now_us);
		else
			pair_connect(p, KIND_RAW, conn);
		if (when >= IN_FIN_WAIT_1)
			tcp_close(p->t[CLIENT], conn[CLIENT], p->now_us);
		if (when >= IN_FIN_WAIT_2)
			pair_run(p, SECOND, seen);
		if (when == IN_CLOSE_WAIT)
			by = SERVER;
		tcp_abort(p->t[by], conn[by]);
		assert_int_equal(tcp_room(p->t[by], conn[by]), 0);
		assert_null(tcp_reserve(p->t[by], conn[by], 10));
		pair_run(p, SECOND, seen);
		assert_int_equal(SEEN_REASON(seen[by]), TCP_ABORTED);
		if (when != IN_SYN_SENT)
			assert_int_equal(SEEN_REASON(seen[!by]), TCP_RESET);
		assert_empty(p);
		pair_free(p);
	}
}

/* What arrived before the reset can still be read until the release. */
static void test_read_after_reset(void **state)
{
	struct pair *p = pair_new(1, NULL);
	uint32_t conn[2];

	pair_connect(p, KIND_RAW, conn);
	write_bytes(p, CLIENT, conn[CLIENT], "bye");
	pair_run(p, SECOND, NULL);
	tcp_abort(p->t[CLIENT], conn[CLIENT]);
	for (int i = 0;
	     i < 100 && !(p->n_events[SERVER] && p->events[SERVER][0].flags & TCP_CLOSED); i++)
		pair_turn(p);
	assert_reads(p, SERVER, conn[SERVER], "bye");
	wid id = tcp_id(p->t[SERVER], conn[SERVER]);
	assert_int_equal(tcp_check(p->t[SERVER], id), conn[SERVER]);
	pair_turn(p); /* releases */
	assert_int_equal(tcp_check(p->t[SERVER], id), SLOT_NONE);
	pair_free(p);
}

/* A peer that never closes its side does not hold ours for ever. */
static void test_orphan(void **state)
{
	struct pair *p = pair_new(1, NULL);
	uint32_t conn[2], seen[2] = {0};

	pair_connect(p, KIND_RAW, conn);
	tcp_close(p->t[CLIENT], conn[CLIENT], p->now_us);
	pair_run(p, 50 * SECOND, seen);
	assert_int_equal(seen[CLIENT] & TCP_CLOSED, 0);
	assert_true(seen[SERVER] & TCP_EOF);
	pair_run(p, 20 * SECOND, seen);
	assert_int_equal(SEEN_REASON(seen[CLIENT]), TCP_TIMEOUT);
	assert_int_equal(SEEN_REASON(seen[SERVER]), TCP_RESET);
	pair_free(p);
}

/* One who reads nothing does not hold the buffers of one who has left. */
static void test_orphan_window(void **state)
{
	struct pair *p = pair_new(1, NULL);
	uint32_t conn[2], seen[2] = {0};

	pair_connect(p, KIND_RAW, conn);
	tcp_hold(p->t[SERVER], conn[SERVER], true);
	for (int i = 0; i < 200; i++) {
		uint8_t *b = tcp_reserve(p->t[CLIENT], conn[CLIENT], 1000);

		memset(b, 7, 1000);
		tcp_push(p->t[CLIENT], conn[CLIENT], 1000);
	}
	tcp_close(p->t[CLIENT], conn[CLIENT], p->now_us);
	pair_run(p, 50 * SECOND, seen);
	assert_int_equal(seen[CLIENT] & TCP_CLOSED, 0);
	pair_run(p, 75 * SECOND, seen);
	assert_int_equal(SEEN_REASON(seen[CLIENT]), TCP_TIMEOUT);
	assert_int_equal(tcp_mem_all(p->t[CLIENT]), 0);
	pair_free(p);
}

/* Bytes for a reader that has closed: a reset, once ours are acknowledged. */
static void test_data_after_close(void **state)
{
	struct pair *p = pair_new(1, NULL);
	uint32_t conn[2], seen[2] = {0};

	pair_connect(p, KIND_RAW, conn);
	tcp_close(p->t[CLIENT], conn[CLIENT], p->now_us);
	pair_run(p, SECOND, seen);
	write_bytes(p, SERVER, conn[SERVER], "too late");
	pair_run(p, SECOND, seen);
	assert_int_equal(SEEN_REASON(seen[SERVER]), TCP_RESET);
	assert_true(seen[CLIENT] & TCP_CLOSED);
	pair_free(p);
}

/* A new SYN on a tuple in TIME-WAIT opens it again (RFC 6191). */
static void test_time_wait_reuse(void **state)
{
	struct pair *p = pair_new(1, one_port);
	uint32_t conn[2], seen[2] = {0};
	struct addr to = server(p);

	pair_connect(p, KIND_RAW, conn);
	tcp_close(p->t[SERVER], conn[SERVER], p->now_us);
	pair_run(p, SECOND, seen);
	tcp_close(p->t[CLIENT], conn[CLIENT], p->now_us);
	pair_run(p, SECOND, seen);
	assert_int_equal(tcp_n_time_wait(p->t[SERVER]), 1);
	assert_int_equal(tcp_n_time_wait(p->t[CLIENT]), 0);
	memset(seen, 0, sizeof(seen));
	assert_true(tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_RAW, p->now_us) >= 0);
	pair_run(p, SECOND, seen);
	assert_int_equal(seen[SERVER], TCP_OPENED | TCP_WRITABLE);
	assert_int_equal(tcp_n_time_wait(p->t[SERVER]), 0);
	pair_free(p);
}

static void test_time_wait_bound(void **state)
{
	struct pair *p = pair_new(1, NULL);

	for (int i = 0; i < 40; i++) {
		uint32_t conn[2];

		pair_connect(p, KIND_RAW, conn);
		tcp_close(p->t[CLIENT], conn[CLIENT], p->now_us);
		pair_run(p, SECOND / 10, NULL);
		tcp_close(p->t[SERVER], conn[SERVER], p->now_us);
		pair_run(p, SECOND / 10, NULL);
	}
	assert_int_equal(tcp_n_time_wait(p->t[CLIENT]), 32);
	assert_int_equal(COUNTED(p, CLIENT, time_wait_full), 8);
	pair_free(p);
}

/* ---- windows, probes, paths ---- */

static bool lose_updates(struct pair *p, int from, const struct tcp_hdr *h, uint32_t payload)
{
	return from == SERVER && p->now_us < p->filter_arg;
}

/* The reader stops; the writer fills the window, probes, and goes on when it opens, also when the
 * news of it is lost. */
static void test_zero_window(void **state)
{
	for (int lost = 0; lost < 2; lost++) {
		struct pair *p = pair_new(1, NULL);
		uint32_t conn[2], seen[2] = {0}, len;
		uint64_t pushed = 0, taken = 0;
		struct tcp_info info;
		uint8_t *b;

		pair_connect(p, KIND_RAW, conn);
		tcp_hold(p->t[SERVER], conn[SERVER], true);
		for (int i = 0; i < 100; i++) {
			while (tcp_room(p->t[CLIENT], conn[CLIENT]) ||
			       (!tcp_unsent(p->t[CLIENT], conn[CLIENT]) && pushed < 400000)) {
				b = tcp_reserve(p->t[CLIENT], conn[CLIENT], 1000);
				memset(b, 7, 1000);
				tcp_push(p->t[CLIENT], conn[CLIENT], 1000);
				pushed += 1000;
			}
			pair_run(p, SECOND / 10, seen);
		}
		tcp_info(p->t[CLIENT], conn[CLIENT], &info);
		assert_int_equal(info.peer_wnd, 0);
		assert_int_equal(seen[SERVER] & TCP_READABLE, 0);
		assert_true(COUNTED(p, CLIENT, window_probes) > 2);
		pair_run(p, 3000 * SECOND, seen); /* for ever, as long as it answers */
		assert_int_equal((seen[CLIENT] | seen[SERVER]) & TCP_CLOSED, 0);
		if (lost) {
			p->filter = lose_updates;
			p->filter_arg = p->now_us + 5 * SECOND;
		}
		tcp_hold(p->t[SERVER], conn[SERVER], false);
		for (int i = 0; i < 2000; i++) {
			while (tcp_peek(p->t[SERVER], conn[SERVER], &b, &len)) {
				tcp_take(p->t[SERVER], conn[SERVER], len);
				taken += len;
			}
			pair_run(p, SECOND / 10, seen);
		}
		assert_true(seen[SERVER] & TCP_READABLE);
		assert_int_equal(taken, pushed);
		pair_free(p);
	}
}

static void keep_config(struct tcp_config *cfg, int side)
{
	cfg->keepalive_us = side == CLIENT ? 10 * SECOND : 0;
}

static void test_keepalive(void **state)
{
	struct pair *p = pair_new(1, keep_config);
	uint32_t conn[2], seen[2] = {0};

	pair_connect(p, KIND_RAW, conn);
	pair_run(p, 300 * SECOND, seen);
	assert_int_equal((seen[0] | seen[1]) & TCP_CLOSED, 0);
	p->cut[SERVER] = true;
	pair_run(p, 150 * SECOND, seen);
	assert_int_equal(SEEN_REASON(seen[CLIENT]), TCP_TIMEOUT);
	pair_free(p);
}

/* A peer that vanishes under data is given up after the fifteenth try, not before. */
static void test_dead_peer(void **state)
{
	struct pair *p = pair_new(1, NULL);
	uint32_t conn[2], seen[2] = {0};

	pair_connect(p, KIND_RAW, conn);
	pair_run(p, SECOND, seen);
	p->cut[CLIENT] = true;
	write_bytes(p, CLIENT, conn[CLIENT], "anybody?");
	pair_run(p, 600 * SECOND, seen);
	assert_int_equal(seen[CLIENT] & TCP_CLOSED, 0);
	pair_run(p, 900 * SECOND, seen);
	assert_int_equal(SEEN_REASON(seen[CLIENT]), TCP_TIMEOUT);
	pair_free(p);
}

static uint64_t push_much(struct pair *p, uint32_t conn[2], uint64_t total, uint64_t limit_us)
{
	uint64_t pushed = 0, taken = 0, end = p->now_us + limit_us;
	uint32_t len;
	uint8_t *b;

	while (taken < total && p->now_us < end) {
		while (pushed < total && tcp_room(p->t[CLIENT], conn[CLIENT])) {
			b = tcp_reserve(p->t[CLIENT], conn[CLIENT], 4000);
			if (!b)
				break;
			memset(b, 7, 4000);
			tcp_push(p->t[CLIENT], conn[CLIENT], 4000);
			pushed += 4000;
		}
		pair_turn(p);
		while (tcp_peek(p->t[SERVER], conn[SERVER], &b, &len)) {
			tcp_take(p->t[SERVER], conn[SERVER], len);
			taken += len;
		}
	}
	return taken;
}

static void tso_config(struct tcp_config *cfg, int side)
{
	cfg->tso_max = 60000;
}

/* A path that takes 1300 bytes: with ICMP it is learned at once and remembered, without it guessed.
 */
static void test_path_mtu(void **state)
{
	for (int icmp = 0; icmp < 2; icmp++)
		for (int tso = 0; tso < 2; tso++) {
			struct pair *p = pair_new(1, tso ? tso_config : NULL);
			uint32_t conn[2];
			struct tcp_info info;

			pair_connect(p, KIND_RAW, conn);
			p->mtu[CLIENT] = 1300;
			if (icmp) {
				write_bytes(p, CLIENT, conn[CLIENT], "x");
				const struct conn *c = &p->t[CLIENT]->conns[conn[CLIENT]];
				uint64_t before = p->now_us;

				for (int i = 0; i < 10; i++) {
					uint8_t *b = tcp_reserve(p->t[CLIENT], conn[CLIENT], 4000);

					memset(b, 7, 4000);
					tcp_push(p->t[CLIENT], conn[CLIENT], 4000);
				}
				pair_turn(p);
				tcp_mtu_hint(p->t[CLIENT], &c->local, &c->remote, c->snd_una - 1,
					     1300, p->now_us);
				assert_int_equal(COUNTED(p, CLIENT, mtu_hints), 0);
				tcp_mtu_hint(p->t[CLIENT], &c->local, &c->remote, c->snd_una, 1300,
					     p->now_us);
				assert_int_equal(COUNTED(p, CLIENT, mtu_hints), 1);
				assert_int_equal(push_much(p, conn, 40001, 10 * SECOND) >= 40001,
						 1);
				assert_true(p->now_us - before < SECOND / 2);
				assert_int_equal(conn_mss_for(p->t[CLIENT], &p->ip[SERVER]), 1260);
			} else {
				assert_int_equal(push_much(p, conn, 200000, 60 * SECOND), 200000);
				assert_int_equal(COUNTED(p, CLIENT, mtu_guesses), 1);
			}
			tcp_info(p->t[CLIENT], conn[CLIENT], &info);
			assert_true(info.mss <= 1260);
			pair_free(p);
		}
}

/* ---- units and memory ---- */

static void test_bad_unit(void **state)
{
	static const struct {
		const char *bytes;
		uint32_t len;
		bool bad;
	} rows[] = {
		{"GET / HTTP/1.0\r\n\r\n", 18, true},
		{"\x16\x03\x01\x41\x01", 5, true}, /* 16384 + 257 */
		{"\x16\x03\x01\x41\x00", 5, false},
		{"\x16\x03\x01", 3, false},
		{"\x16\x02\x01\x00\x01z", 6, true},
		{"\x17\x03\x03\x00\x00", 5, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pair *p = pair_new(1, NULL);
		uint32_t conn[2], seen[2] = {0};
		uint8_t *b;

		pair_connect(p, KIND_TLS, conn);
		b = tcp_reserve(p->t[CLIENT], conn[CLIENT], rows[i].len);
		memcpy(b, rows[i].bytes, rows[i].len);
		tcp_push(p->t[CLIENT], conn[CLIENT], rows[i].len);
		pair_run(p, SECOND, seen);
		assert_int_equal(!!(seen[SERVER] & TCP_BAD_UNIT), rows[i].bad);
		if (rows[i].bad)
			assert_memory_equal(tcp_bad_unit(p->t[SERVER], conn[SERVER]), rows[i].bytes,
					    5);
		else
			assert_null(tcp_bad_unit(p->t[SERVER], conn[SERVER]));
		assert_int_equal(!!(seen[SERVER] & TCP_READABLE), i == 5);
		pair_free(p);
	}
}

/* Records of one byte are acknowledged only as far as their buffers allow. */
static void test_amplification(void **state)
{
	struct pair *p = pair_new(1, NULL);
	uint32_t conn[2], seen[2] = {0};

	pair_connect(p, KIND_TLS, conn);
	for (int i = 0; i < 20000; i++) {
		uint8_t *b;

		if (!tcp_room(p->t[CLIENT], conn[CLIENT]) ||
		    !(b = tcp_reserve(p->t[CLIENT], conn[CLIENT], 16002))) {
			pair_turn(p);
			continue;
		}
		for (int k = 0; k < 16002; k += 6)
			memcpy(b + k, "\x17\x03\x03\x00\x01z", 6);
		tcp_push(p->t[CLIENT], conn[CLIENT], 16002);
	}
	pair_run(p, 10 * SECOND, seen);
	assert_true(tcp_mem(p->t[SERVER], conn[SERVER]) <= 5 * RCV_WND_START + 20000);
	assert_true(tcp_mem(p->t[SERVER], conn[SERVER]) > RCV_WND_START);
	pair_free(p);
}

static void small_config(struct tcp_config *cfg, int side)
{
	for (int i = 0; i < TCP_POOLS; i++)
		cfg->n_bufs[i] = 64;
	cfg->max_mem = 40000;
	cfg->n_headers = 64;
	cfg->n_pieces = 96;
	cfg->n_sent = 4;
}

/* Everything runs out all the time: slow, but every byte arrives and nothing is kept. */
static void test_starved(void **state)
{
	struct pair *p = pair_new(1, small_config);
	uint32_t conn[2], seen[2] = {0};

	pair_connect(p, KIND_RAW, conn);
	p->loss_ppm = 20000;
	assert_int_equal(push_much(p, conn, 2000000, 300 * SECOND), 2000000);
	assert_true(COUNTED(p, CLIENT, no_sent) > 0);
	assert_true(COUNTED(p, CLIENT, no_buffer) > 0);
	tcp_close(p->t[CLIENT], conn[CLIENT], p->now_us);
	pair_run(p, 10 * SECOND, seen);
	tcp_close(p->t[SERVER], conn[SERVER], p->now_us);
	pair_run(p, 10 * SECOND, seen);
	assert_empty(p);
	pair_free(p);
}

/* A fast path grows the receive window, and the bound holds. */
static void window_config(struct tcp_config *cfg, int side)
{
	cfg->rx_max = 1u << 20;
}

static void test_window_grows(void **state)
{
	struct pair *p = pair_new(1, window_config);
	uint32_t conn[2];
	struct tcp_info info;

	p->delay_us = 50000;
	pair_connect(p, KIND_RAW, conn);
	push_much(p, conn, 8000000, 60 * SECOND);
	pair_run(p, SECOND, NULL);
	tcp_info(p->t[SERVER], conn[SERVER], &info);
	assert_in_range(info.rcv_wnd, 1000000, (1u << 20) + 127);
	pair_free(p);
}

/* Calls on what is not there do nothing. */
static void test_dead_index(void **state)
{
	struct pair *p = pair_new(1, NULL);
	struct tcp *t = p->t[CLIENT];
	struct tcp_info info;
	struct addr a, b;
	uint8_t *ptr;
	uint32_t len;

	for (uint32_t conn = 0; conn < 100; conn += 33) {
		tcp_close(t, conn, p->now_us);
		tcp_abort(t, conn);
		tcp_release(t, conn);
		tcp_take(t, conn, 1);
		tcp_push(t, conn, 1);
		tcp_hold(t, conn, true);
		tcp_again(t, conn);
		tcp_addrs(t, conn, &a, &b);
		assert_false(tcp_peek(t, conn, &ptr, &len));
		assert_null(tcp_reserve(t, conn, 1));
		assert_int_equal(tcp_room(t, conn), 0);
		assert_int_equal(tcp_info(t, conn, &info), ERR_UNKNOWN);
		assert_true(tcp_id(t, conn) == WID_NONE);
	}
	assert_false(tcp_busy(t));
	pair_free(p);
}

/* clang-format off */
#define T(name) cmocka_unit_test(test_##name)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(refused), T(no_answer), T(bad_dials), T(unreachable), T(simultaneous_open),
		T(ports_exhausted), T(port_lands_here), T(slots_full), T(cookies), T(cookie_ages),
		T(not_accepting), T(wildcard), T(unknown_segments), T(blind_attacks), T(closings),
		T(aborts), T(read_after_reset), T(orphan), T(orphan_window),
		T(data_after_close), T(time_wait_reuse),
		T(time_wait_bound), T(zero_window), T(keepalive), T(dead_peer), T(path_mtu),
		T(bad_unit), T(amplification), T(starved), T(window_grows), T(dead_index),
	};

	pair_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

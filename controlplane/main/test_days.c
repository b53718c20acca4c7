/* test_days.c - the whole of control under a moved clock: 40 days beside a scripted dataplane,
 * which refuses every dial and brings a client's CREATE2 now and then; and what is left to that
 * dataplane of MaxMemInQueues. */
#include "controlplane/main/control.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "controlplane/dir/compress.h"
#include "dataplane/wire/cell.h"
#include "dataplane/wire/onionskin.h"

#define START  1800000000ll
#define HOUR_S 3600
#define STEP_H 24 /* each step has new TLS keys, which take their time */

static int64_t wall_s = START;
static uint64_t mono_us = 5000000;

int64_t clock_wall_s(void)
{
	return wall_s;
}

uint64_t clock_us(void)
{
	return mono_us;
}

/* ---- the dataplane ---- */

static struct plane {
	int memory, wake[2];
	struct ctl_shared *shared;
	struct ring up, down;
	unsigned n_dials;
	int64_t max_mem; /* as it was last told */
	wid circ;	 /* of the CREATE2 that is asked */
	bool answered, refused;
	uint8_t created[CELL_PAYLOAD];
} p;

static void plane_open(void)
{
	p.memory = memfd_create("wall", MFD_CLOEXEC);
	assert_return_code(ftruncate(p.memory, (off_t)ctl_size(1)), 0);
	p.shared = mmap(NULL, ctl_size(1), PROT_READ | PROT_WRITE, MAP_SHARED, p.memory, 0);
	assert_true(p.shared != MAP_FAILED);
	p.shared->magic = CTL_MAGIC;
	p.shared->version = CTL_VERSION;
	p.shared->n_workers = 1;
	p.shared->ring_slots = CTL_RING_SLOTS;
	ring_attach(&p.up, ctl_ring(p.shared, 0, true), CTL_RING_SLOTS);
	ring_attach(&p.down, ctl_ring(p.shared, 0, false), CTL_RING_SLOTS);
	p.wake[0] = eventfd(0, EFD_NONBLOCK);
	p.wake[1] = eventfd(0, EFD_NONBLOCK);
}

static void plane_close(void)
{
	munmap(p.shared, ctl_size(1));
	close(p.memory);
	close(p.wake[0]);
	close(p.wake[1]);
}

static void say(uint16_t type, wid id, uint32_t arg, const void *body, size_t body_len,
		const void *tail, size_t tail_len)
{
	struct {
		struct ctl_head head;
		uint8_t body[64];
	} m = {.head = {.type = type, .epoch = p.shared->epoch, .arg = arg, .id = id}};
	uint64_t one = 1;

	if (body_len)
		memcpy(m.body, body, body_len);
	assert_int_equal(ring_send(&p.up, &m, sizeof(m.head) + body_len, tail, tail_len), 0);
	assert_int_equal(write(p.wake[0], &one, sizeof(one)), sizeof(one));
}

static void hear(const uint8_t *bytes, size_t len)
{
	struct ctl_conn_closed closed;
	struct ctl_conn_open open;
	struct ctl_param param;
	struct ctl_head head;

	memcpy(&head, bytes, sizeof(head));
	bytes += sizeof(head);
	len -= sizeof(head);
	if (head.type == CTL_CONN_OPEN) {
		memcpy(&open, bytes, sizeof(open));
		closed.cookie = open.cookie;
		p.n_dials++;
		say(CTL_CONN_CLOSED, WID_NONE, CTL_WHY_REFUSED, &closed, sizeof(closed), NULL, 0);
	} else if (head.type == CTL_CIRC_ADD && head.id == p.circ) {
		p.answered = true;
		len -= sizeof(struct ctl_circ_add);
		memcpy(p.created, bytes + sizeof(struct ctl_circ_add), MIN(len, CELL_PAYLOAD));
	} else if (head.type == CTL_CIRC_CLOSE && head.id == p.circ) {
		p.refused = true;
	} else if (head.type == CTL_PARAM_SET) {
		memcpy(&param, bytes, sizeof(param));
		if (param.param == CTL_PARAM_MAX_MEM)
			p.max_mem = param.value;
	}
}

/* What goes down is heard, what comes up is handled, until nothing more moves. */
static void turn(struct control *c)
{
	static _Alignas(8) uint8_t msg[RING_MSG_MAX];
	bool moved = true;

	while (moved) {
		int n = ring_recv(&p.down, msg, false);

		moved = n > 0;
		if (n > 0)
			hear(msg, (size_t)n);
		moved |= door_run(c->door, 64) > 0;
	}
	event_base_loop(c->base, EVLOOP_NONBLOCK);
}

/* ---- a client ---- */

/* The ntor onion key that the descriptor announces. */
static void announced_key(const struct control *c, uint8_t key[32])
{
	uint8_t out[36];
	char text[48];
	size_t len;
	const char *at = strstr(dir_own_descriptor(c->dir, &len), "\nntor-onion-key ");

	assert_non_null(at);
	snprintf(text, sizeof(text), "%.43s=", at + strlen("\nntor-onion-key "));
	assert_int_equal(EVP_DecodeBlock(out, (const uint8_t *)text, 44), 33);
	memcpy(key, out, 32);
}

/* Is a CREATE2 for this onion key answered, and rightly? */
static bool key_serves(struct control *c, const uint8_t key[32])
{
	static uint32_t serial;
	uint8_t skin[HANDSHAKE_SKIN_MAX], payload[CELL_PAYLOAD] = {0};
	struct ctl_circ_create body = {.conn = wid_make(0, 1, 1), .command = CELL_CREATE2};
	struct handshake_done done;
	struct handshake_peer peer;
	struct handshake_client client;
	struct create2 create = {.type = HANDSHAKE_NTOR, .data = skin};
	struct bytes data;
	size_t len;

	memcpy(peer.rsa_id, keys_rsa_id(c->keys), 20);
	memcpy(peer.ed_id, keys_ed_id(c->keys), 32);
	memcpy(peer.onion, key, 32);
	assert_int_equal(handshake_begin(&client, HANDSHAKE_NTOR, &peer, skin, &len), 0);
	create.len = (uint16_t)len;
	assert_true(create2_put(&create, payload, sizeof(payload)) > 0);
	p.circ = wid_make(0, 7, ++serial);
	p.answered = p.refused = false;
	say(CTL_CIRC_CREATE, p.circ, 0, &body, sizeof(body), payload, sizeof(payload));
	for (int i = 0; i < 20000 && !p.answered && !p.refused; i++) {
		turn(c);
		usleep(500);
	}
	assert_true(p.answered || p.refused);
	say(CTL_CIRC_CLOSED, p.circ, DESTROY_NONE, NULL, 0, NULL, 0);
	turn(c);
	if (p.refused)
		return false;
	assert_int_equal(created2_get(&data, p.created, sizeof(p.created)), 0);
	return handshake_finish(&client, data.p, data.len, &done) == 0;
}

/* ---- what must hold at every step ---- */

static int64_t published_s(const struct control *c)
{
	struct tm tm = {0};
	size_t len;
	const char *at = strstr(dir_own_descriptor(c->dir, &len), "\npublished ");

	assert_non_null(at);
	assert_non_null(strptime(at + 11, "%Y-%m-%d %H:%M:%S", &tm));
	return timegm(&tm);
}

static void certificates_live(const struct control *c)
{
	static const enum certs_type types[] = {CERTS_ED_SIGNING, CERTS_ED_LINK, CERTS_ED_AUTH};
	struct link_certs *l = keys_link_certs_get(c->keys);
	time_t now = wall_s;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct ed_cert cert;

		assert_int_equal(ed_cert_parse(&cert, l->certs[types[i]].p, l->certs[types[i]].len),
				 0);
		assert_true((int64_t)cert.expires_h * HOUR_S > wall_s);
	}
	assert_true(X509_cmp_time(X509_get0_notAfter(l->tls_cert), &now) > 0);
	assert_true(X509_cmp_time(X509_get0_notBefore(l->tls_cert), &now) < 0);
	link_certs_put(l);
	assert_true(keys_signing_expires_s(c->keys) > wall_s);
}

static void tick(struct control *c)
{
	c->tick_n = 0; /* the tick that is a whole second */
	rooms_tick(c);
	turn(c);
}

static void start(struct control *c, const char *dir)
{
	char torrc[1024];
	struct config_messages m = {0};
	const char *why;

	plane_open();
	snprintf(torrc, sizeof(torrc),
		 "Nickname days\nORPort 9001\nDataDirectory %s\nDataplanePort tap:t0\n"
		 "DataplaneAddress 10.1.0.2/24\nExtendAllowPrivateAddresses 1\nAssumeReachable 1\n"
		 "TestingTorNetwork 1\nExitRelay 0\n"
		 "DirAuthority a orport=9001 v3ident=%040d 10.1.0.9:80 %040d\n",
		 dir, 1, 2);
	assert_int_equal(config_parse(torrc, strlen(torrc), &c->config, &m), 0);
	config_messages_free(&m);
	c->base = event_base_new();
	c->door = door_open(p.memory, p.wake[0], &p.wake[1], 1, c->base, control_table, c, &why);
	assert_non_null(c->door);
	assert_int_equal(rooms_open(c), 0);
	settings_push(c);
	tick(c);
}

static void end(struct control *c, const char *dir)
{
	char cmd[128];

	rooms_close(c);
	door_close(c->door);
	event_base_free(c->base);
	config_free(&c->config);
	plane_close();
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	assert_int_equal(system(cmd), 0);
}

static void forty_days(void **state)
{
	char dir[] = "/tmp/test_days_XXXXXX";
	uint8_t first[32], now[32];
	unsigned n_descriptors = 0, dials_before = 0;
	int64_t was, rotated_h = 0;
	static struct control c;

	assert_non_null(mkdtemp(dir));
	start(&c, dir);
	announced_key(&c, first);
	assert_true(key_serves(&c, first));
	was = published_s(&c);
	for (int64_t h = STEP_H; h <= 40 * 24; h += STEP_H) {
		wall_s += STEP_H * HOUR_S;
		mono_us += STEP_H * HOUR_S * 1000000ull;
		/* On the tenth day the clock is set an hour ahead, on the twelfth back again. */
		wall_s += h == 10 * 24 ? HOUR_S : h == 12 * 24 ? -HOUR_S : 0;
		for (int i = 0; i < 3; i++) { /* keys, then what follows from them */
			wall_s += 3;
			mono_us += 3000000;
			tick(&c);
		}
		certificates_live(&c);
		n_descriptors += published_s(&c) != was;
		was = published_s(&c);
		assert_true(wall_s - was <= (18 + STEP_H) * HOUR_S && was - wall_s <= HOUR_S);
		announced_key(&c, now);
		if (!rotated_h && memcmp(now, first, 32) != 0)
			rotated_h = h;
		/* Authorities that refuse are asked to the last day. */
		assert_true(p.n_dials > dials_before);
		dials_before = p.n_dials;
		assert_true(key_serves(&c, now));
		assert_int_equal(key_serves(&c, first), h <= 34 * 24); /* rotated, a week's grace */
	}
	assert_int_equal(rotated_h, 28 * 24);
	assert_in_range(n_descriptors, 40 * 24 / (18 + STEP_H), 40 * 24 / 18 + 8);
	end(&c, dir);
}

/* What directory compression holds is not the dataplane's to fill (interop C15). */
static void memory_rule(void **state)
{
	static const enum packer_way ways[] = {UNPACK, PACK, PACK_SMALL};
	char dir[] = "/tmp/test_days_XXXXXX";
	static struct control c;
	int64_t all;

	assert_non_null(mkdtemp(dir));
	start(&c, dir);
	all = p.max_mem;
	assert_in_range(c.config.max_mem - all, 0, (1 << 20) - 1);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct packer *packer = packer_new(ways[i] ? ENC_LZMA : ENC_ZSTD, ways[i]);
		int64_t held = (int64_t)packers_memory(ways[i]);

		tick(&c);
		assert_true(held && all - p.max_mem >= held / (1 << 20) * (1 << 20));
		assert_true(all - p.max_mem <= held + (1 << 20));
		packer_free(packer);
		tick(&c);
		assert_int_equal(p.max_mem, all);
	}
	end(&c, dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_rule),
		cmocka_unit_test(forty_days),
	};

	log_open(STDERR_FILENO, LOG_WARN, "control");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* fake.c - for the tests of circ/: a door that remembers, rooms that answer as told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <event2/event.h>
#include <unistd.h>

#include "controlplane/circ/fake.h"

struct sent fake_sent[64];
unsigned fake_n_sent;
bool fake_door_full;
struct circs *fake_circs;
struct hs *fake_hs;
struct handshake_pool *fake_pool;
struct handshake_keys fake_keys;
struct circ_settings fake_settings;
struct fake_outside fake;

static struct event_base *base;
static struct policy *policy;

int door_send(struct door *d, unsigned worker, uint16_t type, wid id, uint32_t arg,
	      const void *body, size_t body_len, const void *tail, size_t tail_len)
{
	struct sent *s = &fake_sent[fake_n_sent % ARRAY_LEN(fake_sent)];

	assert_int_equal(worker, wid_worker(id));
	assert_true(body_len <= sizeof(s->body) && tail_len <= sizeof(s->tail));
	if (fake_door_full)
		return ERR_FULL;
	fake_n_sent++;
	s->type = type;
	s->id = id;
	s->arg = arg;
	s->body_len = body_len;
	s->len = tail_len;
	if (body_len)
		memcpy(s->body, body, body_len);
	if (tail_len)
		memcpy(s->tail, tail, tail_len);
	return 0;
}

int dns_ask(struct dns *dns, const char *name, dns_fn *fn, void *arg)
{
	if (fake.dns_error)
		return fake.dns_error;
	fake.n_asked++;
	strcpy(fake.asked, name);
	fake.dns_fn = fn;
	fake.dns_arg = arg;
	return 0;
}

static const struct link_peer *say_peer(void *arg, wid conn)
{
	return fake.no_peer ? NULL : &fake.peer;
}
static wid say_link(void *arg, const struct link_target *to, link_cb cb, void *cb_arg,
		    unsigned *reason)
{
	fake.n_links++;
	fake.target = *to;
	fake.cb = cb;
	fake.cb_arg = cb_arg;
	*reason = fake.link_why;
	return fake.link_now;
}
static void forget_link(void *arg, link_cb cb, void *cb_arg)
{
	assert_ptr_equal(cb, fake.cb);
	fake.n_forgets++;
	fake.cb = NULL;
}
static bool say_node(void *arg, const uint8_t rsa_id[20], struct circ_node *node)
{
	*node = fake.node;
	return fake.listed;
}
static bool say_reentry(void *arg, const struct addr *to)
{
	return fake.reentry;
}
static bool say_create(void *arg, const struct link_peer *peer)
{
	assert_ptr_equal(peer, &fake.peer);
	fake.n_creates++;
	return !fake.no_create;
}
static void hear_queue_full(void *arg, const struct link_peer *peer)
{
	assert_ptr_equal(peer, &fake.peer);
	fake.n_queue_full++;
}
static int say_dir(void *arg, const uint8_t *request, size_t len, const struct addr *peer,
		   struct dir_answer **answer)
{
	assert_true(addr_same(peer, &fake.peer.remote));
	if (fake.served == 1)
		*answer = (struct dir_answer *)&fake;
	return fake.served;
}
static size_t read_dir(void *arg, struct dir_answer *answer, uint8_t *to, size_t cap)
{
	size_t n = MIN(cap, fake.answer_len - fake.answer_at);

	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(fake.answer_at + i);
	fake.answer_at += n;
	return n;
}
static void free_dir(void *arg, struct dir_answer *answer)
{
	assert_ptr_equal(answer, &fake);
	fake.n_dir_freed++;
}

void fake_apply(void)
{
	fake_settings.policy = policy;
	assert_int_equal(circ_configure(fake_circs, &fake_settings), 0);
}

static int policy_make(void)
{
	static const char *const lines[] = {"reject *:25", "reject6 [2001:db8:bad::]/48:*",
					    "accept *:*"};
	struct policy_setup s = {.lines = lines,
				 .n_lines = 3,
				 .exit_relay = 1,
				 .ipv6_exit = true,
				 .reject_private = true};
	char why[POLICY_ERROR];

	return policy_new(&policy, &s, why);
}

int fake_setup(void **state)
{
	struct circ_rooms rooms = {.out = {NULL, say_peer, say_link, forget_link, say_node,
					   say_reentry, say_create, hear_queue_full, say_dir,
					   read_dir, free_dir}};

	memset(&fake, 0, sizeof(fake));
	memset(&fake_settings, 0, sizeof(fake_settings));
	fake_n_sent = 0;
	fake_door_full = false;
	fake.peer.kind = CTL_PEER_RELAY;
	memset(fake.peer.rsa_id, 0x77, 20);
	memset(fake.peer.ed_id, 0x78, 32);
	fake.peer.has_ed = true;
	addr_parse(&fake.peer.remote, "9.9.9.9:9001");
	memset(fake_settings.rsa_id, 0x55, 20);
	memset(fake_settings.ed_id, 0x56, 32);
	addr_parse(&fake_settings.exit4, "198.51.100.1");
	addr_parse(&fake_settings.exit6, "2001:db8::1");
	fake_settings.dir_cache = fake_settings.ipv6_exit = true;
	fake_settings.refuse_unknown_exits = 1;
	base = event_base_new();
	if (hs_new(&fake_hs, NULL, (const uint8_t[16]) {1}) || policy_make())
		return -1;
	rooms.hs = fake_hs;
	if (circ_new(&fake_circs, &rooms) ||
	    handshake_pool_new(&fake_pool, base, 1, circ_handshake_done, fake_circs))
		return -1;
	circ_set_pool(fake_circs, fake_pool);
	fake_keys.n_onion = 1;
	if (handshake_pair_new(&fake_keys.onion[0]) || handshake_pair_new(&fake_keys.junk) ||
	    handshake_pool_keys(fake_pool, &fake_keys))
		return -1;
	fake_apply();
	return 0;
}

int fake_teardown(void **state)
{
	handshake_pool_free(fake_pool);
	circ_free(fake_circs);
	hs_free(fake_hs);
	policy_free(policy);
	event_base_free(base);
	return 0;
}

void fake_up(uint16_t type, wid id, uint32_t arg, const void *body, const void *tail,
	     size_t tail_len)
{
	struct ctl_head head = {.type = type, .id = id, .arg = arg};

	circ_message(fake_circs, &head, body, (struct bytes) {tail, tail_len});
}

void fake_create(wid id, uint8_t command, const void *payload, size_t len)
{
	struct ctl_circ_create body = {.conn = wid_make(0, 5, 1), .command = command};

	fake_up(CTL_CIRC_CREATE, id, 0, &body, payload, len);
}

void fake_relay(wid id, uint8_t command, uint32_t serial, const void *body, size_t len)
{
	struct ctl_circ_msg m = {
		.command = command, .early = 1, .serial = serial, .conn = wid_make(0, 5, 1)};

	fake_up(CTL_CIRC_RECV, id, 0, &m, body, len);
}

void fake_open(wid id)
{
	uint8_t payload[509] = {3};

	fake_create(id, CELL_CREATE_FAST, payload, sizeof(payload));
	assert_int_equal(fake_sent[(fake_n_sent - 1) % ARRAY_LEN(fake_sent)].type, CTL_CIRC_ADD);
	fake_n_sent = 0;
}

void fake_run(unsigned n_sent)
{
	for (int i = 0; i < 4000 && fake_n_sent < n_sent; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
	assert_int_equal(fake_n_sent, n_sent);
}

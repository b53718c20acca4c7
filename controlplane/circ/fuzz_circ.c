/* fuzz_circ.c - a dataplane gone mad: any sequence of messages about circuits and streams, with
 * links and names that answer, fail, or come late. Nothing may leak or outgrow its bound. */
#include <stdlib.h>

#include "controlplane/circ/internal.h"
#include "controlplane/dir/dir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define N_LATE 8
static struct {
	dns_fn *fn;
	void *arg;
} names[N_LATE];
static struct {
	link_cb cb;
	void *arg;
} links[N_LATE];
static uint8_t mood; /* what the rooms around answer */

int door_send(struct door *d, unsigned worker, uint16_t type, wid id, uint32_t arg,
	      const void *body, size_t body_len, const void *tail, size_t tail_len)
{
	volatile uint8_t sum = 0;

	if (worker != wid_worker(id) || tail_len > CTL_CHUNK)
		abort();
	for (size_t i = 0; i < tail_len; i++) /* all of it must be readable */
		sum ^= ((const uint8_t *)tail)[i];
	return mood & 1 ? ERR_FULL : 0;
}

int dns_ask(struct dns *dns, const char *name, dns_fn *fn, void *arg)
{
	struct dns_answer a = {.outcome4 = DNS_OK, .a4 = {4, 0, 0, {8, 8, 8, 8}}};

	for (unsigned i = 0; i < N_LATE && mood & 2; i++)
		if (!names[i].fn) {
			names[i].fn = fn;
			names[i].arg = arg;
			return 0;
		}
	if (mood & 4)
		return ERR_FULL;
	fn(arg, &a);
	return 0;
}

static const struct link_peer *say_peer(void *arg, wid conn)
{
	static struct link_peer peer;

	peer = (struct link_peer) {.kind = conn % 3, .has_ed = true};
	return conn % 5 ? &peer : NULL;
}
static wid say_link(void *arg, const struct link_target *to, link_cb cb, void *cb_arg,
		    unsigned *reason)
{
	*reason = 0;
	for (unsigned i = 0; i < N_LATE && mood & 8; i++)
		if (!links[i].cb) {
			links[i].cb = cb;
			links[i].arg = cb_arg;
			return WID_NONE;
		}
	*reason = DESTROY_CONNECTFAILED;
	return mood & 16 ? wid_make(0, 1, 1) : WID_NONE;
}
static void forget_link(void *arg, link_cb cb, void *cb_arg)
{
	for (unsigned i = 0; i < N_LATE; i++)
		if (links[i].arg == cb_arg)
			links[i].cb = NULL;
}
static bool say_node(void *arg, const uint8_t rsa_id[20], struct circ_node *node)
{
	*node = (struct circ_node) {.has_ed = true, .or4 = {4, 0, 9, {1, 1, 1, 1}}};
	return mood & 32;
}
static bool say_create(void *arg, const struct link_peer *peer)
{
	return true;
}
static void hear_queue_full(void *arg, const struct link_peer *peer)
{
}
static bool say_reentry(void *arg, const struct addr *to)
{
	return mood & 32;
}
static int say_dir(void *arg, const uint8_t *request, size_t len, const struct addr *peer,
		   struct dir_answer **answer)
{
	if (len < 20)
		return DIR_SERVE_MORE;
	*answer = malloc(1);
	return *answer ? DIR_SERVE_ANSWER : ERR_FULL;
}
static size_t read_dir(void *arg, struct dir_answer *answer, uint8_t *to, size_t cap)
{
	memset(to, 7, cap);
	return mood & 64 ? 0 : cap;
}
static void free_dir(void *arg, struct dir_answer *answer)
{
	free(answer);
}

/* What was put off happens now. */
static void late(unsigned i)
{
	struct dns_answer a = {.outcome4 = DNS_TIMED_OUT};
	dns_fn *fn = names[i].fn;
	link_cb cb = links[i].cb;

	names[i].fn = NULL;
	links[i].cb = NULL;
	if (fn)
		fn(names[i].arg, &a);
	if (cb)
		cb(links[i].arg, mood & 16 ? wid_make(0, 1, 1) : WID_NONE, DESTROY_OR_IDENTITY);
}

static const uint16_t types[] = {
	CTL_CIRC_CREATE, CTL_CIRC_RECV,	    CTL_CIRC_DONE,     CTL_CIRC_CLOSED, CTL_STREAM_RECV,
	CTL_STREAM_READ, CTL_STREAM_CREDIT, CTL_STREAM_CLOSED, CTL_CTL_REFUSED, CTL_CIRC_REPLAY,
};

/* One message: type and mood, id, some bytes for the body, a length and the tail. */
static void message(struct circs *c, struct reader *r)
{
	uint8_t what = rd_u8(r);
	struct ctl_head head = {.type = types[what % ARRAY_LEN(types)]};
	uint64_t body[32] = {0};
	struct bytes tail;

	mood = rd_u8(r);
	head.id = wid_make(what >> 6, rd_u8(r) & 3, 1);
	head.arg = rd_u16(r);
	rd_copy(r, body, MIN(rd_left(r), 16u));
	if (head.type == CTL_STREAM_RECV) {
		struct ctl_stream_recv b = {wid_make(what >> 6, body[0] & 3, 1),
					    body[0] >> 8 & 15,
					    (uint8_t)(RELAY_BEGIN + (body[0] >> 16) % 13),
					    {0}};
		memcpy(body, &b, sizeof(b));
	}
	if (head.type == CTL_CIRC_REPLAY)
		rd_copy(r, body, MIN(rd_left(r), sizeof(struct ctl_circ_replay)));
	tail.len = rd_u16(r) % 600;
	tail.len = MIN(tail.len, rd_left(r));
	tail.p = rd_bytes(r, tail.len);
	circ_message(c, &head, body, tail);
	if (what & 32)
		late(what % N_LATE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const lines[] = {"reject *:25,accept *:*"};
	struct policy_setup ps = {.exit_relay = 1, .lines = lines, .n_lines = 1, .ipv6_exit = true};
	struct circ_settings set = {.dir_cache = true,
				    .ipv6_exit = true,
				    .exit4 = {.family = 4},
				    .exit6 = {.family = 6},
				    .ipv6_orport = true};
	struct circ_rooms rooms = {.dir_bytes_max = 8192,
				   .out = {NULL, say_peer, say_link, forget_link, say_node,
					   say_reentry, say_create, hear_queue_full, say_dir,
					   read_dir, free_dir}};
	struct reader r = reader_of(data, len);
	static struct policy *policy;
	char why[POLICY_ERROR];
	struct circs *c;
	struct hs *hs;

	mood = 0;
	if (!policy && policy_new(&policy, &ps, why))
		return 0;
	set.policy = policy;
	if (hs_new(&hs, NULL, (const uint8_t[16]) {3}))
		return 0;
	rooms.hs = hs;
	if (!circ_new(&c, &rooms)) {
		circ_configure(c, &set);
		while (rd_left(&r) && !r.bad)
			message(c, &r);
		for (unsigned i = 0; i < N_LATE; i++)
			late(i);
		if (circ_figures(c)->dir_bytes > rooms.dir_bytes_max)
			abort();
		circ_free(c);
	}
	hs_free(hs);
	return 0;
}

/* neighbours.c - what circ/ asks of link/ and dir/, in their own words. */
#include "controlplane/circ/internal.h"

#include "controlplane/dir/dir.h"
#include "controlplane/guardrail/dos.h"

#include <time.h>

static const struct link_peer *ask_peer(void *arg, wid conn)
{
	return link_peer(((struct circ_neighbours *)arg)->links, conn);
}

static wid ask_link(void *arg, const struct link_target *to, link_cb cb, void *cb_arg,
		    unsigned *reason)
{
	return link_get(((struct circ_neighbours *)arg)->links, to, cb, cb_arg, reason);
}

static void forget_link(void *arg, link_cb cb, void *cb_arg)
{
	link_forget(((struct circ_neighbours *)arg)->links, cb, cb_arg);
}

static bool ask_node(void *arg, const uint8_t rsa_id[20], struct circ_node *node)
{
	static const uint8_t none[32];
	const struct dir_node *n = dir_node_by_rsa(((struct circ_neighbours *)arg)->dir, rsa_id);

	if (!n)
		return false;
	*node = (struct circ_node) {.or4 = n->or4, .or6 = n->or6};
	memcpy(node->ed_id, n->ed_id, sizeof(node->ed_id));
	node->has_ed = memcmp(n->ed_id, none, sizeof(none)) != 0 && !(n->flags & DIR_NO_ED);
	return true;
}

static bool ask_reentry(void *arg, const struct addr *to)
{
	return dir_is_relay_addr(((struct circ_neighbours *)arg)->dir, to, false);
}

static uint64_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec;
}

/* Relays that have proven who they are make as many as they like. */
static bool ask_create(void *arg, const struct link_peer *peer)
{
	return peer->kind != CTL_PEER_CLIENT ||
	       dos_create(((struct circ_neighbours *)arg)->dos, &peer->remote, now_s());
}

static void tell_queue_full(void *arg, const struct link_peer *peer)
{
	if (peer->kind == CTL_PEER_CLIENT)
		dos_queue_full(((struct circ_neighbours *)arg)->dos, &peer->remote, now_s());
}

static int ask_dir(void *arg, const uint8_t *request, size_t len, const struct addr *peer,
		   struct dir_answer **answer)
{
	return dir_serve(((struct circ_neighbours *)arg)->dir, request, len, peer, time(NULL),
			 answer);
}

static size_t read_dir(void *arg, struct dir_answer *answer, uint8_t *to, size_t cap)
{
	return dir_answer_read(answer, to, cap);
}

static void free_dir(void *arg, struct dir_answer *answer)
{
	dir_answer_free(answer);
}

void circ_outside_of(struct circ_outside *out, struct circ_neighbours *n)
{
	*out = (struct circ_outside) {
		.arg = n,
		.peer = ask_peer,
		.link = ask_link,
		.link_forget = forget_link,
		.node = ask_node,
		.reentry = ask_reentry,
		.may_create = ask_create,
		.queue_full = tell_queue_full,
		.dir_serve = ask_dir,
		.dir_read = read_dir,
		.dir_free = free_dir,
	};
}

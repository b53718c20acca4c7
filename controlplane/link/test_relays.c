/* test_relays.c - two relays for the tests of link/: see test_relays.h. */
#include "controlplane/link/test_relays.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <cmocka.h>

struct relay relays[2];
static char root[] = "/tmp/ramson-link-XXXXXX";
uint64_t now_us = 1000000000;
int64_t wall_s = WALL;

struct answered answered;

void on_link(void *arg, wid conn, unsigned reason)
{
	answered.n++;
	answered.conn = conn;
	answered.reason = reason;
}

static bool knows(void *arg, const uint8_t *rsa_id, const uint8_t *ed)
{
	return ((struct relay *)arg)->knows;
}

static void suggested(void *arg, const struct link_peer *p, const struct addr *said)
{
	((struct relay *)arg)->n_suggested++;
	((struct relay *)arg)->suggested = *said;
}

static void skewed(void *arg, const struct link_peer *p, int64_t skew_s)
{
	((struct relay *)arg)->n_skewed++;
	((struct relay *)arg)->skew_s = skew_s;
}

void clock_to(uint64_t us)
{
	now_us = us;
	for (unsigned i = 0; i < 2; i++)
		links_now(relays[i].links, now_us, wall_s);
}

void relay_start(struct relay *r, uint32_t max_handshakes)
{
	struct links_config c = {.door = (struct door *)&r->links,
				 .keys = r->keys,
				 .dos = r->dos,
				 .n_workers = 1,
				 .max_links = 64,
				 .max_handshakes = max_handshakes,
				 .arg = r,
				 .known = knows,
				 .suggested = suggested,
				 .skewed = skewed};

	links_free(r->links);
	r->links = links_new(&c, now_us, wall_s);
	assert_non_null(r->links);
	links_set_addresses(r->links, &r->at, 1);
	r->knows = true;
	r->n_suggested = r->n_skewed = 0;
}

int fresh(void **state)
{
	fake_fini();
	fake_init();
	wall_s = WALL;
	fake_door_full = false;
	memset(&answered, 0, sizeof(answered));
	relay_start(&relays[0], 8);
	relay_start(&relays[1], 8);
	return 0;
}

struct link_target target_of(const struct relay *r)
{
	struct link_target t = {.has_ed = true, .n_addrs = 1, .addrs = {r->at}};

	memcpy(t.rsa_id, keys_rsa_id(r->keys), KEYS_RSA_ID);
	memcpy(t.ed_id, keys_ed_id(r->keys), KEYS_ED_ID);
	return t;
}

struct wire connect_ends(struct fake_end *dialled)
{
	struct addr from = DIALS->at;
	struct wire w = {.a = dialled};

	from.port = 40000;
	w.b = fake_accept(SERVES->links, &SERVES->at, &from);
	fake_answer(w.a, &from);
	return w;
}

struct wire dial(const struct link_target *t)
{
	unsigned reason;

	assert_int_equal(link_get(DIALS->links, t, on_link, NULL, &reason), WID_NONE);
	assert_int_equal(reason, 0);
	return connect_ends(fake_dialled(DIALS->links));
}

struct wire dial_whole(void)
{
	struct link_target t = target_of(SERVES);
	struct wire w = dial(&t);

	fake_pump(w.a, w.b, 65536);
	assert_true(w.a->ready && w.b->ready);
	return w;
}

int group_setup(void **state)
{
	char dir[64], why[KEYS_WHY_MAX];

	if (!mkdtemp(root))
		return -1;
	fake_init();
	for (unsigned i = 0; i < 2; i++) {
		struct keys_config c = {.data_dir = dir, .nickname = "r"};

		snprintf(dir, sizeof(dir), "%s/%u", root, i);
		relays[i].keys = keys_open(&c, WALL, why);
		relays[i].at =
			(struct addr) {.family = 4, .port = 9001, .ip = {8, 8, 8, (uint8_t)i}};
		if (!relays[i].keys)
			return -1;
	}
	return 0;
}

int group_teardown(void **state)
{
	char cmd[64];

	for (unsigned i = 0; i < 2; i++) {
		links_free(relays[i].links);
		keys_close(relays[i].keys);
	}
	fake_fini();
	snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	return system(cmd);
}

/* rooms.c - the rooms in the order in which they stand on each other: opened, ticked, told of new
 * settings, closed. */
#include "controlplane/main/control.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#ifndef RAMSON_VERSION
#define RAMSON_VERSION "unknown"
#endif

static int draw(void *to, size_t len)
{
	return getrandom(to, len, 0) == (ssize_t)len ? 0 : ERR_SYSTEM;
}

struct keys_config rooms_keys_config(const struct config *f)
{
	return (struct keys_config) {
		.data_dir = f->data_directory,
		.key_dir = f->key_directory,
		.nickname = f->nickname,
		.signing_lifetime_s = f->signing_key_lifetime_s,
		.tls_lifetime_s = f->ssl_key_lifetime_s,
	};
}

static int open_keys(struct control *c)
{
	struct keys_config kc = rooms_keys_config(&c->config);
	char why[KEYS_WHY_MAX];

	c->keys = keys_open(&kc, clock_wall_s(), why);
	if (!c->keys) {
		log_err("%s", why);
		return ERR_CONFIG;
	}
	return 0;
}

static int open_hs(struct control *c)
{
	uint8_t seed[16];

	return draw(seed, sizeof(seed)) < 0 ? ERR_SYSTEM : hs_new(&c->hs, c->door, seed);
}

static void consensus_changed(void *arg)
{
	struct control *c = arg;

	links_now(c->links, clock_us(), clock_wall_s());
	links_reclassify(c->links);
	rooms_configure(c);
	settings_push(c);
}

/* dir/ and origin/ need each other; nothing is fetched before the first tick. */
static int fetch(void *ctx, const struct dir_target *to, const uint8_t *request, size_t len,
		 size_t max_len, dir_fetched done, void *arg)
{
	struct control *c = ctx;

	return c->origin ? origin_fetch(c->origin, to, request, len, max_len, done, arg) : ERR_FULL;
}

/* Since when the relay is up: as long as the memory that the parent made for this dataplane, for
 * links and circuits outlive us. 0 where the kernel does not tell, or the clock was set back. */
static int64_t up_since_s(void)
{
	struct statx x;

	if (statx(CTL_FD_MEMORY, "", AT_EMPTY_PATH, STATX_BTIME, &x) < 0 ||
	    !(x.stx_mask & STATX_BTIME) || x.stx_btime.tv_sec > clock_wall_s())
		return 0;
	return x.stx_btime.tv_sec;
}

static int open_dir(struct control *c)
{
	struct dir_setup s = {.config = &c->config,
			      .keys = c->keys,
			      .fetch = fetch,
			      .fetch_ctx = c,
			      .changed = consensus_changed,
			      .changed_ctx = c,
			      .since = up_since_s()};

	if (draw(s.seed, sizeof(s.seed)) < 0)
		return ERR_SYSTEM;
	c->dir = dir_new(&s, clock_wall_s());
	return c->dir ? 0 : ERR_FULL;
}

static int open_origin(struct control *c)
{
	struct origin_setup s = {
		.config = &c->config, .keys = c->keys, .dir = c->dir, .ops = reach_origin_ops(c)};
	struct hash_key key;

	if (draw(s.seed, sizeof(s.seed)) < 0 || draw(&key, sizeof(key)) < 0 ||
	    map_init(&c->origins, CONTROL_ORIGINS, key) < 0)
		return ERR_FULL;
	c->origin = origin_new(&s, clock_us());
	wipe(s.seed, sizeof(s.seed));
	return c->origin ? 0 : ERR_FULL;
}

static int open_circs(struct control *c)
{
	struct circ_rooms r = {.door = c->door, .dns = c->dns, .hs = c->hs};
	int rc;

	c->neighbours = (struct circ_neighbours) {.links = c->links, .dir = c->dir, .dos = c->dos};
	circ_outside_of(&r.out, &c->neighbours);
	rc = circ_new(&c->circs, &r);
	if (rc == 0)
		circ_on_answered(c->circs, reach_answered, c);
	return rc;
}

static int open_pool(struct control *c)
{
	int rc = handshake_pool_new(&c->pool, c->base, (unsigned)c->config.num_cpus,
				    circ_handshake_done, c->circs);

	if (rc == 0)
		rc = handshake_pair_new(&c->junk_onion);
	if (rc == 0)
		rc = rotate_hand_out(c);
	if (rc == 0)
		circ_set_pool(c->circs, c->pool);
	return rc;
}

static void heartbeat(void *arg)
{
	heartbeat_say(arg);
}

static int open_ops(struct control *c)
{
	struct ops_setup s = {.base = c->base,
			      .door = c->door,
			      .config = &c->config,
			      .version = RAMSON_VERSION,
			      .fill = status_fill,
			      .heartbeat = heartbeat,
			      .ctx = c,
			      .since_s = up_since_s()};

	c->ops = ops_new(&s, clock_wall_s());
	if (!c->ops)
		return ERR_FULL;
	ops_sums(c->ops, &c->counted); /* traffic from before us is not of this second */
	return 0;
}

int rooms_open(struct control *c)
{
	static const struct {
		const char *name;
		int (*open)(struct control *c);
	} rooms[] = {
		{"keys", open_keys},
		{"defences", defend_open},
		{"links", reach_open},
		{"exit", exits_open},
		{"onion services", open_hs},
		{"directory", open_dir},
		{"circuits of our own", open_origin},
		{"circuits", open_circs},
		{"handshakes", open_pool},
		{"status", open_ops},
	};

	for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
		int rc = rooms[i].open(c);

		if (rc < 0) {
			log_err("%s could not be opened (%d)", rooms[i].name, rc);
			return rc;
		}
	}
	rooms_configure(c);
	return 0;
}

/* The pool first: nothing may come out of its threads any more. */
void rooms_close(struct control *c)
{
	ops_free(c->ops);
	handshake_pool_free(c->pool);
	dns_free(c->dns);
	if (c->origin)
		origin_free(c->origin);
	if (c->circs)
		circ_free(c->circs);
	if (c->links)
		reach_close(c);
	if (c->dir)
		dir_free(c->dir);
	dos_free(c->dos);
	if (c->hs)
		hs_free(c->hs);
	if (c->policy)
		policy_free(c->policy);
	map_fini(&c->origins);
	if (c->keys)
		keys_close(c->keys);
	wipe(&c->junk_onion, sizeof(c->junk_onion));
}

static void configure_pool(struct control *c)
{
	struct handshake_limits l = HANDSHAKE_LIMITS_DEFAULT;

	l.max_delay_ms = (uint32_t)dir_param(c->dir, DIR_PARAM_MaxOnionQueueDelay);
	l.wait_cutoff_ms = 1000 * (uint32_t)dir_param(c->dir, DIR_PARAM_onion_queue_wait_cutoff);
	handshake_pool_limits(c->pool, &l);
}

void rooms_configure(struct control *c)
{
	struct addr own[2];
	unsigned n = 0;

	if (c->config.address4.family)
		own[n++] = c->config.address4;
	if (c->config.address6.family)
		own[n++] = c->config.address6;
	links_set_addresses(c->links, own, n);
	configure_pool(c);
	if (rotate_hand_out(c) < 0)
		log_warn("the handshake threads go on with the terms that they have");
	defend_configure(c);
	exits_configure(c);
}

/* Traffic since the last second, for the histories and the observed bandwidth (interop S1, S2). */
static void count_traffic(struct control *c, int64_t now_s)
{
	struct ops_sums s, *was = &c->counted;
	uint64_t in, out;

	ops_sums(c->ops, &s);
	in = s.link_in - was->link_in + s.exit_in - was->exit_in;
	out = s.link_out - was->link_out + s.exit_out - was->exit_out;
	*was = s;
	/* Figures that went backwards are nonsense of the other side. */
	if (in < UINT64_MAX / 2 && out < UINT64_MAX / 2)
		dir_count_bytes(c->dir, now_s, in, out);
}

void rooms_tick(struct control *c)
{
	int64_t now_s = clock_wall_s();

	links_now(c->links, clock_us(), now_s);
	origin_tick(c->origin, clock_us());
	hs_now(c->hs, (int64_t)(clock_us() / 1000000));
	if (c->tick_n % 10)
		return;
	settings_memory(c);
	ops_tick(c->ops, now_s);
	links_tick(c->links);
	circ_tick(c->circs, clock_us() / 1000000);
	rotate_tick(c, now_s);
	count_traffic(c, now_s);
	heartbeat_count(c, now_s);
	dir_tick(c->dir, now_s);
	reach_tick(c, now_s);
}

/* test_publish.c - our own documents: their bytes and signatures, when they are made and sent, and
 * the bandwidth that they speak of. */
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "controlplane/dir/test_world.h"

#define T0 REAL_NOW

static void open_testing(struct world *w, const char *more)
{
	char torrc[4096];

	snprintf(torrc, sizeof(torrc), "TestingTorNetwork 1\n%s%s", more, real_authorities);
	world_open(w, torrc, false, T0);
}

/* The signatures of a descriptor or extra-info hold, checked from the text alone. */
static void check_signatures(const char *text, const uint8_t rsa_id[20])
{
	const char *ed_end = strstr(text, "router-sig-ed25519 ") + strlen("router-sig-ed25519 ");
	const char *rsa_end = strstr(text, "router-signature\n") + strlen("router-signature\n");
	struct lines ls = lines_of(text, strlen(text));
	uint8_t cert[512], ed_sig[64], rsa_sig[128], digest[32], prefixed[32768];
	size_t cert_len = 0, n = strlen("Tor router descriptor signature v1");
	struct ed_cert c;
	EVP_PKEY *key = NULL;
	struct line l;

	while (lines_next(&ls, &l) == 1) {
		if (bytes_are(l.keyword, "identity-ed25519"))
			assert_int_equal(base64_get(l.object, cert, sizeof(cert), &cert_len), 0);
		if (bytes_are(l.keyword, "router-sig-ed25519"))
			assert_int_equal(base64_exact(l.args, ed_sig, 64), 0);
		if (bytes_are(l.keyword, "router-signature"))
			assert_int_equal(base64_get(l.object, rsa_sig, sizeof(rsa_sig), &n), 0);
		if (bytes_are(l.keyword, "signing-key")) {
			uint8_t der[512];
			const uint8_t *p = der;

			assert_int_equal(base64_get(l.object, der, sizeof(der), &n), 0);
			key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, (long)n);
			digest_sha1(der, n, digest);
			assert_memory_equal(digest, rsa_id, 20);
		}
	}
	assert_int_equal(ed_cert_parse(&c, cert, cert_len), 0);
	assert_true(ed_cert_check(&c, NULL, T0));
	n = strlen("Tor router descriptor signature v1");
	memcpy(prefixed, "Tor router descriptor signature v1", n);
	memcpy(prefixed + n, text, (size_t)(ed_end - text));
	digest_sha256(prefixed, n + (size_t)(ed_end - text), digest);
	assert_true(ed25519_check(digest, 32, c.key, ed_sig));
	if (!key)
		return; /* the extra-info has no key in it */
	digest_sha1(text, (size_t)(rsa_end - text), digest);
	assert_true(rsa_check(key, digest, 20, rsa_sig, 128));
	EVP_PKEY_free(key);
}

static void the_lines_and_their_order(void **state)
{
	static const char *const order[] = {
		"router ours 10.0.0.9 9001 0 0\nidentity-ed25519\n-----BEGIN ED25519 CERT-----\n",
		"\nmaster-key-ed25519 ",
		"\nplatform Ramson 0.1.0 on Linux\n",
		"proto Conflux=1 Cons=1-2 "
		"Desc=1-3 "
		"DirCache=2 "
		"FlowCtrl=1-2 "
		"HSIntro=4-5 "
		"HSRend=1-2 "
		"Link=4-5 "
		"LinkAuth=3 "
		"Microdesc=1-3 "
		"Padding=2 "
		"Relay=2-6\n",
		"published 2026-11-23 06:50:50\nfingerprint ",
		"\nuptime 60\nbandwidth 1000000 2000000 0\nextra-info-digest ",
		"\nonion-key\n-----BEGIN RSA PUBLIC KEY-----\n",
		"\nsigning-key\n-----BEGIN RSA PUBLIC KEY-----\n",
		"\nonion-key-crosscert\n-----BEGIN CROSSCERT-----\n",
		"\nntor-onion-key-crosscert ",
		"\nfamily $",
		"\ncontact me <a@b.c>\n",
		"ntor-onion-key ",
		"\nreject *:25\naccept *:*\nipv6-policy accept 80,443\ntunnelled-dir-server\n",
		"router-sig-ed25519 ",
		"\nrouter-signature\n-----BEGIN SIGNATURE-----\n",
		"-----END SIGNATURE-----\n\n",
	};
	const char *text, *at, *extra;
	uint8_t sha1[20], sha256[32];
	struct text want = {0};
	struct world w;
	size_t len;

	open_testing(&w, "ContactInfo me <a@b.c>\nBandwidthRate 1000000\nBandwidthBurst 2000000\n"
			 "MyFamily $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA, "
			 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n");
	dir_set_policy(w.dir, "reject *:25\naccept *:*\n", "accept 80,443");
	dir_tick(w.dir, T0);
	text = at = dir_own_descriptor(w.dir, &len);
	for (unsigned i = 0; i < ARRAY_LEN(order); i++) {
		const char *found = strstr(at, order[i]);

		if (!found)
			fprintf(stderr, "line %u is not there:\n%s", i, text);
		assert_non_null(found);
		assert_true(i || found == text);
		at = found + 1;
	}
	assert_null(strstr(text, "hidden-service-dir"));
	assert_null(strstr(text, "hibernating"));
	assert_non_null(strstr(text, " $BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"));
	check_signatures(text, keys_rsa_id(w.keys));
	extra = dir_own_extrainfo(w.dir, &len);
	check_signatures(extra, keys_rsa_id(w.keys));
	digest_sha1(extra, (size_t)(strstr(extra, "-----BEGIN SIGNATURE") - extra), sha1);
	digest_sha256(extra, len, sha256);
	text_str(&want, "\nextra-info-digest ");
	text_base16(&want, sha1, 20);
	text_str(&want, " ");
	text_base64(&want, sha256, 32, false);
	text_str(&want, "\n");
	assert_non_null(strstr(text, want.p));
	text_free(&want);
	world_close(&w);
}

static unsigned count_posts(struct world *w, int status)
{
	unsigned n = 0;
	struct wait *a;

	while ((a = wait_take(w))) {
		bool is_post = strncmp(a->request.p, "POST /tor/ HTTP/1.0\r\n", 21) == 0;

		n += is_post;
		wait_answer(a, is_post ? status : ERR_SYSTEM, NULL, 0);
	}
	return n;
}

static unsigned posts_until(struct world *w, int64_t from, int64_t to, int64_t step, int status)
{
	unsigned n = 0;

	for (; from < to; from += step) {
		dir_tick(w->dir, from);
		n += count_posts(w, status);
	}
	return n;
}

static void when_it_is_sent(void **state)
{
	struct dir_status s;
	struct world w;

	open_testing(&w, "");
	w.config.testing_tor_network = false; /* the pace of the real network */
	/* to each authority, once */
	assert_int_equal(posts_until(&w, T0, T0 + 3600, 20, 200), 3);
	dir_status(w.dir, T0 + 3600, &s);
	assert_int_equal(s.n_accepted, 3);
	/* unchanged: not again before 18 hours */
	assert_int_equal(posts_until(&w, T0 + 3600, T0 + 17 * 3600, 60, 200), 0);
	assert_int_equal(posts_until(&w, T0 + 17 * 3600, T0 + 19 * 3600, 60, 200), 3);
	/* each change is a reason, several at once are one */
	dir_set_policy(w.dir, "accept *:*\n", NULL);
	dir_keys_changed(w.dir);
	assert_int_equal(posts_until(&w, T0 + 19 * 3600, T0 + 19 * 3600 + 300, 20, 200), 3);
	dir_set_policy(w.dir, "accept *:*\n", "reject 1-65535"); /* the same policy */
	assert_int_equal(posts_until(&w, T0 + 20 * 3600, T0 + 21 * 3600, 20, 200), 0);
	/* refused: not again before it is another one */
	dir_set_hibernating(w.dir, true);
	assert_int_equal(posts_until(&w, T0 + 22 * 3600, T0 + 23 * 3600, 20, 400), 3);
	/* unreachable or busy authorities are asked again, ever more seldom */
	dir_set_hibernating(w.dir, false);
	assert_in_range(posts_until(&w, T0 + 23 * 3600, T0 + 25 * 3600, 20, 503), 9, 36);
	world_close(&w);
}

static void what_holds_it_back(void **state)
{
	static const struct {
		const char *torrc;
		int proven; /* family, 0: none */
		bool sent;
	} rows[] = {
		{"AssumeReachable 0\n", 0, false},
		{"AssumeReachable 0\n", 4, true},
		{"AssumeReachable 0\n", 6, false},
		{"PublishServerDescriptor 0\n", 4, false},
		{"", 0, true},
		{"AssumeReachable 0\nORPort [fd00::9]:9001\nDataplaneAddress fd00::9/64\n", 4,
		 false},
		{"AssumeReachable 0\nAssumeReachableIPv6 1\nORPort [fd00::9]:9001\n"
		 "DataplaneAddress fd00::9/64\n",
		 4, true},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		char torrc[2048], plain[2048];
		struct dir_status s;
		struct world w;
		size_t len;

		/* the first AssumeReachable of world_open gives way */
		snprintf(torrc, sizeof(torrc), "TestingTorNetwork 1\n%s%s", rows[i].torrc,
			 real_authorities);
		snprintf(plain, sizeof(plain), "%s", torrc);
		world_open(&w, plain, false, T0);
		if (strstr(rows[i].torrc, "AssumeReachable 0"))
			w.config.assume_reachable = false;
		if (rows[i].proven)
			dir_set_reachable(w.dir, rows[i].proven);
		assert_int_equal(posts_until(&w, T0, T0 + 10, 1, 200), rows[i].sent ? 3 : 0);
		dir_status(w.dir, T0 + 10, &s);
		assert_int_equal(s.why_not_published == NULL, rows[i].sent);
		/* it is made and served all the same */
		assert_non_null(dir_own_descriptor(w.dir, &len));
		if (strstr(rows[i].torrc, "fd00"))
			assert_int_equal(strstr(dir_own_descriptor(w.dir, &len),
						"\nor-address [fd00::9]:9001\n") != NULL,
					 rows[i].sent);
		world_close(&w);
	}
}

/* A SIGHUP brings another Address: what was proven of the old one does not publish the new one. */
static void another_address(void **state)
{
	struct world w;

	open_testing(&w, "");
	w.config.assume_reachable = false;
	dir_set_reachable(w.dir, 4);
	assert_int_equal(posts_until(&w, T0, T0 + 10, 1, 200), 3);
	w.config.address4.ip[3]++;
	dir_reconfigure(w.dir, &w.config, T0 + 10);
	assert_true(dir_wants_selftest(w.dir, 4));
	assert_int_equal(posts_until(&w, T0 + 10, T0 + 20, 1, 200), 0);
	dir_set_reachable(w.dir, 4);
	assert_int_equal(posts_until(&w, T0 + 20, T0 + 30, 1, 200), 3);
	world_close(&w);
}

/* After a restart: the authorities list us as running at the address that we publish. */
static void listed_there_already(void **state)
{
	static const struct {
		int address; /* 0: none, 1: another, 2: ours; likewise the port */
		int port;
		uint16_t flags;
		int64_t late_s; /* behind the consensus's end */
		bool sent;
	} rows[] = {
		{2, 2, DIR_RUNNING | DIR_VALID, -1, true},
		{2, 2, DIR_VALID, -1, false},
		{1, 2, DIR_RUNNING, -1, false},
		{2, 1, DIR_RUNNING, -1, false},
		{0, 2, DIR_RUNNING, -1, false},
		{2, 2, DIR_RUNNING, 1, false},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct consensus *c;
		struct world w;
		int64_t now;

		world_open(&w, real_authorities, true, REAL_NOW);
		w.config.assume_reachable = false;
		w.config.testing_tor_network = true; /* whatever protocols it requires */
		c = w.dir->current[FLAVOUR_MICRODESC];
		for (unsigned k = 0; k < dir_n_nodes(w.dir); k++) {
			struct dir_node *n = &c->nodes[k];

			memcpy(n->rsa_id, keys_rsa_id(w.keys), 20);
			n->flags = rows[i].flags;
			n->or4 = rows[i].address ? w.config.address4 : (struct addr) {0};
			n->or4.ip[3] += rows[i].address == 1;
			n->or4.port += rows[i].port == 1;
		}
		now = c->valid_until + rows[i].late_s;
		if (!!posts_until(&w, now, now + 1, 1, 200) != rows[i].sent)
			fail_msg("row %u", i);
		assert_true(dir_wants_selftest(w.dir, 4)); /* we go on trying ourselves */
		world_close(&w);
	}
}

static void bandwidth(void **state)
{
	char torrc[256];
	struct world w;
	const char *text;
	size_t len;

	snprintf(torrc, sizeof(torrc), "TestingMinTimeToReportBandwidth 0\n");
	open_testing(&w, torrc);
	dir_tick(w.dir, T0);
	assert_non_null(strstr(dir_own_descriptor(w.dir, &len), " 1073741824 0\n"));
	assert_false(dir_wants_selftest(w.dir, 4));
	assert_true(dir_wants_bandwidth_test(w.dir, T0));
	dir_bandwidth_test_done(w.dir, T0);
	assert_false(dir_wants_bandwidth_test(w.dir, T0 + 60));
	assert_true(dir_wants_bandwidth_test(w.dir, T0 + 12 * 3600));
	/* ten seconds of 100,000 in and 80,000 out: what counts is the smaller */
	for (int64_t t = T0; t < T0 + 30; t++) {
		bool busy = t >= T0 + 10 && t < T0 + 20;

		dir_count_bytes(w.dir, t, busy ? 100000 : 0, busy ? 80000 : 0);
		dir_tick(w.dir, t);
		count_posts(&w, 200);
	}
	dir_tick(w.dir, T0 + 40);
	dir_tick(w.dir, T0 + 41);
	/* the first figure above nothing is told at once, what the test showed half a minute later
	 */
	text = dir_own_descriptor(w.dir, &len);
	assert_non_null(strstr(text, " 1073741824 80000\n"));
	dir_tick(w.dir, T0 + 4 * 3600);
	dir_tick(w.dir, T0 + 4 * 3600 + 5);
	assert_non_null(strstr(dir_own_descriptor(w.dir, &len), " 1073741824 80000\n"));
	assert_false(dir_wants_bandwidth_test(w.dir, T0 + 13 * 3600));
	world_close(&w);
}

static void history(void **state)
{
	struct bwhist b, back;
	struct text t = {0};
	struct world w;

	open_testing(&w, "");
	bwhist_init(&b, T0);
	bwhist_line(&t, "write-history", &b, 0);
	assert_int_equal(t.len, 0); /* nothing is complete */
	for (int64_t s = 0; s < 7 * 86400; s += 10)
		bwhist_add(&b, T0 + s, s / 86400 * 1024);
	bwhist_line(&t, "write-history", &b, 0);
	/* five days of 8640 times day * 1024, the newest last */
	assert_string_equal(t.p, "write-history 2026-11-29 06:50:50 (86400 s) "
				 "8847360,17694720,26542080,35389440,44236800\n");
	text_free(&t);
	bwhist_line(&t, "write-history", &b, 300); /* cut to the rate that we admit */
	assert_non_null(strstr(t.p, " 8847360,17694720,25920000,25920000,25920000\n"));
	text_free(&t);
	assert_int_equal(bwhist_best(&b, 86400), 5 * 1024 / 10);
	assert_int_equal(bwhist_best(&b, 0), 6 * 1024 / 10);
	/* through the state file and back, to whole KiB */
	bwhist_save(&b, w.home, "Write");
	bwhist_init(&back, T0 + 7 * 86400);
	bwhist_load(&back, w.home, "Write", T0 + 7 * 86400);
	assert_int_equal(back.n, 5);
	assert_int_equal(back.ends, b.ends + 86400);
	bwhist_init(&back, T0 + 7 * 86400 - 5);
	bwhist_load(&back, w.home, "Write", T0 + 7 * 86400 - 5);
	assert_int_equal(back.ends, b.ends);
	assert_memory_equal(back.totals, b.totals, sizeof(b.totals));
	assert_int_equal(back.total, b.total & ~1023ull);
	/* too old, or from the future: forgotten */
	bwhist_init(&back, T0 + 30 * 86400);
	bwhist_load(&back, w.home, "Write", T0 + 30 * 86400);
	assert_int_equal(back.n, 0);
	bwhist_init(&back, T0 - 86400);
	bwhist_load(&back, w.home, "Write", T0 - 86400);
	assert_int_equal(back.n, 0);
	/* a clock that jumps far does not loop through every second of it */
	bwhist_add(&b, T0 + 4000ll * 86400, 5);
	assert_int_equal(b.n, 0);
	assert_int_equal(b.total, 5);
	world_close(&w);
}

/* ---- padding and overload ---- */
static const char *stats_text(const struct stats *s, const struct config *c, int64_t now)
{
	static char kept[1024];
	struct text t = {0};

	stats_lines(&t, s, c, now);
	snprintf(kept, sizeof(kept), "%s", t.p ? t.p : "");
	text_free(&t);
	return kept;
}

#define DAY 86400
static void padding_counts(void **state)
{
	struct config c = {.padding_statistics = true, .overload_statistics = true};
	struct stats_rules r = {.padding = true, .skin_scale = 1000, .skin_period_s = 21600};
	struct dir_events e = {.pad_timers = 7};
	struct stats s = {.padding_ends = 0};

	for (unsigned i = 0; i < N_DIR_PADDING; i++)
		e.padding[i] = 123456789; /* of before us */
	stats_add(&s, &e, &r, T0);
	e.padding[DIR_WRITE_TOTAL] += 10001;
	e.padding[DIR_READ_TOTAL] += 20000;
	e.padding[DIR_READ_PAD] += 1;
	e.pad_timers = 9;
	stats_add(&s, &e, &r, T0 + 100);
	e.pad_timers = 3;
	stats_add(&s, &e, &r, T0 + DAY - 1);
	assert_string_equal(stats_text(&s, &c, T0 + DAY - 1), "");
	stats_add(&s, &e, &r, T0 + DAY);
	assert_string_equal(
		stats_text(&s, &c, T0 + DAY) + strlen("padding-counts 2026-11-24 06:00:00"),
		" (86400 s) bin-size=10000 write-drop=0 write-pad=0 write-total=20000 read-drop=0 "
		"read-pad=10000 read-total=20000 enabled-read-pad=0 enabled-read-total=0 "
		"enabled-write-pad=0 enabled-write-total=0 max-chanpad-timers=9\n");
	c.padding_statistics = false;
	assert_string_equal(stats_text(&s, &c, T0 + DAY), "");
	c.padding_statistics = true;
	/* Sums that began anew with another dataplane, and only one direction: nothing to tell. */
	memset(&e, 0, sizeof(e));
	e.padding[DIR_READ_TOTAL] = 5;
	stats_add(&s, &e, &r, T0 + DAY + 5);
	assert_int_equal(s.padding[DIR_READ_TOTAL], 5);
	stats_add(&s, &e, &r, T0 + 2 * DAY);
	assert_string_equal(stats_text(&s, &c, T0 + 2 * DAY), "");
	/* PaddingStatistics 0 while the interval ends */
	e.padding[DIR_READ_TOTAL] += 5;
	e.padding[DIR_WRITE_TOTAL] += 5;
	r.padding = false;
	stats_add(&s, &e, &r, T0 + 3 * DAY);
	assert_string_equal(stats_text(&s, &c, T0 + 3 * DAY), "");
}

static void overload(void **state)
{
	const int64_t hour = T0 - T0 % 3600;
	struct config c = {
		.overload_statistics = true, .bandwidth_rate = 1000, .bandwidth_burst = 2000};
	struct stats_rules r = {.skin_scale = 1000, .skin_period_s = 21600};
	struct dir_events e = {.read_limited = 5};
	struct stats s = {.padding_ends = 0};
	char want[256];
	struct text when = {0};

	stats_add(&s, &e, &r, T0);
	assert_string_equal(stats_text(&s, &c, T0), "");
	assert_int_equal(stats_overload_hour(&s, T0), 0);
	/* once a minute, each way for itself */
	for (int64_t t = T0 + 1; t <= T0 + 121; t++) {
		e.read_limited++;
		e.write_limited += t == T0 + 50;
		stats_add(&s, &e, &r, t);
	}
	e.no_conn++;
	stats_add(&s, &e, &r, T0 + 122);
	text_time(&when, hour);
	snprintf(want, sizeof(want),
		 "overload-ratelimits 1 %s 1000 2000 3 1\noverload-fd-exhausted 1 %s\n", when.p,
		 when.p);
	assert_string_equal(stats_text(&s, &c, T0 + 122), want);
	snprintf(want, sizeof(want), "overload-fd-exhausted 1 %s\n", when.p);
	assert_string_equal(stats_text(&s, &c, hour + 24 * 3600), want);
	assert_string_equal(stats_text(&s, &c, hour + 72 * 3600), "");
	c.overload_statistics = false;
	assert_string_equal(stats_text(&s, &c, T0 + 122), "");
	text_free(&when);
	/* memory, ports */
	for (unsigned i = 0; i < 2; i++) {
		s.general_hour = 0;
		++*(i ? &e.memory : &e.no_port);
		stats_add(&s, &e, &r, T0 + 4000);
		assert_int_equal(stats_overload_hour(&s, T0 + 4000), hour + 3600);
		assert_int_equal(stats_overload_hour(&s, hour + 73 * 3600 - 1), hour + 3600);
		assert_int_equal(stats_overload_hour(&s, hour + 73 * 3600), 0);
	}
}

/* A hundredth of a thousand handshakes at least, at the end of a period. */
static void overload_skins(void **state)
{
	static const struct {
		uint64_t asked, dropped;
		int64_t scale, after_s;
		bool over;
	} rows[] = {
		{999, 999, 1000, 21600, false},	   {1000, 9, 1000, 21600, false},
		{1000, 10, 1000, 21600, true},	   {1000, 10, 1000, 21599, false},
		{100000, 999, 1000, 21600, false}, {100000, 1000, 1000, 21600, true},
		{1000, 0, 0, 21600, true},	   {1000, 999, 100000, 21600, false},
		{1000, 1000, 100000, 21600, true},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct stats_rules r = {.skin_scale = rows[i].scale, .skin_period_s = 21600};
		struct dir_events e = {.skins = 5};
		struct stats s = {.padding_ends = 0};

		stats_add(&s, &e, &r, T0);
		e.skins += rows[i].asked;
		e.skins_dropped += rows[i].dropped;
		stats_add(&s, &e, &r, T0 + 10);
		stats_add(&s, &e, &r, T0 + rows[i].after_s);
		if ((stats_overload_hour(&s, T0 + rows[i].after_s) != 0) != rows[i].over)
			fail_msg("row %u", i);
		if (rows[i].over) /* and the count began anew */
			assert_int_equal(s.skins, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lines_and_their_order),
		cmocka_unit_test(when_it_is_sent),
		cmocka_unit_test(what_holds_it_back),
		cmocka_unit_test(another_address),
		cmocka_unit_test(listed_there_already),
		cmocka_unit_test(bandwidth),
		cmocka_unit_test(padding_counts),
		cmocka_unit_test(overload),
		cmocka_unit_test(overload_skins),
		cmocka_unit_test(history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

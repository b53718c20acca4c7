/* test_fetch.c - what is fetched when: from nothing to everything, renewal, back-off, missing
 * certificates, caches on disk, a moved clock. Time is the test's. */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "controlplane/dir/test_world.h"

static bool is_for(const struct wait *a, const char *url)
{
	return a->request.len > 4 && strncmp(a->request.p + 4, url, strlen(url)) == 0;
}

/* Answers everything as a directory would that has all of testdata/. */
static unsigned serve_all(struct world *w, struct world *server, int64_t now)
{
	unsigned n = 0;
	struct wait *a;

	for (; n < 100 && (a = wait_take(w)); n++) {
		if (strncmp(a->request.p, "POST", 4) == 0)
			wait_answer(a, 200, NULL, 0);
		else
			wait_serve(a, server->dir, now);
	}
	return n;
}

static void from_nothing_to_everything(void **state)
{
	struct world server, w;
	struct dir_status s;
	char torrc[2048];

	world_open(&server, real_authorities, true, REAL_NOW);
	snprintf(torrc, sizeof(torrc), "TestingTorNetwork 1\n%s", real_authorities);
	world_open(&w, torrc, false, REAL_NOW);
	for (int64_t t = 0; t < 4; t++) {
		dir_tick(w.dir, REAL_NOW + t);
		serve_all(&w, &server, REAL_NOW + t);
		dir_tick(w.dir, REAL_NOW + t);
	}
	dir_status(w.dir, REAL_NOW + 4, &s);
	assert_true(s.has_consensus);
	assert_int_equal(s.n_nodes, 6);
	assert_int_equal(s.n_mds, 6);
	assert_int_equal(s.n_descriptors, 6);
	assert_int_equal(s.n_accepted, 3);
	assert_false(s.is_listed);
	assert_null(s.why_not_published);
	assert_true(w.n_changed >= 2);
	/* all of it is on disk: a new start needs no fetch */
	world_restart(&w, REAL_NOW + 4);
	dir_status(w.dir, REAL_NOW + 4, &s);
	assert_true(s.has_consensus);
	assert_int_equal(s.n_mds, 6);
	assert_int_equal(s.n_descriptors, 6);
	/* and too old a one is not used */
	world_restart(&w, REAL_NOW + 3 * 86400);
	dir_status(w.dir, REAL_NOW + 3 * 86400, &s);
	assert_false(s.has_consensus);
	world_close(&w);
	world_close(&server);
}

/* Outside of a testing network the requirement of HSDir=2 keeps us from publishing (V2). */
static void required_protocols_hold_us_back(void **state)
{
	struct dir_status s;
	struct world w;

	world_open(&w, real_authorities, true, REAL_NOW);
	dir_tick(w.dir, REAL_NOW);
	dir_status(w.dir, REAL_NOW, &s);
	assert_non_null(s.why_not_published);
	assert_non_null(strstr(s.why_not_published, "requires a protocol"));
	for (struct wait *a = w.waits; a; a = a->next)
		assert_memory_equal(a->request.p, "GET ", 4);
	world_close(&w);
}

/* ---- with authorities of our own ---- */
static struct forged forged; /* keys take long to make */
struct forged_world {
	struct forged f;
	struct world w;
	int64_t valid_after, interval; /* what the authorities have */
	unsigned signers;
	bool no_certs, silent;
	unsigned n_consensus, n_certs;
	int64_t asked_at;
};

/* Answers as authorities that hold the present consensus. */
static void forged_serve(struct forged_world *fw, int64_t now)
{
	struct wait *a;

	while ((a = wait_take(&fw->w))) {
		struct forge what = {FLAVOUR_NS, fw->valid_after, fw->interval, NULL,
				     NULL,	 fw->signers};
		struct text t = {0};
		int status = 200;

		if (fw->silent) {
			status = ERR_SYSTEM;
		} else if (is_for(a, "/tor/status-vote/current/consensus")) {
			if (is_for(a, "/tor/status-vote/current/consensus-microdesc"))
				what.flavour = FLAVOUR_MICRODESC;
			forge_consensus(&fw->f, &what, &t);
			fw->n_consensus++;
			fw->asked_at = now;
		} else if (is_for(a, "/tor/keys/")) {
			fw->n_certs++;
			for (unsigned i = 0; i < N_FORGED && !fw->no_certs; i++)
				forge_cert(&fw->f, i, now - 100, now + 90 * 86400, 0, &t);
		} else if (is_for(a, "/tor/server/") || is_for(a, "/tor/micro/")) {
			status = 404;
		} /* else an upload, which is taken */
		wait_answer(a, status, t.p, t.len);
		text_free(&t);
	}
}

static void run_to(struct forged_world *fw, int64_t *now, int64_t end, int64_t step)
{
	for (; *now < end; *now += step) {
		dir_tick(fw->w.dir, *now);
		forged_serve(fw, *now);
	}
}

static void forged_open(struct forged_world *fw, int64_t interval)
{
	memset(fw, 0, sizeof(*fw));
	fw->f = forged;
	world_open(&fw->w, fw->f.torrc.p, false, FORGED_NOW);
	free(fw->w.config.data_directory);
	fw->w.config.data_directory = NULL; /* no state file: an hour here is a moment */
	fw->w.config.address4.family = 0;   /* and nothing to publish */
	fw->valid_after = FORGED_NOW - FORGED_NOW % interval;
	fw->interval = interval;
	fw->signers = 7;
}

static void forged_close(struct forged_world *fw)
{
	world_close(&fw->w);
	forged = fw->f;
}

/* Each next consensus is asked for between its fresh-until and half an interval later (D7). */
static void renewal(void **state)
{
	static const int64_t intervals[] = {20, 300, 1800};

	for (unsigned i = 0; i < ARRAY_LEN(intervals); i++) {
		int64_t iv = intervals[i], now = FORGED_NOW;
		struct forged_world fw;

		forged_open(&fw, iv);
		run_to(&fw, &now, FORGED_NOW + 4, 1);
		for (unsigned k = 0; k < 8; k++) {
			const struct consensus *c = fw.w.dir->current[FLAVOUR_MICRODESC];

			assert_non_null(c);
			assert_int_equal(c->valid_after, fw.valid_after);
			assert_int_equal(fw.w.dir->current[FLAVOUR_NS]->valid_after,
					 fw.valid_after);
			fw.n_consensus = 0;
			run_to(&fw, &now, fw.valid_after + iv, 1);
			assert_true(fw.n_consensus == 0 || k == 0);
			fw.valid_after += iv;
			fw.n_consensus = 0;
			run_to(&fw, &now, fw.valid_after + iv / 2 + iv / 16 + 4, 1);
			assert_int_equal(fw.n_consensus, 2); /* both flavours, once */
		}
		forged_close(&fw);
	}
}

/* Forty days of consensuses: signing keys roll, and nothing is ever stuck. */
static void forty_days(void **state)
{
	struct forged_world fw;
	int64_t now = FORGED_NOW;

	forged_open(&fw, 6 * 3600);
	run_to(&fw, &now, FORGED_NOW + 5, 1);
	for (unsigned i = 0; i < 40 * 4; i++) {
		if (i % 60 == 59)
			forge_roll(&fw.f);
		fw.valid_after += fw.interval;
		run_to(&fw, &now, fw.valid_after + fw.interval - 60, 400);
		assert_int_equal(fw.w.dir->current[FLAVOUR_NS]->valid_after, fw.valid_after);
		assert_int_equal(fw.w.dir->current[FLAVOUR_MICRODESC]->valid_after, fw.valid_after);
	}
	assert_true(fw.n_certs < 40);
	forged_close(&fw);
}

/* A consensus waits for the certificates of its signers and is taken when they come. */
static void certificates_come_late(void **state)
{
	struct forged_world fw;
	int64_t now = FORGED_NOW;

	forged_open(&fw, 3600);
	fw.no_certs = true;
	run_to(&fw, &now, FORGED_NOW + 20, 1);
	assert_null(fw.w.dir->current[FLAVOUR_MICRODESC]);
	assert_non_null(fw.w.dir->pending[FLAVOUR_MICRODESC]);
	fw.no_certs = false;
	run_to(&fw, &now, FORGED_NOW + 40, 1);
	assert_non_null(fw.w.dir->current[FLAVOUR_MICRODESC]);
	assert_non_null(fw.w.dir->current[FLAVOUR_NS]);
	forged_close(&fw);
}

static void too_few_signers_or_a_wrong_clock(void **state)
{
	static const struct {
		unsigned signers;
		int64_t off; /* of valid_after from now */
		bool taken;
	} rows[] = {
		{7, 0, true},
		{3, 0, true},
		{1, 0, false},
		{7, 86000, true},
		{7, 87000, false},
		{7, -86400 - 3 * 3600 + 900, true},
		{7, -90000 - 3 * 3600, false},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct forged_world fw;
		int64_t now = FORGED_NOW;

		forged_open(&fw, 3600);
		fw.signers = rows[i].signers;
		fw.valid_after = FORGED_NOW + rows[i].off;
		run_to(&fw, &now, FORGED_NOW + 30, 1);
		assert_int_equal(fw.w.dir->current[FLAVOUR_NS] != NULL, rows[i].taken);
		forged_close(&fw);
	}
}

/* Nobody answers: we keep asking, ever more seldom, and never stop. */
static void back_off(void **state)
{
	struct forged_world fw;
	int64_t now = FORGED_NOW;
	uint64_t n;

	forged_open(&fw, 3600);
	fw.w.config.testing_tor_network = false;
	fw.silent = true;
	run_to(&fw, &now, FORGED_NOW + 60, 1);
	n = fw.w.dir->fetcher.n_fetches;
	assert_in_range(n, 4, 40);
	run_to(&fw, &now, FORGED_NOW + 3600, 1);
	n = fw.w.dir->fetcher.n_fetches;
	run_to(&fw, &now, FORGED_NOW + 7200, 1);
	assert_in_range(fw.w.dir->fetcher.n_fetches - n, 6, 60);
	fw.silent = false;
	run_to(&fw, &now, FORGED_NOW + 7200 + 1200, 1);
	assert_non_null(fw.w.dir->current[FLAVOUR_NS]);
	/* not even the fetches can be started */
	fw.w.refuse_fetch = true;
	run_to(&fw, &now, FORGED_NOW + 20000, 7);
	forged_close(&fw);
}

/* An older consensus never takes the place of a newer one, nor one flavour that of the other. */
static void no_way_back(void **state)
{
	struct forged_world fw;
	int64_t now = FORGED_NOW;

	forged_open(&fw, 3600);
	run_to(&fw, &now, FORGED_NOW + 5, 1);
	fw.valid_after -= 3600;
	run_to(&fw, &now, FORGED_NOW + 3 * 3600, 13);
	assert_int_equal(fw.w.dir->current[FLAVOUR_NS]->valid_after, fw.valid_after + 3600);
	forged_close(&fw);
}

/* What was not asked for is not kept. */
static void unasked_documents_are_dropped(void **state)
{
	struct world w;
	size_t len;
	char *text = file_text("cached-microdescs", &len);
	uint8_t none[32] = {0};

	world_open(&w, real_authorities, false, REAL_NOW);
	assert_int_equal(
		docs_accept(w.dir, FLAVOUR_MICRODESC, bytes_of(text, len), none, 1, REAL_NOW), 0);
	assert_int_equal(w.dir->docs[FLAVOUR_MICRODESC].n, 0);
	assert_int_equal(
		docs_accept(w.dir, FLAVOUR_MICRODESC, bytes_of(text, len), NULL, 0, REAL_NOW), 6);
	store_expire(&w.dir->docs[FLAVOUR_MICRODESC], REAL_NOW);
	assert_int_equal(w.dir->docs[FLAVOUR_MICRODESC].n, 6);
	store_expire(&w.dir->docs[FLAVOUR_MICRODESC], REAL_NOW + 1);
	assert_int_equal(w.dir->docs[FLAVOUR_MICRODESC].n, 0);
	free(text);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_nothing_to_everything),
		cmocka_unit_test(required_protocols_hold_us_back),
		cmocka_unit_test(renewal),
		cmocka_unit_test(forty_days),
		cmocka_unit_test(certificates_come_late),
		cmocka_unit_test(too_few_signers_or_a_wrong_clock),
		cmocka_unit_test(back_off),
		cmocka_unit_test(no_way_back),
		cmocka_unit_test(unasked_documents_are_dropped),
	};

	int failed;

	forge_open(&forged);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	forge_close(&forged);
	return failed;
}

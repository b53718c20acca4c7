/* test_docs.c - documents that real tors made, and forged ones: what is believed and what is not.
 */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "controlplane/dir/test_world.h"

static const char *const consensus_files[] = {"cached-consensus", "cached-microdesc-consensus"};

static void real_consensus(void **state)
{
	struct world w;

	world_open(&w, real_authorities, true, REAL_NOW);
	for (unsigned f = 0; f < N_FLAVOURS; f++) {
		struct consensus *c;
		struct consensus_votes v;
		size_t len;
		char *text = file_text(consensus_files[f], &len);

		assert_int_equal(consensus_parse(&c, (uint8_t *)text, len), 0);
		assert_int_equal(c->flavour, f);
		assert_int_equal(c->valid_after, REAL_AFTER);
		assert_int_equal(c->fresh_until, REAL_AFTER + 20);
		assert_int_equal(c->valid_until, REAL_AFTER + 60);
		assert_int_equal(c->n_nodes, 6);
		assert_int_equal(c->n_sigs, 3);
		v = consensus_check(c, &w.dir->certs, &w.config, REAL_NOW);
		assert_int_equal(v.n_good, 3);
		assert_int_equal(v.n_authorities, 3);
		/* certificates have an end */
		v = consensus_check(c, &w.dir->certs, &w.config, REAL_NOW + 400ll * 86400);
		assert_int_equal(v.n_good, 0);
		assert_int_equal(v.n_bad, 3);
		consensus_free(c);
		free(text);
	}
	world_close(&w);
}

/* No byte of the signed part can be changed and still be believed. */
static void changed_bytes_are_seen(void **state)
{
	struct world w;
	size_t len, n_parsed = 0;
	char *text = file_text("cached-microdesc-consensus", &len);

	world_open(&w, real_authorities, true, REAL_NOW);
	for (size_t i = 0; i < len; i += 7) {
		struct consensus *c;

		text[i] ^= 1;
		if (consensus_parse(&c, (uint8_t *)text, len) == 0) {
			struct consensus_votes v =
				consensus_check(c, &w.dir->certs, &w.config, REAL_NOW);

			assert_true(v.n_good < 3);
			if (i < c->signed_len)
				assert_int_equal(v.n_good, 0);
			n_parsed++;
			consensus_free(c);
		}
		text[i] ^= 1;
	}
	assert_true(n_parsed > 50);
	for (size_t i = 0; i < len; i += 3) { /* cut short: never a consensus that is signed */
		struct consensus *c;

		if (consensus_parse(&c, (uint8_t *)text, i) == 0) {
			assert_true(consensus_check(c, &w.dir->certs, &w.config, REAL_NOW).n_good <
				    3);
			consensus_free(c);
		}
	}
	free(text);
	world_close(&w);
}

static void real_nodes(void **state)
{
	const struct dir_node *n, *m;
	struct dir_target t;
	struct addr a;
	char buf[160];
	struct world w;

	world_open(&w, real_authorities, true, REAL_NOW);
	assert_int_equal(dir_n_nodes(w.dir), 6);
	for (unsigned i = 0; i < 6; i++) {
		n = dir_node_at(w.dir, i);
		assert_true(n->has_md);
		assert_ptr_equal(dir_node_by_rsa(w.dir, n->rsa_id), n);
		assert_ptr_equal(dir_node_by_ed(w.dir, n->ed_id), n);
		assert_ptr_equal(dir_node_by_addr(w.dir, &n->or4), n);
		assert_true(n->flags & DIR_RUNNING);
		assert_string_equal(n->version, "0.4.9.11");
		dir_target_of(&t, n);
		assert_memory_equal(t.ntor_key, n->ntor_key, 32);
	}
	addr_parse(&a, "127.0.0.1:28050");
	m = dir_node_by_addr(w.dir, &a);
	assert_string_equal(m->nickname, "x1");
	assert_true(m->flags & DIR_EXIT);
	assert_string_equal(dir_flags_text(DIR_EXIT | DIR_V2DIR, buf), "Exit V2Dir");
	assert_string_equal(dir_flags_text(0, buf), "");
	assert_true(dir_is_relay_addr(w.dir, &a, false));
	a.port = 28051;
	assert_false(dir_is_relay_addr(w.dir, &a, false));
	assert_true(dir_is_relay_addr(w.dir, &a, true));
	a.ip[3] = 2;
	assert_false(dir_is_relay_addr(w.dir, &a, true));
	assert_true(dir_is_authority(w.dir, w.config.dir_auth[1].rsa_id));
	assert_false(dir_is_authority(w.dir, m->rsa_id));
	assert_null(dir_node_by_rsa(w.dir, keys_rsa_id(w.keys)));
	assert_null(dir_node_by_ed(w.dir, keys_ed_id(w.keys)));
	assert_null(dir_node_at(w.dir, 6));
	world_close(&w);
}

static void real_descriptors(void **state)
{
	size_t len, n = 0;
	char *text = file_text("cached-descriptors", &len);
	struct bytes rest = bytes_of(text, len);
	struct router r;
	struct world w;

	world_open(&w, real_authorities, true, REAL_NOW);
	while (router_next(&r, &rest) == 1) {
		const struct consensus *c = w.dir->current[FLAVOUR_NS];
		const struct dir_node *node = consensus_find(c, r.rsa_id);

		assert_non_null(node);
		assert_memory_equal(node->md_digest, r.digest, 20);
		n++;
	}
	assert_int_equal(n, 6);
	free(text);
	world_close(&w);
}

static void certificates(void **state)
{
	static const struct {
		size_t spoil; /* this byte from the end */
		int got;
	} rows[] = {{0, 1}, {40, ERR_CRYPTO}, {300, ERR_CRYPTO}, {600, ERR_CRYPTO}};
	struct text two = {0};
	struct forged f;
	struct auth_cert c;
	struct bytes rest;

	forge_open(&f);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct text t = {0};
		int got;

		forge_cert(&f, 0, FORGED_NOW, FORGED_NOW + 86400, rows[i].spoil, &t);
		rest = bytes_of(t.p, t.len);
		got = auth_cert_parse(&c, &rest);
		if (rows[i].got == 1)
			assert_int_equal(got, 1);
		else
			assert_true(got < 0);
		assert_int_equal(rest.len, 0);
		if (got == 1) {
			assert_memory_equal(c.v3ident, f.v3ident[0], 20);
			assert_memory_equal(c.signing_digest, f.signing_digest[0], 20);
			assert_int_equal(c.expires, FORGED_NOW + 86400);
			auth_cert_free(&c);
		}
		text_free(&t);
	}
	/* a bad one between good ones does not hide them; ends before it begins */
	forge_cert(&f, 0, FORGED_NOW, FORGED_NOW + 9, 0, &two);
	forge_cert(&f, 1, FORGED_NOW, FORGED_NOW - 9, 0, &two);
	forge_cert(&f, 2, FORGED_NOW, FORGED_NOW + 9, 0, &two);
	rest = bytes_of(two.p, two.len);
	assert_int_equal(auth_cert_parse(&c, &rest), 1);
	auth_cert_free(&c);
	assert_int_equal(auth_cert_parse(&c, &rest), ERR_CRYPTO);
	assert_int_equal(auth_cert_parse(&c, &rest), 1);
	auth_cert_free(&c);
	assert_int_equal(auth_cert_parse(&c, &rest), 0);
	text_free(&two);
	forge_close(&f);
}

static void who_must_sign(void **state)
{
	static const struct {
		unsigned signers, certs;
		unsigned n_good, n_unknown;
		bool enough;
	} rows[] = {
		{7, 7, 3, 0, true},  {3, 7, 2, 0, true},  {6, 7, 2, 0, true}, {1, 7, 1, 0, false},
		{0, 7, 0, 0, false}, {7, 1, 1, 2, false}, {7, 3, 2, 1, true}, {7, 0, 0, 3, false},
	};
	struct forged f;
	struct world w;

	forge_open(&f);
	world_open(&w, f.torrc.p, false, FORGED_NOW);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct forge what = {FLAVOUR_MICRODESC, FORGED_NOW, 3600, NULL, NULL,
				     rows[i].signers};
		struct auth_certs *cs = calloc(1, sizeof(*cs));
		struct consensus_votes v;
		struct consensus *c;
		struct text t = {0};

		for (unsigned k = 0; k < N_FORGED; k++)
			if (rows[i].certs & 1u << k)
				forge_cert(&f, k, FORGED_NOW, FORGED_NOW + 86400, 0, &t);
		auth_certs_add(cs, &w.config, bytes_of(t.p, t.len));
		text_free(&t);
		forge_consensus(&f, &what, &t);
		if (!rows[i].signers) { /* not even a consensus */
			assert_int_equal(consensus_parse(&c, (uint8_t *)t.p, t.len), ERR_MALFORMED);
		} else {
			assert_int_equal(consensus_parse(&c, (uint8_t *)t.p, t.len), 0);
			v = consensus_check(c, cs, &w.config, FORGED_NOW);
			assert_int_equal(v.n_good, rows[i].n_good);
			assert_int_equal(v.n_unknown, rows[i].n_unknown);
			assert_int_equal(consensus_enough(v), rows[i].enough);
			consensus_free(c);
		}
		text_free(&t);
		auth_certs_fini(cs);
		free(cs);
	}
	world_close(&w);
	forge_close(&f);
}

#define R(id) "r n " id " 2026-11-23 06:18:41 127.0.0.1 9001 0\n"
#define ID1   "Hg0bLGsYjvDieWr8TvRHKSGp7KY"
#define ID2   "PRPjvixEHNBJkyek0XFu6SJVEN8"
#define M     "m Af8OmOi76rQB4vEz2q2Ept8qup4KJsHJm4awVy39rHI\n"

static void nodes_of_a_consensus(void **state)
{
	static const struct {
		const char *nodes;
		int n; /* -1: malformed */
	} rows[] = {
		{"", 0},
		{R(ID1) M "s Fast Running\nw Bandwidth=7\n", 1},
		{R(ID1) "a [::1]:9001\n" M R(ID2) M, 2},
		{R(ID2) M R(ID1) M, -1}, /* order */
		{R(ID1) M R(ID1) M, -1}, /* twice */
		{M, -1},
		{"s Fast\n", -1},
		{"r n short 2026-11-23 06:18:41 127.0.0.1 9001 0\n", -1},
		{"r n " ID1 " 2026-11-23 06:18:41 127.0.0.1 65536 0\n", -1},
		{"r n " ID1 " 2026-11-23 06:18:41 127.0.0.256 9001 0\n", -1},
		{"r n " ID1 " 2026-11-23 127.0.0.1 9001 0\n", -1},
		{"r anicknamethatistoolong " ID1 " 2026-11-23 06:18:41 127.0.0.1 9001 0\n", -1},
		{R(ID1) "m short\n", -1},
		{R(ID1) "a nonsense\nw Bandwidth=x\nunknown line\n", 1},
	};
	struct forged f;

	forge_open(&f);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct forge what = {FLAVOUR_MICRODESC, FORGED_NOW, 3600, NULL, rows[i].nodes, 1};
		struct consensus *c;
		struct text t = {0};
		int error;

		forge_consensus(&f, &what, &t);
		error = consensus_parse(&c, (uint8_t *)t.p, t.len);
		assert_int_equal(error ? -1 : (int)c->n_nodes, rows[i].n);
		if (!error)
			consensus_free(c);
		text_free(&t);
	}
	forge_close(&f);
}

static void parameters(void **state)
{
	static const struct {
		const char *args;
		enum dir_param_id id;
		int32_t v;
	} rows[] = {
		{"", DIR_PARAM_circwindow, 1000},
		{"circwindow=500", DIR_PARAM_circwindow, 500},
		{"circwindow=99", DIR_PARAM_circwindow, 100},
		{"circwindow=1001", DIR_PARAM_circwindow, 1000},
		{"circwindow=-5", DIR_PARAM_circwindow, 100},
		{"circwindow=x", DIR_PARAM_circwindow, 1000},
		{"circwindow", DIR_PARAM_circwindow, 1000},
		{"Circwindow=500", DIR_PARAM_circwindow, 1000},
		{"a=1 circwindow=500 b=2", DIR_PARAM_circwindow, 500},
		{"circwindow=500 circwindow=600", DIR_PARAM_circwindow, 500},
		{"circwindow=x circwindow=600", DIR_PARAM_circwindow, 600},
		{"circwindow=1 circwindow=600", DIR_PARAM_circwindow, 100},
		{"circwindows=500", DIR_PARAM_circwindow, 1000},
		{"=500", DIR_PARAM_circwindow, 1000},
		{"circwindow=", DIR_PARAM_circwindow, 1000},
		{"circwindow=500x", DIR_PARAM_circwindow, 1000},
		{"circwindow=99999999999999999999", DIR_PARAM_circwindow, 1000},
		{"circwindow=2147483648", DIR_PARAM_circwindow, 1000},
		{"circwindow=-2147483648", DIR_PARAM_circwindow, 100},
		{"circ_max_cell_queue_size=77", DIR_PARAM_circ_max_cell_queue_size_out, 77},
		{"circ_max_cell_queue_size=77 circ_max_cell_queue_size_out=99",
		 DIR_PARAM_circ_max_cell_queue_size_out, 99},
		{"nf_ito_low=20000", DIR_PARAM_nf_ito_high, 20000},
		{"assume-reachable=1", DIR_PARAM_assume_reachable, 1},
		{"assume_reachable=1", DIR_PARAM_assume_reachable, 0},
		{"onion-key-rotation-days=3", DIR_PARAM_onion_key_grace_period_days, 3},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		int32_t v[N_DIR_PARAMS];

		params_read(v, bytes_of(rows[i].args, strlen(rows[i].args)));
		assert_int_equal(v[rows[i].id], rows[i].v);
	}
	assert_string_equal(dir_param_row_at(DIR_PARAM_assume_reachable)->name, "assume-reachable");
	assert_null(dir_param_row_at(N_DIR_PARAMS));
}

static int32_t param_of(const char *fmt, const char *name, long long v, int32_t all[N_DIR_PARAMS],
			enum dir_param_id id)
{
	char text[128];
	int n = snprintf(text, sizeof(text), fmt, name, v);

	params_read(all, bytes_of(text, (size_t)n));
	return all[id];
}

/* Every row alike: its default when nothing is said, its bounds beyond them, and no other row
 * touched but those whose bounds or default it is. */
static void parameter_rows(void **state)
{
	for (unsigned i = 0; i < N_DIR_PARAMS; i++) {
		const struct dir_param_row *r = dir_param_row_at(i);
		int32_t v[N_DIR_PARAMS];

		assert_true(r->min <= r->dflt && r->dflt <= r->max && r->min < r->max);
		assert_true(r->ctl >= -1 && r->ctl < N_CTL_PARAMS);
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(r->name, dir_param_row_at(k)->name);
		assert_int_equal(param_of("%s%lld", "other=", 1, v, i), r->dflt);
		assert_int_equal(param_of("%s=x%lld", r->name, 1, v, i), r->dflt);
		assert_int_equal(param_of("%s=-99999999999%lld", r->name, 1, v, i), r->dflt);
		if (i != DIR_PARAM_nf_ito_high) {
			assert_int_equal(param_of("%s=%lld", r->name, r->min, v, i), r->min);
			if (r->min > INT32_MIN)
				assert_int_equal(param_of("%s=%lld", r->name, r->min - 1ll, v, i),
						 r->min);
		}
		if (i != DIR_PARAM_onion_key_grace_period_days) {
			assert_int_equal(param_of("%s=%lld", r->name, r->max, v, i), r->max);
			if (r->max < INT32_MAX)
				assert_int_equal(param_of("%s=%lld", r->name, r->max + 1ll, v, i),
						 r->max);
		}
	}
}

struct pushed {
	int64_t v[N_CTL_PARAMS];
	unsigned n[N_CTL_PARAMS];
};

static void note_pushed(void *ctx, int ctl_param, int64_t value)
{
	struct pushed *p = ctx;

	p->v[ctl_param] = value;
	p->n[ctl_param]++;
}

/* What the torrc says counts more than the consensus, and the dataplane is told that. */
static void parameter_torrc(void **state)
{
	struct pushed p = {.n = {0}};
	struct config c = {.circuit_priority_halflife_s = -1.0,
			   .refuse_unknown_exits = -1,
			   .conflux_enabled = -1,
			   .dos_refuse_single_hop_rendezvous = -1,
			   .circuit_padding = true};
	struct dir d = {.config = &c};

	params_read(d.params, bytes_of("KISTSchedRunInterval=7 refuseunknownexits=0", 43));
	assert_int_equal(dir_param(&d, DIR_PARAM_KISTSchedRunInterval), 7);
	assert_int_equal(dir_param(&d, DIR_PARAM_CircuitPriorityHalflifeMsec), 30000);
	assert_int_equal(dir_param(&d, DIR_PARAM_MaxOnionQueueDelay), 1750);
	assert_int_equal(dir_param(&d, DIR_PARAM_refuseunknownexits), 0);
	assert_int_equal(dir_param(&d, DIR_PARAM_circpad_padding_disabled), 0);
	c.circuit_padding = false;
	assert_int_equal(dir_param(&d, DIR_PARAM_circpad_padding_disabled), 1);
	c.kist_sched_run_interval_ms = 1; /* as tor: taken as it is */
	c.circuit_priority_halflife_s = 0.5;
	c.max_onion_queue_delay_ms = 20;
	c.refuse_unknown_exits = 1;
	c.dos_refuse_single_hop_rendezvous = 0;
	assert_int_equal(dir_param(&d, DIR_PARAM_KISTSchedRunInterval), 1);
	assert_int_equal(dir_param(&d, DIR_PARAM_CircuitPriorityHalflifeMsec), 500);
	assert_int_equal(dir_param(&d, DIR_PARAM_MaxOnionQueueDelay), 20);
	assert_int_equal(dir_param(&d, DIR_PARAM_refuseunknownexits), 1);
	assert_int_equal(dir_param(&d, DIR_PARAM_DoSRefuseSingleHopClientRendezvous), 0);
	dir_params_push(&d, note_pushed, &p);
	assert_int_equal(p.v[CTL_PARAM_KIST_INTERVAL_MS], 1);
	assert_int_equal(p.v[CTL_PARAM_EWMA_HALFLIFE_MS], 500);
	assert_int_equal(p.v[CTL_PARAM_CIRCWINDOW], 1000);
	for (unsigned i = 0; i < N_CTL_PARAMS; i++)
		assert_true(p.n[i] <= 1);
}

static void protocols(void **state)
{
	static const struct {
		const char *required, *missing;
	} rows[] = {
		{"", NULL},
		{"Link=4-5 Relay=2-4", NULL},
		{"Desc=1,3 Cons=2", NULL},
		{"Link=3-5", "Link=3-5"},
		{"Link=4 FlowCtrl=1-3", "FlowCtrl=1-3"},
		{"HSDir=2", "HSDir=2"},
		{"Lin=4", "Lin=4"},
		{"Link=64", "Link=64"},
		{"Link", "Link"},
		{"Link=5-4", "Link=5-4"},
		{"Link=", NULL},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		char missing[64] = "";
		bool met = protocols_met(bytes_of(rows[i].required, strlen(rows[i].required)),
					 missing);

		assert_int_equal(met, rows[i].missing == NULL);
		if (!met)
			assert_string_equal(missing, rows[i].missing);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_consensus),
		cmocka_unit_test(changed_bytes_are_seen),
		cmocka_unit_test(real_nodes),
		cmocka_unit_test(real_descriptors),
		cmocka_unit_test(certificates),
		cmocka_unit_test(who_must_sign),
		cmocka_unit_test(nodes_of_a_consensus),
		cmocka_unit_test(parameters),
		cmocka_unit_test(parameter_rows),
		cmocka_unit_test(parameter_torrc),
		cmocka_unit_test(protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

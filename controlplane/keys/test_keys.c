/* test_keys.c - the key files: made, found again, exchanged with a real tor in both directions,
 * rotated and renewed while the clock runs for 40 days, and refused when broken. */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#include "controlplane/keys/internal.h"
#include "dataplane/cipher/cipher.h"

#define NOW ((int64_t)1790000000)

static char root[] = "/tmp/ramson-keys-XXXXXX";
static unsigned n_dirs;

static const char *new_dir(void)
{
	static char dir[128];

	snprintf(dir, sizeof(dir), "%s/%u", root, n_dirs++);
	return dir;
}

static struct keys_config config_of(const char *dir)
{
	return (struct keys_config) {.data_dir = dir, .nickname = "tester"};
}

static struct keys *open_at(const char *dir, int64_t now_s)
{
	struct keys_config c = config_of(dir);
	char why[KEYS_WHY_MAX];
	struct keys *k = keys_open(&c, now_s, why);

	if (!k)
		print_error("%s\n", why);
	assert_non_null(k);
	return k;
}

static void put_file(const char *dir, const char *name, const void *data, size_t len)
{
	char path[PATH_MAX];

	assert_int_equal(file_write(path_of(path, dir, name), data, len), 0);
}

static bool has_file(const char *dir, const char *name)
{
	char path[PATH_MAX];

	return access(path_of(path, dir, name), F_OK) == 0;
}

static void remove_file(const char *dir, const char *name)
{
	char path[PATH_MAX];

	assert_int_equal(unlink(path_of(path, dir, name)), 0);
}

/* ---- */

static void made_and_found_again(void **state)
{
	static const char *files[] = {"fingerprint",
				      "fingerprint-ed25519",
				      "state",
				      "keys/secret_id_key",
				      "keys/secret_onion_key",
				      "keys/secret_onion_key_ntor",
				      "keys/ed25519_master_id_secret_key",
				      "keys/ed25519_master_id_public_key",
				      "keys/ed25519_signing_secret_key",
				      "keys/ed25519_signing_cert"};
	char dir[128], path[PATH_MAX];
	struct keys *a, *b;
	struct stat st;
	struct onion_keys *o, *p;

	strcpy(dir, new_dir());
	a = open_at(dir, NOW);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		assert_int_equal(stat(path_of(path, dir, files[i]), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	assert_int_equal(stat(path_of(path, dir, "keys"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	chmod(path, 0755);
	b = open_at(dir, NOW + 60);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_memory_equal(keys_rsa_id(a), keys_rsa_id(b), KEYS_RSA_ID);
	assert_memory_equal(keys_ed_id(a), keys_ed_id(b), KEYS_ED_ID);
	assert_int_equal(keys_signing_cert(a).len, keys_signing_cert(b).len);
	assert_memory_equal(keys_signing_cert(a).p, keys_signing_cert(b).p,
			    keys_signing_cert(a).len);
	assert_int_equal(keys_onion_rotated_s(b), NOW);
	o = keys_onion_get(a);
	p = keys_onion_get(b);
	assert_int_equal(o->n, 1);
	assert_memory_equal(&o->ntor[0], &p->ntor[0], sizeof(o->ntor[0]));
	keys_close(a);
	assert_int_equal(o->n, 1); /* a snapshot outlives the keys */
	onion_keys_put(o);
	onion_keys_put(p);
	keys_close(b);
}

static void descriptor_signatures(void **state)
{
	struct keys *k = open_at(new_dir(), NOW);
	struct bytes b = keys_signing_cert(k);
	uint8_t digest[32] = {1, 2, 3}, sig[64], rsa[KEYS_RSA_SIG], cert[ED_CERT_MAX], id[32];
	uint8_t word[52];
	struct onion_keys *o = keys_onion_get(k);
	struct ed_cert c;
	size_t len;
	unsigned sign;

	assert_int_equal(ed_cert_parse(&c, b.p, b.len), 0);
	assert_int_equal(c.type, 4);
	assert_int_equal(b.len, 140);
	assert_memory_equal(c.signer, keys_ed_id(k), 32);
	assert_true(ed_cert_check(&c, keys_ed_id(k), NOW + 29 * DAY_S));
	assert_false(ed_cert_check(&c, keys_ed_id(k), NOW + 31 * DAY_S));
	assert_int_equal(keys_sign_ed(k, digest, 32, sig), 0);
	assert_true(ed25519_check(digest, 32, c.key, sig));

	assert_int_equal(keys_sign_rsa(k, digest, 20, rsa), 0);
	assert_true(rsa_check(k->rsa, digest, 20, rsa, sizeof(rsa)));
	digest[19] ^= 1;
	assert_false(rsa_check(k->rsa, digest, 20, rsa, sizeof(rsa)));
	assert_int_equal(keys_tap_crosscert(k, rsa), 0);
	memcpy(word, keys_rsa_id(k), 20);
	memcpy(word + 20, keys_ed_id(k), 32);
	assert_true(rsa_check(k->tap, word, sizeof(word), rsa, sizeof(rsa)));
	assert_non_null(strstr(keys_rsa_pem(k), "-----BEGIN RSA PUBLIC KEY-----\n"));
	assert_string_not_equal(keys_rsa_pem(k), keys_tap_pem(k));

	assert_int_equal(keys_ntor_crosscert(k, NOW, cert, &len, &sign), 0);
	assert_int_equal(ed_cert_parse(&c, cert, len), 0);
	assert_int_equal(c.type, CERT_NTOR_ID);
	assert_memory_equal(c.key, keys_ed_id(k), 32);
	assert_true(ed25519_public_of_curve25519(o->ntor[0].public_key, sign, id));
	assert_true(ed_cert_check(&c, id, NOW));
	onion_keys_put(o);
	keys_close(k);
}

/* 40 days, by the hour where something may happen: signing key, onion keys and link certificates
 * each in their time. */
static void forty_days(void **state)
{
	unsigned n_signing = 0, n_onion = 0, n_link = 0;
	int64_t rotated_h = 0, retired_h = 0, signed_h = 0;
	char dir[128];
	struct keys *k;
	struct onion_keys *first, *now;

	strcpy(dir, new_dir());
	k = open_at(dir, NOW);
	first = keys_onion_get(k);
	for (int64_t h = 1; h <= 40 * 24; h++) {
		bool near = llabs(h - 28 * 24) < 2 || llabs(h - 29 * 24) < 3 ||
			    llabs(h - 35 * 24) < 2 || h < 6;
		unsigned changed;

		if (!near)
			continue;
		changed = keys_tick(k, NOW + h * 3600);
		assert_false(changed & KEYS_EXPIRED);
		n_link += !!(changed & KEYS_LINK);
		if (changed & KEYS_SIGNING) {
			n_signing++;
			signed_h = h;
		}
		if (changed & KEYS_ONION) {
			n_onion++;
			*(n_onion == 1 ? &rotated_h : &retired_h) = h;
			now = keys_onion_get(k);
			if (n_onion == 1) {
				assert_int_equal(now->n, 2);
				assert_memory_equal(&now->ntor[1], &first->ntor[0],
						    sizeof(now->ntor[0]));
				assert_true(has_file(k->key_dir, "secret_onion_key_ntor.old"));
				assert_true(has_file(k->key_dir, "secret_onion_key.old"));
			} else {
				assert_int_equal(now->n, 1);
				assert_false(has_file(k->key_dir, "secret_onion_key_ntor.old"));
			}
			onion_keys_put(now);
		}
	}
	assert_int_equal(n_signing, 1);
	assert_in_range(signed_h, 29 * 24, 29 * 24 + 2);
	assert_int_equal(n_onion, 2);
	assert_int_equal(rotated_h, 28 * 24);
	assert_int_equal(retired_h, 35 * 24);
	assert_in_range(n_link, 5, 9);
	keys_close(k);
	/* restarted inside the grace period: both keys are there */
	k = open_at(dir, NOW + 28 * DAY_S + 3600);
	assert_int_equal(keys_onion_rotated_s(k), NOW + 28 * DAY_S);
	onion_keys_put(first);
	keys_close(k);
}

static void previous_key_survives_restart(void **state)
{
	char dir[128];
	struct keys *k;
	struct onion_keys *o;

	strcpy(dir, new_dir());
	k = open_at(dir, NOW);
	assert_true(keys_tick(k, NOW + 28 * DAY_S) & KEYS_ONION);
	keys_close(k);
	k = open_at(dir, NOW + 30 * DAY_S);
	o = keys_onion_get(k);
	assert_int_equal(o->n, 2);
	onion_keys_put(o);
	keys_close(k);
	k = open_at(dir, NOW + 36 * DAY_S);
	o = keys_onion_get(k);
	assert_int_equal(o->n, 1);
	onion_keys_put(o);
	keys_close(k);
}

/* Offline master: serves until the certificate ends, warns, says that it is over; takes a new pair.
 */
static void master_away(void **state)
{
	char dir[128], keys_dir[160], saved[64 + 32], path[PATH_MAX], why[KEYS_WHY_MAX];
	struct keys_config c;
	struct keys *k;
	int n;

	strcpy(dir, new_dir());
	snprintf(keys_dir, sizeof(keys_dir), "%s/keys", dir);
	keys_close(open_at(dir, NOW));
	n = file_read(path_of(path, keys_dir, "ed25519_master_id_secret_key"), saved,
		      sizeof(saved));
	assert_int_equal(n, 96);
	remove_file(keys_dir, "ed25519_master_id_secret_key");
	remove_file(keys_dir, "ed25519_master_id_public_key"); /* inferred from the certificate */
	k = open_at(dir, NOW + DAY_S);
	assert_true(has_file(keys_dir, "ed25519_master_id_public_key"));
	assert_int_equal(keys_tick(k, NOW + 29 * DAY_S + 7200) & (KEYS_SIGNING | KEYS_EXPIRED), 0);
	assert_true(keys_tick(k, NOW + 30 * DAY_S + 7200) & KEYS_EXPIRED);
	assert_true(keys_reload(k, NOW + 30 * DAY_S + 7200) < 0);
	c = config_of(dir);
	assert_null(keys_open(&c, NOW + 30 * DAY_S + 7200, why));
	assert_non_null(strstr(why, "ed25519_master_id_secret_key"));
	put_file(keys_dir, "ed25519_master_id_secret_key", saved, 96);
	c.offline_master = true;
	assert_null(keys_open(&c, NOW + 30 * DAY_S + 7200, why));
	assert_non_null(strstr(why, "OfflineMasterKey"));
	/* the master comes back elsewhere, and the running relay reloads */
	keys_close(open_at(dir, NOW + 30 * DAY_S + 7200));
	n = keys_reload(k, NOW + 30 * DAY_S + 7200);
	assert_true(n > 0 && (n & KEYS_SIGNING) && (n & KEYS_LINK));
	assert_false(keys_tick(k, NOW + 30 * DAY_S + 7201) & KEYS_EXPIRED);
	keys_close(k);
}

/* keygen: a new signing key under the same master, also when the old one is good and the relay's
 * configuration says that the master is elsewhere; without a master it says so. */
static void keygen(void **state)
{
	char dir[128], keys_dir[160], why[KEYS_WHY_MAX];
	struct keys_config c;
	struct keys *k, *running;
	uint8_t was[ED_CERT_MAX];

	strcpy(dir, new_dir());
	snprintf(keys_dir, sizeof(keys_dir), "%s/keys", dir);
	running = open_at(dir, NOW);
	memcpy(was, keys_signing_cert(running).p, 140);
	assert_int_equal(keys_reload(running, NOW), KEYS_LINK); /* nothing new on disk */
	c = config_of(dir);
	c.new_signing = c.offline_master = true;
	k = keys_open(&c, NOW + DAY_S, why);
	assert_non_null(k);
	assert_memory_equal(keys_ed_id(k), keys_ed_id(running), KEYS_ED_ID);
	assert_memory_not_equal(keys_signing_cert(k).p, was, 140);
	assert_true(keys_signing_expires_s(k) >= NOW + 31 * DAY_S);
	assert_int_equal(keys_reload(running, NOW + DAY_S), KEYS_LINK | KEYS_SIGNING);
	assert_memory_equal(keys_signing_cert(k).p, keys_signing_cert(running).p, 140);
	keys_close(k);
	keys_close(running);
	remove_file(keys_dir, "ed25519_master_id_secret_key");
	assert_null(keys_open(&c, NOW + DAY_S, why));
	assert_non_null(strstr(why, "ed25519_master_id_secret_key"));
}

static void broken_files_are_named(void **state)
{
	static const struct {
		const char *file, *content;
		const char *said;
	} rows[] = {
		/* 0 */ {"secret_id_key", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n",
			 "secret_id_key"},
		/* 1 */ {"secret_onion_key", "junk", "secret_onion_key"},
		/* 2 */ {"secret_onion_key_ntor", "== c25519v1: onion ==", "secret_onion_key_ntor"},
		/* 3 */
		{"ed25519_master_id_public_key",
		 "== ed25519v1-public: type4 ==", "ed25519_master_id_public_key"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char dir[128], keys_dir[160], why[KEYS_WHY_MAX];
		struct keys_config c;

		strcpy(dir, new_dir());
		snprintf(keys_dir, sizeof(keys_dir), "%s/keys", dir);
		keys_close(open_at(dir, NOW));
		put_file(keys_dir, rows[i].file, rows[i].content, strlen(rows[i].content));
		c = config_of(dir);
		assert_null(keys_open(&c, NOW, why));
		assert_non_null(strstr(why, rows[i].said));
	}
}

/* Empty onion key files count as absent, as in tor; a master key of another relay does not pass. */
static void odd_files(void **state)
{
	char a[128], b[128], keys_a[160], keys_b[160], why[KEYS_WHY_MAX], path[PATH_MAX];
	uint8_t data[128];
	struct keys_config c;
	int n;

	strcpy(a, new_dir());
	strcpy(b, new_dir());
	snprintf(keys_a, sizeof(keys_a), "%s/keys", a);
	snprintf(keys_b, sizeof(keys_b), "%s/keys", b);
	keys_close(open_at(a, NOW));
	keys_close(open_at(b, NOW));
	put_file(keys_a, "secret_onion_key_ntor", "", 0);
	keys_close(open_at(a, NOW));
	assert_int_equal(file_read(path_of(path, keys_a, "secret_onion_key_ntor"), data, 128), 96);
	n = file_read(path_of(path, keys_b, "ed25519_master_id_public_key"), data, sizeof(data));
	put_file(keys_a, "ed25519_master_id_public_key", data, (size_t)n);
	c = config_of(a);
	assert_null(keys_open(&c, NOW, why));
	assert_non_null(strstr(why, "another master key"));
	assert_null(
		keys_open(&c, NOW + 29 * DAY_S + 9999, why)); /* it would renew: compares first */
	assert_non_null(strstr(why, "does not match"));
}

static void state_lines(void **state)
{
	static const char text[] =
		"# Tor state file\nTorVersion Tor 0.4.9.11\n"
		"lastrotatedonionkey 2020-01-01 00:00:00\n"
		"BWHistoryReadEnds 2026-01-01 00:00:00\nLastRotatedOnionKey x\nNoEnd 1";
	char dir[128], value[64], path[PATH_MAX], got[512] = {0};

	strcpy(dir, new_dir());
	mkdir(dir, 0700);
	assert_int_equal(state_get(dir, "NoEnd", value, sizeof(value)), ERR_UNKNOWN);
	put_file(dir, "state", text, sizeof(text) - 1);
	assert_int_equal(state_get(dir, "NoEnd", value, sizeof(value)), 0);
	assert_string_equal(value, "1");
	assert_int_equal(state_get(dir, "NoEn", value, sizeof(value)), ERR_UNKNOWN);
	assert_int_equal(state_get(dir, "TorVersion", value, 8), ERR_UNKNOWN); /* does not fit */
	assert_int_equal(state_set(dir, "LastRotatedOnionKey", "2026-11-23 00:00:00"), 0);
	assert_int_equal(state_set(dir, "New", "line"), 0);
	assert_int_equal(state_set(dir, "BWHistoryReadEnds", NULL), 0);
	assert_true(file_read(path_of(path, dir, "state"), got, sizeof(got) - 1) > 0);
	assert_string_equal(got, "# Tor state file\nTorVersion Tor 0.4.9.11\n"
				 "LastRotatedOnionKey 2026-11-23 00:00:00\nNoEnd 1\nNew line\n");
}

static void link_certificates(void **state)
{
	struct keys *k = open_at(new_dir(), NOW);
	struct link_certs *c = keys_link_certs_get(k), *d;
	struct ed_cert signing, link, auth;
	struct rsa_ed_cross cross;
	uint8_t digest[32];
	int days, secs;

	assert_int_equal(X509_get_version(c->tls_cert), X509_VERSION_3);
	assert_int_equal(X509_get_ext_count(c->tls_cert), 0);
	assert_int_equal(EVP_PKEY_get_bits(c->tls_key), 2048);
	assert_int_equal(X509_verify(c->tls_cert, k->rsa), 1);
	assert_true(ASN1_TIME_diff(&days, &secs, X509_get0_notBefore(c->tls_cert),
				   X509_get0_notAfter(c->tls_cert)));
	assert_in_range(days, 4, 365);
	assert_int_equal(ASN1_TIME_cmp_time_t(X509_get0_notAfter(c->tls_cert), NOW + DAY_S), 1);
	assert_int_equal(ASN1_TIME_cmp_time_t(X509_get0_notBefore(c->tls_cert), NOW), -1);
	SHA256(c->certs[CERTS_LINK_X509].p, c->certs[CERTS_LINK_X509].len, digest);
	assert_int_equal(ed_cert_parse(&signing, c->certs[4].p, c->certs[4].len), 0);
	assert_int_equal(ed_cert_parse(&link, c->certs[5].p, c->certs[5].len), 0);
	assert_int_equal(ed_cert_parse(&auth, c->certs[6].p, c->certs[6].len), 0);
	assert_memory_equal(link.key, digest, 32);
	assert_int_equal(link.key_type, CERT_KEY_SHA256_X509);
	assert_false(link.has_signer);
	assert_true(ed_cert_check(&link, signing.key, NOW + 47 * 3600));
	assert_true(ed_cert_check(&auth, signing.key, NOW));
	assert_memory_equal(auth.key, c->auth_public, 32);
	assert_int_equal(rsa_ed_cross_parse(&cross, c->certs[7].p, c->certs[7].len), 0);
	assert_memory_equal(cross.ed_id, keys_ed_id(k), 32);
	assert_true(keys_tick(k, NOW + 7200) & KEYS_LINK);
	d = keys_link_certs_get(k);
	assert_ptr_not_equal(c, d);
	assert_memory_not_equal(c->tls_digest, d->tls_digest, 32);
	link_certs_put(c);
	link_certs_put(d);
	keys_close(k);
}

static bool signed_by(EVP_PKEY *key, EVP_PKEY *checks, int padding, uint8_t text)
{
	uint8_t sig[256];
	size_t len = sizeof(sig);
	EVP_MD_CTX *c = EVP_MD_CTX_new(), *v = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p;
	bool ok = EVP_DigestSignInit(c, &p, EVP_sha256(), NULL, key) == 1 &&
		  EVP_PKEY_CTX_set_rsa_padding(p, padding) == 1 &&
		  EVP_DigestSign(c, sig, &len, &text, 1) == 1 &&
		  EVP_DigestVerifyInit(v, &p, EVP_sha256(), NULL, checks) == 1 &&
		  EVP_PKEY_CTX_set_rsa_padding(p, padding) == 1 &&
		  EVP_DigestVerify(v, sig, len, &text, 1) == 1;

	EVP_MD_CTX_free(c);
	EVP_MD_CTX_free(v);
	return ok;
}

/* Keys of three primes sign so that OpenSSL, which knows the public part alone, accepts it. */
static void three_primes(void **state)
{
	for (unsigned n = 0; modexp_here() && n < 3; n++) {
		EVP_PKEY *key = trio_new(), *public = NULL;
		uint8_t der[512], *end = der;
		const uint8_t *p = der;
		long len;

		assert_non_null(key);
		assert_int_equal(EVP_PKEY_get_bits(key), 2048);
		len = i2d_PUBKEY(key, &end);
		public = d2i_PUBKEY(NULL, &p, len);
		assert_non_null(public);
		for (unsigned i = 0; i < 20; i++) {
			assert_true(signed_by(key, public, RSA_PKCS1_PSS_PADDING, (uint8_t)i));
			assert_true(signed_by(key, public, RSA_PKCS1_PADDING, (uint8_t)i));
		}
		EVP_PKEY_free(public);
		EVP_PKEY_free(key);
	}
}

/* ---- beside a real tor ---- */

static bool have_tor(void)
{
	return access("/usr/bin/tor", X_OK) == 0;
}

/* Runs tor --list-fingerprint on a DataDirectory; its fingerprints are then in the files there. */
static void tor_fingerprint(const char *dir, const char *nick)
{
	char cmd[1024], empty[160];
	int rc;

	snprintf(empty, sizeof(empty), "%s.torrc", dir);

	snprintf(cmd, sizeof(cmd),
		 "/usr/bin/tor --list-fingerprint --DataDirectory %s --Nickname %s "
		 "--ORPort 127.0.0.1:1 --SocksPort 0 --Address 127.0.0.1 -f %s.torrc "
		 "--defaults-torrc %s.torrc --AssumeReachable 1 --ExitRelay 0 "
		 "> %s.log 2>&1",
		 dir, nick, dir, dir, dir);
	put_file(root, strrchr(empty, '/') + 1, "#\n", 2);
	rc = system(cmd);
	assert_true(WIFEXITED(rc) && WEXITSTATUS(rc) == 0);
}

static int read_text(const char *dir, const char *name, char *text, size_t cap)
{
	char path[PATH_MAX];
	int n = file_read(path_of(path, dir, name), text, cap - 1);

	text[n > 0 ? n : 0] = '\0';
	return n;
}

static void tor_moves_in(void **state)
{
	char dir[128], before[2][128], after[2][128];
	struct keys *k;

	if (!have_tor())
		skip();
	strcpy(dir, new_dir());
	mkdir(dir, 0700);
	tor_fingerprint(dir, "tester");
	assert_true(read_text(dir, "fingerprint", before[0], 128) > 0);
	assert_true(read_text(dir, "fingerprint-ed25519", before[1], 128) > 0);
	remove_file(dir, "fingerprint");
	remove_file(dir, "fingerprint-ed25519");
	k = open_at(dir, (int64_t)time(NULL));
	read_text(dir, "fingerprint", after[0], 128);
	read_text(dir, "fingerprint-ed25519", after[1], 128);
	assert_string_equal(before[0], after[0]);
	assert_string_equal(before[1], after[1]);
	keys_close(k);
}

static void tor_takes_over(void **state)
{
	char dir[128], before[2][128], after[2][128], was[2048], is[2048];
	static const char *files[] = {"keys/secret_id_key",
				      "keys/secret_onion_key",
				      "keys/secret_onion_key_ntor",
				      "keys/ed25519_signing_cert",
				      "keys/ed25519_signing_secret_key",
				      "keys/ed25519_master_id_secret_key"};

	if (!have_tor())
		skip();
	strcpy(dir, new_dir());
	keys_close(open_at(dir, (int64_t)time(NULL)));
	read_text(dir, "fingerprint", before[0], 128);
	read_text(dir, "fingerprint-ed25519", before[1], 128);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		int n = read_text(dir, files[i], was, sizeof(was));

		remove_file(dir, "fingerprint");
		remove_file(dir, "fingerprint-ed25519");
		tor_fingerprint(dir, "tester");
		read_text(dir, "fingerprint", after[0], 128);
		read_text(dir, "fingerprint-ed25519", after[1], 128);
		assert_string_equal(before[0], after[0]);
		assert_string_equal(before[1], after[1]);
		assert_int_equal(read_text(dir, files[i], is, sizeof(is)),
				 n); /* kept, not replaced */
		assert_memory_equal(was, is, (size_t)n);
	}
}

static int make_root(void **state)
{
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(made_and_found_again),
		cmocka_unit_test(descriptor_signatures),
		cmocka_unit_test(forty_days),
		cmocka_unit_test(previous_key_survives_restart),
		cmocka_unit_test(master_away),
		cmocka_unit_test(keygen),
		cmocka_unit_test(broken_files_are_named),
		cmocka_unit_test(odd_files),
		cmocka_unit_test(state_lines),
		cmocka_unit_test(link_certificates),
		cmocka_unit_test(three_primes),
		cmocka_unit_test(tor_moves_in),
		cmocka_unit_test(tor_takes_over),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}

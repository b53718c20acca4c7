/* test_handshake.c - transcripts of each handshake, both sides against each other, every wrong
 * byte, and the rows of the ntor v3 extensions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "controlplane/handshake/internal.h"
#include "dataplane/cipher/x25519.h"

static size_t unhex(void *to, const char *hex)
{
	uint8_t *p = to;

	for (; *hex; hex += 2) {
		char two[3] = {hex[0], hex[1], 0};

		*p++ = (uint8_t)strtoul(two, NULL, 16);
	}
	return (size_t)(p - (uint8_t *)to);
}

#define SECRET_B "4051daa5921cfa2a1c27b08451324919538e79e788a81b38cbed097a5dff454a"
#define PUBLIC_B "f8307a2bc1870b00b828bb74dbb8fd88e632a6375ab3bcd1ae706aaa8b6cdd1d"
#define SECRET_X "b825a3719147bcbe5fb1d0b0fcb9c09e51948048e2e3283d2ab7b45b5ef38b49"
#define PUBLIC_X "252fe9ae91264c91d4ecb8501f79d0387e34ad8ca0f7c995184f7d11d5da4f46"
#define SECRET_Y "4865a5b7689dafd978f529291c7171bc159be076b92186405d13220b80e2a053"
#define PUBLIC_Y "4bf4814326fdab45ad5184f5518bd7fae25dc59374062698201a50a22954246d"
#define ED_ID	 "9fad2af287ef942632833d21f946c6260c33fae6172b60006e86e4a6911753a2"

static struct handshake_keys keys;
static struct handshake_pair pair_x, pair_y;
static struct hsk_secret secret_y;
static struct handshake_peer peer;

static int setup(void **state)
{
	memcpy(keys.rsa_id, "iToldYouAboutStairs.", 20);
	unhex(keys.ed_id, ED_ID);
	keys.n_onion = 2;
	unhex(keys.onion[1].secret, SECRET_B); /* the previous key: it must still do */
	unhex(pair_x.secret, SECRET_X);
	unhex(pair_y.secret, SECRET_Y);
	memcpy(peer.rsa_id, keys.rsa_id, 20);
	memcpy(peer.ed_id, keys.ed_id, 32);
	if (handshake_pair_new(&keys.onion[0]) || handshake_pair_new(&keys.junk) ||
	    handshake_pair_public(&keys.onion[1]) || handshake_pair_public(&pair_x) ||
	    handshake_pair_public(&pair_y))
		return -1;
	memcpy(peer.onion, keys.onion[1].public, 32);
	hsk_secret_from(&secret_y, &pair_y);
	return 0;
}

static int teardown(void **state)
{
	hsk_secret_free(&secret_y);
	return 0;
}

static void assert_hex(const void *got, const char *hex)
{
	uint8_t want[1024];
	size_t len = unhex(want, hex);

	assert_memory_equal(got, want, len);
}

static void test_pairs(void **state)
{
	assert_hex(keys.onion[1].public, PUBLIC_B);
	assert_hex(pair_x.public, PUBLIC_X);
	assert_hex(pair_y.public, PUBLIC_Y);
}

/* What the relay's side has before it answers, with a fresh key that we know. */
static struct hsk_talk talk_with(int (*start)(struct hsk_talk *t), const uint8_t *skin, size_t len)
{
	struct hsk_talk t = {.keys = &keys, .skin = skin, .skin_len = len};

	assert_int_equal(start(&t), 0);
	hsk_multiply(&t, &secret_y);
	return t;
}

/* Made with the reference implementation of proposal 216. */
static void test_ntor_vector(void **state)
{
	struct handshake_client c = {.type = HANDSHAKE_NTOR, .peer = peer, .eph = pair_x};
	struct handshake_done d, e;
	uint8_t skin[HANDSHAKE_SKIN_MAX];
	struct hsk_talk s;
	size_t len;

	assert_int_equal(ntor_begin(&c, skin, &len), 0);
	assert_int_equal(len, HANDSHAKE_NTOR_LEN);
	assert_memory_equal(skin, "iToldYouAboutStairs.", 20);
	assert_hex(skin + 20, PUBLIC_B PUBLIC_X);
	s = talk_with(ntor_start, skin, len);
	assert_int_equal(ntor_reply(&s, &d), 0);
	assert_int_equal(d.reply_len, 64);
	assert_hex(d.reply,
		   PUBLIC_Y "10c964a7f730a7fd8373e22abc911442721b5eeff767e16583c3b0718acc6a91");
	assert_hex(d.keys, "aa3d194779aee6e162527fce37ff213d1b389c4f8b71840303216cbac906968d"
			   "6916f53a9f4648232f3a0af42cb8122d998cd7582f6e0df49f6702cbe9f08813"
			   "c9a94079ba028861");
	assert_hex(d.kh, "488e3bf915615d3f8e7830ff78757e9e9b36322a");
	assert_int_equal(handshake_finish(&c, d.reply, d.reply_len, &e), 0);
	assert_memory_equal(d.keys, e.keys, sizeof(d.keys));
	assert_memory_equal(d.kh, e.kh, sizeof(d.kh));
}

/* The transcript of proposal 332, appendix. */
static void test_ntor3_vector(void **state)
{
	struct handshake_client c = {.type = HANDSHAKE_NTOR3, .peer = peer, .eph = pair_x};
	uint8_t skin[HANDSHAKE_SKIN_MAX], msg[HANDSHAKE_SKIN_MAX], reply[HANDSHAKE_REPLY_MAX];
	uint8_t theirs[256], ours[256];
	struct ntor3_talk t = {"xyzzy", 5, ours, sizeof(ours)};
	struct ntor3_talk t2 = {"xyzzy", 5, theirs, sizeof(theirs)};
	struct hsk_talk s;
	size_t msg_len;

	assert_int_equal(ntor3_ask(&c, &t2, (const uint8_t *)"hello world", 11, skin), 0);
	assert_hex(skin, ED_ID PUBLIC_B PUBLIC_X
		   "3bebd9151fd3b47c180abc9e044d53565f04d82bbb3bebed3d06cea65db8be9c"
		   "72b68cd461942088502f67");
	s = talk_with(ntor3_start, skin, 128 + 11);
	assert_int_equal(ntor3_open(&s, &t, msg, &msg_len), 0);
	assert_int_equal(msg_len, 11);
	assert_memory_equal(msg, "hello world", 11);
	assert_int_equal(ntor3_seal(&s, &t, (const uint8_t *)"Hola Mundo", 10, reply), 0);
	assert_hex(reply,
		   PUBLIC_Y "2fc5f8773ca824542bc6cf6f57c7c29bbf4e5476461ab130c5b18ab0a9127665"
			    "1202c3e1e87c0d32054c");
	assert_hex(ours, "9c19b631fd94ed86a817e01f6c80b0743a43f5faebd39cfaa8b00fa8bcc65c3b"
			 "feaa403d91acbd68a821bf6ee8504602b094a254392a07737d5662768c7a9fb1"
			 "b2814bb34780eaee6e867c773e28c212ead563e98a1cd5d5b4576f5ee61c59bd"
			 "e025ff2851bb19b721421694f263818e3531e43a9e4e3e2c661e2ad547d8984c"
			 "aa28ebecd3e4525452299be26b9185a20a90ce1eac20a91f2832d731b54502b0"
			 "9749b5a2a2949292f8cfcbeffb790c7790ed935a9d251e7e336148ea83b063a5"
			 "618fcff674a44581585fd22077ca0e52c59a24347a38d1a1ceebddbf238541f2"
			 "26b8f88d0fb9c07a1bcd2ea764bbbb5dacdaf5312a14c0b9e4f06309b0333b4a");
	assert_int_equal(ntor3_close(&c, &t2, reply, 74, msg), 0);
	assert_memory_equal(msg, "Hola Mundo", 10);
	assert_memory_equal(ours, theirs, 256);
}

static void test_fast_vector(void **state)
{
	struct handshake_client c = {.type = HANDSHAKE_FAST};
	struct handshake_done d;
	uint8_t reply[40];

	for (uint8_t i = 0; i < 20; i++) {
		c.eph.public[i] = i;
		reply[i] = 100 + i;
	}
	unhex(reply + 20, "49a8a3ed63f78047a1583aff465c08c636c25088");
	assert_int_equal(fast_finish(&c, reply, 40, &d), 0);
	assert_hex(d.kh, "49a8a3ed63f78047a1583aff465c08c636c25088");
	assert_hex(d.keys, "7d80d7369e2d2de74c4b5df2c08bb237873044231f53bf72fd8a63e0e36c9752"
			   "eb63e66e320a933d4d5fcaf3bd136643e646ff5a2990f2441b946aadc9fae932"
			   "c36236a1fd112b2b");
	reply[39] ^= 1;
	assert_int_equal(fast_finish(&c, reply, 40, &d), ERR_CRYPTO);
	assert_int_equal(fast_finish(&c, reply, 39, &d), ERR_MALFORMED);
}

static const uint16_t types[] = {HANDSHAKE_FAST, HANDSHAKE_NTOR, HANDSHAKE_NTOR3};

static void test_both_sides(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct handshake_client c, spare;
		struct handshake_done server, client;
		uint8_t skin[HANDSHAKE_SKIN_MAX];
		size_t len;

		assert_int_equal(handshake_begin(&c, types[i], &peer, skin, &len), 0);
		assert_int_equal(handshake_answer(types[i], &keys, skin, len, &server), 0);
		for (unsigned b = 0; b < server.reply_len; b += 3) {
			spare = c;
			server.reply[b] ^= 0x20;
			assert_int_not_equal(
				handshake_finish(&spare, server.reply, server.reply_len, &client),
				0);
			server.reply[b] ^= 0x20;
		}
		for (unsigned cut = 0; cut < server.reply_len; cut++) {
			spare = c;
			assert_int_not_equal(handshake_finish(&spare, server.reply, cut, &client),
					     0);
		}
		assert_int_equal(handshake_finish(&c, server.reply, server.reply_len, &client), 0);
		assert_memory_equal(server.keys, client.keys, sizeof(client.keys));
		assert_memory_equal(server.kh, client.kh, sizeof(client.kh));
		assert_int_equal(c.type, 0); /* wiped */
	}
}

/* The same with keys unpacked, as the pool has them. */
static void test_unpacked(void **state)
{
	struct handshake_keys many = keys;
	struct handshake_client c;
	struct handshake_done server, client;
	uint8_t skin[HANDSHAKE_SKIN_MAX];
	size_t len;

	hsk_keys_unpack(&many);
	for (unsigned i = 0; i < 2 * ARRAY_LEN(many.onion); i++) {
		struct handshake_peer to = peer;

		memcpy(to.onion, many.onion[i / 2].public, 32);
		assert_int_equal(handshake_begin(&c, types[1 + i % 2], &to, skin, &len), 0);
		assert_int_equal(handshake_answer(types[1 + i % 2], &many, skin, len, &server), 0);
		assert_int_equal(handshake_finish(&c, server.reply, server.reply_len, &client), 0);
		assert_memory_equal(server.keys, client.keys, sizeof(client.keys));
		/* A key that we do not have: ntor answers with the junk key, and only the client
		 * finds out; ntor v3's MAC tells us. */
		skin[40] ^= 1;
		assert_int_equal(handshake_answer(types[1 + i % 2], &many, skin, len, &server),
				 types[1 + i % 2] == HANDSHAKE_NTOR ? 0 : ERR_CRYPTO);
		if (types[1 + i % 2] == HANDSHAKE_NTOR)
			assert_int_not_equal(
				handshake_finish(&c, server.reply, server.reply_len, &client), 0);
	}
	hsk_keys_pack(&many);
}

/* Many at once, with lanes and without: each is answered as it would be alone, whatever its
 * neighbours are. What is done to a skin, and what then comes of it. */
enum wrong { RIGHT, SHORT, BAD_ID, LOW_ORDER, TYPE, N_WRONG };
static const int wrong_wants[N_WRONG] = {0, ERR_MALFORMED, ERR_CRYPTO, ERR_CRYPTO, ERR_MALFORMED};

struct many {
	struct handshake_client client[HANDSHAKE_BATCH];
	struct handshake_done done[HANDSHAKE_BATCH];
	struct handshake_ask ask[HANDSHAKE_BATCH];
	uint8_t skin[HANDSHAKE_BATCH][HANDSHAKE_SKIN_MAX];
	enum wrong wrong[HANDSHAKE_BATCH];
};

static void many_ask(struct many *m, unsigned i, unsigned seed)
{
	struct handshake_ask *a = &m->ask[i];
	uint16_t type = types[1 + seed % 2];
	size_t len;

	assert_int_equal(handshake_begin(&m->client[i], type, &peer, m->skin[i], &len), 0);
	m->wrong[i] = seed / 2 % 2 ? seed / 4 % N_WRONG : RIGHT;
	if (m->wrong[i] == BAD_ID)
		m->skin[i][19] ^= 1;
	if (m->wrong[i] == LOW_ORDER)
		memset(m->skin[i] + (type == HANDSHAKE_NTOR ? 52 : 64), 0, 32);
	memset(&m->done[i], 0xee, sizeof(m->done[i]));
	*a = (struct handshake_ask) {.type = m->wrong[i] == TYPE ? HANDSHAKE_TAP : type,
				     .keys = &keys,
				     .skin = m->skin[i],
				     .skin_len = m->wrong[i] == SHORT ? 83 : len,
				     .done = &m->done[i],
				     .error = 99};
}

static void many_check(struct many *m, unsigned i)
{
	struct handshake_done client;

	if (m->ask[i].error != wrong_wants[m->wrong[i]])
		fail_msg("ask %u, wrong %d: %d", i, m->wrong[i], m->ask[i].error);
	if (m->ask[i].error) {
		for (size_t b = 0; b < sizeof(m->done[i]); b++)
			assert_int_equal(((uint8_t *)&m->done[i])[b], 0xee);
		return;
	}
	assert_int_equal(
		handshake_finish(&m->client[i], m->done[i].reply, m->done[i].reply_len, &client),
		0);
	assert_memory_equal(m->done[i].keys, client.keys, sizeof(client.keys));
	assert_memory_equal(m->done[i].kh, client.kh, sizeof(client.kh));
	for (unsigned k = 0; k < i; k++) /* no fresh key serves twice */
		assert_memory_not_equal(m->done[k].reply, m->done[i].reply, 32);
}

static void test_many(void **state)
{
	static struct x25519 x;
	static struct many m;
	struct handshake_bulk b = {.x = &x};

	for (unsigned flags = 0; flags <= X25519_PORTABLE; flags++) {
		x25519_init(&x, flags);
		for (unsigned n = 0; n <= HANDSHAKE_BATCH; n++) {
			for (unsigned i = 0; i < n; i++)
				many_ask(&m, i, 7 * n + 3 * i + flags);
			handshake_answer_many(&b, m.ask, n);
			for (unsigned i = 0; i < n; i++)
				many_check(&m, i);
		}
	}
}

/* A skin wrong in any byte is refused, and leaves the outcome alone. */
static void test_wrong_skin(void **state)
{
	for (size_t i = 1; i < ARRAY_LEN(types); i++) {
		struct handshake_client c;
		struct handshake_done d = {.reply_len = 7}, same = d;
		uint8_t skin[HANDSHAKE_SKIN_MAX];
		size_t len;

		assert_int_equal(handshake_begin(&c, types[i], &peer, skin, &len), 0);
		/* ntor checks our identity only: a wrong key shows at the client. */
		for (size_t b = 0; b < (types[i] == HANDSHAKE_NTOR ? 20 : len); b++) {
			skin[b] ^= 1;
			assert_int_equal(handshake_answer(types[i], &keys, skin, len, &d),
					 ERR_CRYPTO);
			skin[b] ^= 1;
		}
		assert_int_equal(handshake_answer(types[i], &keys, skin, 83, &d), ERR_MALFORMED);
		memset(skin + (types[i] == HANDSHAKE_NTOR ? 52 : 64), 0, 32);
		assert_int_equal(handshake_answer(types[i], &keys, skin, len, &d), ERR_CRYPTO);
		assert_memory_equal(&d, &same, sizeof(d));
	}
}

static void test_refused_types(void **state)
{
	struct handshake_client c;
	struct handshake_done d;
	uint8_t skin[HANDSHAKE_SKIN_MAX] = {0};
	size_t len;

	assert_null(handshake_find(HANDSHAKE_TAP));
	assert_null(handshake_find(4));
	assert_int_equal(handshake_answer(HANDSHAKE_TAP, &keys, skin, 186, &d), ERR_MALFORMED);
	assert_int_equal(handshake_answer(HANDSHAKE_FAST, &keys, skin, 19, &d), ERR_MALFORMED);
	assert_int_equal(handshake_answer(HANDSHAKE_NTOR, &keys, skin, 85, &d), ERR_MALFORMED);
	assert_int_equal(handshake_begin(&c, HANDSHAKE_TAP, &peer, skin, &len), ERR_UNKNOWN);
}

#define NO                                                                                         \
	{                                                                                          \
		0                                                                                  \
	} /* the consensus has congestion control off */
#define CC                                                                                         \
	{                                                                                          \
		1, 31, 0                                                                           \
	}
#define CGO                                                                                        \
	{                                                                                          \
		1, 31, 1                                                                           \
	}

static const struct {
	int n;
	struct handshake_terms terms;
	const char *hex;
	int want;
	const char *reply;
	int scheme, inc;
} extension_rows[] = {
	{1, CC, "", ERR_MALFORMED, "", 0, 0},
	{2, CC, "00", 0, "00", 0, 0},
	{3, CC, "000102", 0, "00", 0, 0}, /* bytes behind the list */
	{4, CC, "01", ERR_MALFORMED, "", 0, 0},
	{5, CC, "0101", ERR_MALFORMED, "", 0, 0},
	{6, NO, "010100", 0, "00", 0, 0}, /* asked, not granted */
	{7, CC, "010100", 0, "0102011f", 0, 31},
	{8, {1, 254, 0}, "010100", 0, "010201fe", 0, 254},
	{9, CC, "01010155", 0, "0102011f", 0, 31}, /* a body is nothing */
	{10, CC, "010101", ERR_MALFORMED, "", 0, 0},
	{11, CC, "02010001007f", 0, "0102011f", 0, 31}, /* twice */
	{12, CC, "010200", 0, "00", 0, 0},		/* an answer, as a request */
	{13, CC, "017f03aabbcc", 0, "00", 0, 0},	/* unknown */
	{14, CC, "017f03aabb", ERR_MALFORMED, "", 0, 0},
	{15, CC, "027f0001000102", 0, "0102011f", 0, 31}, /* in any order */
	{16, CC, "01030206", ERR_MALFORMED, "", 0, 0},
	{17, CC, "0103020206", ERR_NOT_NOW, "", 0, 0},
	{18, CC, "02010003020206", ERR_NOT_NOW, "", 0, 0}, /* a capability that we do not serve */
	{19, CC, "010300", 0, "00", 0, 0},		   /* asks for no capability */
	{20, CC, "010301ff", ERR_MALFORMED, "", 0, 0},
	{21, CGO, "0103020206", ERR_NOT_NOW, "", 0, 0}, /* CGO without congestion control */
	{22, {0, 31, 1}, "02010003020206", ERR_NOT_NOW, "", 0, 0}, /* neither when we do not grant
								      that */
	{23, CGO, "02010003020206", 0, "0102011f", 1, 31},
	{24, CGO, "02030202060100", 0, "0102011f", 1, 31},
	{25, CGO, "02010003020205", ERR_NOT_NOW, "", 0, 0},
	{26, CGO, "0201000303020607", ERR_MALFORMED, "", 0, 0},
	{27, CGO,
	 "0201000304"
	 "02060206",
	 ERR_MALFORMED, "", 0, 0}, /* twice */
	{28, CGO,
	 "0201000304"
	 "02060205",
	 ERR_MALFORMED, "", 0, 0}, /* not ascending */
	{29, CGO,
	 "0201000304"
	 "02060207",
	 ERR_NOT_NOW, "", 0, 0},
	{30, CGO,
	 "0201000304"
	 "01050206",
	 ERR_NOT_NOW, "", 0, 0},
	{31, CGO,
	 "0301000302"
	 "0206"
	 "0302"
	 "0205",
	 0, "0102011f", 1, 31}, /* the first counts */
	{32, CGO,
	 "0301000302"
	 "0205"
	 "0302"
	 "0206",
	 ERR_NOT_NOW, "", 0, 0},
	{33, CGO,
	 "03"
	 "03020205"
	 "7f00",
	 ERR_MALFORMED, "", 0, 0}, /* not all there: goes before refused */
};

static void test_extensions(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(extension_rows); i++) {
		uint8_t msg[64], want[8], reply[4] = {0xee, 0xee, 0xee, 0xee};
		struct handshake_done d = {.scheme = 77, .cc = 77, .sendme_inc = 77};
		size_t len = unhex(msg, extension_rows[i].hex), reply_len = 99;
		int got = handshake_extensions(&extension_rows[i].terms, msg, len, reply,
					       &reply_len, &d);

		if (got != extension_rows[i].want)
			fail_msg("row %d: %d", extension_rows[i].n, got);
		if (got) {
			assert_int_equal(reply_len, 99);
			assert_int_equal(reply[0], 0xee);
			assert_int_equal(d.scheme + d.cc + d.sendme_inc, 3 * 77);
			continue;
		}
		if (reply_len != unhex(want, extension_rows[i].reply) ||
		    memcmp(reply, want, reply_len) || d.scheme != extension_rows[i].scheme ||
		    d.cc != (extension_rows[i].inc != 0) || d.sendme_inc != extension_rows[i].inc)
			fail_msg("row %d: answer", extension_rows[i].n);
	}
}

/* The whole relay side with each row as the client's message. */
static void test_ntor3_messages(void **state)
{
	struct handshake_keys k = keys;

	for (size_t i = 0; i < ARRAY_LEN(extension_rows); i++) {
		struct handshake_client c = {.type = HANDSHAKE_NTOR3, .peer = peer};
		struct ntor3_talk t = {"circuit extend", 14, NULL, 0};
		uint8_t msg[64], skin[HANDSHAKE_SKIN_MAX];
		size_t len = unhex(msg, extension_rows[i].hex);
		struct handshake_done server, client;

		k.terms = extension_rows[i].terms;
		c.peer.ask_cc = extension_rows[i].inc != 0;
		c.peer.ask_cgo = extension_rows[i].scheme != 0;
		assert_int_equal(handshake_pair_new(&c.eph), 0);
		assert_int_equal(ntor3_ask(&c, &t, msg, len, skin), 0);
		int got = handshake_answer(HANDSHAKE_NTOR3, &k, skin, 128 + len, &server);
		assert_int_equal(got, extension_rows[i].want);
		if (got)
			continue;
		assert_int_equal(server.reply_len, 64 + strlen(extension_rows[i].reply) / 2);
		assert_int_equal(server.scheme, extension_rows[i].scheme);
		assert_int_equal(handshake_finish(&c, server.reply, server.reply_len, &client), 0);
		assert_memory_equal(server.keys, client.keys, sizeof(client.keys));
		assert_memory_equal(server.kh, client.kh, sizeof(client.kh));
		assert_int_equal(server.sendme_inc, client.sendme_inc);
		assert_int_equal(server.cc, client.cc);
		assert_int_equal(server.scheme, client.scheme);
	}
	wipe(&k, sizeof(k));
}

/* What a client makes of the relay's message. */
static void test_answers(void **state)
{
	static const struct {
		int n;
		bool asked;
		const char *hex;
		int want, inc;
	} rows[] = {
		{1, true, "", ERR_MALFORMED, 0},
		{2, true, "00", 0, 0}, /* not granted */
		{3, true, "0102011f", 0, 31},
		{4, false, "0102011f", ERR_NOT_NOW, 0},
		{5, true, "01020100", ERR_MALFORMED, 0},
		{6, true, "010200", ERR_MALFORMED, 0},
		{7, true, "010201", ERR_MALFORMED, 0},
		{8, true, "017f00", 0, 0},
		{9, false, "00", 0, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct handshake_peer p = {.ask_cc = rows[i].asked};
		struct handshake_done d = {0};
		uint8_t msg[16];
		size_t len = unhex(msg, rows[i].hex);

		if (ext_answered(&p, msg, len, &d) != rows[i].want || d.sendme_inc != rows[i].inc ||
		    d.cc != (rows[i].inc != 0))
			fail_msg("row %d", rows[i].n);
	}
}

/* Both sides in our own words: asked, granted or not. */
/* Both sides in our own words: asked, granted or not. */
static void test_terms(void **state)
{
	static const struct {
		int n;
		bool cc, cgo, grants_cc, grants_cgo;
		int rc, scheme;
	} rows[] = {
		{1, false, false, false, false, 0, 0},
		{2, false, false, true, true, 0, 0},
		{3, true, false, false, false, 0, 0},
		{4, true, false, true, true, 0, 0},
		{5, true, true, true, true, 0, 1},
		{6, true, true, true, false, ERR_NOT_NOW, 0},
		{7, true, true, false, true, ERR_NOT_NOW, 0},
		{8, false, true, true, true, ERR_NOT_NOW, 0},
	};
	struct handshake_keys k = keys;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct handshake_peer p = peer;
		struct handshake_client c;
		struct handshake_done server, client;
		uint8_t skin[HANDSHAKE_SKIN_MAX];
		size_t len, n;

		p.ask_cc = rows[i].cc;
		p.ask_cgo = rows[i].cgo;
		k.terms = (struct handshake_terms) {rows[i].grants_cc, 100, rows[i].grants_cgo};
		assert_int_equal(handshake_begin(&c, HANDSHAKE_NTOR3, &p, skin, &len), 0);
		if (handshake_answer(HANDSHAKE_NTOR3, &k, skin, len, &server) != rows[i].rc)
			fail_msg("row %d", rows[i].n);
		if (rows[i].rc)
			continue;
		assert_int_equal(handshake_finish(&c, server.reply, server.reply_len, &client), 0);
		assert_int_equal(client.cc, rows[i].cc && rows[i].grants_cc);
		assert_int_equal(client.sendme_inc, client.cc ? 100 : 0);
		assert_int_equal(server.sendme_inc, client.sendme_inc);
		assert_int_equal(client.scheme, rows[i].scheme);
		assert_int_equal(server.scheme, rows[i].scheme);
		n = handshake_keys_len(client.scheme);
		assert_int_equal(n, rows[i].scheme ? 160 : 72);
		assert_memory_equal(server.keys, client.keys, n);
		assert_memory_equal(server.kh, client.kh, HANDSHAKE_KH_LEN);
		assert_memory_not_equal(server.kh, server.keys + n - 20, HANDSHAKE_KH_LEN);
	}
	wipe(&k, sizeof(k));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),	     cmocka_unit_test(test_ntor_vector),
		cmocka_unit_test(test_ntor3_vector), cmocka_unit_test(test_fast_vector),
		cmocka_unit_test(test_both_sides),   cmocka_unit_test(test_unpacked),
		cmocka_unit_test(test_wrong_skin),   cmocka_unit_test(test_refused_types),
		cmocka_unit_test(test_extensions),   cmocka_unit_test(test_ntor3_messages),
		cmocka_unit_test(test_many),	     cmocka_unit_test(test_answers),
		cmocka_unit_test(test_terms),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

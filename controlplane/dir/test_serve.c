/* test_serve.c - requests and answers: the table of URLs, encodings, conditions, bad requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "controlplane/dir/http.h"
#include "controlplane/dir/test_world.h"

static struct world w;

static int setup(void **state)
{
	world_open(&w, real_authorities, true, REAL_NOW);
	dir_tick(w.dir, REAL_NOW);
	return 0;
}

static int teardown(void **state)
{
	world_close(&w);
	return 0;
}

/* Lets the packing thread finish both flavours; bounded by a minute. */
static void wait_packed(void)
{
	const struct timespec ms = {0, 1000000};

	for (unsigned i = 0; i < 60000; i++) {
		packing_tick(w.dir);
		if (w.dir->current[FLAVOUR_NS]->packed[ENC_LZMA] &&
		    w.dir->current[FLAVOUR_MICRODESC]->packed[ENC_LZMA])
			return;
		nanosleep(&ms, NULL);
	}
	fail();
}

/* Status and body of a GET; the body for free(). */
static int get(const char *url, const char *headers, char **body, size_t *len, char **raw)
{
	char request[70000];
	uint8_t *b;
	int status;
	size_t n;

	snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n%s\r\n", url, headers);
	*raw = ask(w.dir, request, &n, REAL_NOW);
	status = dir_http_answer((uint8_t *)*raw, n, 1 << 24, &b, len);
	*body = (char *)b;
	return status;
}

#define FP_X1 "4F36857DFB0262868EA462D72D5724EC792369A6"
#define FP_A1 "690194E9ACC8BCF0EFBA079E861323C10E5BEDD3"
#define FP_A2 "27A5EDB6DF3A3C791DD60B24C4C5F0A7A9F729E4"

static void urls(void **state)
{
	static const struct {
		const char *url;
		int status;
		const char *begins, *has, *has_not; /* of the body */
	} rows[] = {
		{"/tor/status-vote/current/consensus", 200, "network-status-version 3\n", "\nr x1 ",
		 "\nm "},
		{"/tor/status-vote/current/consensus-ns", 200, "network-status-version 3\n", NULL,
		 NULL},
		{"/tor/status-vote/current/consensus-microdesc", 200,
		 "network-status-version 3 microdesc\n", "\nm ", NULL},
		{"/tor/status-vote/current/consensus-microdesc.z", 200,
		 "network-status-version 3 microdesc\n", NULL, NULL},
		{"/status-vote/current/consensus", 200, "network-status-version 3\n", NULL, NULL},
		{"http://ours/tor/status-vote/current/consensus", 200, "network-status-version 3\n",
		 NULL, NULL},
		{"/tor/status-vote/current/consensus/" FP_A1 "+" FP_A2, 200,
		 "network-status-version 3\n", NULL, NULL},
		{"/tor/status-vote/current/consensus/690194+27A5ED+22E03F", 200,
		 "network-status-version 3\n", NULL, NULL},
		{"/tor/status-vote/current/consensus/690194+000000+111111", 404, NULL, NULL, NULL},
		{"/tor/status-vote/current/consensus/690194+000000", 404, NULL, NULL, NULL},
		{"/tor/status-vote/current/consensus/zz", 404, NULL, NULL, NULL},
		{"/tor/status-vote/current/consensus-other", 404, NULL, NULL, NULL},
		{"/tor/status-vote/current/consensusx", 404, NULL, NULL, NULL},
		{"/tor/status-vote/current/consensus/diff/" FP_A1, 404, NULL, NULL, NULL},
		{"/tor/status-vote/next/consensus", 404, NULL, NULL, NULL},
		{"/tor/keys/all", 200, "dir-key-certificate-version 3\n", FP_A2, NULL},
		{"/tor/keys/fp/" FP_A1, 200, "dir-key-certificate-version 3\n", FP_A1, FP_A2},
		{"/tor/keys/fp/" FP_A1 "+" FP_A2 "+" FP_A1, 200, NULL, FP_A2, NULL},
		{"/tor/keys/fp/" FP_X1, 404, NULL, NULL, NULL},
		{"/tor/keys/sk/" FP_A1, 404, NULL, NULL, NULL},
		{"/tor/keys/fp-sk/" FP_A1 "-" FP_A1, 404, NULL, NULL, NULL},
		{"/tor/keys/authority", 404, NULL, NULL, NULL},
		{"/tor/keys/other", 400, NULL, NULL, NULL},
		{"/tor/server/all", 200, "router ours ", "\nrouter x1 ", NULL},
		{"/tor/server/authority", 200, "router ours ", NULL, "\nrouter x1 "},
		{"/tor/server/authority.z", 200, "router ours ", NULL, NULL},
		{"/tor/server/fp/" FP_X1, 200, "router x1 ", NULL, "router ours "},
		{"/tor/server/fp/" FP_X1 "+" FP_X1 "+junk", 200, "router x1 ", NULL,
		 "\nrouter x1 "},
		{"/tor/server/fp/" FP_A1, 404, NULL, NULL, NULL},
		{"/tor/server/d/" FP_X1, 404, NULL, NULL, NULL},
		{"/tor/server/other", 404, NULL, NULL, NULL},
		{"/tor/extra/authority", 200, "extra-info ours ", NULL, NULL},
		{"/tor/extra/all", 200, "extra-info ours ", NULL, NULL},
		{"/tor/extra/fp/" FP_X1, 404, NULL, NULL, NULL},
		{"/tor/extra/d/" FP_X1, 404, NULL, NULL, NULL},
		{"/tor/micro/d/AAAA", 404, NULL, NULL, NULL},
		{"/tor/micro/d/", 404, NULL, NULL, NULL},
		{"/tor/robots.txt", 200, "User-agent: *\r\n", NULL, NULL},
		{"/tor/hs/3/abc", 404, NULL, NULL, NULL},
		{"/", 404, NULL, NULL, NULL},
		{"x", 404, NULL, NULL, NULL},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		char *body, *raw;
		size_t len;
		int status = get(rows[i].url, "", &body, &len, &raw);

		if (status != rows[i].status)
			fprintf(stderr, "row %u: %s\n", i, rows[i].url);
		assert_int_equal(status, rows[i].status);
		if (rows[i].begins)
			assert_memory_equal(body, rows[i].begins, strlen(rows[i].begins));
		if (rows[i].has)
			assert_non_null(strstr(body, rows[i].has));
		if (rows[i].has_not)
			assert_null(strstr(body, rows[i].has_not));
		free(body);
		free(raw);
	}
	assert_int_equal(w.dir->n_answers, 0);
}

static void documents_by_digest(void **state)
{
	for (unsigned i = 0; i < 6; i++) {
		struct text url = {0};
		char *body, *raw;
		uint8_t digest[32];
		size_t len;

		text_str(&url, "/tor/micro/d/");
		text_base64(&url, w.dir->current[FLAVOUR_MICRODESC]->nodes[i].md_digest, 32, false);
		text_str(&url, "-AAAA.z");
		assert_int_equal(get(url.p, "", &body, &len, &raw), 200);
		digest_sha256(body, len, digest);
		assert_memory_equal(digest, w.dir->current[FLAVOUR_MICRODESC]->nodes[i].md_digest,
				    32);
		free(body);
		free(raw);
		text_free(&url);
		text_str(&url, "/tor/server/d/");
		text_base16(&url, w.dir->current[FLAVOUR_NS]->nodes[i].md_digest, 20);
		assert_int_equal(get(url.p, "", &body, &len, &raw), 200);
		assert_memory_equal(body, "router ", 7);
		free(body);
		free(raw);
		text_free(&url);
	}
}

static void encodings(void **state)
{
	static const struct {
		const char *url, *accept, *streamed, *packed;
	} rows[] = {
		{"", "", "identity", "identity"},
		{".z", "", "deflate", "deflate"},
		{"", "Accept-Encoding: deflate\r\n", "deflate", "deflate"},
		{"", "Accept-Encoding: gzip\r\n", "gzip", "gzip"},
		{"", "Accept-Encoding: gzip, deflate\r\n", "deflate", "deflate"},
		{"", "accept-encoding: identity ,x-zstd,gzip\r\n", "x-zstd", "x-zstd"},
		{"", "Accept-Encoding: x-tor-lzma\r\n", "identity", "x-tor-lzma"},
		{".z", "Accept-Encoding: x-tor-lzma, x-zstd\r\n", "x-zstd", "x-tor-lzma"},
		{"", "Accept-Encoding: br\r\n", "identity", "identity"},
	};

	for (unsigned i = 0; i < 2 * ARRAY_LEN(rows); i++) {
		bool packed = i >= ARRAY_LEN(rows);
		char url[128], want[64], *body, *raw;
		unsigned k = i % ARRAY_LEN(rows);
		size_t len;

		if (packed)
			wait_packed();
		snprintf(url, sizeof(url), "%s%s",
			 packed ? "/tor/status-vote/current/consensus-microdesc" : "/tor/keys/all",
			 rows[k].url);
		snprintf(want, sizeof(want), "\r\nContent-Encoding: %s\r\n",
			 packed ? rows[k].packed : rows[k].streamed);
		assert_int_equal(get(url, rows[k].accept, &body, &len, &raw), 200);
		assert_non_null(strstr(raw, want));
		assert_true(len > 4000);
		free(body);
		free(raw);
	}
}

static void heads(void **state)
{
	char *body, *raw;
	size_t len;

	assert_int_equal(get("/tor/status-vote/current/consensus", "", &body, &len, &raw), 200);
	assert_non_null(strstr(raw, "HTTP/1.0 200 OK\r\nDate: Mon, 23 Nov 2026 06:50:50 GMT\r\n"
				    "Content-Type: text/plain\r\nX-Your-Address-Is: 8.8.4.4\r\n"));
	assert_non_null(strstr(raw, "\r\nExpires: Mon, 23 Nov 2026 06:51:00 GMT\r\n"));
	assert_non_null(strstr(raw, "\r\nVary: X-Or-Diff-From-Consensus\r\n\r\n"));
	free(body);
	free(raw);
	assert_int_equal(get("/tor/server/authority", "", &body, &len, &raw), 200);
	assert_non_null(strstr(raw, "\r\nExpires: Wed, 25 Nov 2026 06:50:50 GMT\r\n"));
	free(body);
	free(raw);
	assert_int_equal(get("/none", "", &body, &len, &raw), 404);
	assert_string_equal(raw, "HTTP/1.0 404 Not found\r\nDate: Mon, 23 Nov 2026 06:50:50 "
				 "GMT\r\n\r\n");
	free(body);
	free(raw);
}

static void who_is_told_its_address(void **state)
{
	static const struct {
		const char *peer;
		const char *line; /* NULL: none */
	} rows[] = {
		{"1.2.3.4:5", "X-Your-Address-Is: 1.2.3.4\r\n"},
		{"[2001:db8::7]:5", "X-Your-Address-Is: 2001:db8::7\r\n"},
		{"127.0.0.1:5", NULL},
		{"10.9.8.7:5", NULL},
		{"172.31.0.1:5", NULL},
		{"192.168.0.1:5", NULL},
		{"169.254.3.4:5", NULL},
		{"[::1]:5", NULL},
		{"[fd00::1]:5", NULL},
		{"[fe80::1]:5", NULL},
		{"172.32.0.1:5", "X-Your-Address-Is: 172.32.0.1"},
	};
	static const char request[] = "GET /tor/robots.txt HTTP/1.0\r\n\r\n";

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr peer;
		uint8_t *raw;
		long n;

		assert_int_equal(addr_parse(&peer, rows[i].peer), 0);
		n = dir_serve_whole(w.dir, (const uint8_t *)request, sizeof(request) - 1, &peer,
				    REAL_NOW, &raw);
		assert_true(n > 0);
		assert_int_equal(memmem(raw, (size_t)n, "X-Your", 6) != NULL, rows[i].line != NULL);
		if (rows[i].line)
			assert_non_null(memmem(raw, (size_t)n, rows[i].line, strlen(rows[i].line)));
		free(raw);
	}
}

static void conditions(void **state)
{
	struct consensus *c = w.dir->current[FLAVOUR_NS];
	char headers[2][160], *body, *raw;
	struct text t = {0};
	size_t len;
	const struct {
		const char *headers;
		int status;
	} rows[] = {
		{"If-Modified-Since: Mon, 23 Nov 2026 06:50:40 GMT\r\n", 200},
		{"If-Modified-Since: Mon, 23 Nov 2026 06:50:41 GMT\r\n", 304},
		{"If-Modified-Since: yesterday\r\n", 200},
		{headers[0], 304},
		{headers[1], 200},
		{"X-Or-Diff-From-Consensus: junk\r\n", 200},
	};

	text_base16(&t, c->sha3, 32);
	snprintf(headers[0], sizeof(headers[0]), "X-Or-Diff-From-Consensus: %064d %s\r\n", 0, t.p);
	snprintf(headers[1], sizeof(headers[1]), "X-Or-Diff-From-Consensus: %064d\r\n", 0);
	text_free(&t);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(get("/tor/status-vote/current/consensus", rows[i].headers, &body,
				     &len, &raw),
				 rows[i].status);
		free(body);
		free(raw);
	}
	assert_int_equal(get("/tor/keys/all",
			     "If-Modified-Since: Mon, 23 Nov 2037 06:50:41 GMT\r\n", &body, &len,
			     &raw),
			 304);
	free(body);
	free(raw);
	/* a day beside the clock */
	raw = ask(w.dir, "GET /tor/status-vote/current/consensus HTTP/1.0\r\n\r\n", &len,
		  REAL_AFTER + 60 + 86401);
	assert_memory_equal(raw, "HTTP/1.0 404 Consensus is too old\r\n", 35);
	free(raw);
	raw = ask(w.dir, "GET /tor/status-vote/current/consensus HTTP/1.0\r\n\r\n", &len,
		  REAL_AFTER - 86401);
	assert_memory_equal(raw, "HTTP/1.0 404 Consensus is too new\r\n", 35);
	free(raw);
}

static void requests(void **state)
{
	static const struct {
		const char *request;
		int got;
	} rows[] = {
		{"", DIR_SERVE_MORE},
		{"GET / HTTP/1.0\r\n", DIR_SERVE_MORE},
		{"GET / HTTP/1.0\r\n\r", DIR_SERVE_MORE},
		{"GET / HTTP/1.0\r\n\r\n", DIR_SERVE_ANSWER},
		{"GET / HTTP/1.1\n\n", DIR_SERVE_ANSWER},
		{"GET / HTTP/1.0\r\nHost: x\r\n\r\nbody", DIR_SERVE_ANSWER},
		{"POST /tor/ HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", DIR_SERVE_ANSWER},
		{"POST /tor/hs/3/publish HTTP/1.0\r\n\r\n", DIR_SERVE_ANSWER},
		{"HEAD / HTTP/1.0\r\n\r\n", ERR_MALFORMED},
		{"GET /\r\n\r\n", ERR_MALFORMED},
		{"GET / HTTP/2\r\n\r\n", ERR_MALFORMED},
		{"GET  HTTP/1.0\r\n\r\n", ERR_MALFORMED},
		{"\r\n\r\n", ERR_MALFORMED},
		{"get / HTTP/1.0\r\n\r\n", ERR_MALFORMED},
		{"POST / HTTP/1.0\r\nContent-Length: -1\r\n\r\n", ERR_MALFORMED},
	};
	static uint8_t long_head[DIR_REQUEST_MAX];
	struct dir_answer *a;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		int got = dir_serve(w.dir, (const uint8_t *)rows[i].request,
				    strlen(rows[i].request), NULL, REAL_NOW, &a);

		assert_int_equal(got, rows[i].got);
		if (got == DIR_SERVE_ANSWER) {
			uint8_t buf[40];

			assert_int_equal(dir_answer_read(a, buf, 13), 13);
			assert_memory_equal(
				buf, *rows[i].request == 'P' ? "HTTP/1.0 400 " : "HTTP/1.0 404 ",
				13);
			dir_answer_free(a);
		}
	}
	memset(long_head, 'a', sizeof(long_head));
	memcpy(long_head, "GET /", 5);
	assert_int_equal(dir_serve(w.dir, long_head, sizeof(long_head) - 1, NULL, REAL_NOW, &a),
			 DIR_SERVE_MORE);
	assert_int_equal(dir_serve(w.dir, long_head, sizeof(long_head), NULL, REAL_NOW, &a),
			 ERR_FULL);
}

/* Read in pieces of any size an answer is the same. */
static void pieces(void **state)
{
	static const char request[] =
		"GET /tor/server/all HTTP/1.0\r\nAccept-Encoding: x-zstd\r\n\r\n";
	uint8_t *whole;
	long n = dir_serve_whole(w.dir, (const uint8_t *)request, sizeof(request) - 1, NULL,
				 REAL_NOW, &whole);

	for (size_t piece = 1; piece < 5000; piece = piece * 3 + 1) {
		uint8_t *got = malloc((size_t)n + piece);
		struct dir_answer *a;
		size_t have = 0, k;

		assert_int_equal(dir_serve(w.dir, (const uint8_t *)request, sizeof(request) - 1,
					   NULL, REAL_NOW, &a),
				 DIR_SERVE_ANSWER);
		while ((k = dir_answer_read(a, got + have, piece)))
			have += k;
		assert_int_equal(have, n);
		assert_memory_equal(got, whole, n);
		dir_answer_free(a);
		free(got);
	}
	free(whole);
}

/* Too many answers at once are turned away. */
static void answers_alive(void **state)
{
	static const char request[] = "GET /tor/status-vote/current/consensus HTTP/1.0\r\n\r\n";
	struct dir_answer *a[520];
	uint8_t buf[64];

	for (unsigned i = 0; i < ARRAY_LEN(a); i++) {
		assert_int_equal(dir_serve(w.dir, (const uint8_t *)request, sizeof(request) - 1,
					   NULL, REAL_NOW, &a[i]),
				 DIR_SERVE_ANSWER);
		dir_answer_read(a[i], buf, 13);
		assert_memory_equal(buf, i < 512 ? "HTTP/1.0 200 " : "HTTP/1.0 503 ", 13);
	}
	for (unsigned i = 0; i < ARRAY_LEN(a); i++)
		dir_answer_free(a[i]);
	assert_int_equal(w.dir->n_answers, 0);
}

/* Under MaxMemInQueues (C15): what is packed as it goes holds no more than a tenth, who comes then
 * is answered as it is; nothing is held when all have gone. */
static void packing_is_bounded(void **state)
{
	static const char request[] =
		"GET /tor/keys/all HTTP/1.0\r\nAccept-Encoding: x-zstd\r\n\r\n";
	static const struct {
		int64_t bound;
		unsigned least, most; /* packed, of 40 */
	} rows[] = {
		{0, 0, 0},
		{1 << 20, 1, 1},
		{64 << 20, 4, 16},
		{1 << 30, 40, 40},
	};
	int64_t bound_was = w.config.max_mem;

	wait_packed();
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct dir_answer *a[40];
		unsigned n_packed = 0;
		size_t one = 0;

		w.config.max_mem = rows[i].bound;
		for (unsigned k = 0; k < ARRAY_LEN(a); k++) {
			char buf[400];
			size_t n, before = dir_memory(w.dir);

			assert_int_equal(dir_serve(w.dir, (const uint8_t *)request,
						   sizeof(request) - 1, NULL, REAL_NOW, &a[k]),
					 DIR_SERVE_ANSWER);
			n = dir_answer_read(a[k], (uint8_t *)buf, sizeof(buf));
			assert_memory_equal(buf, "HTTP/1.0 200 ", 13);
			if (memmem(buf, n, "Encoding: x-zstd\r\n", 18))
				n_packed++;
			else
				assert_non_null(memmem(buf, n, "Encoding: identity\r\n", 20));
			one = MAX(one, dir_memory(w.dir) - before);
		}
		assert_in_range(n_packed, rows[i].least, rows[i].most);
		assert_int_equal(dir_memory(w.dir), n_packed * one);
		assert_true(dir_memory(w.dir) <= (size_t)rows[i].bound / 10 + one);
		for (unsigned k = 0; k < ARRAY_LEN(a); k++)
			dir_answer_free(a[k]);
		assert_int_equal(dir_memory(w.dir), 0);
	}
	w.config.max_mem = bound_was;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls),
		cmocka_unit_test(documents_by_digest),
		cmocka_unit_test(encodings),
		cmocka_unit_test(heads),
		cmocka_unit_test(who_is_told_its_address),
		cmocka_unit_test(conditions),
		cmocka_unit_test(requests),
		cmocka_unit_test(pieces),
		cmocka_unit_test(packing_is_bounded),
		cmocka_unit_test(answers_alive),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

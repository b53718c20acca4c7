/* test_text.c - words, numbers, times, base64, lines, and packed bodies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "controlplane/dir/compress.h"
#include "controlplane/dir/text.h"

static struct bytes str(const char *s)
{
	return bytes_of(s, strlen(s));
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		int64_t min, max;
		int error;
		int64_t v;
	} rows[] = {
		{"", 0, 9, ERR_MALFORMED, 0},
		{"0", 0, 9, 0, 0},
		{"9", 0, 9, 0, 9},
		{"10", 0, 9, ERR_MALFORMED, 0},
		{"-1", -1, 9, 0, -1},
		{"-", -1, 9, ERR_MALFORMED, 0},
		{"-1", 0, 9, ERR_MALFORMED, 0},
		{"+1", 0, 9, ERR_MALFORMED, 0},
		{"1 ", 0, 9, ERR_MALFORMED, 0},
		{"0x1", 0, 9, ERR_MALFORMED, 0},
		{"2147483647", 0, INT32_MAX, 0, INT32_MAX},
		{"2147483648", 0, INT32_MAX, ERR_MALFORMED, 0},
		{"999999999999999999", 0, INT64_MAX, 0, 999999999999999999},
		{"9999999999999999999", 0, INT64_MAX, ERR_MALFORMED, 0},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t v = -7;

		assert_int_equal(number_get(str(rows[i].text), rows[i].min, rows[i].max, &v),
				 rows[i].error);
		assert_int_equal(v, rows[i].error ? -7 : rows[i].v);
	}
}

static void times(void **state)
{
	static const struct {
		const char *text;
		int64_t t; /* -1: malformed */
		const char *http;
	} rows[] = {
		{"1970-01-01 00:00:00", 0, "Thu, 01 Jan 1970 00:00:00 GMT"},
		{"1970-01-01 00:00:59", 59, "Thu, 01 Jan 1970 00:00:59 GMT"},
		{"2000-02-29 12:00:00", 951825600, "Tue, 29 Feb 2000 12:00:00 GMT"},
		{"2026-11-23 06:50:50", 1795416650, "Mon, 23 Nov 2026 06:50:50 GMT"},
		{"2038-01-19 03:14:08", 2147483648, "Tue, 19 Jan 2038 03:14:08 GMT"},
		{"2099-12-31 23:59:59", 4102444799, "Thu, 31 Dec 2099 23:59:59 GMT"},
		{"1969-12-31 23:59:59", -1, NULL},
		{"2026-00-23 06:50:50", -1, NULL},
		{"2026-13-23 06:50:50", -1, NULL},
		{"2026-11-32 06:50:50", -1, NULL},
		{"2026-11-23 24:50:50", -1, NULL},
		{"2026-11-23 06:60:50", -1, NULL},
		{"2026-11-23 06:50:61", -1, NULL},
		{"2026-11-23  6:50:50", -1, NULL},
		{"2026-11-23T06:50:50", -1, NULL},
		{"2026-11-23 06:50:5", -1, NULL},
		{"", -1, NULL},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct text t = {0};
		int64_t v = -1;

		time_get(str(rows[i].text), &v);
		assert_int_equal(v, rows[i].t);
		if (v < 0)
			continue;
		text_time(&t, v);
		assert_string_equal(t.p, rows[i].text);
		text_free(&t);
		text_http_time(&t, v);
		assert_string_equal(t.p, rows[i].http);
		v = -1;
		assert_int_equal(http_time_get(str(t.p), &v), 0);
		assert_int_equal(v, rows[i].t);
		text_free(&t);
	}
}

static void base64(void **state)
{
	static const struct {
		const char *text;
		int len; /* -1: malformed */
	} rows[] = {
		{"", 0},
		{"QQ==", 1},
		{"QQ", 1},
		{"QUI=", 2},
		{"QUI", 2},
		{"QUJD", 3},
		{"QUJDRA", 4},
		{"QU\nJD\n", 3},
		{"Q", -1},
		{"QQ=", -1},
		{"QQ===", -1},
		{"=", -1},
		{"QQ==QQ==", -1},
		{"QU!D", -1},
		{"QUJDR", -1},
		{"QUJDREVGRw==", 7},
		{"QUJDREVGR0g=", 8},
		{"QUJDREVGR0hJ", -1},
	};
	uint8_t out[8];
	size_t len;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		int error = base64_get(str(rows[i].text), out, sizeof(out), &len);

		assert_int_equal(error ? -1 : (int)len, rows[i].len);
		if (!error)
			assert_memory_equal(out, "ABCDEFGH", len);
	}
	for (size_t n = 0; n < 60; n++) {
		struct text t = {0};
		uint8_t in[60], back[60];

		for (size_t i = 0; i < n; i++)
			in[i] = (uint8_t)(i * 41 + n);
		text_str(&t, "");
		text_base64(&t, in, n, n & 1);
		assert_int_equal(base64_get(str(t.p), back, sizeof(back), &len), 0);
		assert_int_equal(len, n);
		assert_memory_equal(in, back, n);
		text_free(&t);
	}
}

static void items(void **state)
{
	static const struct {
		const char *text;
		const char *seen; /* keyword,args,tag,object; of each; '!' when malformed */
	} rows[] = {
		{"", ""},
		{"a\n", "a,,,;"},
		{"a b c\n", "a,b c,,;"},
		{"opt a \t b\n", "a,b,,;"},
		{"a\r\n", "a,,,;"},
		{"\n", ",,,;"},
		{"@x 1\n", "@x,1,,;"},
		{"a", "!"},
		{"a\nb", "a,,,;!"},
		{"a\n-----BEGIN T-----\nxy\nz\n-----END T-----\nb\n", "a,,T,xy\nz\n;b,,,;"},
		{"a\n-----BEGIN T-----\n-----END T-----\n", "a,,T,;"},
		{"a\n-----BEGIN T-----\nxy\n-----END U-----\n", "!"},
		{"a\n-----BEGIN T-----\nxy\n", "!"},
		{"a\n-----BEGIN -----\n-----END -----\n", "!"},
		{"a\n-----BEGIN T\n-----END T-----\n", "!"},
		{"a\n-----BEGIN T-----\n-----BEGIN T-----\n-----END T-----\n", "!"},
		{"-----BEGIN T-----\n-----END T-----\n", "!"},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct lines ls = lines_of(rows[i].text, strlen(rows[i].text));
		struct text seen = {0};
		struct line l;
		int more;

		text_str(&seen, "");
		while ((more = lines_next(&ls, &l)) == 1)
			text_printf(&seen, "%.*s,%.*s,%.*s,%.*s;", (int)l.keyword.len,
				    l.keyword.p ? (const char *)l.keyword.p : "", (int)l.args.len,
				    l.args.p ? (const char *)l.args.p : "", (int)l.tag.len,
				    l.tag.p ? (const char *)l.tag.p : "", (int)l.object.len,
				    l.object.p ? (const char *)l.object.p : "");
		if (more)
			text_str(&seen, "!");
		assert_string_equal(seen.p, rows[i].seen);
		text_free(&seen);
	}
	{
		struct lines ls = lines_of("a\0b\n", 4);
		struct line l;

		assert_int_equal(lines_next(&ls, &l), ERR_MALFORMED);
	}
}

static void packed_and_back(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 5000, 300000};

	for (unsigned i = 0; i < ARRAY_LEN(sizes) * N_ENCODINGS * 2; i++) {
		enum encoding e = i / 2 % N_ENCODINGS;
		size_t len = sizes[i / 2 / N_ENCODINGS], packed_len, back_len;
		uint8_t *in = malloc(len + 1), *packed, *back;

		for (size_t k = 0; k < len; k++)
			in[k] = (uint8_t)(k % 251 ^ k / 1000);
		assert_int_equal(pack_all(e, i & 1 ? PACK : PACK_SMALL, in, len, 1 << 20, &packed,
					  &packed_len),
				 0);
		assert_int_equal(pack_all(e, UNPACK, packed, packed_len, len, &back, &back_len), 0);
		assert_int_equal(back_len, len);
		assert_memory_equal(in, back, len);
		free(back);
		if (len) { /* one byte too many for the cap, and cut short */
			assert_int_equal(
				pack_all(e, UNPACK, packed, packed_len, len - 1, &back, &back_len),
				ERR_FULL);
			if (e != ENC_IDENTITY)
				assert_int_equal(pack_all(e, UNPACK, packed, packed_len / 2, len,
							  &back, &back_len),
						 ERR_MALFORMED);
		}
		free(packed);
		free(in);
	}
}

/* What a stream holds is counted from its first moment to its last, and never grows while packing:
 * who asks next is weighed against it. */
static void what_is_held_is_counted(void **state)
{
	static const struct {
		enum encoding e;
		enum packer_way way;
		size_t least, most; /* bytes, with nothing read yet */
	} rows[] = {
		{ENC_IDENTITY, PACK, 0, 0},
		{ENC_DEFLATE, PACK, 200 << 10, 300 << 10},
		{ENC_GZIP, PACK, 200 << 10, 300 << 10},
		{ENC_ZSTD, PACK, 500 << 10, 2 << 20},
		{ENC_LZMA, PACK, 8 << 20, 32 << 20},
		{ENC_DEFLATE, PACK_SMALL, 200 << 10, 300 << 10},
		{ENC_ZSTD, PACK_SMALL, 4 << 20, 64 << 20},
		{ENC_LZMA, PACK_SMALL, 64 << 20, 128 << 20},
		{ENC_DEFLATE, UNPACK, 1 << 10, 64 << 10},
		{ENC_ZSTD, UNPACK, 64 << 10, 1 << 20},
		{ENC_LZMA, UNPACK, 64, 64 << 10},
	};
	static uint8_t in[1 << 20], out[1 << 20], small[64];

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * i >> 7 ^ i % 251);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct bytes b = bytes_of(in, sizeof(in));
		struct packer *p = packer_new(rows[i].e, rows[i].way);
		struct writer w = writer_of(out, sizeof(out)), s = writer_of(small, sizeof(small));
		size_t held = packers_memory(rows[i].way);

		assert_non_null(p);
		print_message("%s, way %d: %zu KiB\n", encoding_name(rows[i].e), rows[i].way,
			      held >> 10);
		assert_in_range(held, rows[i].least, rows[i].most);
		for (unsigned way = 0; way < N_PACKER_WAYS; way++)
			assert_int_equal(packers_memory(way), way == rows[i].way ? held : 0);
		if (rows[i].way != UNPACK) {
			assert_int_equal(packer_step(p, &b, false, &w), 0);
			assert_int_equal(packers_memory(rows[i].way), held);
		} else if (rows[i].e ==
			   ENC_LZMA) { /* its dictionary is as large as the head says */
			static const uint8_t head[] = {0x5d, 0,	  0,   0x80, 0,	  255, 255,
						       255,  255, 255, 255,  255, 255, 0};

			b = bytes_of(head, sizeof(head));
			packer_step(p, &b, false, &s);
			assert_in_range(packers_memory(UNPACK), 8 << 20, 9 << 20);
		}
		packer_free(p);
		assert_int_equal(packers_memory(rows[i].way), 0);
	}
}

static void a_bomb_is_stopped(void **state)
{
	static uint8_t zeroes[12 << 20];

	for (unsigned e = ENC_DEFLATE; e < N_ENCODINGS; e++) {
		uint8_t *packed, *back;
		size_t len, back_len;

		assert_int_equal(
			pack_all(e, PACK, zeroes, sizeof(zeroes), sizeof(zeroes), &packed, &len),
			0);
		assert_int_equal(
			pack_all(e, UNPACK, packed, len, sizeof(zeroes) * 2, &back, &back_len),
			ERR_FULL);
		free(packed);
	}
}

static void streams_follow_each_other(void **state)
{
	for (unsigned e = ENC_DEFLATE; e <= ENC_ZSTD; e++) {
		uint8_t two[256], *packed, *back;
		size_t len, back_len;

		assert_int_equal(pack_all(e, PACK, (const uint8_t *)"tor", 3, 200, &packed, &len),
				 0);
		memcpy(two, packed, len);
		memcpy(two + len, packed, len);
		assert_int_equal(pack_all(e, UNPACK, two, 2 * len, 200, &back, &back_len), 0);
		assert_int_equal(back_len, 6);
		assert_memory_equal(back, "tortor", 6);
		free(back);
		free(packed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(times),
		cmocka_unit_test(base64),
		cmocka_unit_test(items),
		cmocka_unit_test(packed_and_back),
		cmocka_unit_test(what_is_held_is_counted),
		cmocka_unit_test(a_bomb_is_stopped),
		cmocka_unit_test(streams_follow_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_policy.c - exit policies in tor's syntax: what parses, what they allow, how they are
 * written for a descriptor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "controlplane/exit/internal.h"

static const struct {
	int n;
	const char *line;
	int want;
} line_rows[] = {
	{1, "accept *:*", 0},
	{2, "reject *:25, accept *:80-90,,", 0},
	{3, "accept6 [2001:db8::]/32:443", 0},
	{4, "reject 10.0.0.0/255.0.0.0:*", 0},
	{5, "reject 1.2.3.4", 0},
	{6, "reject private:*,accept *4:80,reject6 *6:*,accept6 *:1", 0},
	{7, "", 0},
	{8, "REJECT *:1", 0},
	{9, "acept *:*", ERR_CONFIG},
	{10, "accept", ERR_CONFIG},
	{11, "accept *:0", ERR_CONFIG},
	{12, "accept *:65536", ERR_CONFIG},
	{13, "accept *:90-80", ERR_CONFIG},
	{14, "accept *:80-", ERR_CONFIG},
	{15, "accept *:-80", ERR_CONFIG},
	{16, "accept */8:80", ERR_CONFIG},
	{17, "accept 1.2.3.4/33:80", ERR_CONFIG},
	{18, "accept 1.2.3.4/255.0.255.0:80", ERR_CONFIG},
	{19, "accept [::1]/129:80", ERR_CONFIG},
	{20, "accept [::1:80", ERR_CONFIG},
	{21, "accept6 1.2.3.4:80", ERR_CONFIG},
	{22, "accept6 *4:80", ERR_CONFIG},
	{23, "accept example.com:80", ERR_CONFIG},
	{24, "accept *:80 accept *:81", ERR_CONFIG},
	{25, "accept 1.2.3:80", ERR_CONFIG},
	{26, "accept private/8:80", ERR_CONFIG},
	{27, "accept 300.1.1.1:80", ERR_CONFIG},
	{28, "accept *:8o", ERR_CONFIG},
};

static void test_lines(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(line_rows); i++) {
		char why[POLICY_ERROR] = "";
		int got = policy_check_line(line_rows[i].line, why);

		if (got != line_rows[i].want || (got && !why[0]))
			fail_msg("row %d: %d %s", line_rows[i].n, got, why);
	}
}

/* Asks "accept ADDR:PORT" for each + and "reject" for each -, apart by blanks. */
static void ask(const struct policy *p, int row, const char *questions)
{
	char text[64];
	int used;

	for (; sscanf(questions, " %63s%n", text, &used) == 1; questions += used) {
		struct addr a;

		assert_int_equal(addr_parse(&a, text + 1), 0);
		if (policy_allows(p, &a) != (text[0] == '+'))
			fail_msg("row %d: %s", row, text);
	}
}

#define PRIVATE                                                                                    \
	"reject 0.0.0.0/8:*\nreject 169.254.0.0/16:*\nreject 127.0.0.0/8:*\n"                      \
	"reject 192.168.0.0/16:*\nreject 10.0.0.0/8:*\nreject 172.16.0.0/12:*\n"

static const struct {
	int n;
	int exit_relay;
	bool ipv6, private, reduced;
	const char *own;
	const char *lines[4];
	const char *text, *sum4, *sum6, *questions;
	bool none;
} rows[] = {
	{1,
	 -1,
	 false,
	 true,
	 false,
	 NULL,
	 {NULL},
	 "reject *:*\n",
	 "reject 1-65535",
	 "reject 1-65535",
	 "-1.2.3.4:80 -[2001:db8::1]:80",
	 true},
	{2,
	 1,
	 false,
	 true,
	 false,
	 NULL,
	 {NULL},
	 PRIVATE "reject *:25\nreject *:119\nreject *:135-139\nreject *:445\nreject *:563\n"
		 "reject *:1214\nreject *:4661-4666\nreject *:6346-6429\nreject *:6699\n"
		 "reject *:6881-6999\naccept *:*\n",
	 "reject 25,119,135-139,445,563,1214,4661-4666,6346-6429,6699,6881-6999",
	 "reject 1-65535",
	 "+1.2.3.4:80 -1.2.3.4:25 -127.0.0.1:80 -172.31.255.255:80 +172.32.0.0:80 "
	 "-[2001:db8::1]:80 +1.2.3.4:24 -1.2.3.4:137",
	 false},
	{3,
	 -1,
	 false,
	 true,
	 false,
	 "5.6.7.8",
	 {"accept *:80,accept *:443", "reject *:*"},
	 PRIVATE "reject 5.6.7.8:*\naccept *:80\naccept *:443\nreject *:*\n",
	 "accept 80,443",
	 "reject 1-65535",
	 "+1.2.3.4:80 -1.2.3.4:81 -5.6.7.8:80 -[::1]:80",
	 false},
	{4,
	 -1,
	 true,
	 true,
	 false,
	 "2001:db8::9",
	 {"accept *:22", "reject *:*"},
	 PRIVATE "accept *:22\nreject *:*\n",
	 "accept 22",
	 "accept 22",
	 "+1.2.3.4:22 +[2001:db8::1]:22 -[2001:db8::9]:22 -[fe80::1]:22 -[fc00::1]:22 -[::1]:22 "
	 "-[::ffff:1.2.3.4]:22 -[2001:db8::1]:23",
	 false},
	{5,
	 1,
	 false,
	 false,
	 false,
	 NULL,
	 {"accept *:*"},
	 "accept *:*\n",
	 "accept 1-65535",
	 "reject 1-65535",
	 "+127.0.0.1:80 +10.0.0.1:1 +1.1.1.1:65535 -[2001:db8::1]:80",
	 false},
	{6,
	 0,
	 true,
	 true,
	 true,
	 NULL,
	 {"accept *:*"},
	 "reject *:*\n",
	 "reject 1-65535",
	 "reject 1-65535",
	 "-1.2.3.4:80",
	 true},
	/* a rule that is reached by nobody, and one that a later one says again, are gone */
	{7,
	 1,
	 false,
	 false,
	 false,
	 NULL,
	 {"reject 1.2.3.4:80,reject 1.2.3.0/24:*,reject 1.2.3.9:9,accept *:*,reject *:7"},
	 "reject 1.2.3.0/24:*\naccept *:*\n",
	 "accept 1-65535",
	 "reject 1-65535",
	 "-1.2.3.4:80 +1.2.4.4:80",
	 false},
	/* two /8 may be refused and the port still counts, three may not */
	{8,
	 1,
	 false,
	 false,
	 false,
	 NULL,
	 {"reject 20.0.0.0/8:80,reject 21.0.0.0/8:80", "accept *:80,reject *:*"},
	 "reject 20.0.0.0/8:80\nreject 21.0.0.0/8:80\naccept *:80\nreject *:*\n",
	 "accept 80",
	 "reject 1-65535",
	 "-20.1.1.1:80 +22.1.1.1:80",
	 false},
	{9,
	 1,
	 false,
	 false,
	 false,
	 NULL,
	 {"reject 20.0.0.0/7:80,reject 22.0.0.0/8:80", "accept *:80,reject *:*"},
	 "reject 20.0.0.0/7:80\nreject 22.0.0.0/8:80\naccept *:80\nreject *:*\n",
	 "reject 1-65535",
	 "reject 1-65535",
	 "-21.1.1.1:80 +23.1.1.1:80",
	 false},
	{10,
	 1,
	 false,
	 false,
	 false,
	 NULL,
	 {"accept 1.2.3.4:80,reject *:*"},
	 "accept 1.2.3.4:80\nreject *:*\n",
	 "reject 1-65535",
	 "reject 1-65535",
	 "+1.2.3.4:80 -1.2.3.5:80",
	 false},
};

static void test_policies(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct policy_setup s = {.exit_relay = rows[i].exit_relay,
					 .ipv6_exit = rows[i].ipv6,
					 .reject_private = rows[i].private,
					 .reduced = rows[i].reduced,
					 .lines = rows[i].lines};
		char why[POLICY_ERROR], text[4096];
		struct policy *p;
		struct addr own;

		while (s.n_lines < 4 && rows[i].lines[s.n_lines])
			s.n_lines++;
		if (rows[i].own) {
			assert_int_equal(addr_parse(&own, rows[i].own), 0);
			s.own = &own;
			s.n_own = 1;
		}
		assert_int_equal(policy_new(&p, &s, why), 0);
		int len = policy_lines(p, text, sizeof(text));
		if (len != (int)strlen(text) || strcmp(text, rows[i].text))
			fail_msg("row %d: %s", rows[i].n, text);
		assert_int_equal(policy_lines(p, text, (size_t)len), ERR_FULL);
		len = policy_summary(p, 4, text, sizeof(text));
		if (len != (int)strlen(text) || strcmp(text, rows[i].sum4))
			fail_msg("row %d: %s", rows[i].n, text);
		policy_summary(p, 6, text, sizeof(text));
		if (strcmp(text, rows[i].sum6))
			fail_msg("row %d: v6 %s", rows[i].n, text);
		assert_int_equal(policy_rejects_all(p), rows[i].none);
		ask(p, rows[i].n, rows[i].questions);
		policy_free(p);
	}
}

static void test_reduced(void **state)
{
	struct policy_setup s = {.exit_relay = -1, .reduced = true, .ipv6_exit = true};
	char why[POLICY_ERROR], text[4096];
	struct policy *p;

	assert_int_equal(policy_new(&p, &s, why), 0);
	ask(p, 1, "+1.2.3.4:443 +[2001:db8::1]:443 -1.2.3.4:25 +1.2.3.4:64738 -1.2.3.4:24");
	assert_true(policy_summary(p, 6, text, sizeof(text)) > 0);
	assert_memory_equal(text, "accept 20-23,43,53,79-81,88,110,143,194,220,389,443,464-465,",
			    60);
	policy_free(p);
	s.lines = (const char *const[]) {"accept *:80, nonsense"};
	s.n_lines = 1;
	assert_int_equal(policy_new(&p, &s, why), ERR_CONFIG);
}

/* A summary that would be too long is cut at a comma, and is the list of accepted ports. */
static void test_long_summary(void **state)
{
	static char line[12 * 1000];
	const char *lines[] = {line, "reject *:*"};
	struct policy_setup s = {.exit_relay = 1, .lines = lines, .n_lines = 2};
	char why[POLICY_ERROR], text[2048];
	size_t at = 0;
	struct policy *p;

	for (unsigned port = 10000; port < 10800; port += 2)
		at += (size_t)sprintf(line + at, "%saccept *:%u", at ? "," : "", port);
	assert_int_equal(policy_new(&p, &s, why), 0);
	int len = policy_summary(p, 4, text, sizeof(text));
	assert_in_range(len, 990, 1000);
	assert_memory_equal(text, "accept 10000,10002,", 19);
	assert_int_not_equal(text[len - 1], ',');
	assert_int_equal((len - 7 + 1) % 6, 0); /* whole numbers of five digits */
	policy_free(p);
}

static const struct {
	const char *text;
	bool private;
} private_rows[] = {
	{"0.1.2.3", true},
	{"10.255.0.1", true},
	{"127.0.0.1", true},
	{"100.64.0.1", true},
	{"100.128.0.1", false},
	{"169.254.9.9", true},
	{"172.15.0.1", false},
	{"172.16.0.1", true},
	{"172.32.0.1", false},
	{"192.168.3.4", true},
	{"8.8.8.8", false},
	{"::", true},
	{"::1", true},
	{"::2", false},
	{"fc00::1", true},
	{"fdff::1", true},
	{"fe80::1", true},
	{"fec0::1", true},
	{"ff02::1", false},
	{"2001:db8::1", false},
	{"::ffff:10.0.0.1", true},
	{"::ffff:8.8.8.8", false},
};

static const struct {
	const char *name;
	int want;
	const char *addr;
} arpa_rows[] = {
	{"example.com", 0, NULL},
	{"4.3.2.1.in-addr.arpa", 1, "1.2.3.4"},
	{"3.2.1.in-addr.arpa", ERR_MALFORMED, NULL},
	{"256.3.2.1.in-addr.arpa", ERR_MALFORMED, NULL},
	{".in-addr.arpa", ERR_MALFORMED, NULL},
	{"in-addr.arpa", 0, NULL},
	{"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", 1,
	 "2001:db8::1"},
	{"0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", ERR_MALFORMED,
	 NULL},
	{"g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", ERR_MALFORMED,
	 NULL},
};

static void test_addresses(void **state)
{
	struct addr a, b;

	for (size_t i = 0; i < ARRAY_LEN(private_rows); i++) {
		assert_int_equal(addr_parse(&a, private_rows[i].text), 0);
		if (addr_is_private(&a) != private_rows[i].private)
			fail_msg("%s", private_rows[i].text);
	}
	assert_true(addr_is_private(&(struct addr) {0}));
	for (size_t i = 0; i < ARRAY_LEN(arpa_rows); i++) {
		if (addr_from_arpa(&a, arpa_rows[i].name) != arpa_rows[i].want)
			fail_msg("%s", arpa_rows[i].name);
		if (!arpa_rows[i].addr)
			continue;
		assert_int_equal(addr_parse(&b, arpa_rows[i].addr), 0);
		assert_true(addr_same(&a, &b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),	  cmocka_unit_test(test_policies),
		cmocka_unit_test(test_reduced),	  cmocka_unit_test(test_long_summary),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_config.c - rows of torrc text: what each value becomes, what is refused and how it is said.
 */
#include "controlplane/config/internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define V3 "14C131DFC5C6F93646BE72FA1401C02A8DF2E8B4"
#define FP "FFCB46DB1339DA84674C70D7CB586434C4370441"
#define MINIMAL                                                                                    \
	"ORPort 9001\nDataDirectory /tmp/x\nDataplanePort tap:t0\nDataplaneAddress 10.1.0.2/24\n"  \
	"TestingTorNetwork 1\nDirAuthority a orport=9001 v3ident=" V3 " 10.1.0.9:80 " FP "\n"

static int load(const char *more, struct config *c, struct config_messages *m)
{
	char text[8192];

	*m = (struct config_messages) {0};
	snprintf(text, sizeof(text), "%s%s", MINIMAL, more);
	return config_parse(text, strlen(text), c, m);
}

static void show(const struct config_messages *m)
{
	for (int i = 0; i < m->n; i++)
		print_message("  %s\n", m->v[i].text);
}

/* Rows: lines behind the minimal torrc that make a wrong one, and a piece of what is said. */
static void test_bad(void **state)
{
	static const struct {
		const char *text, *said;
	} t[] = {
		{"NickName a b", "1 to 19 letters"},
		{"Nickname abcdefghijabcdefghij", "1 to 19 letters"},
		{"Nicknam x", "torrc:7: there is no option \"Nicknam\": did you mean Nickname?"},
		{"Zzzz x", "correct its name"},
		{"ExitRelay 2", "give 0, 1 or auto"},
		{"IPv6Exit yes", "give 0 or 1"},
		{"IPv6Exit 01", "give 0 or 1"},
		{"BandwidthRate 5 parsecs", "give a number of bytes"},
		{"BandwidthRate -1", "give a number of bytes"},
		{"BandwidthRate 0x100000", "give a number of bytes"},
		{"BandwidthRate inf", "give a number of bytes"},
		{"BandwidthRate 1e999", "give a number of bytes"},
		{"BandwidthRate 3 GB", "a value from 0 to"},
		{"BandwidthRate 99999999999999999999 TB", "a value from 0 to"},
		{"BandwidthRate 10 KB", "a relay needs at least"},
		{"BandwidthRate 10 MB\nBandwidthBurst 9 MB", "BandwidthBurst is below"},
		{"RelayBandwidthRate 10 KB", "a relay needs at least"},
		{"RelayBandwidthRate 2 MB\nRelayBandwidthBurst 1 MB",
		 "RelayBandwidthBurst is below"},
		{"ShutdownWaitLength soon", "give a time"},
		{"KeepalivePeriod 0", "a value from 1"},
		{"NumCPUs 1.5", "whole number"},
		{"ORPort 70000", "is no port"},
		{"ORPort auto", "is no port"},
		{"ORPort unix:/x", "is no port"},
		{"ORPort 9002 Sideways", "the flags are"},
		{"ORPort 9002 NoListen NoAdvertise", "the flags are"},
		{"ORPort 9002 IPv4Only IPv6Only", "the flags are"},
		{"ORPort 10.9.9.9:9001", "not ours"},
		{"ORPort 9002 IPv6Only", "finds no DataplaneAddress"},
		{"Address 10.1.0.256:1", "is no address and no name"},
		{"Address 10.1.0.256", "is no address and no name"},
		{"Address relay example.org", "is no address and no name"},
		{"Address 10.1.0.2\nAddress 10.1.0.3",
		 "torrc:8: Address \"10.1.0.3\" is a second IPv4"},
		{"Address fd00::2\nAddress 10.1.0.3\nAddress fd00::3", "is a second IPv6"},
		{"OutboundBindAddress 10.9.9.9", "is not ours"},
		{"OutboundBindAddressExit nonsense", "is no address"},
		{"DataplaneAddress 10.1.0.3", "prefix length"},
		{"DataplaneAddress 10.1.0.3/33", "prefix length"},
		{"DataplaneAddress 10.1.0.3/", "prefix length"},
		{"DataplaneGateway 10.1.0.256", "DataplaneGateway"},
		{"DataplaneCores 3-1", "list of cores"},
		{"DataplaneCores a", "list of cores"},
		{"DataplanePolling sometimes", "adaptive or busy"},
		{"DataplanePort eth0", "names no port"},
		{"DataplanePort af_packet:", "names no port"},
		{"DataplaneTLSOrder best", "ramson or tor"},
		{"DirAuthority b orport=x 10.1.0.9:80 " FP, "orport="},
		{"DirAuthority b v3ident=12 10.1.0.9:80 " FP, "v3ident="},
		{"DirAuthority b 10.1.0.9 " FP, "address like"},
		{"DirAuthority b 10.1.0.9:80 1234", "40 hex"},
		{"DirAuthority b ipv6=1.2.3.4:5 10.1.0.9:80 " FP, "ipv6="},
		{"DirAuthority b wobble 10.1.0.9:80 " FP, "a flag is unknown"},
		{"DirAuthority", "DirAuthority"},
		{"Log loud stdout", "Log \"loud stdout\""},
		{"Log notice file", "Log \"notice file\""},
		{"Log notice printer", "Log \"notice printer\""},
		{"Log notice stdout stderr", "Log \"notice stdout stderr\""},
		{"Log stdout", "Log \"stdout\""},
		{"Log notice-debug stdout", "Log \"notice-debug stdout\""},
		{"Log info- stdout", "Log \"info- stdout\""},
		{"Log [net info stdout", "Log \"[net info stdout\""},
		{"Log [nets]info stdout", "Log \"[nets]info stdout\""},
		{"Log [net,]info stdout", "Log \"[net,]info stdout\""},
		{"Log [~*]info stdout", "Log \"[~*]info stdout\""},
		{"Log [net] stdout", "Log \"[net] stdout\""},
		{"Log info file x.log", "relative path"},
		{"Log info stdout\nLog info file x.log", "relative path"},
		{"SafeLogging maybe", "SafeLogging"},
		{"PublishServerDescriptor bridge", "PublishServerDescriptor"},
		{"MyFamily $1234", "40 hex digits"},
		{"AssumeReachable 1\nAssumeReachableIPv6 0", "contradict"},
		{"ConnectionPadding 1", "must be auto"},
		{"ReducedConnectionPadding 1", "for clients"},
		{"BridgeRelay 1", "is not served"},
		{"AccountingMax 10 GB", "is not served"},
		{"HiddenServiceDir /x", "is not served"},
		{"SigningKeyLifetime 1 hour", "a value from"},
		{"DataDirectory relative/path", "relative path"},
		{"PidFile x.pid", "relative path"},
		{"ContactInfo \"unclosed", "has no end"},
		{"ContactInfo \"a\" b", "more behind the quoted"},
		{"ContactInfo \"\\q\"", "no such escape"},
		{"ContactInfo \"\\x00\"", "no such escape"},
		{"%include /etc/hosts", "not possible here"},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct config_messages m;
		struct config c;
		bool found = false;
		int rc = load(t[i].text, &c, &m);

		for (int k = 0; k < m.n; k++)
			found |= strstr(m.v[k].text, t[i].said) != NULL && m.v[k].is_error;
		if (rc != ERR_CONFIG || !found) {
			show(&m);
			fail_msg("row %zu (%s): %d", i, t[i].text, rc);
		}
		config_messages_free(&m);
		config_free(&c);
	}
}

/* Which of our lines, which have no domain but "general", a Log line takes. */
static void test_logs(void **state)
{
	enum { ERR = 1, WARN = 2, NOTICE = 4, INFO = 8, DEBUG = 16 };
	static const struct {
		const char *line;
		unsigned levels, kind;
		const char *path;
	} t[] = {
		{"notice", ERR | WARN | NOTICE, CONFIG_LOG_STDOUT, NULL},
		{"NOTICE STDERR", ERR | WARN | NOTICE, CONFIG_LOG_STDERR, NULL},
		{"debug-err  stdout", 31, CONFIG_LOG_STDOUT, NULL},
		{"info-notice syslog", NOTICE | INFO, CONFIG_LOG_SYSLOG, NULL},
		{"warn-warn file /a b ", WARN, CONFIG_LOG_FILE, "/a b"},
		{"debug-debug err file /file", DEBUG | ERR, CONFIG_LOG_FILE, "/file"},
		{"[net,mm]debug notice stdout", ERR | WARN | NOTICE, CONFIG_LOG_STDOUT, NULL},
		{"[General]info stdout", 15, CONFIG_LOG_STDOUT, NULL},
		{"[ net , general ]info stdout", 15, CONFIG_LOG_STDOUT, NULL},
		{"[*]info stdout", 15, CONFIG_LOG_STDOUT, NULL},
		{"[*,~general]info stdout", 0, CONFIG_LOG_STDOUT, NULL},
		{"[~net]info stdout", 15, CONFIG_LOG_STDOUT, NULL},
		{"[~net,~general]info err stdout", ERR, CONFIG_LOG_STDOUT, NULL},
		{"[net,~mm]info stdout", 0, CONFIG_LOG_STDOUT, NULL},
		{"[handshake]debug [~net,~mm]info notice stdout", 15, CONFIG_LOG_STDOUT, NULL},
	};
	char text[512] = "";
	struct config_messages m;
	struct config c;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		snprintf(text, sizeof(text), "Log err stderr\nLog %s", t[i].line);
		assert_int_equal(load(text, &c, &m), 0);
		assert_int_equal(c.n_log_targets, 2);
		assert_int_equal(c.log_target[0].levels, ERR);
		if (c.log_target[1].levels != t[i].levels || c.log_target[1].kind != t[i].kind)
			fail_msg("row %zu: %x", i, c.log_target[1].levels);
		if (t[i].path)
			assert_string_equal(c.log_target[1].path, t[i].path);
		config_messages_free(&m);
		config_free(&c);
	}
	assert_int_equal(load("Log warn stderr\nLog info-info syslog", &c, &m), 0);
	assert_int_equal(config_log_level(&c), LOG_INFO);
	config_messages_free(&m);
	config_free(&c);
}

static int n_asked;

/* "both" has both families, "v4" and "v6" one, "private4" a private one, all others none. */
static int find(const char *name, int family, struct addr *a, const char **why)
{
	static const struct {
		const char *name, *v4, *v6;
	} t[] = {
		{"both.test", "192.0.2.7", "2001:db8::7"},
		{"v4.test", "192.0.2.8", NULL},
		{"v6.test", NULL, "2001:db8::8"},
		{"private4.test", "192.168.1.1", NULL},
	};

	n_asked++;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		const char *text = family == 4 ? t[i].v4 : t[i].v6;

		if (strcmp(t[i].name, name) == 0 && text)
			return addr_parse(a, text);
	}
	*why = "nobody knows it";
	return ERR_UNKNOWN;
}

/* Address lines: names beside addresses, and what is advertised then. */
static void test_addresses(void **state)
{
	static const struct {
		const char *text, *v4, *v6, *said; /* v4, v6: NULL: of DataplaneAddress */
	} t[] = {
		{"", NULL, NULL, NULL},
		{"Address 192.0.2.1\nAddress 2001:db8::1", "192.0.2.1", "2001:db8::1", NULL},
		{"Address both.test", "192.0.2.7", "2001:db8::7", NULL},
		{"Address v4.test", "192.0.2.8", NULL, NULL},
		{"Address v4.test\nAddress v6.test", "192.0.2.8", "2001:db8::8", NULL},
		{"Address v4.test\nAddress 2001:db8::1", "192.0.2.8", "2001:db8::1", NULL},
		{"Address both.test\nAddressDisableIPv6 1", "192.0.2.7", NULL, NULL},
		{"Address 192.0.2.1\nAddress both.test", "192.0.2.1", "2001:db8::7",
		 "torrc:9: Address \"both.test\" is a second IPv4"},
		{"Address v4.test\nAddress both.test", "192.0.2.8", "2001:db8::7",
		 "is a second IPv4"},
		{"Address none.test", NULL, NULL,
		 "torrc:8: Address \"none.test\" cannot be resolved (nobody knows it)"},
		{"Address private4.test", NULL, NULL, "leads to 192.168.1.1, which is private"},
		{"Address private4.test\nPublishServerDescriptor 0\nAssumeReachable 1",
		 "192.168.1.1", NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct config_messages m;
		struct addr v4, v6;
		struct config c;
		char text[512];
		bool found = false;
		int rc;

		snprintf(text, sizeof(text), "DataplaneAddress fd00::2/64\n%s", t[i].text);
		assert_int_equal(load(text, &c, &m), 0);
		m.lines = c.lines;
		rc = config_resolve(&c, NULL, find, &m);
		for (int k = 0; k < m.n; k++)
			found |= t[i].said && strstr(m.v[k].text, t[i].said);
		addr_parse(&v4, t[i].v4 ? t[i].v4 : "10.1.0.2");
		addr_parse(&v6, t[i].v6 ? t[i].v6 : "fd00::2");
		if (rc != (t[i].said ? ERR_CONFIG : 0) || found != (t[i].said != NULL) ||
		    !addr_same_ip(&c.address4, &v4) ||
		    (c.address6.family && !addr_same_ip(&c.address6, &v6)) ||
		    !c.address6.family != (strstr(t[i].text, "DisableIPv6") != NULL)) {
			show(&m);
			fail_msg("row %zu: %d", i, rc);
		}
		assert_int_equal(c.address4.port, 9001);
		config_messages_free(&m);
		config_free(&c);
	}
}

/* SIGHUP: the same lines are not looked up again, a name that fails leaves what was. */
static void test_addresses_again(void **state)
{
	static const struct {
		const char *lines;
		int rc, asked;
		bool is_same; /* the address is */
	} t[] = {
		{"Address v4.test\nContactInfo x", 0, 0, true},
		{"Address none.test", ERR_CONFIG, 2, true},
		{"Address both.test", 0, 2, false},
		{"Address 192.0.2.9", 0, 0, false},
	};
	struct config_messages m;
	struct config old, c;

	assert_int_equal(load("Address v4.test", &old, &m), 0);
	assert_int_equal(config_resolve(&old, NULL, find, &m), 0);
	config_messages_free(&m);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		n_asked = 0;
		assert_int_equal(load(t[i].lines, &c, &m), 0);
		assert_int_equal(config_resolve(&c, &old, find, &m), t[i].rc);
		assert_int_equal(n_asked, t[i].asked);
		assert_int_equal(addr_same_ip(&c.address4, &old.address4), t[i].is_same);
		config_messages_free(&m);
		config_free(&c);
	}
	config_free(&old);
}

/* What a rule finds is said with the place of the line that it is about. */
static void test_places(void **state)
{
	static const struct {
		const char *text, *said;
	} t[] = {
		{"\nNickname a-b", "torrc:8: Nickname"},
		{"ORPort 9002 Sideways\nORPort 9003", "torrc:7: ORPort"},
		{"ORPort 9003\nORPort 9002 Sideways", "torrc:8: ORPort"},
		{"DirAuthority b wobble 10.1.0.9:80 " FP, "torrc:7: DirAuthority"},
		{"Log notice stdout\nLog loud stdout\nLog info stdout", "torrc:8: Log"},
		{"BandwidthRate 10 KB", "torrc:7: BandwidthRate"},
		{"/ORPort", "ORPort is missing"},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct config_messages m;
		struct config c;
		bool found = false;

		assert_int_equal(load(t[i].text, &c, &m), ERR_CONFIG);
		for (int k = 0; k < m.n; k++)
			found |= strstr(m.v[k].text, t[i].said) != NULL;
		if (!found) {
			show(&m);
			fail_msg("row %zu", i);
		}
		config_messages_free(&m);
	}
}

/* Each piece that a relay cannot do without is missed by name. */
static void test_missing(void **state)
{
	static const struct {
		const char *text, *said;
	} t[] = {
		{"", "ORPort is missing"},
		{"", "DataplanePort"},
		{"", "DataplaneAddress is missing"},
		{"", "DirAuthority is missing"},
		{"ORPort 0\nDataplaneAddress fd00::1/64\nDataplanePort tap:x\n"
		 "DirAuthority v3ident=" V3 " 1.2.3.4:80 " FP,
		 "IPv4"},
		{"DirAuthority 1.2.3.4:80 " FP, "DataplaneAddress is missing"},
		{"TestingLinkCertLifetime 1 hour", "private networks only"},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct config_messages m = {0};
		struct config c;
		bool found = false;

		assert_int_equal(config_parse(t[i].text, strlen(t[i].text), &c, &m), ERR_CONFIG);
		for (int k = 0; k < m.n; k++)
			found |= strstr(m.v[k].text, t[i].said) != NULL && m.v[k].is_error;
		if (!found) {
			show(&m);
			fail_msg("row %zu", i);
		}
		config_messages_free(&m);
	}
}

/* Rows of numbers: text and what it is worth. */
static void test_units(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} t[] = {
		{"100000", 100000},	   {"100000 b", 100000},     {"100000 Bytes", 100000},
		{"100 KB", 102400},	   {"100KB", 102400},	     {"100\tkbytes", 102400},
		{"100 kilobytes", 102400}, {"1 m", 1 << 20},	     {"1 MB", 1 << 20},
		{"1 megabyte", 1 << 20},   {"1.5 MBytes", 3 << 19},  {"8 MBits", 1 << 20},
		{"8 megabit", 1 << 20},	   {"1 GBit", 1 << 27},	     {"1 gigabits", 1 << 27},
		{"2 GB", INT32_MAX},	   {"0.001 TB", 1099511627},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct config_messages m;
		struct config c;
		char line[256];

		snprintf(line, sizeof(line), "BandwidthRate %s\nBandwidthBurst 2 GB", t[i].text);
		if (load(line, &c, &m) < 0 || c.bandwidth_rate != t[i].value) {
			show(&m);
			fail_msg("row %zu: %lld", i, (long long)c.bandwidth_rate);
		}
		config_messages_free(&m);
		config_free(&c);
	}
}

/* What follows from a line, or from its absence, as in tor. */
static void test_limits(void **state)
{
#define FIELD(name) offsetof(struct config, name)
	static const struct {
		const char *lines;
		size_t at; /* of an int64_t */
		int64_t value;
		int n_messages;
	} t[] = {
		{"", FIELD(per_conn_bw_rate), 0, 0},
		{"PerConnBWRate 100 KB", FIELD(per_conn_bw_rate), 102400, 0},
		{"PerConnBWBurst 2 GB", FIELD(per_conn_bw_burst), INT32_MAX, 0},
		{"RelayBandwidthRate 1 MB", FIELD(relay_bandwidth_burst), 1 << 20, 0},
		{"RelayBandwidthBurst 1 MB", FIELD(relay_bandwidth_rate), 1 << 20, 0},
		{"RelayBandwidthRate 1 MB\nRelayBandwidthBurst 3 MB", FIELD(relay_bandwidth_burst),
		 3 << 20, 0},
		{"RelayBandwidthRate 2 GB", FIELD(bandwidth_rate), INT32_MAX, 0},
		{"MaxMemInQueues 63 MB", FIELD(max_mem), 64 << 20, 1},
		{"MaxMemInQueues 64 MB", FIELD(max_mem), 64 << 20, 0},
		{"MaxMemInQueues 20 GB", FIELD(max_mem), 20ll << 30, 0},
	};
	static const struct {
		int64_t all, queues;
	} memory[] = {
		{0, 256ll << 20},
		{256ll << 20, 256ll << 20},
		{1ll << 30, 768ll << 20},
		{(8ll << 30) - 4, (6ll << 30) - 3},
		{8ll << 30, (8ll << 30) / 5 * 2},
		{20ll << 30, 8ll << 30},
		{1ll << 40, 8ll << 30},
	};
	static const struct {
		const char *line;
		double s;
		int n_messages;
	} halves[] = {
		{"", -1, 0},
		{"CircuitPriorityHalflife -1", -1, 0},
		{"CircuitPriorityHalflife 0", 30, 1}, /* not "at once": tor's default */
		{"CircuitPriorityHalflife 0.000001", 30, 1},
		{"CircuitPriorityHalflife 0.25", 0.25, 0},
	};
	struct config_messages m;
	struct config c;
	char text[256];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		snprintf(text, sizeof(text), "ContactInfo x\n%s", t[i].lines);
		assert_int_equal(load(text, &c, &m), 0);
		if (*(int64_t *)((uint8_t *)&c + t[i].at) != t[i].value || m.n != t[i].n_messages)
			fail_msg("row %zu: %lld, %d messages", i,
				 (long long)*(int64_t *)((uint8_t *)&c + t[i].at), m.n);
		config_messages_free(&m);
		config_free(&c);
	}
	for (size_t i = 0; i < ARRAY_LEN(memory); i++)
		assert_int_equal(config_memory_for_queues(memory[i].all), memory[i].queues);
	for (size_t i = 0; i < ARRAY_LEN(halves); i++) {
		snprintf(text, sizeof(text), "ContactInfo x\n%s", halves[i].line);
		assert_int_equal(load(text, &c, &m), 0);
		assert_true(c.circuit_priority_halflife_s == halves[i].s);
		assert_int_equal(m.n, halves[i].n_messages);
		config_messages_free(&m);
		config_free(&c);
	}
}

static void test_times(void **state)
{
	static const struct {
		const char *line;
		int64_t seconds;
	} t[] = {
		{"ShutdownWaitLength 0", 0},
		{"ShutdownWaitLength 12", 12},
		{"ShutdownWaitLength 1 minute", 60},
		{"ShutdownWaitLength 2 Minutes", 120},
		{"ShutdownWaitLength 1.5 hours", 5400},
		{"ShutdownWaitLength 1 day", 86400},
		{"ShutdownWaitLength 2 weeks", 14 * 86400},
		{"ShutdownWaitLength 1 month", 2629728},
		{"/ShutdownWaitLength", 30},
		{"ShutdownWaitLength", 30},
		{"shutdownwaitlength 7 # a comment", 7},
		{"SHUTDOWNWAITLENGTH \"8 seconds\"", 8},
		{"ShutdownWaitLength \\\n 9 \\\n # a line of its own\n seconds", 9},
		{"ShutdownWaitLength\\\n10", 10},
		{"ShutdownWaitLength 11\r\n", 11},
		{"ShutdownWaitLength 1\nShutdownWaitLength 13", 13},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct config_messages m;
		struct config c;

		if (load(t[i].line, &c, &m) < 0 || c.shutdown_wait_length_s != t[i].seconds) {
			show(&m);
			fail_msg("row %zu: %lld", i, (long long)c.shutdown_wait_length_s);
		}
		config_messages_free(&m);
		config_free(&c);
	}
}

static void test_values(void **state)
{
	struct config_messages m;
	struct config c;
	char text[ADDR_TEXT];

	assert_int_equal(
		load("Nickname Ramson1\nContactInfo \"a \\\"b\\\" \\x41\\101\\n\\tc\"\n", &c, &m),
		ERR_CONFIG); /* a line break */
	config_messages_free(&m);
	assert_int_equal(
		load("Nickname Ramson1\nContactInfo \"a # \\\"b\\\" \\x41\\101\" # c\n"
		     "MyFamily $" V3 ", " FP "\nMyFamily $" FP "~nick\n"
		     "DataplaneAddress fd00::2/64\nDataplaneGateway 10.1.0.1\n"
		     "DataplaneGateway fd00::1\nDataplaneCores 1,3-5\n"
		     "ORPort [fd00::2]:9002\nExitPolicy accept *:80\nExitPolicy reject *:*\n"
		     "Log info file /var/log/a b.log\nSafeLogging relay\n"
		     "RelayBandwidthRate 1 MB\nPublishServerDescriptor 0\n"
		     "OutboundBindAddressExit fd00::2\nSocksPort 0\n",
		     &c, &m),
		0);
	show(&m);
	assert_int_equal(m.n, 0);
	assert_string_equal(c.nickname, "Ramson1");
	assert_string_equal(c.contact_info, "a # \"b\" AA");
	assert_int_equal(c.my_family.n, 3);
	assert_string_equal(c.my_family.v[0], "$" V3);
	assert_string_equal(c.my_family.v[1], "$" FP);
	assert_string_equal(c.my_family.v[2], "$" FP);
	assert_int_equal(c.n_prefixes, 2);
	assert_int_equal(c.prefix[1].bits, 64);
	assert_int_equal(c.n_gateways, 2);
	assert_int_equal(c.n_cores, 4);
	assert_int_equal(c.cores[3], 5);
	/* "ORPort 9001" stands for both addresses, and the third line is its own. */
	assert_int_equal(c.n_or_ports, 3);
	assert_string_equal(addr_text(&c.address4, text), "10.1.0.2:9001");
	assert_string_equal(addr_text(&c.address6, text), "[fd00::2]:9001");
	assert_string_equal(addr_text(&c.out_or4, text), "10.1.0.2");
	assert_string_equal(addr_text(&c.out_exit6, text), "fd00::2");
	assert_string_equal(addr_text(config_dial_from(&c, 6, true), text), "fd00::2");
	assert_null(config_dial_from(&c, 5, true));
	assert_int_equal(c.exit_policy.n, 2);
	assert_true(c.is_exit);
	assert_false(c.publish);
	assert_int_equal(c.scrub, CONFIG_SCRUB_RELAY);
	assert_int_equal(c.log_target[0].levels, 0xf);
	assert_string_equal(c.log_target[0].path, "/var/log/a b.log");
	assert_int_equal(c.relay_rate, 1 << 20);
	assert_int_equal(c.relay_burst, 1 << 20);
	assert_string_equal(c.keys_dir, "/tmp/x/keys");
	assert_int_equal(c.n_dir_auths, 1);
	assert_string_equal(addr_text(&c.dir_auth[0].or4, text), "10.1.0.9:9001");
	assert_true(c.dir_auth[0].has_v3ident);
	config_messages_free(&m);
	config_free(&c);
}

/* What TestingTorNetwork turns on, and that a line of one's own still counts. */
static void test_testing(void **state)
{
	struct config_messages m;
	struct config c;

	assert_int_equal(load("", &c, &m), 0);
	assert_true(c.extend_allow_private_addresses && c.dir_allow_private_addresses);
	assert_false(c.exit_policy_reject_private);
	assert_int_equal(c.v3_auth_voting_interval_s, 300);
	config_messages_free(&m);
	config_free(&c);
	assert_int_equal(
		load("ExitPolicyRejectPrivate 1\nV3AuthVotingInterval 20 seconds\n", &c, &m), 0);
	assert_true(c.exit_policy_reject_private);
	assert_int_equal(c.v3_auth_voting_interval_s, 20);
	config_messages_free(&m);
	config_free(&c);
	assert_int_equal(load("TestingTorNetwork 0\n", &c, &m), 0);
	assert_false(c.extend_allow_private_addresses);
	config_messages_free(&m);
	config_free(&c);
}

/* Valid in tor, not served: said once, and not at all when it asks for what we do anyway. */
static void test_unserved(void **state)
{
	struct config_messages m;
	struct config c;

	assert_int_equal(load("ContactInfo x\nMetricsPort 9035\nMetricsPort 9036\nControlPort 0\n"
			      "GuardfractionFile /x\n",
			      &c, &m),
			 0);
	assert_int_equal(m.n, 2);
	assert_non_null(strstr(m.v[0].text, "torrc:8: MetricsPort is not served yet"));
	config_messages_free(&m);
	config_free(&c);
}

static void test_orport(void **state)
{
	static const struct {
		const char *text;
		int n;
		bool listen, advertise;
		const char *at;
	} t[] = {
		{"/ORPort\nORPort 10.1.0.2:80", 1, true, true, "10.1.0.2:80"},
		{"/ORPort\nORPort 0.0.0.0:81", 1, true, true, "10.1.0.2:81"},
		{"/ORPort\nORPort 82 NoAdvertise\nORPort 1.2.3.4:443 NoListen", 2, true, false,
		 "10.1.0.2:82"},
		{"/ORPort\nORPort 1.2.3.4:443 nolisten\nORPort 83 noadvertise ipv4only", 2, false,
		 true, "1.2.3.4:443"},
		{"/ORPort\nORPort 0\nORPort 84", 1, true, true, "10.1.0.2:84"},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct config_messages m;
		struct config c;
		char text[ADDR_TEXT];

		if (load(t[i].text, &c, &m) < 0 || c.n_or_ports != t[i].n ||
		    c.or_port[0].listen != t[i].listen ||
		    c.or_port[0].advertise != t[i].advertise ||
		    strcmp(addr_text(&c.or_port[0].at, text), t[i].at) != 0) {
			show(&m);
			fail_msg("row %zu", i);
		}
		if (i == 2)
			assert_string_equal(addr_text(&c.address4, text), "1.2.3.4:443");
		config_messages_free(&m);
		config_free(&c);
	}
}

static void write_file(const char *dir, const char *name, const char *text, char *path, size_t cap)
{
	FILE *f;

	snprintf(path, cap, "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Files that include directories, patterns and each other; the command line over all of it. */
static void test_files(void **state)
{
	char dir[] = "/tmp/test_config_XXXXXX", sub[64], path[128], main_path[128], text[4096];
	char *args[] = {"--Nickname", "FromArgs", "+ExitPolicy", "reject *:*",
			"ORPort",     "77",	  "/ContactInfo"};
	char *circle[] = {0};
	struct config_messages m = {0};
	struct config c;

	assert_non_null(mkdtemp(dir));
	snprintf(sub, sizeof(sub), "%s/d", dir);
	assert_return_code(mkdir(sub, 0700), errno);
	write_file(sub, "20-b", "Nickname second\n", path, sizeof(path));
	write_file(sub, "10-a", "Nickname first\nExitPolicy accept *:80\n", path, sizeof(path));
	write_file(sub, ".hidden", "Nonsense\n", path, sizeof(path));
	snprintf(text, sizeof(text), "%s%%include %s\n%%include \"%s/none*\"\nContactInfo me\n",
		 MINIMAL, sub, dir);
	write_file(dir, "torrc", text, main_path, sizeof(main_path));
	assert_int_equal(config_load(main_path, args, 0, &c, &m), 0);
	assert_string_equal(c.nickname, "second");
	config_free(&c);
	config_messages_free(&m);

	assert_int_equal(config_load(main_path, args, ARRAY_LEN(args), &c, &m), 0);
	assert_string_equal(c.nickname, "FromArgs");
	assert_null(c.contact_info);
	assert_int_equal(c.exit_policy.n, 2);
	assert_int_equal(c.n_or_ports, 1);
	assert_int_equal(c.or_port[0].at.port, 77);
	config_free(&c);
	config_messages_free(&m);

	write_file(sub, "20-b", "Nicknam second\n", path, sizeof(path));
	assert_int_equal(config_load(main_path, args, 0, &c, &m), ERR_CONFIG);
	assert_non_null(strstr(m.v[m.n - 1].text, "20-b:1: there is no option"));
	config_messages_free(&m);
	assert_int_equal(config_load(main_path, args, 1, &c, &m), ERR_CONFIG);
	config_messages_free(&m);

	snprintf(text, sizeof(text), "%%include %s/20-b\n", sub);
	write_file(sub, "20-b", text, path, sizeof(path));
	assert_int_equal(config_load(path, circle, 0, &c, &m), ERR_CONFIG);
	assert_non_null(strstr(m.v[m.n - 1].text, "in a circle"));
	config_messages_free(&m);
	assert_int_equal(config_load("/nonexistent/torrc", circle, 0, &c, &m), ERR_CONFIG);
	assert_non_null(strstr(m.v[0].text, "-f"));
	config_messages_free(&m);
	unlink(main_path);
	unlink(path);
	snprintf(path, sizeof(path), "%s/10-a", sub);
	unlink(path);
	snprintf(path, sizeof(path), "%s/.hidden", sub);
	unlink(path);
	rmdir(sub);
	rmdir(dir);
}

/* SIGHUP: what is live changes, what is not keeps its value and is named. */
static void test_changed(void **state)
{
	struct config_messages m;
	struct config a, b;

	assert_int_equal(load("Nickname one\nExitPolicy accept *:80\nContactInfo x", &a, &m), 0);
	config_messages_free(&m);
	assert_int_equal(load("Nickname one\nExitPolicy reject *:*\nContactInfo y", &b, &m), 0);
	assert_int_equal(config_changed(&a, &b, &m), 0);
	assert_int_equal(m.n, 0);
	assert_false(config_same(&a, &b));
	assert_true(config_same(&b, &b));
	config_free(&b);
	assert_int_equal(
		load("Nickname two\nExitPolicy reject *:*\nContactInfo y\nORPort 9009", &b, &m), 0);
	assert_int_equal(config_changed(&a, &b, &m), ERR_CONFIG);
	assert_int_equal(m.n, 2);
	assert_string_equal(b.nickname, "one");
	assert_string_equal(b.contact_info, "y");
	assert_string_equal(b.exit_policy.v[0], "reject *:*");
	assert_int_equal(b.n_or_ports, 1);
	assert_int_equal(b.or_port[0].at.port, 9001);
	config_messages_free(&m);
	config_free(&a);
	config_free(&b);
}

static void test_scrub(void **state)
{
	struct config_messages m;
	struct addr a;
	struct config c;
	char text[ADDR_TEXT];

	addr_parse(&a, "1.2.3.4:5");
	assert_int_equal(load("", &c, &m), 0);
	assert_string_equal(config_addr_text(&c, &a, text), "[scrubbed]");
	config_free(&c);
	config_messages_free(&m);
	assert_int_equal(load("SafeLogging 0", &c, &m), 0);
	assert_string_equal(config_addr_text(&c, &a, text), "1.2.3.4:5");
	config_free(&c);
	config_messages_free(&m);
}

/* Every row of the table has a default that its own type can read, and names are there once. */
static void test_table(void **state)
{
	const struct config_row *r;
	int n = 0;

	for (int i = 0; (r = config_row_at(i)); i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s", r->name);
		for (int k = 0; k < i; k++)
			assert_int_not_equal(strcasecmp(config_row_at(k)->name, name), 0);
		n++;
	}
	assert_true(n > 400);
	assert_null(config_row_at(-1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_logs),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_addresses_again),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_testing),
		cmocka_unit_test(test_unserved),
		cmocka_unit_test(test_orport),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_scrub),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

/* main.c - ramson-dataplane: reads its arguments, opens the port as root, builds the workers, gives
 * its rights away and lets them turn. The parent starts it; its descriptors are named in ctl.h. */
#include "dataplane/worker/pace.h"
#include "dataplane/worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

struct options {
	const char *port, *cores, *user;
	bool busy;
	int log_level;
	uint64_t mem_mb;
	uint32_t n_conns, n_circs, n_streams;
	struct net_config net;
};

static struct plane plane;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	char line[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	log_err("%s", line);
	exit(1);
}

static int level_of(const char *name)
{
	static const char *const names[] = {"err", "warn", "notice", "info", "debug"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strncmp(names[i], name, strlen(names[i])) == 0)
			return (int)i;
	return LOG_NOTICE;
}

static void add_address(struct options *o, const char *text)
{
	if (o->net.n_addrs == NET_ADDRS)
		die("DataplaneAddress: more than %d of them", NET_ADDRS);
	if (net_prefix_parse(&o->net.addrs[o->net.n_addrs], text) < 0)
		die("DataplaneAddress %s: not ADDRESS/PREFIX", text);
	o->net.n_addrs++;
}

static void set_gateway(struct options *o, const char *text)
{
	struct addr a;

	if (addr_parse(&a, text) < 0)
		die("DataplaneGateway %s: not an address", text);
	*(a.family == 4 ? &o->net.gateway4 : &o->net.gateway6) = a;
}

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"port", 1, NULL, 'p'},	   {"address", 1, NULL, 'a'}, {"gateway", 1, NULL, 'g'},
		{"cores", 1, NULL, 'c'},   {"polling", 1, NULL, 'y'}, {"user", 1, NULL, 'u'},
		{"log", 1, NULL, 'l'},	   {"mem", 1, NULL, 'm'},     {"conns", 1, NULL, 'n'},
		{"circuits", 1, NULL, 'i'}, {"streams", 1, NULL, 's'}, {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'p': o->port = optarg; break;
		case 'a': add_address(o, optarg); break;
		case 'g': set_gateway(o, optarg); break;
		case 'c': o->cores = optarg; break;
		case 'y': o->busy = strcmp(optarg, "busy") == 0; break;
		case 'u': o->user = *optarg ? optarg : NULL; break;
		case 'l': o->log_level = level_of(optarg); break;
		case 'm': o->mem_mb = strtoull(optarg, NULL, 10); break;
		case 'n': o->n_conns = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'i': o->n_circs = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 's': o->n_streams = (uint32_t)strtoul(optarg, NULL, 10); break;
		default: die("this program is started by `ramson run`");
		}
	}
	if (!o->port)
		die("DataplanePort is missing: say for instance DataplanePort af_packet:eth1");
	if (!o->net.n_addrs)
		die("DataplaneAddress is missing: say for instance DataplaneAddress 192.0.2.7/24");
}

/* "0-2,5" names four cores. */
static unsigned count_cores(const char *list)
{
	unsigned n = 0;
	char *end;

	while (*list) {
		unsigned long from = strtoul(list, &end, 10), to = from;

		if (end == list)
			die("DataplaneCores %s: not a list such as 0-2,5", list);
		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		n += to >= from ? (unsigned)(to - from + 1) : 0;
		list = *end == ',' ? end + 1 : end;
		if (*end && *end != ',')
			die("DataplaneCores: not a list such as 0-2,5");
	}
	return n;
}

static void attach_memory(void)
{
	struct ctl_shared *s;
	off_t size = lseek(CTL_FD_MEMORY, 0, SEEK_END);

	if (size < (off_t)sizeof(*s))
		die("descriptor %d is not the shared memory: this program is started by `ramson run`",
		    CTL_FD_MEMORY);
	s = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, CTL_FD_MEMORY, 0);
	if (s == MAP_FAILED)
		die("cannot map the shared memory: %s", strerror(errno));
	if (s->magic != CTL_MAGIC || s->version != CTL_VERSION ||
	    s->n_workers != plane.n_workers || (size_t)size < ctl_size(s->n_workers))
		die("the shared memory is of another version or number of workers");
	s->dataplane_pid = (uint64_t)getpid();
	plane.ctl = s;
}

/* TCP's buffers are half of what may be held in queues; the other half is cells in slots, which take
 * ordinary memory when they are used. */
static uint64_t tcp_bytes(const struct options *o)
{
	return MAX(o->mem_mb * 1024 * 1024 / 2 / plane.n_workers, 64ull << 20);
}

/* What DPDK must have for them: small buffers weigh half as much again as what they hold. */
static unsigned eal_mb(const struct options *o)
{
	return (unsigned)((tcp_bytes(o) >> 20) * 3 / 2 + 48) * plane.n_workers;
}

static void open_port(const struct options *o)
{
	struct port_config cf = {.n_queues = plane.n_workers, .numa = -1};
	/* What mbufs and pools cost beside the bytes they hold: half as much again for the small ones. */
	struct eal_config eal = {.cores = o->cores, .mem_mb = eal_mb(o),
				 .port = o->port, .n_queues = plane.n_workers,
				 .verbose = o->log_level >= LOG_DEBUG};
	struct eal_info info;
	char err[PORT_ERR];

	if (eal_start(&eal, &info, err) < 0)
		die("%s", err);
	if (getrandom(cf.hash_key, sizeof(cf.hash_key), 0) != sizeof(cf.hash_key))
		die("the system gives no random bytes");
	for (unsigned i = 0; i < o->net.n_addrs; i++) {
		cf.addrs[i].family = o->net.addrs[i].ip.family;
		memcpy(cf.addrs[i].ip, o->net.addrs[i].ip.ip, 16);
	}
	cf.n_addrs = o->net.n_addrs;
	if (port_open(&plane.port, o->port, &cf, err) < 0)
		die("DataplanePort %s: %s", o->port, err);
	if (plane.port.note[0])
		log_notice("%s", plane.port.note);
	log_notice("port %s: MTU %u, %u queue(s), checksums %s, segments up to %u bytes, %s pages",
		   o->port, plane.port.mtu, plane.port.n_queues,
		   plane.port.caps & PORT_TX_CSUM ? "by the port" : "ours", plane.port.tso_max,
		   info.huge ? "huge" : "small");
	if (plane.port.n_queues < plane.n_workers)
		die("DataplaneCores names %u cores, but this kind of port steers to %u only",
		    plane.n_workers, plane.port.n_queues);
}

static void plan(struct options *o)
{
	const struct port *p = &plane.port;
	const char *bad;

	plane.n_conns = o->n_conns;
	plane.n_circs = o->n_circs;
	plane.n_streams = o->n_streams;
	plane.n_slots = (uint32_t)(o->mem_mb * 1024 * 1024 / plane.n_workers / sizeof(struct slot));
	plane.busy_poll = o->busy;
	plane.log_level = o->log_level;
	plane.net = o->net;
	memcpy(plane.net.mac, p->mac, 6);
	plane.net.mtu = p->mtu;
	plane.net.tx_csum = (p->caps & PORT_TX_CSUM) != 0;
	plane.net.tso = p->tso_max != 0;
	bad = net_config_bad(&plane.net);
	if (bad)
		die("%s", bad);
	plane.tcp = (struct tcp_config) {
		.numa = -1, .n_conns = o->n_conns, .mss4 = (uint16_t)(p->mtu - 40),
		.mss6 = (uint16_t)(p->mtu - 60), .tso_max = p->tso_max ? MIN(p->tso_max, 60000u) : 0,
		.tx_segs = p->tx_segs, .max_mem = tcp_bytes(o),
		.keepalive_us = 0,
	};
	if (getrandom(&plane.tcp.cookie_key, sizeof(plane.tcp.cookie_key), 0) < 0)
		die("the system gives no random bytes");
	plane.mesh = mesh_new(plane.n_workers);
	if (!plane.mesh)
		die("not enough memory for the rings between workers");
}

static void build(struct worker *workers)
{
	uint8_t seed[32];
	char err[PORT_ERR];

	for (unsigned i = 0; i < plane.n_workers; i++) {
		if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
			die("the system gives no random bytes");
		if (worker_init(&workers[i], &plane, i, seed, clock_us(), err) < 0)
			die("%s", err);
		workers[i].wake_fd = CTL_FD_WAKE_WORKER + (int)i;
		workers[i].wake_control_fd = CTL_FD_WAKE_CONTROL;
	}
	wipe(seed, sizeof(seed));
	net_announce(workers[0].net, clock_us());
}

static int run_one(void *arg)
{
	struct worker *workers = arg;

	worker_run(&workers[rte_lcore_index((int)rte_lcore_id())]);
	return 0;
}

static void on_term(int signal_number)
{
	plane.stop = 1;
}

int main(int argc, char **argv)
{
	struct options o = {.cores = "0", .log_level = LOG_NOTICE, .mem_mb = 256, .n_conns = 16384,
			    .n_circs = 65536, .n_streams = 32768};
	struct worker *workers;
	uint8_t seed[16];

	log_open(STDERR_FILENO, LOG_NOTICE, "dataplane");
	parse(&o, argc, argv);
	log_open(STDERR_FILENO, (enum log_level)o.log_level, "dataplane");
	signal(SIGTERM, on_term);
	signal(SIGINT, SIG_IGN); /* the parent decides */
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	plane.n_workers = count_cores(o.cores);
	if (!plane.n_workers || plane.n_workers > CTL_WORKERS)
		die("DataplaneCores: between 1 and %d cores", CTL_WORKERS);
	attach_memory();
	open_port(&o);
	plan(&o);
	workers = column_new(plane.n_workers, sizeof(*workers));
	if (!workers || getrandom(seed, sizeof(seed), 0) < 0)
		die("not enough memory for the workers");
	build(workers);
	if (sandbox_enter(o.user) < 0)
		die("cannot give rights away: %s", strerror(errno));
	log_notice("%u worker(s) turn; %s, %s, %s", plane.n_workers, workers[0].cipher.arch,
		   workers[0].cipher.ctr_name, workers[0].cipher.sha1_name);
	rte_eal_mp_remote_launch(run_one, workers, CALL_MAIN);
	rte_eal_mp_wait_lcore();
	log_notice("stopped");
	return 0;
}

/* main.c - ramson-dataplane: opens the port as root, builds the workers, gives its rights away and
 * lets them turn. The parent starts it; its descriptors are named in ctl.h. */
#include "dataplane/worker/options.h"
#include "dataplane/worker/pace.h"
#include "dataplane/worker/sandbox.h"

#include <errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

/* Source ports of what we dial. An address that the kernel shares leaves it the upper ones, which
 * are its own ephemeral range. */
#define DIAL_MIN	15000
#define DIAL_MAX	65535
#define DIAL_MAX_SHARED 32767

static struct plane plane;

static void draw(void *to, size_t len)
{
	if (getrandom(to, len, 0) != (ssize_t)len)
		die("the system gives no random bytes");
}

static void attach_memory(void)
{
	struct ctl_shared *s;
	off_t size = lseek(CTL_FD_MEMORY, 0, SEEK_END);

	if (size < (off_t)sizeof(*s))
		die("descriptor %d is not the shared memory: this program is started by `ramson "
		    "run`",
		    CTL_FD_MEMORY);
	s = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, CTL_FD_MEMORY, 0);
	if (s == MAP_FAILED)
		die("cannot map the shared memory: %s", strerror(errno));
	if (s->magic != CTL_MAGIC || s->version != CTL_VERSION || s->n_workers != plane.n_workers ||
	    (size_t)size < ctl_size(s->n_workers))
		die("the shared memory is of another version or number of workers");
	s->dataplane_pid = (uint64_t)getpid();
	plane.ctl = s;
}

/* TCP's buffers are half of what may be held in queues; the other half is cells in slots, which
 * take ordinary memory when they are used. */
static uint64_t tcp_bytes(const struct options *o)
{
	return MAX(o->mem_mb * 1024 * 1024 / 2 / plane.n_workers, 64ull << 20);
}

/* What DPDK must have for them: headers, and what its allocator cannot use, weigh about as much. */
static unsigned eal_mb(const struct options *o)
{
	return (unsigned)((tcp_bytes(o) >> 20) * 2 + 80) * plane.n_workers;
}

static void start_eal(const struct options *o)
{
	struct eal_config eal = {.cores = o->cores,
				 .mem_mb = eal_mb(o),
				 .port = o->port,
				 .n_queues = plane.n_workers,
				 .verbose = o->log_level >= LOG_DEBUG};
	struct eal_info info;
	char err[PORT_ERR];

	if (eal_start(&eal, &info, err) < 0)
		die("%s", err);
	log_info("%u MB of %s pages", info.mem_mb, info.huge ? "huge" : "small");
}

/* The addresses, and where the kernel holds one too (af_xdp alone can share it) what of it is ours.
 */
static void steer(struct port_config *cf, const struct options *o)
{
	char ifname[16];

	port_ifname(o->port, ifname);
	cf->n_addrs = o->net.n_addrs;
	for (unsigned i = 0; i < cf->n_addrs; i++) {
		cf->addrs[i].family = o->net.addrs[i].ip.family;
		memcpy(cf->addrs[i].ip, o->net.addrs[i].ip.ip, 16);
		cf->addrs[i].shared = port_kernel_has_address(ifname, &cf->addrs[i]) == 1;
		plane.net.shared |= cf->addrs[i].shared != 0;
	}
	for (unsigned i = 0; i < o->n_listen; i++)
		cf->ranges[cf->n_ranges++] = (struct port_range) {o->listen[i], o->listen[i]};
	cf->ranges[cf->n_ranges++] = (struct port_range) {DIAL_MIN, DIAL_MAX_SHARED};
}

/* Answers to our own questions go to the kernel then: the gateway's MAC is taken from it. */
static void gateway_mac(const char *ifname, const struct addr *gateway, uint8_t mac[6])
{
	struct port_addr a = {.family = gateway->family};
	char text[ADDR_TEXT];

	memcpy(a.ip, gateway->ip, 16);
	if (gateway->family && port_kernel_neighbour(ifname, &a, mac) < 0)
		die("DataplaneGateway %s: the kernel does not know it; ping it once and start "
		    "again",
		    addr_text(gateway, text));
}

static void open_port(const struct options *o)
{
	struct port_config cf = {.n_queues = plane.n_workers, .numa = -1};
	struct port *p = &plane.port;
	char err[PORT_ERR], ifname[16];

	draw(cf.hash_key, sizeof(cf.hash_key));
	steer(&cf, o);
	if (port_open(p, o->port, &cf, err) < 0)
		die("%s", err);
	if (plane.net.shared) {
		port_ifname(o->port, ifname);
		gateway_mac(ifname, &plane.net.gateway4, plane.net.gateway4_mac);
		gateway_mac(ifname, &plane.net.gateway6, plane.net.gateway6_mac);
	}
	if (p->note[0])
		log_notice("%s", p->note);
	log_notice("port %s: MTU %u, %u queue(s), checksums %s, segments up to %u bytes", o->port,
		   p->mtu, p->n_queues, p->caps & PORT_TX_CSUM ? "by the port" : "ours",
		   p->tso_max);
	if (p->n_queues < plane.n_workers)
		die("DataplaneCores names %u cores, but this port steers to %u only",
		    plane.n_workers, p->n_queues);
}

static void plan(const struct options *o)
{
	const struct port *p = &plane.port;
	const char *bad;

	plane.n_conns = o->n_conns;
	plane.n_circs = o->n_circs;
	plane.n_streams = o->n_streams;
	plane.n_slots = (uint32_t)(o->mem_mb * 1024 * 1024 / plane.n_workers / sizeof(struct slot));
	plane.busy_poll = o->busy;
	memcpy(plane.net.mac, p->mac, 6);
	plane.net.mtu = p->mtu;
	plane.net.tx_csum = (p->caps & PORT_TX_CSUM) != 0;
	plane.net.tso = p->tso_max != 0;
	bad = net_config_bad(&plane.net);
	if (bad)
		die("%s", bad);
	plane.tcp = (struct tcp_config) {
		.numa = -1,
		.n_conns = o->n_conns,
		.mss4 = (uint16_t)(p->mtu - 40),
		.mss6 = (uint16_t)(p->mtu - 60),
		.tso_max = MIN(p->tso_max, 60000u),
		.tx_segs = p->tx_segs,
		.sums = !(p->caps & PORT_TX_CSUM),
		.max_mem = tcp_bytes(o),
		.port_min = DIAL_MIN,
		.port_max = plane.net.shared ? DIAL_MAX_SHARED : DIAL_MAX,
	};
	draw(&plane.tcp.cookie_key, sizeof(plane.tcp.cookie_key));
	plane.mesh = mesh_new(plane.n_workers);
	if (!plane.mesh)
		die("not enough memory for the rings between workers");
}

static struct worker *build(void)
{
	struct worker *workers = column_new(plane.n_workers, sizeof(*workers));
	uint8_t seed[32];
	char err[PORT_ERR];

	if (!workers)
		die("not enough memory for the workers");
	for (unsigned i = 0; i < plane.n_workers; i++) {
		draw(seed, sizeof(seed));
		if (worker_init(&workers[i], &plane, i, seed, clock_us(), err) < 0)
			die("%s", err);
		workers[i].wake_fd = CTL_FD_WAKE_WORKER + (int)i;
		workers[i].wake_control_fd = CTL_FD_WAKE_CONTROL;
	}
	wipe(seed, sizeof(seed));
	net_announce(workers[0].net, clock_us());
	return workers;
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
	struct worker *workers;
	struct options o;

	log_open_piped(STDERR_FILENO, LOG_NOTICE, "dataplane");
	options_parse(&o, argc, argv);
	log_set_level(o.log_level);
	signal(SIGTERM, on_term);
	signal(SIGINT, SIG_IGN); /* the parent decides */
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	plane.n_workers = o.n_workers;
	plane.net = o.net;
	attach_memory();
	start_eal(&o);
	open_port(&o);
	plan(&o);
	workers = build();
	if (sandbox_enter(o.user) < 0)
		die("cannot give rights away: %s", strerror(errno));
	log_notice("%u worker(s) turn; %s, %s, %s", plane.n_workers, workers[0].cipher.arch,
		   workers[0].cipher.ctr_name, workers[0].cipher.sha1_name);
	rte_eal_mp_remote_launch(run_one, workers, CALL_MAIN);
	rte_eal_mp_wait_lcore();
	log_notice("stopped");
	return 0;
}

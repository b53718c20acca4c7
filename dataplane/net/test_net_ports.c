/* test_net_ports.c - net on real ports against the kernel of another network namespace: echo, ARP
 * and neighbour discovery both ways, a refused connection both ways. Needs root; each kind of port
 * that the machine lacks is skipped with a message. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <rte_mbuf.h>

#include "dataplane/net/net.h"
#include "dataplane/wire/tcp_hdr.h"
#include "drivers/port.h"

#define NO_OFFLOAD "ethtool -K rnt1 tx off >/dev/null"
#define RUN_MAX_US 20000000ull /* of one command of the peer's */

struct rig {
	pid_t peer; /* sleeps in the other namespace */
	struct port port;
	struct net *net;
	struct counts counts;
	struct net_rx rx, tick;
	unsigned n_rst[7]; /* by family: RSTs that answered our SYN */
	unsigned n_asked;  /* segments that we answered with RST */
	struct rte_mempool *pool;
};
static struct rig rig;

/* DPDK's AF_XDP driver leaves a few hundred bytes of libxdp's behind at each close. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libxdp\nleak:libbpf\n";
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000;
}

static int sh(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	return system(cmd);
}

static void peer_start(struct rig *r)
{
	int ready[2];
	char c;

	assert_int_equal(pipe(ready), 0);
	r->peer = fork();
	if (r->peer == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) == 0 && write(ready[1], "r", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	assert_int_equal(sh("nsenter -t %d -n ip link set lo up", r->peer), 0);
}

static void peer_stop(struct rig *r)
{
	kill(r->peer, SIGKILL);
	waitpid(r->peer, NULL, 0);
}

static void peer_addresses(const struct rig *r, const char *ifname)
{
	assert_int_equal(
		sh("nsenter -t %d -n sh -ec 'ip link set %s up; ip addr add 10.77.0.1/24 dev %s; "
		   "ip addr add fd77::1/64 dev %s nodad'",
		   r->peer, ifname, ifname, ifname),
		0);
}

/* ---- the house: RST to every segment that is none itself ---- */

static struct tcp_tx segment(struct rig *r, const struct addr *src, const struct addr *dst,
			     struct tcp_hdr *h)
{
	struct tcp_tx t = {.m = rte_pktmbuf_alloc(r->pool), .src = *src, .dst = *dst};

	assert_non_null(t.m);
	h->src_port = src->port;
	h->dst_port = dst->port;
	t.m->l4_len = TCP_HDR_MIN;
	tcp_hdr_build(h, (uint8_t *)rte_pktmbuf_append(t.m, TCP_HDR_MIN));
	return t;
}

static void segment_in(struct rig *r, const struct tcp_seg *s)
{
	struct tcp_hdr h, a = {.flags = TCP_RST | TCP_ACK};
	struct tcp_tx t;

	assert_int_equal(tcp_hdr_parse(&h, s->tcp, s->tcp_len), 0);
	if (h.flags & TCP_RST) {
		r->n_rst[s->src.family]++;
		return;
	}
	r->n_asked++;
	a.ack = h.seq + 1;
	t = segment(r, &s->dst, &s->src, &a);
	assert_int_equal(net_out(r->net, &t, 1, now_us()), 1);
}

static void turn(struct rig *r)
{
	struct rte_mbuf *m[PORT_BURST], **out;
	unsigned n = port_rx(&r->port, 0, m, PORT_BURST);
	struct pollfd pfd = {.fd = port_fd(&r->port, 0), .events = POLLIN};

	net_in(r->net, m, n, now_us(), &r->rx);
	for (unsigned i = 0; i < r->rx.n_segs; i++)
		segment_in(r, &r->rx.segs[i]);
	rte_pktmbuf_free_bulk(m, n);
	net_tick(r->net, now_us(), &r->tick);
	n = net_ready(r->net, &out);
	if (n)
		net_sent(r->net, port_tx(&r->port, 0, out, n));
	else if (pfd.fd >= 0)
		poll(&pfd, 1, 1);
	else
		usleep(200);
}

/* Runs the house until the peer's command ends; its exit status. */
static int during(struct rig *r, const char *cmd)
{
	uint64_t until = now_us() + RUN_MAX_US;
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		char target[16];

		snprintf(target, sizeof(target), "%d", r->peer);
		execlp("nsenter", "nsenter", "-t", target, "-n", "bash", "-c", cmd, NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		turn(r);
		if (now_us() > until)
			kill(pid, SIGKILL);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void dial(struct rig *r, const char *from, const char *to)
{
	struct tcp_hdr syn = {.flags = TCP_SYN, .seq = 7};
	uint64_t until = now_us() + 5000000;
	struct addr src, dst;
	struct tcp_tx t;

	assert_int_equal(addr_parse(&src, from), 0);
	assert_int_equal(addr_parse(&dst, to), 0);
	t = segment(r, &src, &dst, &syn);
	assert_int_equal(net_out(r->net, &t, 1, now_us()), 1);
	while (!r->n_rst[dst.family] && now_us() < until)
		turn(r);
	assert_int_equal(r->n_rst[dst.family], 1);
}

static void house_open(struct rig *r, const char *spec, bool shared)
{
	struct port_config pc = {
		.n_queues = 1, .numa = -1, .n_addrs = 2, .n_ranges = 1, .ranges = {{9000, 9001}}};
	struct net_config nc = {
		.n_addrs = 2, .counts = &r->counts, .pool = r->pool, .shared = shared};
	char err[PORT_ERR] = "";

	net_prefix_parse(&nc.addrs[0], "10.77.0.2/24");
	net_prefix_parse(&nc.addrs[1], "fd77::2/64");
	for (unsigned i = 0; i < 2; i++) {
		pc.addrs[i].family = nc.addrs[i].ip.family;
		pc.addrs[i].shared = shared;
		memcpy(pc.addrs[i].ip, nc.addrs[i].ip.ip, 16);
	}
	if (port_open(&r->port, spec, &pc, err) < 0)
		fail_msg("%s", err);
	if (r->port.note[0])
		print_message("%s\n", r->port.note);
	memcpy(nc.mac, r->port.mac, 6);
	nc.mtu = r->port.mtu;
	nc.tx_csum = r->port.caps & PORT_TX_CSUM;
	nc.tso = r->port.tso_max;
	assert_null(net_config_bad(&nc));
	r->net = net_init(&nc);
	assert_non_null(r->net);
}

static void house_close(struct rig *r)
{
	net_fini(r->net);
	port_close(&r->port);
}

static void house_try(struct rig *r)
{
	memset(r->n_rst, 0, sizeof(r->n_rst));
	net_announce(r->net, now_us());
	/* Ours first: nothing is known of the peer yet. */
	dial(r, "10.77.0.2:4000", "10.77.0.1:9");
	dial(r, "[fd77::2]:4000", "[fd77::1]:9");
	assert_int_equal(during(r, "ping -q -n -c 3 -i 0.2 -W 3 10.77.0.2 >&2"), 0);
	assert_int_equal(during(r, "ping -q -n -c 3 -i 0.2 -W 3 -s 1400 10.77.0.2 >&2"), 0);
	assert_int_equal(during(r, "ping -q -n -c 3 -i 0.2 -W 3 -s 1400 fd77::2 >&2"), 0);
	/* Refused at once: a lost or damaged RST would take until the SYN is given up. */
	assert_int_equal(during(r, "(exec 3<>/dev/tcp/10.77.0.2/80) 2>&1 | grep -q refused"), 0);
	assert_int_equal(during(r, "(exec 3<>/dev/tcp/fd77::2/80) 2>&1 | grep -q refused"), 0);
	assert_int_equal(r->counts.v[COUNT_net_tcp_sum_bad], 0);
	assert_int_equal(r->counts.v[COUNT_net_tx_unfit], 0);
}

/* ---- the kinds ---- */

static void veth_up(struct rig *r, const char *peer_setup)
{
	memset(&r->counts, 0, sizeof(r->counts));
	r->n_asked = 0;
	peer_start(r);
	assert_int_equal(
		sh("ip link add rnt0 type veth peer name rnt1 && ip link set rnt1 netns %d && "
		   "ip link set rnt0 up",
		   r->peer),
		0);
	peer_addresses(r, "rnt1");
	if (peer_setup)
		assert_int_equal(sh("nsenter -t %d -n %s", r->peer, peer_setup), 0);
}

static void veth_down(struct rig *r)
{
	house_close(r);
	sh("ip link del rnt0");
	peer_stop(r);
}

static void on_veth(struct rig *r, const char *spec, const char *peer_setup)
{
	veth_up(r, peer_setup);
	house_open(r, spec, false);
	house_try(r);
	veth_down(r);
}

static void test_af_packet(void **state)
{
	on_veth(&rig, "af_packet:rnt0", NULL);
}

/* These cannot say that a checksum is not computed yet: the sender must compute it. */
static void test_af_packet_pmd(void **state)
{
	on_veth(&rig, "af_packet_pmd:rnt0", NO_OFFLOAD);
}

static void test_af_xdp(void **state)
{
	on_veth(&rig, "af_xdp:rnt0", NO_OFFLOAD);
}

/* The kernel keeps its own address on the same interface, and the rest of its life there. */
static void test_af_xdp_beside(void **state)
{
	struct rig *r = &rig;

	veth_up(r, NO_OFFLOAD);
	assert_int_equal(
		sh("ip addr add 10.77.0.3/24 dev rnt0; ip addr add fd77::3/64 dev rnt0 nodad"), 0);
	house_open(r, "af_xdp:rnt0", false);
	house_try(r);
	assert_int_equal(during(r, "ping -q -n -c 3 -i 0.2 -W 3 10.77.0.3 >&2"), 0);
	assert_int_equal(during(r, "ping -q -n -c 3 -i 0.2 -W 3 fd77::3 >&2"), 0);
	veth_down(r);
}

/* One address for both: 9000 and 9001 are ours, everything else is the kernel's. */
static void test_af_xdp_shared(void **state)
{
	struct rig *r = &rig;

	veth_up(r, NO_OFFLOAD);
	assert_int_equal(
		sh("ip addr add 10.77.0.2/24 dev rnt0; ip addr add fd77::2/64 dev rnt0 nodad"), 0);
	house_open(r, "af_xdp:rnt0", true);
	assert_int_equal(during(r, "ping -q -n -c 3 -i 0.2 -W 3 10.77.0.2 >&2"), 0);
	assert_int_equal(during(r, "ping -q -n -c 3 -i 0.2 -W 3 fd77::2 >&2"), 0);
	assert_int_equal(during(r, "(exec 3<>/dev/tcp/10.77.0.2/80) 2>&1 | grep -q refused"), 0);
	assert_int_equal(during(r, "(exec 3<>/dev/tcp/fd77::2/8999) 2>&1 | grep -q refused"), 0);
	assert_int_equal(r->counts.v[COUNT_net_rx_packets], 0);
	assert_int_equal(during(r, "(exec 3<>/dev/tcp/10.77.0.2/9000) 2>&1 | grep -q refused"), 0);
	assert_int_equal(during(r, "(exec 3<>/dev/tcp/fd77::2/9001) 2>&1 | grep -q refused"), 0);
	assert_int_equal(r->n_asked, 2);
	assert_int_equal(r->counts.v[COUNT_net_rx_packets], 2);
	veth_down(r);
}

/* A process killed with -9 leaves its program on the interface; the next is not stopped by it. */
static int xdp_hold(const char *spec)
{
	struct port_config pc = {.n_queues = 1,
				 .numa = -1,
				 .n_addrs = 1,
				 .addrs = {{.family = 4, .ip = {10, 77, 0, 2}}}};
	struct eal_config ec = {.mem_mb = 64, .port = spec, .n_queues = 1};
	char err[PORT_ERR];
	struct port p;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (eal_start(&ec, NULL, err) < 0 || port_open(&p, spec, &pc, err) < 0)
		return 1;
	if (write(3, "r", 1) != 1)
		return 1;
	for (;;)
		pause();
}

static void test_af_xdp_stale(void **state)
{
	struct rig *r = &rig;
	int ready[2];
	char c = 0;
	pid_t pid;

	veth_up(r, NO_OFFLOAD);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		dup2(ready[1], 3);
		execl("/proc/self/exe", "test_net_ports", "af_xdp:rnt0", NULL);
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(sh("ip link show rnt0 | grep -q prog/xdp"), 0);
	house_open(r, "af_xdp:rnt0", false);
	assert_true(strstr(r->port.note, "rnt0") != NULL);
	house_try(r);
	veth_down(r);
}

static void test_tap(void **state)
{
	struct rig *r = &rig;

	memset(&r->counts, 0, sizeof(r->counts));
	peer_start(r);
	house_open(r, "tap:rnt2", false);
	assert_int_equal(sh("ip link set rnt2 netns %d", r->peer), 0);
	peer_addresses(r, "rnt2");
	house_try(r);
	house_close(r);
	peer_stop(r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_af_packet),     cmocka_unit_test(test_af_packet_pmd),
		cmocka_unit_test(test_af_xdp),	      cmocka_unit_test(test_af_xdp_beside),
		cmocka_unit_test(test_af_xdp_shared), cmocka_unit_test(test_af_xdp_stale),
		cmocka_unit_test(test_tap),
	};
	struct eal_config ec = {.mem_mb = 128, .port = "af_packet_pmd:rnt0", .n_queues = 4};
	char err[PORT_ERR];

	if (argc > 1)
		return xdp_hold(argv[1]);
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "skipped: network namespaces need root: %s\n", strerror(errno));
		return 77;
	}
	if (eal_start(&ec, NULL, err) < 0) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	rig.pool = rte_pktmbuf_pool_create("test", 4095, 128, 0, RTE_MBUF_DEFAULT_BUF_SIZE, -1);
	if (!rig.pool)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

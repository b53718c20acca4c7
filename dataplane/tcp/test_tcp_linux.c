/* test_tcp_linux.c - our TCP against the kernel's, through a tun device in a network namespace of
 * our own, with merged segments both ways and with loss. Skipped (77) where that is not allowed. */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/tcp/pair.h"

#define SKIP	77
#define PORT	9001
#define SECONDS 20

struct row {
	const char *what;
	uint64_t to_kernel, from_kernel;
	uint32_t loss_ppm;
	bool we_dial, merged;
	uint8_t kind;
};

static const struct row rows[] = {
	{"1 kernel dials, few bytes", 10, 10, 0, false, false, KIND_RAW},
	{"2 kernel dials, much", 30000000, 30000000, 0, false, false, KIND_RAW},
	{"3 merged segments", 100000000, 100000000, 0, false, true, KIND_RAW},
	{"4 we dial", 1000000, 1000000, 0, true, true, KIND_RAW},
	{"5 1 % loss", 3000000, 3000000, 10000, false, false, KIND_RAW},
	{"6 3 % loss, merged", 3000000, 3000000, 30000, true, true, KIND_RAW},
};

static const struct row *row;
static struct addr ours, theirs;

static uint8_t pattern(uint64_t offset)
{
	return (uint8_t)((offset * 0x9e3779b97f4a7c15ull) >> 56);
}

static uint64_t clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- the kernel's end, in a thread: sends, shuts down, reads to the end ---- */

static struct sockaddr_in kernel_addr(const struct addr *a)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};

	memcpy(&in.sin_addr, a->ip, 4);
	return in;
}

static int kernel_socket(int listener)
{
	struct sockaddr_in peer = kernel_addr(&ours);
	int fd;

	if (listener >= 0)
		return accept(listener, NULL, NULL);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&peer, sizeof(peer)) == 0)
		return fd;
	perror("connect");
	return -1;
}

static void *kernel_writer(void *arg)
{
	int fd = *(int *)arg;
	static uint8_t b[65536];

	for (uint64_t at = 0; at < row->from_kernel;) {
		size_t len = MIN(sizeof(b), row->from_kernel - at);

		for (size_t i = 0; i < len; i++)
			b[i] = pattern(at + i);
		ssize_t n = send(fd, b, len, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		at += (uint64_t)n;
	}
	shutdown(fd, SHUT_WR);
	return NULL;
}

static void *kernel_end(void *arg)
{
	static uint8_t b[65536];
	int fd = kernel_socket(*(int *)arg);
	uint64_t at = 0;
	pthread_t writer;
	ssize_t n;

	if (fd < 0)
		return (void *)"the kernel did not connect";
	pthread_create(&writer, NULL, kernel_writer, &fd);
	while ((n = recv(fd, b, sizeof(b), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (b[i] != pattern(at + (uint64_t)i))
				return (void *)"the kernel read a wrong byte";
		at += (uint64_t)n;
	}
	pthread_join(writer, NULL);
	close(fd);
	if (n < 0)
		return (void *)"the kernel saw a reset";
	return at == row->to_kernel ? NULL : (void *)"the kernel read too little";
}

/* ---- our end ---- */

struct end {
	struct tcp *t;
	int tun;
	uint32_t conn;
	bool open, closed, done;
	uint64_t pushed, taken;
	uint8_t reason;
	struct rng rng;
};

static uint32_t sum_add(uint32_t sum, const uint8_t *p, size_t len)
{
	for (; len > 1; p += 2, len -= 2)
		sum += be16_get(p);
	return len ? sum + (uint32_t)(*p << 8) : sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static bool dropped(struct end *e)
{
	return row->loss_ppm && rng_below(&e->rng, 1000000) < row->loss_ppm;
}

static bool packet_in(struct end *e, uint64_t now_us)
{
	static uint8_t b[65536 + 64];
	struct virtio_net_hdr v;
	ssize_t n = read(e->tun, b, sizeof(b));
	const uint8_t *ip = b + sizeof(v);
	struct tcp_seg seg = {.src = {.family = 4}, .dst = {.family = 4}};

	if (n <= 0)
		return false;
	memcpy(&v, b, sizeof(v));
	if (n < (ssize_t)sizeof(v) + 40 || ip[0] != 0x45 || ip[9] != 6 || dropped(e))
		return true;
	memcpy(seg.src.ip, ip + 12, 4);
	memcpy(seg.dst.ip, ip + 16, 4);
	seg.tcp = ip + 20;
	seg.tcp_len = be16_get(ip + 2) - 20u;
	seg.gso_size = v.gso_type ? v.gso_size : 0;
	tcp_in(e->t, &seg, 1, now_us);
	return true;
}

/* IPv4 header, pseudo header and virtio header: what net and the port do. */
static void packet_out(struct end *e, const struct tcp_tx *tx)
{
	static uint8_t b[65536 + 64];
	struct virtio_net_hdr v = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 20, .csum_offset = 16};
	uint8_t *ip = b + sizeof(v), pseudo[12] = {0};
	uint32_t len = 20 + tx->m->pkt_len, at = 20;

	for (struct rte_mbuf *m = tx->m; m; at += m->data_len, m = m->next)
		memcpy(ip + at, rte_pktmbuf_mtod(m, void *), m->data_len);
	memcpy(ip, "\x45\0\0\0\0\0\x40\0\x40\6\0\0", 12);
	be16_put(ip + 2, (uint16_t)len);
	memcpy(ip + 12, tx->src.ip, 4);
	memcpy(ip + 16, tx->dst.ip, 4);
	be16_put(ip + 10, (uint16_t)~sum_fold(sum_add(0, ip, 20)));
	memcpy(pseudo, ip + 12, 8);
	pseudo[9] = 6;
	be16_put(pseudo + 10, (uint16_t)(len - 20));
	be16_put(ip + 20 + 16, sum_fold(sum_add(0, pseudo, 12)));
	if (tx->gso_size) {
		v.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		v.gso_size = tx->gso_size;
		v.hdr_len = (uint16_t)(20 + tx->m->l4_len);
	}
	memcpy(b, &v, sizeof(v));
	if (!dropped(e) && write(e->tun, b, sizeof(v) + len) < 0)
		perror("tun");
}

static void end_app(struct end *e, uint64_t now_us)
{
	uint32_t len;
	uint8_t *b;

	while (tcp_peek(e->t, e->conn, &b, &len)) {
		for (uint32_t i = 0; i < len; i++)
			if (b[i] != pattern(e->taken + i)) {
				printf("row %s: wrong byte at %lu\n", row->what,
				       (unsigned long)e->taken);
				exit(1);
			}
		tcp_take(e->t, e->conn, len);
		e->taken += len;
	}
	while (e->pushed < row->to_kernel && tcp_room(e->t, e->conn)) {
		len = (uint32_t)MIN(16000, row->to_kernel - e->pushed);
		b = tcp_reserve(e->t, e->conn, len);
		if (!b)
			break;
		for (uint32_t i = 0; i < len; i++)
			b[i] = pattern(e->pushed + i);
		tcp_push(e->t, e->conn, len);
		e->pushed += len;
	}
	if (e->pushed == row->to_kernel && e->taken == row->from_kernel && !e->closed) {
		e->closed = true;
		tcp_close(e->t, e->conn, now_us);
	}
}

static void end_turn(struct end *e)
{
	uint64_t now_us = clock_us();
	struct tcp_event ev[16];
	struct tcp_tx tx[32];
	unsigned n;
	bool any = false;

	for (int i = 0; i < 64 && packet_in(e, now_us); i++)
		any = true;
	tcp_timers(e->t, now_us);
	while ((n = tcp_events(e->t, ev, ARRAY_LEN(ev))))
		for (unsigned i = 0; i < n; i++) {
			e->open |= ev[i].flags & TCP_OPENED;
			e->conn = ev[i].conn;
			e->done |= ev[i].flags & TCP_CLOSED;
			e->reason = ev[i].reason;
		}
	if (e->open && !e->done)
		end_app(e, now_us);
	do {
		n = tcp_out(e->t, now_us, tx, ARRAY_LEN(tx));
		for (unsigned i = 0; i < n; i++) {
			packet_out(e, &tx[i]);
			rte_pktmbuf_free(tx[i].m);
		}
		any |= n != 0;
	} while (n == ARRAY_LEN(tx));
	if (!any) {
		struct pollfd fd = {.fd = e->tun, .events = POLLIN};

		poll(&fd, 1, 1);
	}
}

/* ---- the namespace and the device ---- */

static int tun_open(void)
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	struct sockaddr_in *in = (struct sockaddr_in *)&ifr.ifr_addr;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK), s = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(ifr.ifr_name, "rmtcp0");
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		return -1;
	*in = kernel_addr(&theirs);
	if (ioctl(s, SIOCSIFADDR, &ifr) < 0)
		return -1;
	in->sin_addr.s_addr = htonl(0xffffff00);
	ioctl(s, SIOCSIFNETMASK, &ifr);
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	ioctl(s, SIOCSIFFLAGS, &ifr);
	close(s);
	return fd;
}

static int run_row(struct end *e)
{
	uint64_t start = clock_us(), end = start + SECONDS * 1000000ull;
	int listener = -1, one = 1;
	pthread_t thread;
	void *failure = NULL;

	ioctl(e->tun, TUNSETOFFLOAD, TUN_F_CSUM | (row->merged ? TUN_F_TSO4 : 0));
	e->t->cfg.tso_max = row->merged ? 64000 : 0;
	e->open = e->closed = e->done = false;
	e->pushed = e->taken = 0;
	if (row->we_dial) {
		struct sockaddr_in in = kernel_addr(&theirs);

		listener = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(listener, (struct sockaddr *)&in, sizeof(in)) < 0 ||
		    listen(listener, 5) < 0)
			perror("listen");
		tcp_open(e->t, &ours, &theirs, row->kind, start);
	}
	pthread_create(&thread, NULL, kernel_end, &listener);
	while (!e->done && clock_us() < end)
		end_turn(e);
	double s = (double)(clock_us() - start) / 1e6;
	if (e->done) {
		/* The last ACK, and the kernel's FIN if ours was first. */
		tcp_release(e->t, e->conn);
		for (int i = 0; i < 20; i++)
			end_turn(e);
		pthread_join(thread, &failure);
	}
	if (listener >= 0)
		close(listener);
	if (!e->done || e->reason != TCP_DONE || failure) {
		printf("row %s: %s, reason %d, %lu pushed, %lu taken\n", row->what,
		       e->done ? (char *)failure : "not finished", e->reason,
		       (unsigned long)e->pushed, (unsigned long)e->taken);
		return 1;
	}
	printf("%-26s %6.2f s, %7.1f Mbit/s, %lu retransmits, %lu timeouts\n", row->what, s,
	       (double)(row->to_kernel + row->from_kernel) * 8 / 1e6 / s,
	       (unsigned long)e->t->counts->v[COUNT_tcp_retransmits],
	       (unsigned long)e->t->counts->v[COUNT_tcp_timeouts]);
	return 0;
}

int main(void)
{
	static struct pair p;
	struct end e = {.tun = -1};
	uint8_t seed[32] = {7};
	const char *err;
	int bad = 0;

	addr_parse(&ours, "10.77.0.2:9001");
	addr_parse(&theirs, "10.77.0.1:9001");
	if (unshare(CLONE_NEWNET) < 0 || (e.tun = tun_open()) < 0) {
		printf("no network namespace or tun device here: skipped\n");
		return SKIP;
	}
	pair_eal();
	rng_seed(&e.rng, seed);
	rng_seed(&p.rng, seed);
	struct tcp_config cfg = pair_config(&p, 0);
	cfg.tx_segs = 64;
	e.t = tcp_init(&cfg, clock_us(), &err);
	tcp_listen(e.t, &ours, KIND_RAW, 16);
	for (size_t i = 0; i < ARRAY_LEN(rows) && !bad; i++) {
		memset(&p.counts, 0, sizeof(p.counts));
		row = &rows[i];
		bad = run_row(&e);
	}
	for (int i = 0; bad && i < N_COUNTS; i++)
		if (p.counts[0].v[i])
			printf("%s %lu\n", count_name(i), (unsigned long)p.counts[0].v[i]);
	tcp_fini(e.t);
	return bad;
}

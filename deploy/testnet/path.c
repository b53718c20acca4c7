/* path.c - a long and lossy way between two interfaces, for kernels without netem: frames to or
 * from the given addresses come late and some never, all others pass at once. far.py lays it into a
 * leg of the private network. */
#include <errno.h>
#include <arpa/inet.h>
#include <getopt.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define N_SLOTS	   16384u /* frames of one direction that may be on their way: 25 MB */
#define BATCH	   64u
#define SLOT_BYTES 1600u /* an Ethernet frame of 1500 bytes with room for a tag */
#define SOCKBUF	   (16 << 20)
#define N_FAR	   16
#define NS	   1000000000ull
#define PPM	   1000000u

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

/* What a checksum still lacks travels with the frame, as the kernel left it. */
struct slot {
	uint64_t due_ns;
	uint32_t len; /* of hdr and data; 0: it has left the queue before its turn */
	struct virtio_net_hdr hdr;
	uint8_t data[SLOT_BYTES];
};
_Static_assert(offsetof(struct slot, data) ==
		       offsetof(struct slot, hdr) + sizeof(struct virtio_net_hdr),
	       "header and frame are one message");

/* One direction: in at one socket, out at the other. Slots are in order of time, for all wait
 * equally long. */
struct way {
	int in, out;
	struct slot *slots;
	uint32_t head, tail; /* free running */
	uint64_t random, free_ns;
	struct {
		uint64_t frames, passed, lost, full, too_big, unsent;
	} n;
};

static struct {
	uint64_t delay_ns, queue_ns, bytes_s, seed;
	uint32_t loss_ppm;
	struct {
		uint8_t ip[16];
		size_t len;
	} far[N_FAR];
	unsigned n_far;
} cfg;
static uint64_t overslept_ns;
static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	ended = 1;
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "testnet-path: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* ---- which frames ---- */

static bool is_far(const uint8_t *ip, size_t len)
{
	for (unsigned i = 0; i < cfg.n_far; i++)
		if (cfg.far[i].len == len && !memcmp(cfg.far[i].ip, ip, len))
			return true;
	return false;
}

/* Without addresses all of IP goes the long way. */
static bool goes_far(const uint8_t *f, uint32_t len)
{
	uint16_t type = len > 34 ? (uint16_t)(f[12] << 8 | f[13]) : 0;

	if (type == ETH_P_IP)
		return !cfg.n_far || is_far(f + 26, 4) || is_far(f + 30, 4);
	if (type == ETH_P_IPV6 && len > 54)
		return !cfg.n_far || is_far(f + 22, 16) || is_far(f + 38, 16);
	return false;
}

/* ---- one direction ---- */

static void send_slots(struct way *w, struct slot *const *s, unsigned n)
{
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	int sent;

	for (unsigned i = 0; i < n; i++) {
		iov[i] = (struct iovec) {&s[i]->hdr, s[i]->len};
		msg[i] = (struct mmsghdr) {.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	for (unsigned i = 0; i < n; i += (unsigned)sent) {
		sent = sendmmsg(w->out, msg + i, n - i, 0);
		if (sent < 1) { /* this one stays here, the next may go */
			sent = 1;
			w->n.unsent++;
		}
	}
}

/* The turn of each frame at the rate, if there is one. False: the queue before it is full. */
static bool take_turn(struct way *w, struct slot *s, uint64_t now)
{
	uint64_t from = w->free_ns > now ? w->free_ns : now;

	if (cfg.bytes_s) {
		if (from - now > cfg.queue_ns)
			return false;
		from += (s->len - sizeof(s->hdr)) * NS / cfg.bytes_s;
	}
	w->free_ns = from;
	s->due_ns = from + cfg.delay_ns;
	return true;
}

/* What becomes of one frame that came in. True: it passes at once. */
static bool take_frame(struct way *w, struct slot *s, bool cut, uint64_t now)
{
	if (cut) {
		w->n.too_big++;
		s->len = 0;
	} else if (!goes_far(s->data, s->len - (uint32_t)sizeof(s->hdr))) {
		w->n.passed++;
		return true;
	} else if (w->n.frames++, draw(&w->random) % PPM < cfg.loss_ppm) {
		w->n.lost++;
		s->len = 0;
	} else if (!take_turn(w, s, now)) {
		w->n.full++;
		s->len = 0;
	}
	return false;
}

/* Frames are received right into the slots where they wait. True: there may be more. */
static bool take_in(struct way *w, uint64_t now)
{
	unsigned room = N_SLOTS - (w->tail - w->head), want = room < BATCH ? room : BATCH,
		 n_pass = 0;
	struct slot *pass[BATCH] = {0};
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	int n;

	for (unsigned i = 0; i < want; i++) {
		struct slot *s = &w->slots[(w->tail + i) % N_SLOTS];

		iov[i] = (struct iovec) {&s->hdr, sizeof(s->hdr) + SLOT_BYTES};
		msg[i] = (struct mmsghdr) {.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	n = want ? recvmmsg(w->in, msg, want, MSG_DONTWAIT, NULL) : 0;
	for (int i = 0; i < n; i++) {
		struct slot *s = &w->slots[(w->tail + (unsigned)i) % N_SLOTS];

		s->len = msg[i].msg_len;
		if (take_frame(w, s, msg[i].msg_hdr.msg_flags & MSG_TRUNC, now))
			pass[n_pass++] = s;
	}
	send_slots(w, pass, n_pass);
	for (unsigned i = 0; i < n_pass; i++)
		pass[i]->len = 0;
	w->tail += n > 0 ? (unsigned)n : 0;
	return n == (int)BATCH;
}

/* Sends what is due; returns when the next frame is, or now + 1 s. */
static uint64_t let_out(struct way *w, uint64_t now)
{
	while (w->head != w->tail) {
		struct slot *due[BATCH], *s;
		unsigned n = 0;

		for (; w->head != w->tail && n < BATCH; w->head++) {
			s = &w->slots[w->head % N_SLOTS];
			if (s->len && s->due_ns > now)
				break;
			if (s->len)
				due[n++] = s;
		}
		if (n && now - due[0]->due_ns > overslept_ns)
			overslept_ns = now - due[0]->due_ns;
		send_slots(w, due, n);
		if (n < BATCH && w->head != w->tail)
			return w->slots[w->head % N_SLOTS].due_ns;
	}
	return now + NS;
}

/* Until when to sleep: the next frame's time, at most a second on. */
static uint64_t turn(struct way w[2], uint64_t now)
{
	bool more = take_in(&w[0], now);
	uint64_t a, b;

	more |= take_in(&w[1], now);
	a = let_out(&w[0], now);
	b = let_out(&w[1], now);
	return more ? now : a < b ? a : b;
}

static void run(struct way w[2])
{
	while (!ended) {
		uint64_t next = turn(w, clock_ns()), now = clock_ns(), left;
		struct pollfd p[2];

		/* Who is full is deaf, until a frame has left. */
		for (int i = 0; i < 2; i++)
			p[i] = (struct pollfd) {w[i].tail - w[i].head < N_SLOTS ? w[i].in : -1,
						POLLIN, 0};
		left = next > now ? next - now : 0;
		if (left)
			ppoll(p, 2, &(struct timespec) {left / NS, left % NS}, NULL);
	}
}

/* ---- start and end ---- */

static void set_int(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)) < 0)
		die("setsockopt");
}

static int open_interface(const char *name)
{
	struct sockaddr_ll sa = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)if_nametoindex(name)};
	struct packet_mreq all = {.mr_ifindex = sa.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || !sa.sll_ifindex)
		die(name);
	set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	set_int(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKBUF);
	set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKBUF);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) < 0)
		die(name);
	return fd;
}

static void far_add(const char *text)
{
	bool v6 = strchr(text, ':');

	if (cfg.n_far == N_FAR ||
	    inet_pton(v6 ? AF_INET6 : AF_INET, text, cfg.far[cfg.n_far].ip) != 1) {
		fprintf(stderr, "testnet-path: no address, or too many: %s\n", text);
		exit(2);
	}
	cfg.far[cfg.n_far].len = v6 ? 16 : 4;
	cfg.n_far++;
}

static void way_open(struct way *w, int in, int out, uint64_t seed)
{
	*w = (struct way) {
		.in = in, .out = out, .random = seed, .slots = calloc(N_SLOTS, sizeof(*w->slots))};
	if (!w->slots)
		die("memory");
}

static void tell(const char *name, const struct way *w)
{
	struct tpacket_stats st = {0};
	socklen_t len = sizeof(st);

	getsockopt(w->in, SOL_PACKET, PACKET_STATISTICS, &st, &len);
	printf("\"%s\": {\"frames\": %lu, \"passed\": %lu, \"lost\": %lu, \"full\": %lu, "
	       "\"too_big\": %lu, "
	       "\"unsent\": %lu, \"kernel\": %u}, ",
	       name, w->n.frames, w->n.passed, w->n.lost, w->n.full, w->n.too_big, w->n.unsent,
	       st.tp_drops);
}

static const struct option options[] = {
	{"delay-ms", required_argument, NULL, 'd'}, {"loss", required_argument, NULL, 'l'},
	{"seed", required_argument, NULL, 's'},	    {"rate-mbit", required_argument, NULL, 'r'},
	{"queue-ms", required_argument, NULL, 'q'}, {0},
};

static void usage(void)
{
	fprintf(stderr,
		"usage: testnet-path [--delay-ms 50] [--loss PERCENT] [--seed N] [--rate-mbit N] "
		"[--queue-ms 100] A B [ADDRESS...]\n"
		"Joins interfaces A and B; what goes to or from ADDRESS (none: any IP) is delayed, "
		"each way.\n"
		"Ends at SIGTERM and prints what it did.\n");
	exit(2);
}

static void parse(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		double v = optarg ? atof(optarg) : -1;

		if (c == '?' || !(v >= 0 && v <= 1e6))
			usage();
		switch (c) {
		case 'd':
			cfg.delay_ns = (uint64_t)(v * 1e6);
			break;
		case 'q':
			cfg.queue_ns = (uint64_t)(v * 1e6);
			break;
		case 'r':
			cfg.bytes_s = (uint64_t)(v * 125000);
			break;
		case 'l':
			cfg.loss_ppm = (uint32_t)(v * 10000);
			break;
		default:
			cfg.seed = (uint64_t)v;
		}
	}
	if (argc - optind < 2)
		usage();
	for (int i = optind + 2; i < argc; i++)
		far_add(argv[i]);
}

int main(int argc, char **argv)
{
	struct way w[2];
	int a, b;

	cfg.delay_ns = 50 * NS / 1000;
	cfg.queue_ns = 100 * NS / 1000;
	parse(argc, argv);
	a = open_interface(argv[optind]);
	b = open_interface(argv[optind + 1]);
	way_open(&w[0], a, b, cfg.seed);
	way_open(&w[1], b, a, ~cfg.seed);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	puts("ready");
	fflush(stdout);
	run(w);
	printf("{");
	tell("there", &w[0]);
	tell("back", &w[1]);
	printf("\"overslept_ms\": %.1f}\n", (double)overslept_ns / 1e6);
	return 0;
}

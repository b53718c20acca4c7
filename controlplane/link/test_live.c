/* test_live.c - a real tor on loopback: it dials us as a relay and as a client, we dial it, in TLS
 * 1.3 and 1.2. Both sides must take each other for the relays that their key files say. Skipped
 * where there is no tor. */
#include "controlplane/link/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/sha.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#include "controlplane/link/test_worker.h"

#define TOR	"/usr/bin/tor"
#define WAIT_S	60
#define N_SOCKS 16

static char root[] = "/tmp/ramson-live-XXXXXX";
static struct links *links; /* the door is its address */
static struct keys *keys;
static int listener = -1;
static uint16_t our_port, tor_port;
static pid_t tor_pid;

static struct sock {
	int fd;
	struct fake_end *end;
} socks[N_SOCKS];

static struct {
	unsigned n;
	wid conn;
} answered;

static void on_link(void *arg, wid conn, unsigned reason)
{
	answered.n++;
	answered.conn = conn;
}

static void clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	links_now(links, (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000, time(NULL));
}

static struct addr loopback(uint16_t port)
{
	return (struct addr) {.family = 4, .port = port, .ip = {127, 0, 0, 1}};
}

static int listen_on(uint16_t *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	assert_true(listen(fd, 8) == 0 && getsockname(fd, (struct sockaddr *)&at, &len) == 0);
	*port = ntohs(at.sin_port);
	return fd;
}

static struct sock *sock_new(int fd, struct fake_end *end)
{
	for (unsigned i = 0; i < N_SOCKS; i++) {
		if (socks[i].end)
			continue;
		fcntl(fd, F_SETFL, O_NONBLOCK);
		socks[i] = (struct sock) {fd, end};
		return &socks[i];
	}
	close(fd);
	return NULL;
}

static void sock_end(struct sock *s)
{
	fake_close(s->end, CTL_WHY_DONE);
	close(s->fd);
	s->end = NULL;
}

/* Moves what can be moved on one socket. */
static void sock_turn(struct sock *s)
{
	uint8_t buf[16384];
	size_t n = fake_take(s->end, buf, sizeof(buf)), at = 0;
	ssize_t m;

	while (at < n) {
		m = send(s->fd, buf + at, n - at, MSG_NOSIGNAL);
		if (m < 0 && errno != EAGAIN)
			break;
		at += m > 0 ? (size_t)m : 0;
	}
	m = recv(s->fd, buf, sizeof(buf), 0);
	if (m > 0 && !s->end->closed)
		fake_feed(s->end, buf, (size_t)m);
	else if (m == 0 || (m < 0 && errno != EAGAIN))
		sock_end(s);
}

static void accept_new(void)
{
	struct addr us = loopback(our_port), from = loopback(0);
	struct sockaddr_in at;
	socklen_t len = sizeof(at);
	int fd = accept(listener, (struct sockaddr *)&at, &len);

	if (fd < 0)
		return;
	from.port = ntohs(at.sin_port);
	sock_new(fd, fake_accept(links, &us, &from));
}

static void turn(void)
{
	struct pollfd p[N_SOCKS + 1] = {{.fd = listener, .events = POLLIN}};

	for (unsigned i = 0; i < N_SOCKS; i++)
		p[i + 1] =
			(struct pollfd) {.fd = socks[i].end ? socks[i].fd : -1, .events = POLLIN};
	poll(p, N_SOCKS + 1, 50);
	clock_now();
	if (p[0].revents & POLLIN)
		accept_new();
	for (unsigned i = 0; i < N_SOCKS; i++)
		if (socks[i].end)
			sock_turn(&socks[i]);
}

/* ---- tor ---- */

static uint16_t free_port(void)
{
	uint16_t port;

	close(listen_on(&port));
	return port;
}

static pid_t tor_start(const char *name, const char *more)
{
	char torrc[256], path[128], data[128], fpr[41];
	FILE *f;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s.torrc", root, name);
	snprintf(data, sizeof(data), "%s/%s", root, name);
	for (unsigned i = 0; i < KEYS_RSA_ID; i++)
		snprintf(fpr + 2 * i, 3, "%02X", keys_rsa_id(keys)[i]);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f,
		"DataDirectory %s\nTestingTorNetwork 1\nSafeLogging 0\nAddress 127.0.0.1\n"
		"DirAuthority us orport=%u no-v2 v3ident=%s 127.0.0.1:1 %s\n"
		"Log info file %s/%s.log\n%s\n",
		data, our_port, fpr, fpr, root, name, more);
	fclose(f);
	snprintf(torrc, sizeof(torrc), "%s", path);
	pid = fork();
	if (pid == 0) {
		execl(TOR, TOR, "-f", torrc, "--defaults-torrc", "/dev/null-none",
		      "--ignore-missing-torrc", "--hush", NULL);
		_exit(127);
	}
	return pid;
}

static void tor_stop(pid_t pid)
{
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

/* "fingerprint" of tor's DataDirectory. */
static bool tor_id(uint8_t rsa_id[KEYS_RSA_ID])
{
	char path[128], line[128];
	FILE *f;
	char *hex;

	snprintf(path, sizeof(path), "%s/relay/fingerprint", root);
	f = fopen(path, "r");
	if (!f)
		return false;
	hex = fgets(line, sizeof(line), f) ? strchr(line, ' ') : NULL;
	fclose(f);
	for (unsigned i = 0; hex && i < KEYS_RSA_ID; i++)
		if (sscanf(hex + 1 + 2 * i, "%2hhx", &rsa_id[i]) != 1)
			return false;
	return hex != NULL;
}

static bool log_has(const char *name, const char *text)
{
	char path[128], line[2048];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.log", root, name);
	f = fopen(path, "r");
	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, text) != NULL;
	if (f)
		fclose(f);
	return found;
}

/* The first open link of that kind and side; NULL after WAIT_S. */
static const struct link_peer *await(enum ctl_peer kind, bool initiator)
{
	time_t end = time(NULL) + WAIT_S;

	while (time(NULL) < end) {
		turn();
		for (unsigned i = 0; i < N_SOCKS; i++) {
			const struct link_peer *p =
				socks[i].end ? link_peer(links, socks[i].end->conn) : NULL;

			if (p && p->kind == kind && p->initiator == initiator)
				return p;
		}
	}
	return NULL;
}

/* ---- */

static void drop_authenticate(struct fake_end *e, uint8_t *cells, size_t len)
{
	if (len > CELL_LEN && cells[4] == CELL_AUTHENTICATE)
		cells[4] = CELL_VPADDING;
}

/* Ours is the version that both then speak. Nameless: tor takes us for a client. */
static struct fake_end *we_dial(int max_version, bool nameless)
{
	struct link_target t = {.n_addrs = 1, .addrs = {loopback(tor_port)}};
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(tor_port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct link_peer *p;
	struct fake_end *e;
	struct addr from = loopback(33333);
	unsigned reason;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	for (time_t end = time(NULL) + WAIT_S;
	     !log_has("relay", "Bootstrapped 0%") && time(NULL) < end;)
		turn(); /* it is starting */
	assert_true(tor_id(t.rsa_id));
	SSL_CTX_set_max_proto_version(links->context->ssl, max_version);
	for (unsigned i = 0; i < N_SOCKS; i++) /* only a new link will do, here and there */
		if (socks[i].end)
			sock_end(&socks[i]);
	memset(&answered, 0, sizeof(answered));
	assert_int_equal(link_get(links, &t, on_link, NULL, &reason), WID_NONE);
	assert_int_equal(reason, 0);
	e = fake_dialled(links);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_non_null(sock_new(fd, e));
	if (nameless)
		e->meddle = drop_authenticate;
	fake_answer(e, &from);
	for (time_t end = time(NULL) + WAIT_S; !answered.n && time(NULL) < end;)
		turn();
	assert_int_equal(answered.n, 1);
	assert_int_not_equal(answered.conn, WID_NONE);
	p = link_peer(links, answered.conn);
	assert_memory_equal(p->rsa_id, t.rsa_id, KEYS_RSA_ID);
	assert_true(p->has_ed);
	assert_int_equal(e->keys.version, max_version);
	return e;
}

static void we_dial_tor(void **state)
{
	char text[128] = "Its ID digest is ";
	time_t end = time(NULL) + WAIT_S;
	size_t n = strlen(text);

	we_dial(TLS1_3_VERSION, false);
	/* tor says who we are: AUTHENTICATE convinced it */
	for (unsigned i = 0; i < KEYS_RSA_ID; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%02X", keys_rsa_id(keys)[i]);
	while (!log_has("relay", text) && time(NULL) < end)
		turn();
	assert_true(log_has("relay", text));
	we_dial(TLS1_2_VERSION, false);
	SSL_CTX_set_max_proto_version(links->context->ssl, TLS1_3_VERSION);
}

/* Waits for the next whole cell after the handshake and copies it out. */
static void next_cell(struct fake_end *e, uint8_t cell[CELL_LEN])
{
	time_t end = time(NULL) + WAIT_S;

	while (e->cells_len < CELL_LEN && time(NULL) < end)
		turn();
	assert_true(e->cells_len >= CELL_LEN);
	memcpy(cell, e->cells, CELL_LEN);
	memmove(e->cells, e->cells + CELL_LEN, e->cells_len - CELL_LEN);
	e->cells_len -= CELL_LEN;
}

/* CREATE_FAST and its keys (tor-spec 5.1.3, 5.2.1): KH, Df, Db, Kf, Kb. */
static void create_fast(struct fake_end *e, uint8_t keys_out[92])
{
	uint8_t cell[CELL_LEN] = {0x80, 0, 0, 1, CELL_CREATE_FAST}, word[41], block[100];

	memset(cell + CELL_HEAD, 0x5a, 20);
	memcpy(word, cell + CELL_HEAD, 20);
	fake_write_cells(e, cell, sizeof(cell));
	next_cell(e, cell);
	assert_int_equal(cell[4], CELL_CREATED_FAST);
	memcpy(word + 20, cell + CELL_HEAD, 20);
	for (uint8_t i = 0; i < 5; i++) {
		word[40] = i;
		SHA1(word, sizeof(word), block + 20 * i);
	}
	memcpy(keys_out, block, 92);
}

/* An EXTEND2 to ourselves in RELAY_EARLY, the first cell of that circuit. */
static void extend_to_us(struct fake_end *e, const uint8_t k[92])
{
	static const uint8_t iv[16];
	uint8_t cell[CELL_LEN] = {0x80, 0, 0, 1, CELL_RELAY_EARLY}, sealed[CELL_PAYLOAD];
	uint8_t digested[20 + CELL_PAYLOAD], digest[20];
	struct writer w = writer_of(cell + CELL_HEAD + 11, CELL_PAYLOAD - 11);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n;

	wr_u8(&w, 2);
	wr_u16(&w, 0x0006); /* IPv4 and port */
	wr_u32(&w, 0x7f000001);
	wr_u16(&w, our_port);
	wr_u16(&w, 0x0214); /* RSA identity */
	wr_bytes(&w, keys_rsa_id(keys), KEYS_RSA_ID);
	wr_u16(&w, 2); /* ntor */
	wr_u16(&w, 84);
	wr_space(&w, 84);
	cell[CELL_HEAD] = 14; /* EXTEND2 */
	be16_put(cell + CELL_HEAD + 9, (uint16_t)wr_len(&w));
	memcpy(digested, k + 20, 20);
	memcpy(digested + 20, cell + CELL_HEAD, CELL_PAYLOAD);
	SHA1(digested, sizeof(digested), digest);
	memcpy(cell + CELL_HEAD + 5, digest, 4);
	assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_128_ctr(), NULL, k + 60, iv), 1);
	assert_int_equal(EVP_EncryptUpdate(c, sealed, &n, cell + CELL_HEAD, CELL_PAYLOAD), 1);
	EVP_CIPHER_CTX_free(c);
	memcpy(cell + CELL_HEAD, sealed, CELL_PAYLOAD);
	fake_write_cells(e, cell, sizeof(cell));
}

/* A circuit through tor that it must extend to us: the only way to be dialled by a relay at once.
 */
static void tor_dials_as_relay(void **state)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

	for (unsigned i = 0; i < 2; i++) {
		const struct link_peer *p;
		struct fake_end *e;
		uint8_t id[KEYS_RSA_ID], k[92];

		e = we_dial(versions[i], true);
		create_fast(e, k);
		extend_to_us(e, k);
		p = await(CTL_PEER_UNKNOWN_RELAY, false);
		assert_non_null(p);
		assert_true(tor_id(id));
		assert_memory_equal(p->rsa_id, id, sizeof(id));
		assert_true(p->has_ed && p->named_us);
		assert_int_equal(p->link_proto, 5);
		assert_int_equal(SSL_CTX_get_max_proto_version(links->context->ssl), versions[i]);
	}
}

static void tor_dials_as_client(void **state)
{
	char more[256], fpr[41];
	pid_t pid;
	const struct link_peer *p;

	for (unsigned i = 0; i < KEYS_RSA_ID; i++)
		snprintf(fpr + 2 * i, 3, "%02X", keys_rsa_id(keys)[i]);
	snprintf(more, sizeof(more), "SocksPort 127.0.0.1:%u\nUseBridges 1\nBridge 127.0.0.1:%u %s",
		 free_port(), our_port, fpr);
	pid = tor_start("client", more);
	p = await(CTL_PEER_CLIENT, false);
	tor_stop(pid);
	assert_non_null(p);
	assert_false(p->has_ed);
}

static int group_setup(void **state)
{
	struct keys_config kc = {.nickname = "live"};
	struct links_config lc = {.door = (struct door *)&links, .n_workers = 1};
	char dir[64], why[KEYS_WHY_MAX], more[256];
	struct addr us = {.family = 4, .ip = {127, 0, 0, 1}};

	if (access(TOR, X_OK) < 0)
		return 0;
	assert_non_null(mkdtemp(root));
	fake_init();
	snprintf(dir, sizeof(dir), "%s/us", root);
	kc.data_dir = dir;
	keys = keys_open(&kc, time(NULL), why);
	assert_non_null(keys);
	lc.keys = keys;
	links = links_new(&lc, 1, time(NULL));
	assert_non_null(links);
	links_set_addresses(links, &us, 1);
	clock_now();
	listener = listen_on(&our_port);
	tor_port = free_port();
	snprintf(more, sizeof(more),
		 "Nickname live\nORPort 127.0.0.1:%u\nSocksPort 0\nAssumeReachable 1\n"
		 "ExitRelay 0\nPublishServerDescriptor 0",
		 tor_port);
	tor_pid = tor_start("relay", more);
	return 0;
}

static int group_teardown(void **state)
{
	char cmd[64];

	if (access(TOR, X_OK) < 0)
		return 0;
	tor_stop(tor_pid);
	links_free(links);
	keys_close(keys);
	fake_fini();
	snprintf(cmd, sizeof(cmd), getenv("KEEP") ? "echo %s" : "rm -rf %s", root);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(we_dial_tor),
		cmocka_unit_test(tor_dials_as_relay),
		cmocka_unit_test(tor_dials_as_client),
	};

	if (access(TOR, X_OK) < 0)
		return 77; /* meson: skipped */
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

/* flow_hash.c - which queue a TCP flow's frames arrive at, where we choose the hash ourselves: in C
 * for queue_of, and as classic BPF for PACKET_FANOUT. Both compute, over the 32-bit words of the
 * received packet, a = sum(word * key); a ^= a >> 15; a *= key; (a >> 16) mod queues. */
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <string.h>

#include "drivers/internal.h"

enum { KEY_PORTS = 8, KEY_MIX = 0 }; /* source and destination words take 0 to 7 */

void flow_hash_init(struct flow_hash *h, const uint8_t seed[40], unsigned n_queues)
{
	h->n_queues = n_queues;
	memcpy(h->key, seed, sizeof(h->key));
	for (unsigned i = 0; i < FLOW_KEYS; i++)
		h->key[i] |= 1;
}

static uint32_t word(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

unsigned flow_hash_of(const struct flow_hash *h, const struct port_tuple *t)
{
	unsigned n = t->family == 4 ? 1 : 4;
	uint32_t a = ((uint32_t)t->remote_port << 16 | t->local_port) * h->key[KEY_PORTS];

	for (unsigned i = 0; i < n; i++) {
		a += word(t->remote_ip + 4 * i) * h->key[i];
		a += word(t->local_ip + 4 * i) * h->key[n + i];
	}
	a ^= a >> 15;
	a *= h->key[KEY_MIX];
	return (a >> 16) % h->n_queues;
}

/* M[0] += packet[offset, 4 bytes] * key; leaves the sum in A. */
static unsigned emit_word(struct sock_filter *p, uint32_t offset, uint32_t key)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset),
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, key),
		BPF_STMT(BPF_LDX | BPF_MEM, 0),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
		BPF_STMT(BPF_ST, 0),
	};

	memcpy(p, code, sizeof(code));
	return sizeof(code) / sizeof(code[0]);
}

/* A is the sum: finish, and return the queue. */
static unsigned emit_mix(const struct flow_hash *h, struct sock_filter *p)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 15),
		BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, h->key[KEY_MIX]),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, h->n_queues),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};

	memcpy(p, code, sizeof(code));
	return sizeof(code) / sizeof(code[0]);
}

static unsigned emit_v4(const struct flow_hash *h, struct sock_filter *p)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9), /* TCP? */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 6, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6), /* a fragment? */
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), /* X: header length */
		BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0),	/* both ports */
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, h->key[KEY_PORTS]),
		BPF_STMT(BPF_ST, 0),
	};
	unsigned n = sizeof(code) / sizeof(code[0]);

	memcpy(p, code, sizeof(code));
	n += emit_word(p + n, 12, h->key[0]);
	n += emit_word(p + n, 16, h->key[1]);
	return n + emit_mix(h, p + n);
}

static unsigned emit_v6(const struct flow_hash *h, struct sock_filter *p)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6), /* TCP right behind the header? */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 6, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 40),
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, h->key[KEY_PORTS]),
		BPF_STMT(BPF_ST, 0),
	};
	unsigned n = sizeof(code) / sizeof(code[0]);

	memcpy(p, code, sizeof(code));
	for (unsigned i = 0; i < 8; i++)
		n += emit_word(p + n, 8 + 4 * i, h->key[i]);
	return n + emit_mix(h, p + n);
}

unsigned flow_hash_program(const struct flow_hash *h, struct sock_filter *prog)
{
	unsigned n = 2, v4;

	prog[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					       (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL));
	v4 = emit_v4(h, prog + n);
	prog[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, (uint8_t)v4);
	n += v4;
	prog[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 1, 0);
	prog[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	return n + emit_v6(h, prog + n);
}

/* slow.c - the timers: one wheel entry per conn stands for the earliest of its retransmission, ACK
 * and keepalive times. Entries are lazy: one that fires early is only set again. */
#include "dataplane/tcp/internal.h"

#define DUE_MAX 256

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a ? b : !b ? a : MIN(a, b);
}

void conn_arm(struct tcp *t, struct conn *c)
{
	uint64_t due = earlier(earlier(c->rtx_due_us, c->ack_due_us), c->keep_due_us);
	uint32_t i = conn_index(t, c);

	if (!due || c->state == ST_CLOSED)
		return;
	/* A wheel that rings too soon costs less than moving the entry for each segment. */
	if (wheel_is_set(&t->wheel, i) && t->wheel.entries[i].due_ms <= (due + 999) / 1000)
		return;
	wheel_set(&t->wheel, i, due);
}

static void slow_syn(struct tcp *t, struct conn *c, uint64_t now_us)
{
	if (c->n_tries > SYN_TRIES) {
		tcp_count(t, timed_out);
		conn_closed(t, c, TCP_TIMEOUT);
		return;
	}
	c->flags |= F_SYN_NOW;
	conn_output(t, c);
}

static void slow_persist(struct tcp *t, struct conn *c, uint64_t now_us)
{
	/* A peer that answers may keep its window closed for ever (RFC 1122 4.2.2.17), one that we
	 * have left may not. */
	if (++c->n_tries > DATA_TRIES) {
		tcp_count(t, timed_out);
		conn_closed(t, c, TCP_TIMEOUT);
		return;
	}
	c->backoff = MIN(c->backoff + 1, 10u);
	c->rtx_mode = RTX_NONE;
	c->flags |= F_PROBE_NOW;
	tcp_count(t, window_probes);
	recovery_arm(t, c, false, now_us);
	conn_output(t, c);
}

static void slow_rtx(struct tcp *t, struct conn *c, uint64_t now_us)
{
	uint8_t mode = c->rtx_mode;

	c->rtx_due_us = 0;
	if (mode == RTX_RTO)
		recovery_timeout(t, c, now_us);
	else if (mode == RTX_TLP)
		recovery_probe(t, c, now_us);
	else if (mode == RTX_REO)
		recovery_reorder(t, c, now_us);
	else if (mode == RTX_PERSIST)
		slow_persist(t, c, now_us);
	else if (mode == RTX_SYN)
		slow_syn(t, c, now_us);
}

/* Keepalive (RFC 9293 3.8.4), and the end of waiting for the FIN of a peer whom we have left. */
static void slow_keep(struct tcp *t, struct conn *c, uint64_t now_us)
{
	uint64_t idle = now_us - c->heard_us, after = t->cfg.keepalive_us;

	c->keep_due_us = 0;
	if (c->flags & F_FIN_QUEUED) {
		/* Whoever takes nothing for a minute, or never closes, is left: an orphan's buffers
		 * are not for a peer to hold. */
		if (c->state == ST_FIN_WAIT_2 || c->snd_una == c->keep_una) {
			tcp_count(t, orphans_dropped);
			conn_reset(t, c, TCP_TIMEOUT);
			return;
		}
		c->keep_una = c->snd_una;
		c->keep_due_us = now_us + FIN_WAIT_US;
		return;
	}
	if (idle < after || conn_flight(c)) {
		c->keep_due_us = MAX(c->heard_us + after, now_us + 1000000);
		return;
	}
	if (++c->n_keep > KEEP_PROBES) {
		tcp_count(t, timed_out);
		conn_reset(t, c, TCP_TIMEOUT);
		return;
	}
	c->flags |= F_PROBE_NOW;
	c->keep_due_us = now_us + MIN(KEEP_GAP_US, after);
	conn_output(t, c);
}

void slow_conn(struct tcp *t, struct conn *c, uint64_t now_us)
{
	if (c->ack_due_us && c->ack_due_us <= now_us) {
		c->ack_due_us = 0;
		if (c->n_unacked)
			ack_now(t, c);
	}
	if (c->rtx_due_us && c->rtx_due_us <= now_us)
		slow_rtx(t, c, now_us);
	if (c->keep_due_us && c->keep_due_us <= now_us)
		slow_keep(t, c, now_us);
	conn_arm(t, c);
}

void tcp_timers(struct tcp *t, uint64_t now_us)
{
	uint32_t due[DUE_MAX], n;

	t->now_us = now_us;
	do {
		n = wheel_due(&t->wheel, now_us, due, DUE_MAX);
		for (uint32_t i = 0; i < n; i++)
			slow_conn(t, &t->conns[due[i]], now_us);
	} while (n == DUE_MAX);
	do {
		n = wheel_due(&t->half_wheel, now_us, due, DUE_MAX);
		for (uint32_t i = 0; i < n; i++)
			half_timer(t, due[i], now_us);
	} while (n == DUE_MAX);
	wait_expire(t, now_us);
}

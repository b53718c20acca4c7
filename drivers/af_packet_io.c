/* af_packet_io.c - frames in and out of an AF_PACKET socket with virtio_net_hdr: the kernel hands
 * over checksums not yet computed and up to 64 KB of merged segments, and takes the same. */
#include <errno.h>
#include <string.h>

#include <rte_ip.h>
#include <rte_tcp.h>

#include "drivers/af_packet.h"

#define VNET_LEN       10 /* struct virtio_net_hdr before each frame, rx and tx */
#define TCP_SUM_OFFSET 16

/* ---- rx ---- */

static void frame_give(struct afp_frame *f)
{
	f->held = false;
	__atomic_store_n(&f->hdr->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
}

static void frame_free_cb(void *addr, void *opaque)
{
	frame_give(opaque);
}

static bool frame_is_whole(const struct tpacket2_hdr *h)
{
	return h->tp_snaplen == h->tp_len && h->tp_len >= 14 && h->tp_len <= UINT16_MAX &&
	       !(h->tp_status & TP_STATUS_VLAN_VALID);
}

static void frame_meta(struct rte_mbuf *m, const struct tpacket2_hdr *h)
{
	struct virtio_net_hdr v;
	uint8_t gso;

	memcpy(&v, (const uint8_t *)h + h->tp_mac - VNET_LEN, VNET_LEN);
	gso = v.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	/* NEEDS_CSUM: it comes from this machine and never saw a wire. */
	m->ol_flags |= v.flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID)
			       ? RTE_MBUF_F_RX_L4_CKSUM_GOOD
			       : RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN;
	if (gso == VIRTIO_NET_HDR_GSO_TCPV4 || gso == VIRTIO_NET_HDR_GSO_TCPV6) {
		m->ol_flags |= RTE_MBUF_F_RX_LRO;
		m->tso_segsz = v.gso_size;
	}
}

static void frame_attach(struct rte_mbuf *m, struct afp_frame *f)
{
	uint16_t len = (uint16_t)f->hdr->tp_snaplen;

	f->held = true;
	f->info.free_cb = frame_free_cb;
	f->info.fcb_opaque = f;
	rte_mbuf_ext_refcnt_set(&f->info, 1);
	rte_pktmbuf_attach_extbuf(m, (uint8_t *)f->hdr + f->hdr->tp_mac, RTE_BAD_IOVA, len,
				  &f->info);
	m->data_off = 0;
	m->data_len = len;
	m->pkt_len = len;
}

static void frame_to_mbuf(struct rte_mbuf *m, struct afp_frame *f)
{
	const struct tpacket2_hdr *h = f->hdr;

	frame_meta(m, h);
	if (h->tp_snaplen > AFP_COPY) {
		frame_attach(m, f);
		return;
	}
	memcpy(rte_pktmbuf_append(m, (uint16_t)h->tp_snaplen), (const uint8_t *)h + h->tp_mac,
	       h->tp_snaplen);
	frame_give(f);
}

static bool frame_is_ours(const struct afp_frame *f)
{
	return !f->held && __atomic_load_n(&f->hdr->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER;
}

static void ring_step(struct afp_queue *q)
{
	q->next = q->next + 1 == q->n_frames ? 0 : q->next + 1;
}

void afp_drain(struct afp_queue *q)
{
	for (uint32_t i = 0; i < q->n_frames && frame_is_ours(&q->frames[q->next]); i++) {
		frame_give(&q->frames[q->next]);
		ring_step(q);
	}
}

unsigned afp_rx(struct port *p, unsigned qi, struct rte_mbuf **m, unsigned n)
{
	struct afp_queue *q = ((struct afp *)p->priv)->q[qi];
	struct port_stats *st = &p->stats[qi];
	unsigned k = 0;

	for (unsigned i = 0; k < n && i < PORT_BURST; i++, ring_step(q)) {
		struct afp_frame *f = &q->frames[q->next];

		if (!frame_is_ours(f))
			break;
		if (!frame_is_whole(f->hdr)) {
			st->rx_malformed++;
			frame_give(f);
			continue;
		}
		m[k] = rte_pktmbuf_alloc(p->pools[qi]);
		if (!m[k])
			break; /* it waits in the ring; the kernel counts what does not fit there */
		st->rx_bytes += f->hdr->tp_len;
		frame_to_mbuf(m[k++], f);
	}
	st->rx_frames += k;
	return k;
}

/* ---- tx ---- */

/* The kernel wants the pseudo-header sum with the whole length, TSO or not. */
static void tx_pseudo_sum(struct rte_mbuf *m)
{
	void *ip = rte_pktmbuf_mtod_offset(m, void *, m->l2_len);
	struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(m, void *, m->l2_len + m->l3_len);

	tcp->cksum = m->ol_flags & RTE_MBUF_F_TX_IPV6 ? rte_ipv6_phdr_cksum(ip, 0)
						      : rte_ipv4_phdr_cksum(ip, 0);
}

static void tx_vnet(struct virtio_net_hdr *v, struct rte_mbuf *m)
{
	memset(v, 0, VNET_LEN);
	if (!(m->ol_flags & (RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG)))
		return;
	tx_pseudo_sum(m);
	v->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	v->csum_start = m->l2_len + m->l3_len;
	v->csum_offset = TCP_SUM_OFFSET;
	if (!(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) ||
	    m->pkt_len <= (uint32_t)m->l2_len + m->l3_len + m->l4_len + m->tso_segsz)
		return;
	v->gso_type = m->ol_flags & RTE_MBUF_F_TX_IPV6 ? VIRTIO_NET_HDR_GSO_TCPV6
						       : VIRTIO_NET_HDR_GSO_TCPV4;
	v->gso_size = m->tso_segsz;
	v->hdr_len = m->l2_len + m->l3_len + m->l4_len;
}

/* Fills msgs for as many frames as the iovecs hold; a frame's message is msgs[its index]. */
static unsigned tx_fill(struct afp_queue *q, struct rte_mbuf **m, unsigned n)
{
	unsigned used = 0;

	for (unsigned i = 0; i < n; i++) {
		struct msghdr *h = &q->msgs[i].msg_hdr;

		if (used + 1u + m[i]->nb_segs > AFP_IOVS)
			return i;
		tx_vnet(&q->vnet[i], m[i]);
		h->msg_iov = &q->iovs[used];
		q->iovs[used++] = (struct iovec) {&q->vnet[i], VNET_LEN};
		for (struct rte_mbuf *s = m[i]; s; s = s->next)
			q->iovs[used++] = (struct iovec) {rte_pktmbuf_mtod(s, void *), s->data_len};
		h->msg_iovlen = 1u + m[i]->nb_segs;
	}
	return n;
}

static bool tx_is_gso(const struct afp_queue *q, unsigned i)
{
	return q->vnet[i].gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

/* Past the queueing discipline nobody cuts a superframe for a device without TSO. */
static bool tx_stop_bypass(struct afp_queue *q)
{
	int off = 0;

	q->bypass = false;
	return setsockopt(q->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &off, sizeof(off)) == 0;
}

enum tx_next { TX_AGAIN, TX_FULL, TX_DROP };

/* What to do about frame i, which the kernel refused. ENOBUFS is said by a full device, but also of
 * a frame that it will never take: such a one must not stop those behind it for good. */
static enum tx_next tx_refused(struct afp_queue *q, unsigned i, int error)
{
	if (error == EINTR)
		return TX_AGAIN;
	if (error == EAGAIN)
		return TX_FULL;
	if (error != ENOBUFS)
		return TX_DROP;
	if (q->bypass && tx_is_gso(q, i) && tx_stop_bypass(q))
		return TX_AGAIN;
	return q->n_nobufs++ < AFP_NOBUFS ? TX_FULL : TX_DROP;
}

static void tx_done(struct port_stats *st, struct rte_mbuf **m, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		st->tx_bytes += m[i]->pkt_len;
	st->tx_frames += n;
	rte_pktmbuf_free_bulk(m, n);
}

unsigned afp_tx(struct port *p, unsigned qi, struct rte_mbuf **m, unsigned n)
{
	struct afp_queue *q = ((struct afp *)p->priv)->q[qi];
	struct port_stats *st = &p->stats[qi];
	unsigned i = 0, tries = 0;

	n = tx_fill(q, m, n);
	while (i < n && tries++ < 2 * PORT_BURST) {
		int k = sendmmsg(q->fd, q->msgs + i, n - i, MSG_DONTWAIT);
		enum tx_next next;

		if (k > 0) {
			q->n_nobufs = 0;
			tx_done(st, m + i, (unsigned)k);
			i += (unsigned)k;
			continue;
		}
		next = tx_refused(q, i, errno);
		if (next == TX_FULL) {
			st->tx_full++;
			break;
		}
		if (next == TX_DROP) {
			q->n_nobufs = 0;
			st->tx_error++;
			rte_pktmbuf_free(m[i++]);
		}
	}
	return i;
}

/* fuzz_tcp_hdr.c - any bytes as a TCP header: what parses can be built, and parses to the same. */
#include <stdlib.h>

#include "dataplane/wire/tcp_hdr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tcp_hdr a, b;
	uint8_t p[TCP_HDR_MAX];

	if (tcp_hdr_parse(&a, data, len) < 0)
		return 0;
	if (a.hdr_len > len || a.n_sack > 4 || a.wscale > 14)
		abort();
	if (tcp_hdr_size(a.opts, a.n_sack) > TCP_HDR_MAX)
		return 0;
	size_t n = tcp_hdr_build(&a, p);
	if (n > TCP_HDR_MAX || tcp_hdr_parse(&b, p, n) < 0 || a.opts != b.opts || a.seq != b.seq)
		abort();
	return 0;
}

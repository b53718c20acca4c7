/* fuzz_ntor3.c - any bytes as the client's extensions, and as whole onion skins of each type. */
#include "controlplane/handshake/internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The first byte chooses our terms; whatever is agreed must be asked for and granted. */
static void extensions(const uint8_t *data, size_t len)
{
	struct handshake_terms terms = {
		.cc = data[0] & 1, .cgo = data[0] >> 1 & 1, .sendme_inc = 31};
	struct handshake_done done = {0};
	uint8_t reply[HANDSHAKE_EXT_REPLY_MAX];
	size_t reply_len;

	if (handshake_extensions(&terms, data + 1, len - 1, reply, &reply_len, &done))
		return;
	if (len < 2 || reply_len != (done.cc ? 4 : 1) || reply[0] != done.cc ||
	    done.cc > terms.cc || done.scheme > (terms.cgo & done.cc) ||
	    done.sendme_inc != (done.cc ? 31 : 0))
		abort();
	/* What we say is what a client of ours understands. */
	if (ext_answered(&(struct handshake_peer) {.ask_cc = done.cc}, reply, reply_len, &done))
		abort();
}

static void answers(const uint8_t *data, size_t len)
{
	struct handshake_done done = {0};
	struct handshake_peer peer = {.ask_cc = len & 1};

	if (!ext_answered(&peer, data, len, &done) && done.cc && !(peer.ask_cc && done.sendme_inc))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct handshake_keys keys;
	struct handshake_client c = {0};
	struct handshake_done done;
	uint8_t skin[HANDSHAKE_SKIN_MAX];
	size_t skin_len;

	if (!keys.n_onion) {
		keys.n_onion = 1;
		if (handshake_pair_new(&keys.onion[0]) || handshake_pair_new(&keys.junk))
			abort();
	}
	if (len)
		extensions(data, len);
	answers(data, len);
	if (len > HANDSHAKE_SKIN_MAX)
		return 0;
	for (uint16_t type = 0; type < 5; type++) {
		handshake_answer(type, &keys, data, len, &done);
		if (!handshake_begin(&c, type, NULL, skin, &skin_len))
			handshake_finish(&c, data, len, &done);
	}
	return 0;
}

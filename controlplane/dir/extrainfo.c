/* extrainfo.c - the statistics document beside our descriptor (dir-spec section 2.1.2). */
#include "controlplane/dir/internal.h"
#include "controlplane/keys/keys.h"

int extrainfo_build(const struct dir *d, const struct own_document *o, struct text *t,
		    uint8_t sha1[20], uint8_t sha256[32])
{
	uint64_t rate = (uint64_t)d->config->relay_bandwidth_rate;
	int error;

	text_printf(t, "extra-info %s ", d->config->nickname);
	text_base16(t, keys_rsa_id(d->keys), KEYS_RSA_ID);
	text_str(t, "\n");
	own_identity(d, t);
	text_str(t, "published ");
	text_time(t, o->published);
	text_str(t, "\n");
	if (o->extra_stats) {
		bwhist_line(t, "write-history", &d->written, rate);
		bwhist_line(t, "read-history", &d->read, rate);
		bwhist_line(t, "dirreq-write-history", &d->dir_written, rate);
		bwhist_line(t, "dirreq-read-history", &d->dir_read, rate);
		stats_lines(t, &d->stats, d->config, o->published);
	}
	error = own_sign(d, t, sha1);
	if (!error)
		digest_sha256(t->p, t->len, sha256);
	return error;
}

/* fuzz_torlines.c - the splitter of documents and the readers of words; what it hands out lies
 * inside the input. */
#include <stdlib.h>

#include "controlplane/dir/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct bytes b, const uint8_t *p, size_t size)
{
	if (b.len && (b.p < p || b.p + b.len > p + size))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lines ls = lines_of(data, size);
	uint8_t out[64];
	struct line l;
	size_t len;

	while (lines_next(&ls, &l) == 1) {
		struct bytes rest = l.args;
		int64_t t;

		check_inside(l.keyword, data, size);
		check_inside(l.args, data, size);
		check_inside(l.tag, data, size);
		check_inside(l.object, data, size);
		if (l.end <= l.start || l.end > data + size)
			abort();
		base64_get(l.object, out, sizeof(out), &len);
		time_get(l.args, &t);
		http_time_get(l.args, &t);
		while (rest.len) {
			struct bytes word = word_next(&rest);

			check_inside(word, data, size);
			number_get(word, INT32_MIN, INT32_MAX, &t);
			hex_get(word, out, sizeof(out) < word.len / 2 ? 0 : word.len / 2);
		}
	}
	return 0;
}

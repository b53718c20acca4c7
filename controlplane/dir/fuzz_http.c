/* fuzz_http.c - directory requests against an empty directory, and answers with packed bodies. */
#include <stdlib.h>

#include "controlplane/dir/http.h"
#include "controlplane/dir/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dir *empty_dir(void)
{
	static struct config config;
	static struct dir *d;
	struct dir_setup s = {.config = &config};

	if (!d)
		d = dir_new(&s, 1800000000);
	return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *whole, *body;
	size_t len;

	if (dir_serve_whole(empty_dir(), data, size, NULL, 1800000000, &whole) > 0)
		free(whole);
	if (dir_http_answer(data, size, 1 << 20, &body, &len) >= 0) {
		if (len > 1 << 20 || body[len])
			abort();
		free(body);
	}
	return 0;
}

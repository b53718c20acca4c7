/* file.c - files in tor's formats: tagged binary files and PEM, written as a whole or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "controlplane/keys/internal.h"

#define TAG_HEAD 32
#define FILE_MAX 8192

const char *path_of(char path[PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);

	if (n < 0 || n >= PATH_MAX)
		path[0] = '\0'; /* too long: opening "" fails with ENOENT */
	return path;
}

static int read_fd(int fd, uint8_t *buf, size_t cap)
{
	size_t len = 0;

	for (;;) {
		uint8_t more;
		ssize_t n = len < cap ? read(fd, buf + len, cap - len) : read(fd, &more, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_SYSTEM;
		if (n == 0)
			return len ? (int)len : ERR_UNKNOWN;
		if (len == cap)
			return ERR_MALFORMED;
		len += (size_t)n;
	}
}

int file_read(const char *path, void *buf, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), n;

	if (fd < 0)
		return errno == ENOENT ? ERR_UNKNOWN : ERR_SYSTEM;
	n = read_fd(fd, buf, cap);
	close(fd);
	return n;
}

static int write_fd(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_SYSTEM;
		data += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? ERR_SYSTEM : 0;
}

int file_write(const char *path, const void *data, size_t len)
{
	char tmp[PATH_MAX + 8];
	int fd, err;

	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	unlink(tmp); /* left by a crash: its mode and owner are not to be trusted */
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return ERR_SYSTEM;
	err = write_fd(fd, data, len);
	if (close(fd) < 0)
		err = ERR_SYSTEM;
	if (!err && rename(tmp, path) < 0)
		err = ERR_SYSTEM;
	if (err) {
		int saved = errno;

		unlink(tmp);
		errno = saved;
	}
	return err;
}

int file_write_if_new(const char *path, const void *data, size_t len)
{
	uint8_t have[FILE_MAX];
	int n = file_read(path, have, sizeof(have));

	return n == (int)len && !memcmp(have, data, len) ? 0 : file_write(path, data, len);
}

static int tag_head(uint8_t head[TAG_HEAD], const char *type, const char *tag)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "== %s: %s ==", type, tag);

	if (n < 0 || n >= TAG_HEAD)
		return ERR_MALFORMED;
	memset(head, 0, TAG_HEAD);
	memcpy(head, text, (size_t)n);
	return 0;
}

int tagged_read(const char *path, const char *type, const char *tag, void *data, size_t cap)
{
	uint8_t buf[TAG_HEAD + 512], head[TAG_HEAD];
	int n;

	if (cap > sizeof(buf) - TAG_HEAD || tag_head(head, type, tag) < 0)
		return ERR_MALFORMED;
	n = file_read(path, buf, TAG_HEAD + cap);
	if (n > 0 && (n < TAG_HEAD || memcmp(buf, head, TAG_HEAD)))
		n = ERR_MALFORMED;
	if (n > 0) {
		n -= TAG_HEAD;
		memcpy(data, buf + TAG_HEAD, (size_t)n);
	}
	wipe(buf, sizeof(buf));
	return n;
}

int tagged_write(const char *path, const char *type, const char *tag, const void *data, size_t len)
{
	uint8_t buf[TAG_HEAD + 512];
	int err = len > sizeof(buf) - TAG_HEAD ? ERR_MALFORMED : tag_head(buf, type, tag);

	if (err)
		return err;
	memcpy(buf + TAG_HEAD, data, len);
	err = file_write(path, buf, TAG_HEAD + len);
	wipe(buf, sizeof(buf));
	return err;
}

EVP_PKEY *pem_read(const char *path, int *err)
{
	char text[FILE_MAX];
	EVP_PKEY *key = NULL;
	BIO *bio;
	int n = file_read(path, text, sizeof(text));

	*err = n < 0 ? n : 0;
	if (n < 0)
		return NULL;
	bio = BIO_new_mem_buf(text, n);
	/* An empty passphrase: never ask on a terminal. */
	if (bio)
		key = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"");
	BIO_free(bio);
	wipe(text, sizeof(text));
	if (key && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	if (!key)
		*err = ERR_CRYPTO;
	return key;
}

int pem_write(const char *path, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *text;
	long len;
	int err = ERR_CRYPTO;

	if (bio && PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
		len = BIO_get_mem_data(bio, &text);
		err = file_write(path, text, (size_t)len);
	}
	BIO_free(bio);
	return err;
}

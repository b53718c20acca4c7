/* uiv.c - POLYVAL and UIV+ by the kernel that this CPU has: the cipher under onion/cgo.c. */
#include "dataplane/cipher/internal.h"

_Static_assert(sizeof(struct uiv) == 9 * CACHE_LINE, "a direction of CGO is nine lines");
_Static_assert(offsetof(struct uiv, last) < 3 * CACHE_LINE &&
		       offsetof(struct uiv, s) < 6 * CACHE_LINE,
	       "uiv_fetch asks by thirds");

void polyval_powers(const struct cipher *c, uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN],
		    const uint8_t key[POLYVAL_LEN])
{
	c->uiv->powers(powers, key);
}

void polyval(const struct cipher *c, const uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN],
	     const uint8_t *blocks, size_t n, uint8_t out[POLYVAL_LEN])
{
	c->uiv->hash(powers, blocks, n, out);
}

void uiv_init(const struct cipher *c, struct uiv *u, const uint8_t keys[UIV_KEYS])
{
	memset(u, 0, sizeof(*u));
	c->uiv->init(c, u, keys);
}

void uiv_encrypt(const struct cipher *c, const struct uiv_cell *cells, unsigned n)
{
	c->uiv->encrypt(c, cells, n);
}

void uiv_decrypt(const struct cipher *c, const struct uiv_cell *cell)
{
	c->uiv->decrypt(c, cell);
}

void uiv_update(const struct cipher *c, struct uiv *const *u, unsigned n)
{
	c->uiv->update(c, u, n);
}

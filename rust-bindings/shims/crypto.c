// SPDX-License-Identifier: GPL-2.0-only
#include <crypto/hash.h>
#include <linux/string.h>

unsigned int drbd_shim_shash_digestsize(struct crypto_shash *tfm);
unsigned int drbd_shim_shash_digestsize(struct crypto_shash *tfm)
{
	return crypto_shash_digestsize(tfm);
}

unsigned int drbd_shim_shash_descsize(struct crypto_shash *tfm);
unsigned int drbd_shim_shash_descsize(struct crypto_shash *tfm)
{
	return crypto_shash_descsize(tfm);
}

bool drbd_shim_shash_needs_key(struct crypto_shash *tfm);
bool drbd_shim_shash_needs_key(struct crypto_shash *tfm)
{
	return crypto_shash_get_flags(tfm) & CRYPTO_TFM_NEED_KEY;
}

int drbd_shim_shash_update(struct shash_desc *desc, const u8 *data, unsigned int len);
int drbd_shim_shash_update(struct shash_desc *desc, const u8 *data, unsigned int len)
{
	return crypto_shash_update(desc, data, len);
}

int drbd_shim_shash_final(struct shash_desc *desc, u8 *out);
int drbd_shim_shash_final(struct shash_desc *desc, u8 *out)
{
	return crypto_shash_final(desc, out);
}

void drbd_shim_shash_free(struct crypto_shash *tfm);
void drbd_shim_shash_free(struct crypto_shash *tfm)
{
	crypto_free_shash(tfm);
}

void drbd_shim_memzero_explicit(void *memory, size_t len);
void drbd_shim_memzero_explicit(void *memory, size_t len)
{
	memzero_explicit(memory, len);
}

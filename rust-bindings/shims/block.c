// SPDX-License-Identifier: GPL-2.0-only
/* Inline functions of the block layer and of the page mappings. */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/highmem.h>
#include <linux/mempool.h>
#include <linux/part_stat.h>

void drbd_shim_bio_inc_remaining(struct bio *bio);
void drbd_shim_bio_inc_remaining(struct bio *bio)
{
	bio_inc_remaining(bio);
}

void drbd_shim_bio_set_dev(struct bio *bio, struct block_device *bdev);
void drbd_shim_bio_set_dev(struct bio *bio, struct block_device *bdev)
{
	bio_set_dev(bio, bdev);
}

void drbd_shim_queue_limits_start_update(struct request_queue *q, struct queue_limits *lim);
void drbd_shim_queue_limits_start_update(struct request_queue *q, struct queue_limits *lim)
{
	*lim = queue_limits_start_update(q);
}

/* "sda1", "dm-3": the name that the kernel's own messages use. */
void drbd_shim_bdev_name(struct block_device *bdev, char *name, size_t size);
void drbd_shim_bdev_name(struct block_device *bdev, char *name, size_t size)
{
	snprintf(name, size, "%pg", bdev);
}

/* What iostat counts, for the whole disk on which the device lies. */
u64 drbd_shim_bdev_sectors_done(struct block_device *bdev);
u64 drbd_shim_bdev_sectors_done(struct block_device *bdev)
{
	return part_stat_read_accum(bdev->bd_disk->part0, sectors);
}

bool drbd_shim_bdev_read_only(struct block_device *bdev);
bool drbd_shim_bdev_read_only(struct block_device *bdev)
{
	return bdev_read_only(bdev);
}

bool drbd_shim_bdev_write_cache(struct block_device *bdev);
bool drbd_shim_bdev_write_cache(struct block_device *bdev)
{
	return bdev_write_cache(bdev);
}

/*
 * Pages whose bytes others may change while they are read (a page of an application in a write): the race stays in
 * memcpy(), where it means no more than mixed bytes.
 */
void drbd_shim_page_read(struct page *page, size_t offset, void *to, size_t len);
void drbd_shim_page_read(struct page *page, size_t offset, void *to, size_t len)
{
	memcpy_from_page(to, page, offset, len);
}

void drbd_shim_page_write(struct page *page, size_t offset, const void *from, size_t len);
void drbd_shim_page_write(struct page *page, size_t offset, const void *from, size_t len)
{
	memcpy_to_page(page, offset, from, len);
}

int drbd_shim_mempool_init_pages(mempool_t *pool, int min_nr);
int drbd_shim_mempool_init_pages(mempool_t *pool, int min_nr)
{
	return mempool_init_page_pool(pool, min_nr, 0);
}

void *drbd_shim_mempool_alloc(mempool_t *pool, gfp_t gfp);
void *drbd_shim_mempool_alloc(mempool_t *pool, gfp_t gfp)
{
	return mempool_alloc(pool, gfp);
}

/*
 * A page that somebody else still refers to (a socket that may send it again) must not be handed out by the pool: it
 * only loses our reference, and the reserve fills up with the next one.
 */
void drbd_shim_mempool_free_page(struct page *page, mempool_t *pool);
void drbd_shim_mempool_free_page(struct page *page, mempool_t *pool)
{
	if (likely(page_count(page) == 1))
		mempool_free(page, pool);
	else
		__free_page(page);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What bindgen reads. The names that come out of it are listed in allow/, one file for each kernel subsystem; types that
 * the kernel crate has bound already are taken from there.
 *
 * A macro that hides its value from bindgen, such as ((__force T)...), gets a constant here: DRBD_CONST_X becomes X.
 */
#include <crypto/hash.h>
#include <linux/proc_fs.h>
#include <linux/types.h>
#include <uapi/linux/tcp.h>

#include "shims.c"

const blk_status_t DRBD_CONST_BLK_STS_NOTSUPP = BLK_STS_NOTSUPP;
const blk_status_t DRBD_CONST_BLK_STS_TIMEOUT = BLK_STS_TIMEOUT;
const blk_status_t DRBD_CONST_BLK_STS_NOSPC = BLK_STS_NOSPC;
const blk_status_t DRBD_CONST_BLK_STS_MEDIUM = BLK_STS_MEDIUM;
const blk_status_t DRBD_CONST_BLK_STS_RESOURCE = BLK_STS_RESOURCE;
const blk_status_t DRBD_CONST_BLK_STS_IOERR = BLK_STS_IOERR;
const blk_status_t DRBD_CONST_BLK_STS_AGAIN = BLK_STS_AGAIN;
const blk_status_t DRBD_CONST_BLK_STS_OFFLINE = BLK_STS_OFFLINE;
const blk_mode_t DRBD_CONST_BLK_OPEN_READ = BLK_OPEN_READ;
const blk_mode_t DRBD_CONST_BLK_OPEN_WRITE = BLK_OPEN_WRITE;
const blk_mode_t DRBD_CONST_BLK_OPEN_EXCL = BLK_OPEN_EXCL;
const blk_mode_t DRBD_CONST_BLK_OPEN_NDELAY = BLK_OPEN_NDELAY;
const blk_features_t DRBD_CONST_BLK_FEAT_WRITE_CACHE = BLK_FEAT_WRITE_CACHE;
const blk_features_t DRBD_CONST_BLK_FEAT_FUA = BLK_FEAT_FUA;
const blk_features_t DRBD_CONST_BLK_FEAT_ROTATIONAL = BLK_FEAT_ROTATIONAL;
const blk_features_t DRBD_CONST_BLK_FEAT_IO_STAT = BLK_FEAT_IO_STAT;
const blk_features_t DRBD_CONST_BLK_FEAT_STABLE_WRITES = BLK_FEAT_STABLE_WRITES;
const gfp_t DRBD_CONST_GFP_NOIO = GFP_NOIO;
const size_t DRBD_CONST_HASH_MAX_DESCSIZE = HASH_MAX_DESCSIZE;

// SPDX-License-Identifier: GPL-2.0-only
#include <linux/sched/mm.h>

unsigned int drbd_shim_memalloc_noio_save(void);
unsigned int drbd_shim_memalloc_noio_save(void)
{
	return memalloc_noio_save();
}

void drbd_shim_memalloc_noio_restore(unsigned int flags);
void drbd_shim_memalloc_noio_restore(unsigned int flags)
{
	memalloc_noio_restore(flags);
}

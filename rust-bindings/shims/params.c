// SPDX-License-Identifier: GPL-2.0-only
/* Module parameters: names, types, rights and defaults are those of the C driver, as tools and modprobe.d know them. */
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/string.h>

/* The size is part of the interface: a longer path is refused when it is written. */
extern char drbd_shim_usermode_helper[80];
extern unsigned int drbd_shim_minor_count;
extern int drbd_shim_proc_details;
extern bool drbd_shim_disable_sendpage;
extern bool drbd_shim_allow_oos;

/* bindgen would take a variable with a value for a constant. */
#ifndef __BINDGEN__
char drbd_shim_usermode_helper[80] = "/sbin/drbdadm";
unsigned int drbd_shim_minor_count = 32;
int drbd_shim_proc_details;
bool drbd_shim_disable_sendpage;
bool drbd_shim_allow_oos;

module_param_string(usermode_helper, drbd_shim_usermode_helper, sizeof(drbd_shim_usermode_helper), 0644);
MODULE_PARM_DESC(usermode_helper, "Program that runs the handlers and fences the peer");
module_param_named(minor_count, drbd_shim_minor_count, uint, 0444);
MODULE_PARM_DESC(minor_count, "Approximate number of drbd devices (1-255)");
module_param_named(proc_details, drbd_shim_proc_details, int, 0644);
MODULE_PARM_DESC(proc_details, "Level of detail in /proc/drbd");
module_param_named(disable_sendpage, drbd_shim_disable_sendpage, bool, 0644);
MODULE_PARM_DESC(disable_sendpage, "Copy what is sent instead of lending the pages to the network");
module_param_named(allow_oos, drbd_shim_allow_oos, bool, 0);
MODULE_PARM_DESC(allow_oos, "Allow to open a Secondary device; for tests only");
#endif

/* The kernel writes a string parameter under this lock. */
void drbd_shim_usermode_helper_read(char *buffer, size_t size);
void drbd_shim_usermode_helper_read(char *buffer, size_t size)
{
	kernel_param_lock(THIS_MODULE);
	strscpy(buffer, drbd_shim_usermode_helper, size);
	kernel_param_unlock(THIS_MODULE);
}

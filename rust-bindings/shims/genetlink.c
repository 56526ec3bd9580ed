// SPDX-License-Identifier: GPL-2.0-only
#include <net/genetlink.h>

/* A message for many; made on the I/O path, so without I/O. */
struct sk_buff *drbd_shim_genlmsg_new_noio(void);
struct sk_buff *drbd_shim_genlmsg_new_noio(void)
{
	return genlmsg_new(NLMSG_GOODSIZE, GFP_NOIO);
}

struct sk_buff *drbd_shim_genlmsg_new(void);
struct sk_buff *drbd_shim_genlmsg_new(void)
{
	return genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
}

int drbd_shim_genlmsg_reply(struct sk_buff *skb, struct genl_info *info);
int drbd_shim_genlmsg_reply(struct sk_buff *skb, struct genl_info *info)
{
	return genlmsg_reply(skb, info);
}

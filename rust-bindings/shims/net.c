// SPDX-License-Identifier: GPL-2.0-only
/* What struct sock hides from Rust. All of it is right for TCP and MPTCP sockets alike: no cast to tcp_sock anywhere. */
#include <linux/net.h>
#include <linux/skbuff.h>
#include <net/sock.h>

/* Options go through the protocol's own setsockopt(), which MPTCP passes on to its subflows. */
int drbd_shim_sock_set_option(struct socket *sock, int level, int name, int value);
int drbd_shim_sock_set_option(struct socket *sock, int level, int name, int value)
{
	return do_sock_setsockopt(sock, false, level, name, KERNEL_SOCKPTR(&value), sizeof(value));
}

/* SO_LINGER with no time: a close then sends a reset and throws away what was not sent. */
int drbd_shim_sock_abort_on_close(struct socket *sock);
int drbd_shim_sock_abort_on_close(struct socket *sock)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	return do_sock_setsockopt(sock, false, SOL_SOCKET, SO_LINGER, KERNEL_SOCKPTR(&linger), sizeof(linger));
}

/* Before first use: the socket lies below the page cache, and other tasks than the creator send on it. */
void drbd_shim_sock_prepare(struct socket *sock);
void drbd_shim_sock_prepare(struct socket *sock)
{
	sock->sk->sk_allocation = GFP_NOIO;
	sock->sk->sk_use_task_frag = false;
}

void drbd_shim_sock_set_send_timeout(struct socket *sock, long jiffies_limit);
void drbd_shim_sock_set_send_timeout(struct socket *sock, long jiffies_limit)
{
	WRITE_ONCE(sock->sk->sk_sndtimeo, jiffies_limit);
}

void drbd_shim_sock_set_receive_timeout(struct socket *sock, long jiffies_limit);
void drbd_shim_sock_set_receive_timeout(struct socket *sock, long jiffies_limit)
{
	WRITE_ONCE(sock->sk->sk_rcvtimeo, jiffies_limit);
}

bool drbd_shim_sock_is_established(struct socket *sock);
bool drbd_shim_sock_is_established(struct socket *sock)
{
	return READ_ONCE(sock->sk->sk_state) == TCP_ESTABLISHED;
}

int drbd_shim_sock_send_buffer_used(struct socket *sock);
int drbd_shim_sock_send_buffer_used(struct socket *sock)
{
	return READ_ONCE(sock->sk->sk_wmem_queued);
}

int drbd_shim_sock_send_buffer_size(struct socket *sock);
int drbd_shim_sock_send_buffer_size(struct socket *sock)
{
	return READ_ONCE(sock->sk->sk_sndbuf);
}

/* Whether the socket layer may take references to all pages of the segment (it must not for slab memory). */
bool drbd_shim_sendpages_ok(struct page *page, size_t length, size_t offset);
bool drbd_shim_sendpages_ok(struct page *page, size_t length, size_t offset)
{
	return sendpages_ok(page, length, offset);
}

// SPDX-License-Identifier: GPL-2.0-only

//! TCP and MPTCP sockets of the kernel.
//!
//! A [`TcpSocket`] may be shared between threads: one sends, one receives, a third one shuts it down, which ends what the
//! other two wait for. Nothing here looks into protocol structures, so that MPTCP sockets are as good as TCP ones: options
//! go through `setsockopt`, and waiting uses the wait queue of the socket, which its default callbacks wake. No callback of
//! a socket is ever replaced.
//!
//! C headers: [`include/linux/net.h`](srctree/include/linux/net.h), [`include/net/sock.h`](srctree/include/net/sock.h)

use core::ptr::{
    null_mut,
    NonNull, //
};

use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    task::MAX_SCHEDULE_TIMEOUT,
    time::Msecs, //
};

use super::{
    bio_vecs::{
        BioVecs,
        BioVecsMut, //
    },
    socket_address::{
        AddressFamily,
        SocketAddress, //
    },
    wait::{
        timeout_jiffies,
        Sleep,
        Waiter, //
    }, //
};
use crate::bindings as shims;

/// The protocol of a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// TCP.
    Tcp,
    /// Multipath TCP, where both ends have it; else it falls back to TCP by itself. Always copies what it sends.
    Mptcp,
}

/// How long to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// So many milliseconds.
    Milliseconds(Msecs),
    /// Until the peer acts, or the socket is shut down.
    Endless,
}

impl Patience {
    /// In jiffies, as sockets keep it.
    fn jiffies(self) -> c_long {
        match self {
            Patience::None => 0,
            Patience::Milliseconds(milliseconds) => timeout_jiffies(milliseconds),
            Patience::Endless => MAX_SCHEDULE_TIMEOUT,
        }
    }
}

/// How to send.
#[derive(Clone, Copy, Default)]
pub(crate) struct SendOptions {
    /// More follows soon: do not send a segment that is not full (`MSG_MORE`).
    pub(crate) more: bool,
    /// Lend the pages to the network in the place of a copy (`MSG_SPLICE_PAGES`), where they allow it. Their content must
    /// not matter any more, or not change, until the peer has confirmed it. For [`TcpSocket::send_pages`] only.
    pub(crate) lend: bool,
    /// Do not wait for room in the send buffer.
    pub(crate) no_wait: bool,
}

impl SendOptions {
    /// The flags of `sendmsg(2)`. Never a signal.
    fn flags(self) -> u32 {
        let mut flags = bindings::MSG_NOSIGNAL;
        for (wanted, flag) in [
            (self.more, bindings::MSG_MORE),
            (self.no_wait, bindings::MSG_DONTWAIT),
            (self.lend, bindings::MSG_SPLICE_PAGES),
        ] {
            if wanted {
                flags |= flag;
            }
        }
        flags
    }
}

/// A TCP or MPTCP socket in the initial network namespace. Dropping it closes it.
///
/// Every method that waits may be ended from another thread by [`shutdown`](Self::shutdown).
///
/// # Invariants
///
/// `socket` is owned, and was made by the kernel for IPv4 or IPv6 streams.
pub(crate) struct TcpSocket {
    socket: NonNull<bindings::socket>,
}

// SAFETY: a socket belongs to no thread.
unsafe impl Send for TcpSocket {}
// SAFETY: every operation takes the lock of the socket, or reads or writes a single word of it.
unsafe impl Sync for TcpSocket {}

impl TcpSocket {
    /// Makes a socket. Its allocations do no I/O, since it works below the page cache. `EPROTONOSUPPORT` where the kernel
    /// has no MPTCP, `EAFNOSUPPORT` where it has no IPv6.
    ///
    /// Process context; may sleep.
    pub(crate) fn new(family: AddressFamily, protocol: Protocol) -> Result<Self> {
        let mut socket = null_mut();
        let protocol = match protocol {
            Protocol::Tcp => bindings::IPPROTO_TCP,
            Protocol::Mptcp => bindings::IPPROTO_MPTCP,
        };
        // SAFETY: `init_net` always exists; `socket` is written on success.
        to_result(unsafe {
            bindings::sock_create_kern(
                &raw mut bindings::init_net,
                c_int::from(family.number()),
                bindings::sock_type_SOCK_STREAM as c_int,
                protocol as c_int,
                &raw mut socket,
            )
        })?;
        // SAFETY: the call succeeded: the socket is ours.
        unsafe { Self::from_raw(socket) }
    }

    /// Takes over a socket.
    ///
    /// # Safety
    ///
    /// `socket` is null or fulfils the type invariant.
    unsafe fn from_raw(socket: *mut bindings::socket) -> Result<Self> {
        let socket = NonNull::new(socket).ok_or(EINVAL)?;
        // SAFETY: nobody else has the socket yet.
        unsafe { shims::drbd_shim_sock_prepare(socket.as_ptr()) };
        // INVARIANT: by the contract of this function.
        Ok(TcpSocket { socket })
    }

    fn raw(&self) -> *mut bindings::socket {
        self.socket.as_ptr()
    }

    /// Gives the socket its own address. `EADDRINUSE`, `EADDRNOTAVAIL`. May sleep.
    pub(crate) fn bind(&self, address: &SocketAddress) -> Result {
        let (bytes, length) = address.as_raw();
        // SAFETY: the address is readable for its length; it is copied.
        to_result(unsafe { bindings::kernel_bind(self.raw(), bytes.cast_mut().cast(), length) })
    }

    /// Begins to take connections, `backlog` of them before they are accepted. May sleep.
    pub(crate) fn listen(&self, backlog: u16) -> Result {
        // SAFETY: by the type invariant.
        to_result(unsafe { bindings::kernel_listen(self.raw(), c_int::from(backlog)) })
    }

    /// Takes a connection. `ETIMEDOUT` where none came in `milliseconds`, `EINTR` where `should_stop` became true (whoever
    /// makes it so calls [`wake`](Self::wake)), `EINVAL` where the listener was shut down.
    ///
    /// Process context; sleeps.
    pub(crate) fn accept(
        &self,
        milliseconds: Msecs,
        mut should_stop: impl FnMut() -> bool,
    ) -> Result<TcpSocket> {
        let mut result = Err(ETIMEDOUT);
        self.wait(milliseconds, || {
            if should_stop() {
                result = Err(EINTR);
                return true;
            }
            match self.accept_now() {
                Err(EAGAIN) => false,
                other => {
                    result = other;
                    true
                }
            }
        });
        result
    }

    /// Takes a connection if there is one, else `EAGAIN`. May sleep, shortly.
    fn accept_now(&self) -> Result<TcpSocket> {
        let mut socket = null_mut();
        // SAFETY: by the type invariant; `socket` is written on success.
        to_result(unsafe {
            bindings::kernel_accept(self.raw(), &raw mut socket, bindings::O_NONBLOCK as c_int)
        })?;
        // SAFETY: the call succeeded: the new socket is ours.
        unsafe { Self::from_raw(socket) }
    }

    /// Connects to `address`. `ETIMEDOUT` where that took longer than `milliseconds`: the socket is then of no more use.
    /// `ECONNREFUSED`, `EHOSTUNREACH`, ... as `connect(2)`. Afterwards the send time limit is endless.
    ///
    /// Process context; sleeps.
    pub(crate) fn connect(&self, address: &SocketAddress, milliseconds: Msecs) -> Result {
        self.set_send_timeout(Patience::Milliseconds(milliseconds));
        let (bytes, length) = address.as_raw();
        // SAFETY: the address is readable for its length; it is copied.
        let result = to_result(unsafe {
            bindings::kernel_connect(self.raw(), bytes.cast_mut().cast(), length, 0)
        });
        self.set_send_timeout(Patience::Endless);
        match result {
            Err(EINPROGRESS) => Err(ETIMEDOUT),
            result => result,
        }
    }

    /// Ends both directions: who waits to receive gets end of file, who waits to send `EPIPE`, who waits to connect or
    /// accept an error. An error of its own (`ENOTCONN`) says that there was nothing to end. May sleep, shortly.
    pub(crate) fn shutdown(&self) -> Result {
        // SAFETY: by the type invariant.
        let result = to_result(unsafe {
            bindings::kernel_sock_shutdown(self.raw(), bindings::sock_shutdown_cmd_SHUT_RDWR)
        });
        self.wake();
        result
    }

    /// Makes closing the socket throw away what it has not yet sent, and reset the connection. Without this the network goes
    /// on sending after the socket is dropped. Where a connection ends while pages are lent, call this and drop the socket
    /// before the pages are used for something else: the peer would take their new content for the old. May sleep, shortly.
    pub(crate) fn abort_on_close(&self) -> Result {
        // SAFETY: by the type invariant.
        to_result(unsafe { shims::drbd_shim_sock_abort_on_close(self.raw()) })
    }

    /// The wait queue of the socket.
    fn queue(&self) -> *mut bindings::wait_queue_head {
        // SAFETY: the socket is valid by the type invariant; only the address is computed.
        unsafe { &raw mut (*self.raw()).wq.wait }
    }

    /// Makes those who wait in [`wait`](Self::wait) or [`accept`](Self::accept) look at their condition again.
    /// Any context.
    pub(crate) fn wake(&self) {
        // SAFETY: the queue lives in the socket, and was initialised with it.
        unsafe { bindings::__wake_up(self.queue(), bindings::TASK_NORMAL, 0, null_mut()) };
    }

    /// Sleeps until `condition` holds, for `milliseconds` at most, and answers whether it did. The condition is looked at
    /// when something arrives, when the state of the connection changes, and after [`wake`](Self::wake). It may sleep.
    ///
    /// Process context; sleeps. For kernel threads, as a signal would end the wait.
    pub(crate) fn wait(&self, milliseconds: Msecs, mut condition: impl FnMut() -> bool) -> bool {
        if condition() {
            return true;
        }
        let mut left = timeout_jiffies(milliseconds);
        // SAFETY: the queue lives as long as the socket, which outlives this function.
        pin_init::stack_pin_init!(let waiter = unsafe { Waiter::new(self.queue()) });
        loop {
            if condition() {
                return true;
            }
            if left <= 0 || kernel::current!().signal_pending() {
                return false;
            }
            // The callbacks of sockets wake only those who can be interrupted.
            left = waiter.as_mut().sleep(Sleep::Interruptible, left);
        }
    }

    /// Whether there is something to receive: data, end of file, or an error. May sleep, shortly.
    pub(crate) fn is_readable(&self) -> bool {
        let mut byte = [0];
        let flags = bindings::MSG_PEEK | bindings::MSG_DONTWAIT;
        self.receive_flags(&mut byte, flags) != Err(EAGAIN)
    }

    /// Whether the connection stands, as far as this side knows: the peer has neither closed nor reset it.
    /// May sleep, shortly.
    pub(crate) fn is_alive(&self) -> bool {
        let mut byte = [0];
        let flags = bindings::MSG_PEEK | bindings::MSG_DONTWAIT;
        matches!(self.receive_flags(&mut byte, flags), Ok(1) | Err(EAGAIN))
    }

    /// Whether the protocol calls the connection established. Any context.
    pub(crate) fn is_established(&self) -> bool {
        // SAFETY: by the type invariant.
        unsafe { shims::drbd_shim_sock_is_established(self.raw()) }
    }

    /// Receives into `buffer`, at most its length; all of it where `whole` says so and nothing ends it early. `Ok(0)` is the
    /// end of the stream. `EAGAIN` where nothing came in time, else the error of the connection.
    ///
    /// Process context; sleeps. One thread at a time receives: the time limit belongs to the socket.
    pub(crate) fn receive(
        &self,
        buffer: &mut [u8],
        patience: Patience,
        whole: bool,
    ) -> Result<usize> {
        let flags = self.receive_prepare(patience, whole);
        self.receive_flags(buffer, flags)
    }

    /// As [`receive`](Self::receive), straight into pages.
    pub(crate) fn receive_pages(
        &self,
        pages: &mut BioVecsMut<'_>,
        patience: Patience,
        whole: bool,
    ) -> Result<usize> {
        let flags = self.receive_prepare(patience, whole);
        let length = pages.len();
        let (vecs, skip) = pages.as_raw();
        let mut message = bindings::msghdr::default();
        // SAFETY: the vectors hold `skip + length` bytes of pages which are ours alone to write to, and outlive the call.
        unsafe { fill_iter(&mut message, bindings::ITER_DEST, vecs, skip, length) };
        self.receive_message(&mut message, flags)
    }

    /// Sets the time limit; answers the flags of `recvmsg(2)`.
    fn receive_prepare(&self, patience: Patience, whole: bool) -> u32 {
        let mut flags = bindings::MSG_NOSIGNAL;
        if whole {
            flags |= bindings::MSG_WAITALL;
        }
        if patience == Patience::None {
            flags |= bindings::MSG_DONTWAIT;
        } else {
            // SAFETY: by the type invariant; one word is written.
            unsafe { shims::drbd_shim_sock_set_receive_timeout(self.raw(), patience.jiffies()) };
        }
        flags
    }

    fn receive_flags(&self, buffer: &mut [u8], flags: u32) -> Result<usize> {
        let mut vec = bindings::kvec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        let mut message = bindings::msghdr::default();
        // SAFETY: `vec` describes `buffer`, and both outlive the receive below.
        unsafe {
            bindings::iov_iter_kvec(
                &mut message.msg_iter,
                bindings::ITER_DEST,
                &raw mut vec,
                1,
                buffer.len(),
            )
        };
        self.receive_message(&mut message, flags)
    }

    fn receive_message(&self, message: &mut bindings::msghdr, flags: u32) -> Result<usize> {
        // SAFETY: by the type invariant, and the iterator of the message describes memory that outlives the call.
        count(unsafe { bindings::sock_recvmsg(self.raw(), message, flags as c_int) })
    }

    /// Sends from `buffer`; answers how many bytes went into the send buffer, which may be fewer. `EAGAIN` where the send
    /// buffer had no room in the time of [`set_send_timeout`](Self::set_send_timeout): the caller decides whether to try
    /// again (`ko-count`). `EPIPE` after a shutdown.
    ///
    /// Process context; sleeps. One thread at a time sends, or the bytes of two mix.
    pub(crate) fn send(&self, buffer: &[u8], options: SendOptions) -> Result<usize> {
        let mut vec = bindings::kvec {
            iov_base: buffer.as_ptr().cast_mut().cast(),
            iov_len: buffer.len(),
        };
        let options = SendOptions {
            // A slice is not made of pages of its own.
            lend: false,
            ..options
        };
        let mut message = bindings::msghdr {
            msg_flags: options.flags(),
            ..Default::default()
        };
        // SAFETY: `vec` describes `buffer`, and both outlive the call; as a source it is only read.
        unsafe {
            bindings::iov_iter_kvec(
                &mut message.msg_iter,
                bindings::ITER_SOURCE,
                &raw mut vec,
                1,
                buffer.len(),
            )
        };
        self.send_message(&mut message)
    }

    /// As [`send`](Self::send), from pages.
    pub(crate) fn send_pages(&self, pages: BioVecs<'_>, mut options: SendOptions) -> Result<usize> {
        let (vecs, skip) = pages.as_raw();
        // The network holds a lent page by its reference count, which memory from the slab allocator does not have.
        options.lend = options.lend
            && vecs.iter().all(|vec| {
                // SAFETY: the page is valid, by the invariant of `BioVecs`.
                unsafe {
                    shims::drbd_shim_sendpages_ok(
                        vec.bv_page,
                        vec.bv_len as usize,
                        vec.bv_offset as usize,
                    )
                }
            });
        let mut message = bindings::msghdr {
            msg_flags: options.flags(),
            ..Default::default()
        };
        // SAFETY: the vectors hold `skip + len` bytes of pages, by the invariant of `BioVecs`, and outlive the call; what
        // the network keeps beyond it, it holds by references of its own.
        unsafe { fill_iter(&mut message, bindings::ITER_SOURCE, vecs, skip, pages.len()) };
        self.send_message(&mut message)
    }

    fn send_message(&self, message: &mut bindings::msghdr) -> Result<usize> {
        // SAFETY: by the type invariant, and the iterator of the message describes memory that outlives the call.
        count(unsafe { bindings::sock_sendmsg(self.raw(), message) })
    }

    /// How long a send waits for room. Counts from the next send on. Any context.
    pub(crate) fn set_send_timeout(&self, patience: Patience) {
        // SAFETY: by the type invariant; one word is written.
        unsafe { shims::drbd_shim_sock_set_send_timeout(self.raw(), patience.jiffies()) };
    }

    /// Bytes in the send buffer that the peer has not confirmed, and how many it can hold: for congestion. Any context.
    pub(crate) fn send_buffer(&self) -> (usize, usize) {
        // SAFETY: by the type invariant; one word is read.
        let used = unsafe { shims::drbd_shim_sock_send_buffer_used(self.raw()) };
        // SAFETY: as above.
        let size = unsafe { shims::drbd_shim_sock_send_buffer_size(self.raw()) };
        (
            usize::try_from(used).unwrap_or(0),
            usize::try_from(size).unwrap_or(0),
        )
    }

    fn set_option(&self, level: u32, name: u32, value: c_int) -> Result {
        // SAFETY: by the type invariant; the value is copied.
        to_result(unsafe {
            shims::drbd_shim_sock_set_option(self.raw(), level as c_int, name as c_int, value)
        })
    }

    /// `TCP_NODELAY`: send small segments at once. May sleep, shortly, as all options.
    pub(crate) fn set_no_delay(&self, on: bool) -> Result {
        self.set_option(bindings::SOL_TCP, shims::TCP_NODELAY, c_int::from(on))
    }

    /// `TCP_CORK`: hold back what does not fill a segment, until switched off.
    pub(crate) fn set_cork(&self, on: bool) -> Result {
        self.set_option(bindings::SOL_TCP, shims::TCP_CORK, c_int::from(on))
    }

    /// `TCP_QUICKACK`: confirm what was received now, and delay confirmations again afterwards. MPTCP does not have it
    /// (`ENOPROTOOPT`), which a caller can ignore.
    pub(crate) fn quick_ack(&self) -> Result {
        self.set_option(bindings::SOL_TCP, shims::TCP_QUICKACK, 2)
    }

    /// `SO_REUSEADDR`: bind although old connections of the port linger.
    pub(crate) fn set_reuse_address(&self, on: bool) -> Result {
        self.set_option(
            bindings::SOL_SOCKET,
            bindings::SO_REUSEADDR,
            c_int::from(on),
        )
    }

    /// `SO_KEEPALIVE`
    pub(crate) fn set_keepalive(&self, on: bool) -> Result {
        self.set_option(
            bindings::SOL_SOCKET,
            bindings::SO_KEEPALIVE,
            c_int::from(on),
        )
    }

    /// `SO_PRIORITY`: 0 to 6, the `TC_PRIO_*` of traffic control. 8.4: data 4 (interactive bulk), meta 6 (interactive).
    pub(crate) fn set_priority(&self, priority: u8) -> Result {
        self.set_option(
            bindings::SOL_SOCKET,
            bindings::SO_PRIORITY,
            c_int::from(priority),
        )
    }

    /// Size of the send buffer in bytes, beyond the limits for users; 0 leaves the automatic size.
    pub(crate) fn set_send_buffer(&self, bytes: u32) -> Result {
        self.set_buffer(bindings::SO_SNDBUFFORCE, bytes)
    }

    /// Size of the receive buffer in bytes, beyond the limits for users; 0 leaves the automatic size.
    pub(crate) fn set_receive_buffer(&self, bytes: u32) -> Result {
        self.set_buffer(bindings::SO_RCVBUFFORCE, bytes)
    }

    fn set_buffer(&self, name: u32, bytes: u32) -> Result {
        if bytes == 0 {
            return Ok(());
        }
        // The option doubles what it is given, to have room for its own overhead; 8.4 sets the size itself.
        self.set_option(
            bindings::SOL_SOCKET,
            name,
            c_int::try_from(bytes.div_ceil(2))?,
        )
    }

    /// The address of the other end. `ENOTCONN` where there is none. May sleep, shortly.
    pub(crate) fn peer_address(&self) -> Result<SocketAddress> {
        // SAFETY: by the type invariant; the storage is as large as any address.
        address_from(|storage| unsafe { bindings::kernel_getpeername(self.raw(), storage) })
    }

    /// The address of this end. May sleep, shortly.
    pub(crate) fn own_address(&self) -> Result<SocketAddress> {
        // SAFETY: by the type invariant; the storage is as large as any address.
        address_from(|storage| unsafe { bindings::kernel_getsockname(self.raw(), storage) })
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        // SAFETY: the socket is ours by the type invariant, and not used after this.
        unsafe { bindings::sock_release(self.raw()) };
    }
}

/// What a send or receive answers: a number of bytes, or an error below zero.
fn count(result: c_int) -> Result<usize> {
    to_result(result.min(0))?;
    Ok(usize::try_from(result)?)
}

/// Lets the iterator of a message run over `length` bytes of `vecs`, from `skip` on.
///
/// # Safety
///
/// The vectors hold `skip + length` bytes, and outlive the use of the message.
unsafe fn fill_iter(
    message: &mut bindings::msghdr,
    direction: u32,
    vecs: &[bindings::bio_vec],
    skip: usize,
    length: usize,
) {
    // SAFETY: by the contract of this function.
    unsafe {
        bindings::iov_iter_bvec(
            &mut message.msg_iter,
            direction,
            vecs.as_ptr(),
            vecs.len(),
            skip.saturating_add(length),
        );
        bindings::iov_iter_advance(&mut message.msg_iter, skip);
    }
}

/// Reads an address through one of the `kernel_get*name` functions, which answer its length.
fn address_from(get: impl FnOnce(*mut bindings::sockaddr) -> c_int) -> Result<SocketAddress> {
    const LENGTH: usize = size_of::<bindings::__kernel_sockaddr_storage>();
    let mut storage = bindings::__kernel_sockaddr_storage::default();
    let place = &raw mut storage;
    let length = count(get(place.cast()))?;
    // SAFETY: the storage was zeroed before it was written to: all of its bytes are initialised.
    let bytes = unsafe { &*place.cast::<[u8; LENGTH]>() };
    SocketAddress::from_bytes(bytes.get(..length).ok_or(EINVAL)?)
}

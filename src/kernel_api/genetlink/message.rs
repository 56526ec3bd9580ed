// SPDX-License-Identifier: GPL-2.0-only

//! Messages of the family: reading a request, writing replies, dumps and events.

use core::ptr::NonNull;

use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

use crate::bindings as shims;

/// What a reply says where nothing is wrong. C: `NO_ERROR`.
const RETURN_CODE_NO_ERROR: i32 = 101;

/// The header after the generic one. C: `struct drbd_genlmsghdr`, in the byte order of the machine.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct UserHeader {
    pub(super) minor: u32,
    /// Flags in a request, the return code in what the kernel sends.
    pub(super) flags_or_return_code: u32,
}

/// Bytes from the beginning of the generic netlink header to the attributes.
const HEADER_LENGTH: usize = size_of::<bindings::genlmsghdr>() + size_of::<UserHeader>();

/// A capability of the task that sent a request.
#[derive(Clone, Copy)]
pub(crate) enum Capability {
    /// `CAP_NET_ADMIN`
    NetAdmin,
    /// `CAP_SYS_ADMIN`
    SysAdmin,
}

/// A request from user space.
///
/// # Invariants
///
/// `info` is valid and describes a message of this family, as the generic netlink code gives it to a callback: the message
/// holds at least both headers, and lives as long as `'a`.
pub(crate) struct Request<'a> {
    info: NonNull<bindings::genl_info>,
    header: UserHeader,
    attributes: &'a [u8],
}

impl<'a> Request<'a> {
    /// Looks at the message of a callback.
    ///
    /// # Safety
    ///
    /// `info` fulfils the type invariant.
    pub(super) unsafe fn new(info: *mut bindings::genl_info) -> Result<Self> {
        let info = NonNull::new(info).ok_or(EINVAL)?;
        // SAFETY: by the contract of this function.
        let (message, generic) = unsafe { ((*info.as_ptr()).nlhdr, (*info.as_ptr()).genlhdr) };
        // SAFETY: as above; a netlink message begins with its length.
        let total = usize::try_from(unsafe { (*message).nlmsg_len })?;
        let payload = total
            .checked_sub(size_of::<bindings::nlmsghdr>())
            .filter(|payload| *payload >= HEADER_LENGTH)
            .ok_or(EINVAL)?;
        // SAFETY: the kernel checked that the message lies within its buffer; the generic header is the beginning of the
        // payload. Nobody writes to a received message.
        let payload = unsafe { core::slice::from_raw_parts(generic.cast::<u8>(), payload) };
        let (_, attributes) = payload.split_at_checked(HEADER_LENGTH).ok_or(EINVAL)?;
        // SAFETY: the slice above has the bytes of both headers; any bytes are a `UserHeader`.
        let header = unsafe { generic.add(1).cast::<UserHeader>().read_unaligned() };
        // INVARIANT: by the contract of this function.
        Ok(Request {
            info,
            header,
            attributes,
        })
    }

    /// The number of the command.
    pub(crate) fn command(&self) -> u8 {
        // SAFETY: by the type invariant.
        unsafe { (*(*self.info.as_ptr()).genlhdr).cmd }
    }

    /// The minor that the header names; `u32::MAX` for none.
    pub(crate) fn minor(&self) -> u32 {
        self.header.minor
    }

    /// The flags of the header (`DRBD_GENL_F_SET_DEFAULTS`), for some commands the volume number.
    pub(crate) fn flags(&self) -> u32 {
        self.header.flags_or_return_code
    }

    /// Whether what the request makes must not exist yet (`NLM_F_EXCL`).
    pub(crate) fn is_exclusive(&self) -> bool {
        // SAFETY: by the type invariant.
        let flags = unsafe { (*(*self.info.as_ptr()).nlhdr).nlmsg_flags };
        u32::from(flags) & bindings::NLM_F_EXCL != 0
    }

    /// The bytes after the header: attributes, not checked in any way.
    pub(crate) fn attributes(&self) -> &'a [u8] {
        self.attributes
    }

    /// The sequence number that the sender gave; it comes back in every answer.
    pub(crate) fn sequence(&self) -> u32 {
        // SAFETY: by the type invariant.
        unsafe { (*self.info.as_ptr()).snd_seq }
    }

    /// The netlink port of the sender.
    pub(crate) fn port(&self) -> u32 {
        // SAFETY: by the type invariant.
        unsafe { (*self.info.as_ptr()).snd_portid }
    }

    /// Whether the current task has `capability` in the initial user namespace.
    pub(crate) fn has_capability(&self, capability: Capability) -> bool {
        let number = match capability {
            Capability::NetAdmin => bindings::CAP_NET_ADMIN,
            Capability::SysAdmin => bindings::CAP_SYS_ADMIN,
        };
        c_int::try_from(number).is_ok_and(|number| {
            // SAFETY: process context of the sender or reader: `current` is a task with credentials.
            unsafe { bindings::capable(number) }
        })
    }

    /// Says in words why a request is refused, next to the error that the handler returns. Reaches tools that ask for
    /// extended acknowledgements.
    pub(crate) fn explain(&self, message: &'static CStr) {
        // SAFETY: by the type invariant; `extack` is null or valid during the callback, and keeps only the pointer to a
        // text that lives as long as the module, which stays during the callback.
        unsafe {
            let extack = (*self.info.as_ptr()).extack;
            if !extack.is_null() {
                (*extack)._msg = message.as_char_ptr();
            }
        }
    }

    /// The family that the request came to.
    fn family(&self) -> *const bindings::genl_family {
        // SAFETY: by the type invariant.
        unsafe { (*self.info.as_ptr()).family }
    }
}

/// A message under construction: a buffer with both headers in it.
///
/// # Invariants
///
/// `skb` is owned, and `header` is the place of the user header within it.
pub(super) struct Message {
    skb: NonNull<bindings::sk_buff>,
    header: NonNull<UserHeader>,
}

impl Message {
    /// Writes the headers into `skb`.
    ///
    /// # Safety
    ///
    /// `skb` is null (answers `ENOMEM`) or an empty buffer that is given to the message; `family` is registered.
    pub(super) unsafe fn begin(
        skb: *mut bindings::sk_buff,
        family: *const bindings::genl_family,
        port: u32,
        sequence: u32,
        command: u8,
        header: UserHeader,
    ) -> Result<Self> {
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        // SAFETY: by the contract of this function.
        match unsafe { put_headers(skb.as_ptr(), family, port, sequence, 0, command, header) } {
            // INVARIANT: the buffer was given to us, and the header is in it.
            Some(header) => Ok(Message { skb, header }),
            None => {
                // SAFETY: the buffer is ours.
                unsafe { bindings::nlmsg_free(skb.as_ptr()) };
                Err(EMSGSIZE)
            }
        }
    }

    /// Appends attributes. `EMSGSIZE` where they do not fit; the message is then as before.
    pub(super) fn push(&mut self, attributes: &[u8]) -> Result {
        // SAFETY: by the type invariant.
        unsafe { append(self.skb.as_ptr(), attributes) }
    }

    /// Writes the final length, and hands the buffer out.
    pub(super) fn finish(self) -> *mut bindings::sk_buff {
        let message = core::mem::ManuallyDrop::new(self);
        // SAFETY: by the type invariant.
        unsafe { bindings::genlmsg_end(message.skb.as_ptr(), message.header.as_ptr().cast()) };
        message.skb.as_ptr()
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the buffer is ours, by the type invariant.
        unsafe { bindings::nlmsg_free(self.skb.as_ptr()) };
    }
}

/// Appends both headers to a buffer; `None` where they do not fit.
///
/// # Safety
///
/// `skb` is a valid netlink buffer, used by nobody else; `family` is registered.
unsafe fn put_headers(
    skb: *mut bindings::sk_buff,
    family: *const bindings::genl_family,
    port: u32,
    sequence: u32,
    flags: c_int,
    command: u8,
    header: UserHeader,
) -> Option<NonNull<UserHeader>> {
    // SAFETY: by the contract of this function.
    let place = unsafe { bindings::genlmsg_put(skb, port, sequence, family, flags, command) };
    let place = NonNull::new(place.cast::<UserHeader>())?;
    // SAFETY: the family has a header of this size, for which room was made; netlink aligns it to four bytes.
    unsafe { place.write(header) };
    Some(place)
}

/// Appends attributes to the message that a buffer ends with.
///
/// # Safety
///
/// `skb` is a valid netlink buffer, used by nobody else.
unsafe fn append(skb: *mut bindings::sk_buff, attributes: &[u8]) -> Result {
    let length = c_int::try_from(attributes.len()).map_err(|_| EMSGSIZE)?;
    if length == 0 {
        return Ok(());
    }
    // SAFETY: by the contract of this function; the slice is readable for its length. The function checks for room.
    to_result(unsafe { bindings::nla_append(skb, length, attributes.as_ptr().cast()) })
}

/// The reply to a command, about 3700 bytes at most.
pub(crate) struct Reply {
    message: Message,
}

impl Reply {
    /// A reply without attributes.
    pub(super) fn new(request: &Request<'_>) -> Result<Self> {
        let header = UserHeader {
            minor: request.minor(),
            flags_or_return_code: RETURN_CODE_NO_ERROR as u32,
        };
        // SAFETY: the buffer is new; the family of a request is registered while the callback runs.
        let message = unsafe {
            Message::begin(
                shims::drbd_shim_genlmsg_new(),
                request.family(),
                request.port(),
                request.sequence(),
                request.command(),
                header,
            )
        }?;
        Ok(Reply { message })
    }

    /// Writes the final length, and hands the buffer out.
    pub(super) fn finish(self) -> *mut bindings::sk_buff {
        self.message.finish()
    }

    /// Sets what the reply says about success: `drbd_ret_code`, or a `drbd_state_rv` below 1.
    pub(crate) fn set_return_code(&mut self, code: i32) {
        // SAFETY: by the invariant of `Message`, and the buffer is not shared.
        unsafe { (*self.message.header.as_ptr()).flags_or_return_code = code as u32 };
    }

    /// Sets the minor that the reply is about.
    pub(crate) fn set_minor(&mut self, minor: u32) {
        // SAFETY: as above.
        unsafe { (*self.message.header.as_ptr()).minor = minor };
    }

    /// Appends encoded attributes, padded to four bytes. `EMSGSIZE` where they do not fit; the reply is then as before.
    pub(crate) fn push(&mut self, attributes: &[u8]) -> Result {
        self.message.push(attributes)
    }
}

/// The buffer that a dump fills.
///
/// # Invariants
///
/// `skb` is a valid netlink buffer that nobody else uses for `'a`.
pub(crate) struct DumpMessages<'a> {
    skb: NonNull<bindings::sk_buff>,
    request: &'a Request<'a>,
}

impl<'a> DumpMessages<'a> {
    /// Takes the buffer of a dump callback.
    ///
    /// # Safety
    ///
    /// `skb` is null (answers `EINVAL`) or a netlink buffer that nobody else uses for `'a`.
    pub(super) unsafe fn new(
        skb: *mut bindings::sk_buff,
        request: &'a Request<'a>,
    ) -> Result<Self> {
        // INVARIANT: by the contract of this function.
        Ok(DumpMessages {
            skb: NonNull::new(skb).ok_or(EINVAL)?,
            request,
        })
    }

    /// The bytes in the buffer.
    pub(super) fn length(&self) -> u32 {
        // SAFETY: by the type invariant.
        unsafe { (*self.skb.as_ptr()).len }
    }

    /// Adds a message of the list. `false` where it does not fit: the next call of the handler begins with it.
    #[must_use]
    pub(crate) fn put(
        &mut self,
        command: u8,
        minor: u32,
        return_code: i32,
        attributes: &[u8],
    ) -> bool {
        let flags = bindings::NLM_F_MULTI as c_int;
        self.put_message(
            self.request.port(),
            flags,
            command,
            minor,
            return_code,
            attributes,
        )
    }

    /// Adds a message in the form of an event: as [`put`](Self::put), but from port 0 and without the mark of a list, as
    /// 8.4 answers `GET_INITIAL_STATE`.
    #[must_use]
    pub(crate) fn put_event(
        &mut self,
        command: u8,
        minor: u32,
        return_code: i32,
        attributes: &[u8],
    ) -> bool {
        self.put_message(0, 0, command, minor, return_code, attributes)
    }

    fn put_message(
        &mut self,
        port: u32,
        flags: c_int,
        command: u8,
        minor: u32,
        return_code: i32,
        attributes: &[u8],
    ) -> bool {
        let skb = self.skb.as_ptr();
        let header = UserHeader {
            minor,
            flags_or_return_code: return_code as u32,
        };
        let sequence = self.request.sequence();
        // SAFETY: the buffer is ours by the type invariant; the family is registered, since a
        // dump holds a reference to the module.
        let Some(place) = (unsafe {
            put_headers(
                skb,
                self.request.family(),
                port,
                sequence,
                flags,
                command,
                header,
            )
        }) else {
            return false;
        };
        // SAFETY: as above.
        let fits = unsafe { append(skb, attributes) }.is_ok();
        // SAFETY: `place` is the user header of the last message in `skb`.
        unsafe {
            if fits {
                bindings::genlmsg_end(skb, place.as_ptr().cast());
            } else {
                bindings::genlmsg_cancel(skb, place.as_ptr().cast());
            }
        }
        fits
    }
}

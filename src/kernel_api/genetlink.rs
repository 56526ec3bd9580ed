// SPDX-License-Identifier: GPL-2.0-only

//! The generic netlink family `drbd`: how drbd-utils talk to the module.
//!
//! This file moves bytes. Every message has a header of eight bytes after the generic one (`struct drbd_genlmsghdr`), and
//! attributes behind it. The attributes are handed on as they came: there is no kernel policy on any command, because the
//! core decodes and checks each attribute itself. A family may do so where its commands lie below `resv_start_op` and it
//! lists them as `genl_ops`; the kernel would reject all attributes for `genl_split_ops` without a policy. What the
//! kernel does check before we are called: the length of the message, the rights of the sender.
//!
//! Commands run in parallel (`parallel_ops`): no lock of the kernel is held that other families need, and the handler does
//! its own locking.
//!
//! C header: [`include/net/genetlink.h`](srctree/include/net/genetlink.h)

use core::marker::PhantomData;

use kernel::{
    bindings,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};

use crate::bindings as shims;

mod message;
pub(crate) use message::{
    Capability,
    DumpMessages,
    Reply,
    Request, //
};
use message::{
    Message,
    UserHeader, //
};

/// Name of the family. C: `DRBD_FAMILY_NAME`.
const FAMILY_NAME: &[u8] = b"drbd\0";
/// Version of the family.
const FAMILY_VERSION: u32 = 1;
/// Name of the multicast group that `drbdsetup events2` listens to.
const GROUP_NAME: &[u8] = b"events\0";
/// Number of that group within the family.
const GROUP_EVENTS: u32 = 0;
/// The command of events of the older kind (`DRBD_ADM_EVENT`).
const COMMAND_EVENT: u8 = 1;
/// First command from which on the kernel insists on a policy: above all that 8.4 has.
const FIRST_COMMAND_WITH_POLICY: u8 = 42;

/// Who may send a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Everybody.
    All,
    /// Who has `CAP_NET_ADMIN`, both the process and the one that opened the socket.
    Administrator,
}

/// How a command is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With one reply: [`Handler::command`].
    Single,
    /// With a list: [`Handler::dump_start`] and [`Handler::dump_next`].
    Dump,
    /// As the sender asks: with one reply, or a list where the message has the flag `NLM_F_DUMP`.
    SingleOrDump,
}

/// A command that the family understands.
#[derive(Clone, Copy)]
pub(crate) struct Command {
    /// Its number, below 42.
    pub(crate) number: u8,
    /// How it is answered.
    pub(crate) kind: Kind,
    /// Who may send it.
    pub(crate) permission: Permission,
}

/// Whether a dump goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more to say, in a next buffer.
    More,
    /// All is said.
    Done,
}

/// What answers the commands.
pub(crate) trait Handler: 'static {
    /// What a dump keeps from one buffer to the next: a snapshot, or a place in a list. Dropped at its end, or when the
    /// reader goes away.
    type Dump: Send + 'static;

    /// The commands, each number once.
    const COMMANDS: &'static [Command];

    /// Answers a command. `reply` has the minor of the request and the return code `NO_ERROR`, until changed. After `Ok`
    /// the reply is sent; an error goes to the sender as a netlink error, without a reply.
    ///
    /// Process context, in the task of the sender; several at the same time; may sleep.
    fn command(request: &Request<'_>, reply: &mut Reply) -> Result;

    /// Begins a dump.
    ///
    /// Process context, in the task of the sender; may sleep.
    fn dump_start(request: &Request<'_>) -> Result<KBox<Self::Dump>>;

    /// Writes the next messages of a dump into `messages` until [`DumpMessages::put`] says that one did not fit, which is
    /// then the first of the next call.
    ///
    /// Process context, in the task of the reader, never at the same time for one dump; may sleep.
    fn dump_next(
        dump: &mut Self::Dump,
        request: &Request<'_>,
        messages: &mut DumpMessages<'_>,
    ) -> Result<Progress>;
}

/// What a running dump keeps behind `netlink_callback::args[0]`.
struct RunningDump<D> {
    state: KBox<D>,
    done: bool,
}

/// What the kernel reads as long as the family is registered.
struct FamilyData {
    family: Opaque<bindings::genl_family>,
    groups: [bindings::genl_multicast_group; 1],
    operations: KVec<bindings::genl_ops>,
}

/// The registered family. Dropping it waits for commands that run, and takes the family away.
///
/// # Invariants
///
/// `data.family` is registered, and refers to nothing but `data` and code of this module.
pub(crate) struct Registration<H: Handler> {
    data: KBox<FamilyData>,
    /// The numbers of notifications: who listens finds out from them what was lost.
    sequence: Atomic<u32>,
    /// The numbers of events of the older kind, which have a count of their own.
    event_sequence: Atomic<u32>,
    _handler: PhantomData<fn() -> H>,
}

// SAFETY: the family is only read, by functions that may run on any thread.
unsafe impl<H: Handler> Send for Registration<H> {}
// SAFETY: as above.
unsafe impl<H: Handler> Sync for Registration<H> {}

impl<H: Handler> Registration<H> {
    /// Registers the family: commands may arrive before this returns. `EEXIST` where another driver has the name (the C
    /// driver is loaded), `EINVAL` for a list of commands with a number twice or too high.
    ///
    /// Process context; may sleep.
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        let mut operations = KVec::with_capacity(H::COMMANDS.len(), GFP_KERNEL)?;
        for command in H::COMMANDS {
            if command.number >= FIRST_COMMAND_WITH_POLICY {
                return Err(EINVAL);
            }
            operations.push(operation::<H>(command), GFP_KERNEL)?;
        }
        let mut groups = [bindings::genl_multicast_group::default()];
        for group in &mut groups {
            copy_name(&mut group.name, GROUP_NAME);
        }
        let mut data = KBox::new(
            FamilyData {
                family: Opaque::zeroed(),
                groups,
                operations,
            },
            GFP_KERNEL,
        )?;
        let mut family = bindings::genl_family {
            hdrsize: u32::try_from(size_of::<UserHeader>())?,
            version: FAMILY_VERSION,
            n_ops: u8::try_from(data.operations.len())?,
            ops: data.operations.as_ptr(),
            n_mcgrps: u8::try_from(data.groups.len())?,
            mcgrps: data.groups.as_ptr(),
            resv_start_op: FIRST_COMMAND_WITH_POLICY,
            module: module.as_ptr(),
            ..Default::default()
        };
        copy_name(&mut family.name, FAMILY_NAME);
        // As the C driver: the family can be seen in all network namespaces. Rights are those of the initial one.
        family.set_netnsok(1);
        family.set_parallel_ops(1);
        data.family = Opaque::new(family);
        // SAFETY: the family is complete, and lies with all it points to in a box that lives until after it is
        // unregistered again.
        to_result(unsafe { bindings::genl_register_family(data.family.get()) })?;
        // INVARIANT: registered just now.
        Ok(Registration {
            data,
            // The first event of the C driver has the number 3.
            sequence: Atomic::new(2),
            event_sequence: Atomic::new(2),
            _handler: PhantomData,
        })
    }

    /// Whether anybody listens to events: without listeners none needs to be built. Any context.
    pub(crate) fn has_listeners(&self) -> bool {
        // SAFETY: the family is registered; `init_net` always exists.
        unsafe {
            bindings::genl_has_listeners(
                self.data.family.get(),
                &raw mut bindings::init_net,
                GROUP_EVENTS,
            ) != 0
        }
    }

    /// Sends an event to all who listen in the initial network namespace. That nobody does is not an error. `ENOBUFS`
    /// where a listener was too slow and lost it, `EMSGSIZE` where `attributes` are too long.
    ///
    /// May sleep, but does not start I/O.
    pub(crate) fn multicast(
        &self,
        command: u8,
        minor: u32,
        return_code: i32,
        attributes: &[u8],
    ) -> Result {
        let counter = if command == COMMAND_EVENT {
            &self.event_sequence
        } else {
            &self.sequence
        };
        let sequence = counter.fetch_add(1, Relaxed).wrapping_add(1);
        let family = self.data.family.get();
        let header = UserHeader {
            minor,
            flags_or_return_code: return_code as u32,
        };
        // SAFETY: the buffer is new, the family is registered.
        let mut message = unsafe {
            Message::begin(
                shims::drbd_shim_genlmsg_new_noio(),
                family,
                0,
                sequence,
                command,
                header,
            )
        }?;
        message.push(attributes)?;
        // SAFETY: the family is registered; the call takes the buffer over in any case.
        let result = to_result(unsafe {
            bindings::genlmsg_multicast(
                family,
                message.finish(),
                0,
                GROUP_EVENTS,
                bindings::GFP_NOWAIT,
            )
        });
        match result {
            Err(ESRCH) => Ok(()),
            result => result,
        }
    }
}

impl<H: Handler> Drop for Registration<H> {
    fn drop(&mut self) {
        // SAFETY: registered, by the type invariant, and only once unregistered. The call waits for callbacks that run;
        // no dump can be open, since each holds a reference to the module.
        unsafe { bindings::genl_unregister_family(self.data.family.get()) };
    }
}

/// Copies a name that ends with a zero byte into a field that is longer.
fn copy_name<T: From<u8>>(field: &mut [T], name: &[u8]) {
    for (to, from) in field.iter_mut().zip(name) {
        *to = T::from(*from);
    }
}

/// What the kernel is told about a command.
fn operation<H: Handler>(command: &Command) -> bindings::genl_ops {
    let mut operation = bindings::genl_ops {
        cmd: command.number,
        flags: match command.permission {
            Permission::All => 0,
            Permission::Administrator => bindings::GENL_ADMIN_PERM as u8,
        },
        ..Default::default()
    };
    if command.kind != Kind::Dump {
        operation.doit = Some(command_callback::<H>);
    }
    if command.kind != Kind::Single {
        operation.start = Some(dump_start_callback::<H>);
        operation.dumpit = Some(dump_next_callback::<H>);
        operation.done = Some(dump_done_callback::<H>);
    }
    operation
}

/// Whether the list of commands keeps this command for administrators.
fn is_for_administrators<H: Handler>(number: u8) -> bool {
    H::COMMANDS
        .iter()
        .any(|command| command.number == number && command.permission == Permission::Administrator)
}

/// `genl_ops::doit`
///
/// # Safety
///
/// `info` describes a message to a family of `H`.
unsafe extern "C" fn command_callback<H: Handler>(
    _skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> c_int {
    from_result(|| {
        // SAFETY: by the contract of this function.
        let request = unsafe { Request::new(info) }?;
        // GENL_ADMIN_PERM looks at the socket; the task that sends may be another one.
        if is_for_administrators::<H>(request.command())
            && !request.has_capability(Capability::NetAdmin)
        {
            return Err(EPERM);
        }
        let mut reply = Reply::new(&request)?;
        H::command(&request, &mut reply)?;
        // SAFETY: the call takes the buffer over in any case; `info` is valid. A receiver that is gone or full is not our
        // error: the command was carried out.
        let sent = to_result(unsafe { shims::drbd_shim_genlmsg_reply(reply.finish(), info) });
        if let Err(error) = sent {
            pr_err!("error {} sending genl reply\n", error.to_errno());
        }
        Ok(0)
    })
}

/// The description of the request that a dump answers.
///
/// # Safety
///
/// `callback` is valid, and belongs to a dump of a generic netlink family.
unsafe fn dump_info(callback: *mut bindings::netlink_callback) -> *mut bindings::genl_info {
    // SAFETY: by the contract of this function; generic netlink keeps its own description behind `data`.
    unsafe { &raw mut (*(*callback).data.cast::<bindings::genl_dumpit_info>()).info }
}

/// Where a dump keeps its state.
///
/// # Safety
///
/// `callback` is valid.
unsafe fn dump_slot<D>(callback: *mut bindings::netlink_callback) -> *mut *mut RunningDump<D> {
    // SAFETY: by the contract of this function. `args` is storage for our use, with the size and alignment of pointers.
    unsafe { (&raw mut (*callback).__bindgen_anon_1.args).cast() }
}

/// `genl_ops::start`
///
/// # Safety
///
/// `callback` belongs to a new dump of a family of `H`.
unsafe extern "C" fn dump_start_callback<H: Handler>(
    callback: *mut bindings::netlink_callback,
) -> c_int {
    from_result(|| {
        // SAFETY: by the contract of this function.
        let request = unsafe { Request::new(dump_info(callback)) }?;
        if is_for_administrators::<H>(request.command())
            && !request.has_capability(Capability::NetAdmin)
        {
            return Err(EPERM);
        }
        let state = H::dump_start(&request)?;
        let running = KBox::new(RunningDump { state, done: false }, GFP_KERNEL)?;
        // SAFETY: the slot is ours; it gives the box back in `dump_done_callback`, which is called exactly once if this
        // function succeeds.
        unsafe { *dump_slot::<H::Dump>(callback) = KBox::into_raw(running) };
        Ok(0)
    })
}

/// `genl_ops::dumpit`
///
/// # Safety
///
/// `callback` belongs to a dump of a family of `H` that was started; `skb` is the buffer to fill.
unsafe extern "C" fn dump_next_callback<H: Handler>(
    skb: *mut bindings::sk_buff,
    callback: *mut bindings::netlink_callback,
) -> c_int {
    from_result(|| {
        // SAFETY: by the contract of this function. A dump runs under a mutex of its socket: the reference is exclusive.
        let running = unsafe { (*dump_slot::<H::Dump>(callback)).as_mut() }.ok_or(EINVAL)?;
        if running.done {
            return Ok(0);
        }
        // SAFETY: by the contract of this function.
        let request = unsafe { Request::new(dump_info(callback)) }?;
        // SAFETY: `skb` is the buffer of this callback.
        let mut messages = unsafe { DumpMessages::new(skb, &request) }?;
        let progress = H::dump_next(&mut running.state, &request, &mut messages)?;
        running.done = progress == Progress::Done;
        match (messages.length(), progress) {
            // A message that does not fit into an empty buffer never will.
            (0, Progress::More) => Err(EMSGSIZE),
            // More than zero: the buffer is sent, and we are asked again, also when all is said. As 8.4, the end of the
            // list then comes alone.
            (length, _) => Ok(c_int::try_from(length)?),
        }
    })
}

/// `genl_ops::done`
///
/// # Safety
///
/// `callback` belongs to a dump of a family of `H` that was started, and ends now.
unsafe extern "C" fn dump_done_callback<H: Handler>(
    callback: *mut bindings::netlink_callback,
) -> c_int {
    // SAFETY: by the contract of this function.
    let running =
        unsafe { core::mem::replace(&mut *dump_slot::<H::Dump>(callback), core::ptr::null_mut()) };
    if !running.is_null() {
        // SAFETY: the pointer came from `KBox::into_raw` in `dump_start_callback`, and nobody else has it any more.
        drop(unsafe { KBox::from_raw(running) });
    }
    0
}

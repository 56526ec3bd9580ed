// SPDX-License-Identifier: GPL-2.0-only

//! The shell around the engine of a resource: its lock, the tokens that stand for bios and pages, and its threads.
//!
//! # Lock and contexts
//!
//! One irq-safe spinlock for each resource holds the engine and the tables of tokens. Nothing sleeps or allocates under
//! it, and nothing that the engine asks for is done under it: [`Resource::engine`] drops it first.
//!
//! Threads, named as `ps` shows them: `drbd_r_` receiver, `drbd_w_` sender of data, `drbd_a_` receiver of
//! acknowledgements, `drbd_as_` their sender; for the resource as a whole `drbd_d_`, which starts block I/O that was
//! asked for where sleeping was not allowed, `drbd_z_`, which discards, `drbd_e_`, which carries out events, and `drbd_h_`,
//! which calls helpers.

pub(crate) mod algorithms;
pub(crate) mod digests;
pub(crate) mod effects;
pub(crate) mod events;
pub(crate) mod helpers;
mod lock;
pub(crate) mod ranges;
mod separate_metadata;
pub(crate) mod signal;
pub(crate) mod tokens;

use drbd_core::{
    config::{
        resource::ResourceOptions,
        text::Text, //
    },
    resource::{
        connection::{
            ConnectionTables,
            DataItem,
            LogEntry,
            MetaItem,
            ReceiveEpoch, //
        },
        device::DeviceIndex,
        effect::{
            Completion,
            Effect,
            Event, //
        },
        ResourceTables,
        Ticket,
        MAX_VOLUMES, //
    },
    return_code::ReturnCode,
    ring::Ring,
    state::StateCode, //
};
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        new_spinlock_irq,
        Arc,
        Mutex,
        SpinLockIrq, //
    },
};

use crate::{
    disk::{
        io::{
            LocalIo,
            PageIo, //
        },
        Device, //
    },
    kernel_api::{
        bio_set::BioSet,
        kthread::{
            parse_cpu_mask,
            StopFlag,
            Thread, //
        },
        memory::Lender,
        pages::PagePool,
        socket_address::SocketAddress,
        timer::{
            new_timer,
            Timer, //
        },
        wait::{
            new_wait_queue,
            WaitQueue, //
        },
        workqueue::WorkQueue, //
    },
    net::Link,
};
use algorithms::Algorithms;
use signal::Signal;
use tokens::Shelf;

/// The engine, with tables that live as long as the module lends them.
pub(crate) type Engine = drbd_core::resource::Resource<'static>;

/// Writes and reads of applications that a device can have under way.
pub(crate) const REQUESTS: usize = 2048;
/// Requests of the peer, and of resync, that a device can have under way.
pub(crate) const PEER_REQUESTS: usize = 2048;
/// Entries of the queues that hold both kinds, for a few devices at once.
const QUEUE: usize = 8 * (REQUESTS + PEER_REQUESTS);
const EVENTS: usize = 2048;
const EPOCHS: usize = 1024;

/// A refusal with its return code and, for a person, a text.
#[derive(Clone, Copy)]
pub(crate) struct Refused {
    /// A number of `enum drbd_ret_code` or `enum drbd_state_rv`.
    pub(crate) code: i32,
    /// More than the number says; may be empty.
    pub(crate) text: Text<160>,
}

impl From<ReturnCode> for Refused {
    fn from(code: ReturnCode) -> Self {
        Self {
            code: code.into(),
            text: Text::EMPTY,
        }
    }
}

impl From<StateCode> for Refused {
    fn from(code: StateCode) -> Self {
        Self {
            code: code.number(),
            text: Text::EMPTY,
        }
    }
}

/// What the lock of a resource protects.
pub(crate) struct Guarded {
    pub(crate) engine: Engine,
    /// What the options of the connection name.
    pub(crate) algorithms: Algorithms,
    pub(crate) shelves: [Option<KBox<Shelf>>; MAX_VOLUMES],
    /// What the event thread does.
    pub(crate) event: events::EventWork,
    /// Discards and write-zeroes that wait for their thread.
    pub(crate) ranges: Ring<'static, Effect>,
    /// Metadata on devices of its own that waits for its thread.
    pub(crate) separate_metadata: Ring<'static, Effect>,
    /// Helpers that wait for their turn.
    pub(crate) helpers: Ring<'static, Event>,
    /// Metadata is encoded here before it goes into pages.
    pub(crate) scratch: KBox<[u8; 4096]>,
}

/// A resource.
#[pin_data]
pub(crate) struct Resource {
    name: KVec<u8>,
    #[pin]
    guarded: SpinLockIrq<Guarded>,
    #[pin]
    administration: Mutex<()>,
    #[pin]
    devices: Mutex<[Option<Arc<Device>>; MAX_VOLUMES]>,
    #[pin]
    link: Mutex<Option<Arc<Link>>>,
    #[pin]
    addresses: Mutex<Option<(SocketAddress, SocketAddress)>>,
    #[pin]
    threads: Mutex<Threads>,
    #[pin]
    timer: Mutex<Option<Arc<Timer>>>,
    /// The same, to be armed in any context. Taken before the lock of the engine.
    #[pin]
    alarm: SpinLockIrq<Option<Arc<Timer>>>,
    /// Tables of the engine.
    pub(crate) lender: Pin<KBox<Lender>>,
    /// Copies of bios from above, and range operations.
    #[pin]
    pub(crate) copies: BioSet<LocalIo>,
    /// Data from the peer.
    #[pin]
    pub(crate) received: PagePool<PageIo>,
    /// Data for the peer.
    #[pin]
    pub(crate) replies: PagePool<PageIo>,
    /// Metadata.
    #[pin]
    pub(crate) metadata: PagePool<PageIo>,
    /// There may be block I/O to start.
    #[pin]
    pub(crate) disk_work: Signal,
    /// There may be a discard.
    #[pin]
    pub(crate) range_work: Signal,
    /// There may be metadata for a device of its own.
    #[pin]
    pub(crate) metadata_work: Signal,
    /// There may be events.
    #[pin]
    pub(crate) event_work: Signal,
    /// There may be a helper to call.
    #[pin]
    pub(crate) helper_work: Signal,
    /// There may be bytes for the data socket.
    #[pin]
    pub(crate) data_work: Signal,
    /// There may be bytes for the meta socket.
    #[pin]
    pub(crate) meta_work: Signal,
    /// Held by whoever takes packets for the meta socket from the engine, until they are sent.
    #[pin]
    pub(crate) meta_turn: Mutex<()>,
    /// There may be room in a table or queue.
    #[pin]
    pub(crate) room: WaitQueue,
    /// An operation of an administrator may have ended.
    #[pin]
    pub(crate) operations: WaitQueue,
}

/// The threads of a resource; those of a link belong to its receiver.
struct Threads {
    disk: Option<Thread>,
    range: Option<Thread>,
    metadata: Option<Thread>,
    event: Option<Thread>,
    helper: Option<Thread>,
    receiver: Option<Thread>,
}

impl Resource {
    /// A resource without volumes, StandAlone, with its threads running. Sleeps.
    pub(crate) fn new(name: &[u8], options: ResourceOptions) -> Result<Arc<Self>> {
        let mut own_name = KVec::with_capacity(name.len(), GFP_KERNEL)?;
        own_name.extend_from_slice(name, GFP_KERNEL)?;
        let lender = KBox::pin_init(Lender::new(), GFP_KERNEL)?;
        let scratch = KBox::new([0; 4096], GFP_KERNEL)?;
        let resource = Arc::pin_init(
            try_pin_init!(Self {
                name: own_name,
                guarded <- new_spinlock_irq!(Guarded {
                    engine: Engine::new(options, ResourceTables::default()),
                    algorithms: Algorithms::none(),
                    shelves: [const { None }; MAX_VOLUMES],
                    event: events::EventWork::Idle,
                    ranges: Ring::new(&mut []),
                    separate_metadata: Ring::new(&mut []),
                    helpers: Ring::new(&mut []),
                    scratch,
                }, "Resource::guarded"),
                administration <- new_mutex!((), "Resource::administration"),
                devices <- new_mutex!([const { None }; MAX_VOLUMES], "Resource::devices"),
                link <- new_mutex!(None, "Resource::link"),
                addresses <- new_mutex!(None, "Resource::addresses"),
                threads <- new_mutex!(Threads { disk: None, range: None, metadata: None, event: None, helper: None, receiver: None }, "Resource::threads"),
                timer <- new_mutex!(None, "Resource::timer"),
                alarm <- new_spinlock_irq!(None, "Resource::alarm"),
                lender,
                copies <- BioSet::new(64),
                received <- PagePool::new(1),
                replies <- PagePool::new(1),
                metadata <- PagePool::new(1),
                disk_work <- Signal::new(),
                range_work <- Signal::new(),
                metadata_work <- Signal::new(),
                event_work <- Signal::new(),
                helper_work <- Signal::new(),
                data_work <- Signal::new(),
                meta_work <- Signal::new(),
                meta_turn <- new_mutex!((), "Resource::meta_turn"),
                room <- new_wait_queue!(c"drbd_room"),
                operations <- new_wait_queue!(c"drbd_operations"),
            }? Error),
            GFP_KERNEL,
        )?;
        // The timer has a reference to the resource, and the lender wants its tables back.
        resource
            .lend_tables()
            .and_then(|()| resource.start())
            .inspect_err(|_| resource.shut_down())?;
        Ok(resource)
    }

    /// The engine and the threads get their tables: all of them, or none. Sleeps.
    fn lend_tables(&self) -> Result {
        let lender = &self.lender;
        let data_queue = lender.try_lend_with(QUEUE, |_| DataItem::None)?;
        let meta_queue = lender.try_lend_with(QUEUE, |_| MetaItem::None)?;
        let transfer_log = lender.try_lend_with(QUEUE, |_| LogEntry::FILL)?;
        let epochs = lender.try_lend_with(EPOCHS, |_| ReceiveEpoch::EMPTY)?;
        let completions = lender.try_lend_with(QUEUE, |_| Completion::FILL)?;
        let effects = lender.try_lend_with(QUEUE, |_| Effect::None)?;
        let events = lender.try_lend_with(EVENTS, |_| Event::None)?;
        let ranges = lender.try_lend_with(QUEUE, |_| Effect::None)?;
        let separate_metadata = lender.try_lend_with(QUEUE, |_| Effect::None)?;
        let helpers = lender.try_lend_with(helpers::WAITING, |_| Event::None)?;
        let tables = ResourceTables {
            connection: ConnectionTables {
                data_queue: data_queue.keep(),
                meta_queue: meta_queue.keep(),
                transfer_log: transfer_log.keep(),
                epochs: epochs.keep(),
            },
            completions: completions.keep(),
            effects: effects.keep(),
            events: events.keep(),
        };
        let mut guarded = self.lock_now();
        guarded.engine.exchange_tables(tables);
        guarded.ranges = Ring::new(ranges.keep());
        guarded.separate_metadata = Ring::new(separate_metadata.keep());
        guarded.helpers = Ring::new(helpers.keep());
        Ok(())
    }

    fn start(self: &Arc<Self>) -> Result {
        let queue = Arc::new(
            WorkQueue::ordered(&self.thread_name("drbd_t_")?)?,
            GFP_KERNEL,
        )?;
        let owner = self.clone();
        let timer = Arc::new(
            new_timer!(queue, move || owner.timer_expired())?,
            GFP_KERNEL,
        )?;
        *self.timer.lock() = Some(timer.clone());
        *self.alarm.lock() = Some(timer);
        let disk = self.start_thread("drbd_d_", effects::run)?;
        let range = self.start_thread("drbd_z_", ranges::run)?;
        let metadata = self.start_thread("drbd_m_", separate_metadata::run)?;
        let event = self.start_thread("drbd_e_", events::run)?;
        let helper = self.start_thread("drbd_h_", helpers::run)?;
        let mut threads = self.threads.lock();
        threads.disk = Some(disk);
        threads.range = Some(range);
        threads.metadata = Some(metadata);
        threads.event = Some(event);
        threads.helper = Some(helper);
        drop(threads);
        self.bind_threads();
        Ok(())
    }

    fn start_thread(
        self: &Arc<Self>,
        prefix: &str,
        run: fn(&Arc<Self>, &StopFlag),
    ) -> Result<Thread> {
        let owner = self.clone();
        Thread::spawn(&self.thread_name(prefix)?, move |stop| run(&owner, stop))
    }

    /// The name of a thread of this resource.
    pub(crate) fn thread_name(&self, prefix: &str) -> Result<CString> {
        let name = core::str::from_utf8(&self.name).unwrap_or("?");
        CString::try_from_fmt(fmt!("{prefix}{name}"))
    }

    /// The name.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Serialises what administrators do.
    pub(crate) fn administration(&self) -> &Mutex<()> {
        &self.administration
    }

    /// Waits for an operation that the peer has to agree to. Sleeps.
    pub(crate) fn wait_for(self: &Arc<Self>, ticket: Ticket) -> Result<(), StateCode> {
        let mut result = None;
        self.operations.wait_event(|| {
            result = self.engine_for_command(|engine| engine.operation_result(ticket));
            result.is_some()
        });
        result.unwrap_or(Err(StateCode::UnknownError))
    }

    /// The device at a place of the engine's table.
    pub(crate) fn device_at(&self, index: DeviceIndex) -> Option<Arc<Device>> {
        self.devices.lock().get(usize::from(index.0))?.clone()
    }

    pub(crate) fn set_device(&self, index: DeviceIndex, device: Option<Arc<Device>>) {
        let old = match self.devices.lock().get_mut(usize::from(index.0)) {
            Some(place) => core::mem::replace(place, device),
            None => None,
        };
        drop(old);
    }

    /// Ends whatever waits in the sockets, while there are some, and those of a link that was given up. Sleeps.
    pub(crate) fn shut_link(&self) {
        // Under the mutex, with no reference of its own: whoever takes the link away has the last one, and closes the
        // sockets by dropping it. Nor does the next link come meanwhile.
        if let Some(link) = self.link.lock().as_ref() {
            let given_up = || self.peek(|guarded| guarded.engine.link_is_given_up());
            if matches!(**link, Link::Listening(_)) || given_up() {
                link.shut();
            }
        }
    }

    /// Takes the place of the link. The sockets of the old one are closed when this returns, unless the caller has a
    /// reference to it. Sleeps.
    pub(crate) fn set_link(&self, link: Option<Arc<Link>>) {
        let old = core::mem::replace(&mut *self.link.lock(), link);
        drop(old);
    }

    /// Our address and the peer's, while a connection is configured.
    pub(crate) fn addresses(&self) -> Option<(SocketAddress, SocketAddress)> {
        *self.addresses.lock()
    }

    pub(crate) fn set_addresses(&self, addresses: Option<(SocketAddress, SocketAddress)>) {
        *self.addresses.lock() = addresses;
    }

    /// Takes the place of the receiver; the old one has returned, or returns here.
    pub(crate) fn set_receiver(&self, receiver: Option<Thread>) {
        if let Some(receiver) = &receiver {
            self.bind_thread(receiver);
        }
        let old = core::mem::replace(&mut self.threads.lock().receiver, receiver);
        drop(old);
    }

    /// Binds a thread to the processors of `cpu-mask`. Without a mask, or where none of its processors is there, it runs
    /// anywhere. May sleep.
    pub(crate) fn bind_thread(&self, thread: &Thread) {
        let options = self.peek(|guarded| guarded.engine.options().clone());
        let text = options.cpu_mask.as_str().unwrap_or_default();
        if text.is_empty() {
            return;
        }
        let bound = CString::try_from_fmt(fmt!("{text}"))
            .and_then(|text| parse_cpu_mask(&text))
            .and_then(|mask| thread.set_cpu_mask(&mask));
        if bound.is_err() {
            pr_warn!("cpu-mask {text} names no processor that is there\n");
        }
    }

    /// `cpu-mask` changed. The threads of a link follow when it is made anew. May sleep.
    pub(crate) fn bind_threads(&self) {
        let threads = self.threads.lock();
        let all = [&threads.disk, &threads.event, &threads.receiver];
        for thread in all.into_iter().flatten() {
            self.bind_thread(thread);
        }
    }

    /// Ends the threads, but for a helper that runs. The resource has no device, and is StandAlone. Sleeps.
    pub(crate) fn shut_down(&self) {
        let (disk, range, metadata, event, helper, receiver) = {
            let mut threads = self.threads.lock();
            (
                threads.disk.take(),
                threads.range.take(),
                threads.metadata.take(),
                threads.event.take(),
                threads.helper.take(),
                threads.receiver.take(),
            )
        };
        drop(receiver);
        drop(event);
        if let Some(helper) = helper {
            helpers::end(helper);
        }
        drop(metadata);
        drop(range);
        drop(disk);
        let alarm = self.alarm.lock().take();
        drop(alarm);
        let timer = self.timer.lock().take();
        if let Some(timer) = timer {
            timer.stop();
        }
        let tables = self
            .lock_now()
            .engine
            .exchange_tables(ResourceTables::default());
        self.lender.reclaim(tables.connection.data_queue);
        self.lender.reclaim(tables.connection.meta_queue);
        self.lender.reclaim(tables.connection.transfer_log);
        self.lender.reclaim(tables.connection.epochs);
        self.lender.reclaim(tables.completions);
        self.lender.reclaim(tables.effects);
        self.lender.reclaim(tables.events);
        let (ranges, metadata, helpers) = {
            let mut guarded = self.lock_now();
            let taken = Ring::new(&mut []);
            let ranges = core::mem::replace(&mut guarded.ranges, taken);
            let taken = Ring::new(&mut []);
            let metadata = core::mem::replace(&mut guarded.separate_metadata, taken);
            let taken = Ring::new(&mut []);
            let helpers = core::mem::replace(&mut guarded.helpers, taken);
            (ranges, metadata, helpers)
        };
        self.lender.reclaim(ranges.into_storage());
        self.lender.reclaim(metadata.into_storage());
        self.lender.reclaim(helpers.into_storage());
    }
}

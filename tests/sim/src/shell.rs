// SPDX-License-Identifier: GPL-2.0-only

//! The shell of a simulated node: does what the engine asks for, and wakes whom it names. Nobody is woken who was not
//! named: a wish that the engine forgets is a hang here as it would be in the kernel.

use drbd_core::bitmap::PAGE_BYTES;
use drbd_core::meta::superblock::SUPERBLOCK_BYTES;
use drbd_core::meta::transaction::TRANSACTION_BYTES;
use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::effect::{Completion, Effect, Event, Helper, Outcome};
use drbd_core::resource::peer_request::PeerRequest;
use drbd_core::resource::request::{Io, Operation};
use drbd_core::resource::{Admission, AfterLink, Payload, SEND_BUFFER};
use drbd_core::slab::Id;
use drbd_core::state::ConnectionState;
use drbd_core::wire::DataFlags;

use crate::link::{DATA, META, SECTOR_BYTES};
use crate::node::{Application, DiskIo, Receiver, Sending};
use crate::world::{Ev, World};

impl World<'_> {
    /// After each call of the engine: ends requests, wakes whom it wants awake.
    pub fn settle(&mut self, node: usize) {
        let words = self.rng.words();
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        if life.engine.wants_random() {
            life.engine.supply_random(words);
        }
        let mut ended = Vec::new();
        while let Some(completion) = life.engine.next_completion() {
            ended.push(completion);
        }
        let wishes = life.engine.take_wishes();
        let boot = self.nodes[node].boot;
        if wishes.worker {
            self.schedule_effects(node);
        }
        if wishes.events {
            self.schedule_events(node);
        }
        if wishes.send_data {
            self.schedule_send(node, DATA);
        }
        if wishes.send_meta {
            self.schedule_send(node, META);
        }
        if wishes.room {
            self.schedule_receive(node, DATA);
            self.retry_backlog(node);
        }
        if wishes.operations {
            self.schedule_operations(node);
        }
        if wishes.timer {
            self.arm_timer(node, boot);
        }
        for completion in ended {
            self.request_ended(node, completion);
        }
        self.check_broken(node);
        self.manager_looks(node);
    }

    fn check_broken(&mut self, node: usize) {
        let broken = self.nodes[node]
            .life
            .as_ref()
            .is_some_and(|life| life.engine.is_broken());
        if broken && self.failures.is_empty() {
            self.fail(format!(
                "node {node}: an invariant of the engine does not hold"
            ));
        }
    }

    fn soon(&mut self) -> u64 {
        let delay = *self.rng.pick(&[0, 1, 5, 30, 200]);
        self.now + delay
    }

    fn schedule_effects(&mut self, node: usize) {
        let at = self.soon();
        if let Some(life) = self.nodes[node].life.as_mut() {
            if !std::mem::replace(&mut life.scheduled.effects, true) {
                let boot = self.nodes[node].boot;
                self.push(at, Ev::Effects(node, boot));
            }
        }
    }

    fn schedule_events(&mut self, node: usize) {
        let at = self.soon();
        if let Some(life) = self.nodes[node].life.as_mut() {
            if !std::mem::replace(&mut life.scheduled.events, true) {
                let boot = self.nodes[node].boot;
                self.push(at, Ev::Events(node, boot));
            }
        }
    }

    pub fn schedule_send(&mut self, node: usize, socket: usize) {
        let at = self.soon();
        let boot = self.nodes[node].boot;
        if let Some(life) = self.nodes[node].life.as_mut() {
            let (flag, event) = if socket == DATA {
                (&mut life.scheduled.data, Ev::SendData(node, boot))
            } else {
                (&mut life.scheduled.meta, Ev::SendMeta(node, boot))
            };
            if !std::mem::replace(flag, true) {
                self.push(at, event);
            }
        }
    }

    pub fn schedule_receive(&mut self, node: usize, socket: usize) {
        let at = self.soon();
        if let Some(life) = self.nodes[node].life.as_mut() {
            if !std::mem::replace(&mut life.scheduled.receive[socket], true) {
                let boot = self.nodes[node].boot;
                self.push(at, Ev::Receive(node, boot, socket));
            }
        }
    }

    pub fn schedule_operations(&mut self, node: usize) {
        let at = self.soon();
        if let Some(life) = self.nodes[node].life.as_mut() {
            if !std::mem::replace(&mut life.scheduled.operations, true) {
                let boot = self.nodes[node].boot;
                self.push(at, Ev::Admin(node, boot));
            }
        }
    }

    fn arm_timer(&mut self, node: usize, boot: u32) {
        let now = self.now;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let Some(deadline) = life.engine.deadline() else {
            return;
        };
        let at = (deadline * 1000).max(now + 1000);
        if life.timer_at.is_none_or(|armed| armed > at || armed <= now) {
            life.timer_at = Some(at);
            self.push(at, Ev::Timer(node, boot));
        }
    }

    pub fn timer(&mut self, node: usize) {
        let now = self.now;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        if life.timer_at != Some(now) {
            return;
        }
        life.timer_at = None;
        life.engine.at(now / 1000).timer();
        self.settle(node);
    }

    // Applications.

    /// An application submits something.
    pub fn submit(&mut self, node: usize, volume: u8, io: Io, mut values: Vec<u64>) -> u64 {
        if io.is_write() {
            values.resize(io.sectors() as usize, 0);
        }
        let number = self.history_begins(node, volume, &io, &values);
        let application = Application { io, number, values };
        let Some(life) = self.nodes[node].life.as_mut() else {
            return number;
        };
        let index = DeviceIndex(volume);
        if life.backlog.is_empty() {
            self.offer(node, index, application);
        } else {
            life.backlog.push_back((index, application));
        }
        number
    }

    fn offer(&mut self, node: usize, index: DeviceIndex, application: Application) -> bool {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return true;
        };
        match life.engine.at(now).submit(index, application.io) {
            Admission::Accepted(id) => {
                life.requests.insert((index.0, id.to_u64()), application);
            }
            Admission::Wait => {
                life.backlog.push_front((index, application));
                return false;
            }
            Admission::Refused => {
                self.history_ends(node, index.0, &application, Outcome::IoError);
            }
        }
        self.settle(node);
        true
    }

    fn retry_backlog(&mut self, node: usize) {
        loop {
            let Some(life) = self.nodes[node].life.as_mut() else {
                return;
            };
            let Some((index, application)) = life.backlog.pop_front() else {
                return;
            };
            if !self.offer(node, index, application) {
                return;
            }
        }
    }

    fn request_ended(&mut self, node: usize, completion: Completion) {
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let key = (completion.device.0, completion.request.to_u64());
        let Some(application) = life.requests.remove(&key) else {
            self.fail(format!("node {node}: a completion of nobody's request"));
            return;
        };
        self.history_ends(node, completion.device.0, &application, completion.outcome);
    }

    // Block I/O.

    pub fn drain_effects(&mut self, node: usize) {
        let now = self.now / 1000;
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.scheduled.effects = false;
        }
        // Now and then the thread is slow.
        let most = *self.rng.pick(&[1, 4, 1000]);
        for _ in 0..most {
            let Some(life) = self.nodes[node].life.as_mut() else {
                return;
            };
            let Some(effect) = life.engine.at(now).next_effect() else {
                break;
            };
            self.carry_out(node, effect);
        }
        self.settle(node);
        self.try_link_closed(node);
    }

    fn carry_out(&mut self, node: usize, effect: Effect) {
        let place = &mut self.nodes[node];
        let flushes = place.disk_conf.md_flushes;
        let disks = &place.disks;
        let Some(life) = place.life.as_mut() else {
            return;
        };
        let moment = |volume: DeviceIndex, disks: &[crate::disk::Disk]| {
            let disk = &disks[usize::from(volume.0)];
            if flushes {
                disk.now()
            } else {
                0
            }
        };
        let io = match effect {
            Effect::None => return,
            Effect::SubmitRequest { device, request } => DiskIo::Request(device, request),
            Effect::SubmitPeerRequest {
                device,
                peer_request,
            } => DiskIo::Peer(device, peer_request),
            Effect::ReleasePeerRequest {
                device,
                peer_request,
            } => {
                life.peer_pages.remove(&(device.0, peer_request.to_u64()));
                return;
            }
            Effect::FlushDisk { device } => {
                DiskIo::Flush(device, disks[usize::from(device.0)].now())
            }
            Effect::WriteSuperblock { device } => {
                let mut block = [0; SUPERBLOCK_BYTES];
                let Some(sector) = life.engine.superblock(device, &mut block) else {
                    life.engine.superblock_written(device, false);
                    return;
                };
                DiskIo::Superblock(device, sector, block.to_vec(), moment(device, disks))
            }
            Effect::WriteActivityLog { device } => {
                let mut block = [0; TRANSACTION_BYTES];
                let Some(sector) = life.engine.activity_log_block(device, &mut block) else {
                    life.engine.activity_log_written(device, false);
                    return;
                };
                DiskIo::ActivityLog(device, sector, block.to_vec(), moment(device, disks))
            }
            Effect::WriteBitmapPage { device, page } => {
                let mut block = [0; PAGE_BYTES];
                let Some(place) = life.engine.bitmap_page(device, page, &mut block) else {
                    life.engine.bitmap_page_written(device, page, false);
                    return;
                };
                let bytes = block[..place.sectors as usize * 512].to_vec();
                DiskIo::Page(device, page, place.sector, bytes, moment(device, disks))
            }
        };
        self.start_io(node, io);
    }

    fn start_io(&mut self, node: usize, io: DiskIo) {
        let number = self.new_io();
        let latency = self.nodes[node].latency;
        let at = self.now + self.rng.range(1, latency.max(1));
        let boot = self.nodes[node].boot;
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.disk_io.insert(number, io);
        }
        self.push(at, Ev::DiskDone(node, boot, number));
    }

    pub fn disk_done(&mut self, node: usize, number: u64) {
        let now = self.now / 1000;
        let Some(io) = self.nodes[node]
            .life
            .as_mut()
            .and_then(|life| life.disk_io.remove(&number))
        else {
            return;
        };
        let faults = self.nodes[node].faults;
        let good = faults == 0 || self.rng.below(1000) >= faults;
        if good {
            self.do_io(node, &io);
        }
        self.tell_io(node, &io, good);
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let engine = life.engine.at(now);
        match io {
            DiskIo::Request(device, id) => engine.local_io_done(device, id, good),
            DiskIo::Peer(device, id) => engine.peer_io_done(device, id, good),
            DiskIo::Flush(device, _) => engine.flush_done(device, good),
            DiskIo::Superblock(device, ..) => engine.superblock_written(device, good),
            DiskIo::ActivityLog(device, ..) => engine.activity_log_written(device, good),
            DiskIo::Page(device, page, ..) => engine.bitmap_page_written(device, page, good),
        }
        self.settle(node);
        self.try_link_closed(node);
    }

    fn tell_io(&mut self, node: usize, io: &DiskIo, good: bool) {
        if !self.loud {
            return;
        }
        let how = if good { "" } else { ", and fails" };
        let Some(life) = self.nodes[node].life.as_ref() else {
            return;
        };
        let line = match io {
            DiskIo::Request(device, id) => {
                let request = &life.requests.get(&key(*device, *id));
                request.map(|application| {
                    let io = application.io;
                    let number = application.number;
                    format!(
                        "disk does request {number}, {:?} {}+{}",
                        io.operation,
                        io.sector,
                        io.sectors()
                    )
                })
            }
            DiskIo::Peer(device, id) => life.engine.peer_request(*device, *id).map(|request| {
                let content = life
                    .peer_pages
                    .get(&key(*device, *id))
                    .and_then(|values| values.first());
                format!(
                    "disk does {:?} {:?} {}+{} of the peer, {content:?}",
                    request.purpose,
                    request.operation,
                    request.sector,
                    request.sectors()
                )
            }),
            DiskIo::Flush(..) => Some("disk flushes".into()),
            DiskIo::Superblock(..) => Some("superblock".into()),
            DiskIo::ActivityLog(..) => Some("activity log".into()),
            DiskIo::Page(_, page, ..) => Some(format!("bitmap page {page}")),
        };
        self.tell(node, || format!("{}{how}", line.unwrap_or_default()));
    }

    /// The disk does it, whole.
    fn do_io(&mut self, node: usize, io: &DiskIo) {
        let place = &mut self.nodes[node];
        let Some(life) = place.life.as_mut() else {
            return;
        };
        match io {
            DiskIo::Request(device, id) => {
                let disk = &mut place.disks[usize::from(device.0)];
                let Some(application) = life.requests.get_mut(&(device.0, id.to_u64())) else {
                    return;
                };
                let io = application.io;
                let sectors = io.sectors();
                match io.operation {
                    Operation::Read => application.values = disk.read(io.sector, sectors),
                    Operation::Flush => disk.flush(disk.now()),
                    Operation::Write => {
                        if io.preflush {
                            disk.flush(disk.now());
                        }
                        disk.write(io.sector, &application.values, io.fua);
                    }
                    Operation::Discard | Operation::WriteZeroes => {
                        disk.write(io.sector, &vec![0; sectors as usize], io.fua);
                    }
                }
            }
            DiskIo::Peer(device, id) => {
                let disk = &mut place.disks[usize::from(device.0)];
                let Some(request) = life.engine.peer_request(*device, *id).copied() else {
                    return;
                };
                let key = (device.0, id.to_u64());
                let PeerRequest {
                    sector,
                    operation,
                    flags,
                    ..
                } = request;
                let sectors = request.sectors();
                match operation {
                    Operation::Read => {
                        life.peer_pages.insert(key, disk.read(sector, sectors));
                    }
                    Operation::Write => {
                        if flags.contains(DataFlags::FLUSH) {
                            disk.flush(disk.now());
                        }
                        if let Some(values) = life.peer_pages.get(&key) {
                            disk.write(sector, values, flags.contains(DataFlags::FUA));
                        }
                    }
                    Operation::Discard | Operation::WriteZeroes => {
                        disk.write(sector, &vec![0; sectors as usize], false);
                    }
                    Operation::Flush => {}
                }
            }
            DiskIo::Flush(device, moment) => {
                place.disks[usize::from(device.0)].flush(*moment);
            }
            DiskIo::Superblock(device, sector, bytes, moment)
            | DiskIo::ActivityLog(device, sector, bytes, moment)
            | DiskIo::Page(device, _, sector, bytes, moment) => {
                let disk = &mut place.disks[usize::from(device.0)];
                if disk.internal {
                    disk.flush(*moment);
                }
                disk.write_meta(*sector, bytes);
            }
        }
    }

    /// The power goes: what was in flight is done, torn, or not done; what was in the cache is there or not.
    pub fn lose_power(&mut self, node: usize) -> Vec<Vec<(u64, u64)>> {
        let flight: Vec<DiskIo> = self.nodes[node]
            .life
            .as_ref()
            .map(|life| life.disk_io.values().cloned().collect())
            .unwrap_or_default();
        for io in flight {
            match &io {
                DiskIo::Superblock(device, sector, bytes, _)
                | DiskIo::ActivityLog(device, sector, bytes, _)
                | DiskIo::Page(device, _, sector, bytes, _) => {
                    let disk = &mut self.nodes[node].disks[usize::from(device.0)];
                    // A superblock is one sector that matters: it is never half there.
                    let survives = *self.rng.pick(&[0, 50, 100]);
                    for (offset, part) in bytes.chunks(512).enumerate() {
                        if self.rng.chance(survives) {
                            disk.write_meta(sector + offset as u64, part);
                        }
                    }
                }
                DiskIo::Flush(..) => {}
                DiskIo::Request(..) | DiskIo::Peer(..) => {
                    if self.rng.chance(50) {
                        self.tear(node, &io);
                    }
                }
            }
        }
        let mut rng = self.rng.clone();
        let lost = self.nodes[node]
            .disks
            .iter_mut()
            .map(|disk| disk.lose_power(&mut rng))
            .collect();
        self.rng = rng;
        lost
    }

    /// A write of which only some sectors are done.
    fn tear(&mut self, node: usize, io: &DiskIo) {
        let place = &mut self.nodes[node];
        let Some(life) = place.life.as_ref() else {
            return;
        };
        let (device, sector, values) = match io {
            DiskIo::Request(device, id) => {
                let Some(application) = life.requests.get(&(device.0, id.to_u64())) else {
                    return;
                };
                let values = match application.io.operation {
                    Operation::Write => application.values.clone(),
                    Operation::Discard | Operation::WriteZeroes => {
                        vec![0; application.io.sectors() as usize]
                    }
                    _ => return,
                };
                (device, application.io.sector, values)
            }
            DiskIo::Peer(device, id) => {
                let Some(request) = life.engine.peer_request(*device, *id) else {
                    return;
                };
                let values = match request.operation {
                    Operation::Write => life
                        .peer_pages
                        .get(&(device.0, id.to_u64()))
                        .cloned()
                        .unwrap_or_default(),
                    Operation::Discard | Operation::WriteZeroes => {
                        vec![0; request.sectors() as usize]
                    }
                    _ => return,
                };
                (device, request.sector, values)
            }
            _ => return,
        };
        for (offset, value) in values.iter().enumerate() {
            if self.rng.chance(50) {
                place.disks[usize::from(device.0)].write(sector + offset as u64, &[*value], false);
            }
        }
    }

    // Events.

    pub fn drain_events(&mut self, node: usize) {
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.scheduled.events = false;
        }
        loop {
            let now = self.now / 1000;
            let Some(life) = self.nodes[node].life.as_mut() else {
                return;
            };
            let Some(event) = life.engine.at(now).next_event() else {
                break;
            };
            self.do_event(node, event);
        }
        self.settle(node);
        self.try_link_closed(node);
    }

    fn do_event(&mut self, node: usize, event: Event) {
        let boot = self.nodes[node].boot;
        match event {
            Event::None | Event::Progress { .. } | Event::LimitsChanged { .. } => {}
            Event::Log { message, .. } => self.tell(node, || format!("log: {message}")),
            Event::StateChanged { device, old, new } => {
                self.coverage.state(&new);
                self.history_state(node, device.0, &old, &new);
                self.tell(node, || {
                    format!(
                        "volume {}: {}/{} {} {}/{}{}",
                        device.0,
                        new.role.name(),
                        new.peer.name(),
                        new.connection.name(),
                        new.disk.name(),
                        new.peer_disk.name(),
                        if new.is_suspended() { " suspended" } else { "" }
                    )
                });
            }
            Event::Resized { device, sectors } => {
                self.tell(node, || format!("volume {}: {sectors} sectors", device.0));
            }
            Event::Writable { .. } => {}
            Event::CallHelper { helper, .. } => {
                self.tell(node, || format!("helper {}", helper.name()));
            }
            Event::CallHelperAndReport { device, helper } => {
                let at = self.now + self.rng.range(10, 30_000);
                let target = helper == Helper::BeforeResyncTarget;
                self.push(at, Ev::HelperDone(node, boot, device.0, target));
            }
            Event::StartReceiver => {
                if let Some(life) = self.nodes[node].life.as_mut() {
                    life.receiver = Receiver::Searching;
                }
                let at = self.soon();
                self.push(at, Ev::Dial(node, boot));
            }
            Event::ShutSockets => self.shut_sockets(node),
            Event::StopReceiver => {}
            Event::DiskIsIdle { device } => {
                if let Some(life) = self.nodes[node].life.as_mut() {
                    if life.engine.take_disk(device).is_none() {
                        self.fail(format!(
                            "node {node}: the disk is said to be idle, and is not"
                        ));
                    }
                }
                self.settle(node);
            }
        }
    }

    // The link.

    pub fn dial(&mut self, node: usize) {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        if life.receiver != Receiver::Searching {
            return;
        }
        if !life.engine.at(now).begin_connecting() {
            self.link_closed(node);
            return;
        }
        self.settle(node);
        let other = 1 - node;
        let other_searches = self.network
            && self.nodes[other].life.as_ref().is_some_and(|life| {
                life.receiver == Receiver::Searching
                    && life.engine.connection().state() == ConnectionState::WFConnection
            });
        if !other_searches {
            let boot = self.nodes[node].boot;
            let at = self.now + self.rng.range(1_000, 1_000_000);
            self.push(at, Ev::Dial(node, boot));
            return;
        }
        let link = self.new_link();
        for one in 0..2 {
            let boot = self.nodes[one].boot;
            if let Some(life) = self.nodes[one].life.as_mut() {
                life.receiver = Receiver::Met(link);
            }
            let at = self.now + self.rng.range(10, 2_000);
            self.push(at, Ev::LinkUp(one, boot, link));
        }
    }

    pub fn link_up(&mut self, node: usize, link: u32) {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        if life.receiver != Receiver::Met(link) {
            return;
        }
        life.reading = Default::default();
        life.closing = false;
        // Who accepted the meta socket is a matter of chance; both know.
        let resolves = (link % 2) as usize == node;
        if life.engine.at(now).link_up(resolves) {
            life.receiver = Receiver::Up(link);
            self.settle(node);
            self.schedule_receive(node, DATA);
            self.schedule_receive(node, META);
        } else {
            if let Some(link) = self.links.get_mut(&link) {
                link.closed[node] = true;
            }
            self.poke(1 - node);
            self.link_closed(node);
        }
    }

    /// The sockets of this node changed: whoever sleeps in one looks.
    pub fn poke(&mut self, node: usize) {
        self.schedule_receive(node, DATA);
        self.schedule_receive(node, META);
        self.schedule_send(node, DATA);
    }

    fn shut_sockets(&mut self, node: usize) {
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        match life.receiver {
            Receiver::Up(link) => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.closed[node] = true;
                    link.broken[node] = true;
                }
                self.poke(node);
                self.poke(1 - node);
            }
            Receiver::Searching => {
                let at = self.soon();
                let boot = self.nodes[node].boot;
                self.push(at, Ev::Dial(node, boot));
            }
            _ => {}
        }
    }

    pub fn current_link(&self, node: usize) -> Option<u32> {
        match self.nodes[node].life.as_ref()?.receiver {
            Receiver::Up(link) => Some(link),
            _ => None,
        }
    }

    /// A thread found the link to be of no use.
    pub fn link_lost(&mut self, node: usize, why: ConnectionState) {
        let now = self.now / 1000;
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.engine.at(now).link_failed(why);
        }
        self.settle(node);
    }

    /// The receiver has seen the end of the data socket: it closes the link, once nobody uses the sockets.
    pub fn receiver_ends(&mut self, node: usize) {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let Receiver::Up(link) = life.receiver else {
            return;
        };
        if life.sending.is_some() {
            life.closing = true;
            return;
        }
        life.closing = false;
        if let Some(link) = self.links.get_mut(&link) {
            link.closed[node] = true;
            link.broken[node] = true;
        }
        let reading = std::mem::take(&mut life.reading);
        self.abandon_reading(node, reading);
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.receiver = Receiver::Draining;
            life.engine.at(now).link_down();
        }
        self.settle(node);
        self.poke(1 - node);
        self.try_link_closed(node);
    }

    /// The receiver waits until nothing is left of the link.
    pub fn try_link_closed(&mut self, node: usize) {
        let drained = self.nodes[node].life.as_mut().is_some_and(|life| {
            life.receiver == Receiver::Draining && life.engine.link_is_drained()
        });
        if drained {
            self.link_closed(node);
        }
    }

    fn link_closed(&mut self, node: usize) {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        let after = life.engine.at(now).link_closed();
        life.receiver = match after {
            AfterLink::Reconnect => Receiver::Searching,
            AfterLink::Stop => Receiver::Stopped,
        };
        if after == AfterLink::Reconnect {
            let boot = self.nodes[node].boot;
            let at = self.now + self.rng.range(100, 500_000);
            self.push(at, Ev::Dial(node, boot));
        }
        self.settle(node);
    }

    pub fn arrive(&mut self, link: u32, from: usize, socket: usize) {
        if !self.network {
            return;
        }
        let now = self.now;
        let Some(link) = self.links.get_mut(&link) else {
            return;
        };
        link.pipes[from][socket].arrive(now);
        self.schedule_receive(1 - from, socket);
    }

    // Sending.

    fn put(&mut self, node: usize, link: u32, socket: usize, bytes: Vec<u8>) {
        let latency = self.setup.net_latency;
        let arrives = self.now + self.rng.range(1, latency.max(1));
        let Some(pipes) = self.links.get_mut(&link) else {
            return;
        };
        if pipes.broken[1 - node] {
            return;
        }
        let at = pipes.pipes[node][socket].send(bytes, arrives);
        self.push(at, Ev::Arrive(link, node, socket));
    }

    pub fn send_data(&mut self, node: usize) {
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.scheduled.data = false;
        }
        let mut buffer = vec![0; SEND_BUFFER];
        loop {
            let now = self.now / 1000;
            let Some(link) = self.current_link(node) else {
                return;
            };
            let Some(life) = self.nodes[node].life.as_mut() else {
                return;
            };
            if life.sending.is_some() {
                return;
            }
            let Some(pipes) = self.links.get(&link) else {
                return;
            };
            if !pipes.broken[node] && pipes.pipes[node][DATA].unread() > self.setup.socket_room {
                let boot = self.nodes[node].boot;
                let at = self.now + 500_000;
                self.push(at, Ev::Stall(node, boot));
                return;
            }
            let broken = pipes.broken[node];
            let Some(outgoing) = life.engine.at(now).next_data_packet(&mut buffer) else {
                break;
            };
            if outgoing.head == 0 || outgoing.head > buffer.len() {
                self.fail(format!("node {node}: a packet of {} bytes", outgoing.head));
                return;
            }
            let mut bytes = buffer[..outgoing.head].to_vec();
            self.coverage.packet(&bytes);
            let sending = match outgoing.payload {
                Payload::None => None,
                Payload::Request {
                    device, request, ..
                } => {
                    let values = life.requests.get(&(device.0, request.to_u64()));
                    let Some(application) = values else {
                        self.fail(format!("node {node}: sends a request that ended"));
                        return;
                    };
                    for value in &application.values {
                        bytes.extend(value.to_le_bytes());
                    }
                    Some(Sending::Request(device, request))
                }
                Payload::PeerRequest {
                    device,
                    peer_request,
                    ..
                } => {
                    let Some(values) = life.peer_pages.get(&(device.0, peer_request.to_u64()))
                    else {
                        self.fail(format!("node {node}: sends pages that are gone"));
                        return;
                    };
                    for value in values {
                        bytes.extend(value.to_le_bytes());
                    }
                    Some(Sending::Reply(device, peer_request))
                }
            };
            life.sending = sending;
            if broken {
                self.word_of_sender(node, false);
                self.link_lost(node, ConnectionState::BrokenPipe);
                return;
            }
            life.engine.send_goes_on();
            self.put(node, link, DATA, bytes);
            if sending.is_some() {
                if self.rng.chance(30) {
                    let boot = self.nodes[node].boot;
                    let at = self.now + self.rng.range(1, 1000);
                    self.push(at, Ev::Sent(node, boot));
                    self.settle(node);
                    return;
                }
                self.word_of_sender(node, true);
            }
            self.settle(node);
        }
        self.settle(node);
    }

    /// The socket has taken the pages, or will not.
    fn word_of_sender(&mut self, node: usize, success: bool) {
        let now = self.now / 1000;
        let Some(life) = self.nodes[node].life.as_mut() else {
            return;
        };
        match life.sending.take() {
            Some(Sending::Request(device, id)) => {
                life.engine.at(now).request_sent(device, id, success);
            }
            Some(Sending::Reply(device, id)) => {
                life.engine.at(now).reply_sent(device, id, success);
            }
            None => {}
        }
        self.settle(node);
    }

    pub fn sent(&mut self, node: usize) {
        let broken = self
            .current_link(node)
            .and_then(|link| self.links.get(&link))
            .is_none_or(|link| link.broken[node]);
        self.word_of_sender(node, !broken);
        let closing = self.nodes[node]
            .life
            .as_ref()
            .is_some_and(|life| life.closing);
        if closing {
            self.receiver_ends(node);
        } else {
            self.schedule_send(node, DATA);
        }
    }

    /// The socket took nothing for a while: the engine decides whether that is too long.
    pub fn stalled(&mut self, node: usize) {
        let now = self.now / 1000;
        let full = self
            .current_link(node)
            .and_then(|link| self.links.get(&link))
            .is_some_and(|link| {
                !link.broken[node] && link.pipes[node][DATA].unread() > self.setup.socket_room
            });
        if full {
            if let Some(life) = self.nodes[node].life.as_mut() {
                life.engine.at(now).send_stalled();
            }
            self.settle(node);
        }
        self.schedule_send(node, DATA);
    }

    pub fn send_meta(&mut self, node: usize) {
        if let Some(life) = self.nodes[node].life.as_mut() {
            life.scheduled.meta = false;
        }
        let mut buffer = vec![0; SEND_BUFFER];
        loop {
            let now = self.now / 1000;
            let Some(link) = self.current_link(node) else {
                return;
            };
            let Some(life) = self.nodes[node].life.as_mut() else {
                return;
            };
            let Some(filled) = life.engine.at(now).next_meta_packets(&mut buffer) else {
                break;
            };
            self.coverage.packets(&buffer[..filled]);
            if self.links.get(&link).is_none_or(|link| link.broken[node]) {
                self.link_lost(node, ConnectionState::BrokenPipe);
                return;
            }
            self.put(node, link, META, buffer[..filled].to_vec());
        }
        self.settle(node);
    }
}

/// The bytes in a simulated stream of `payload` bytes of sectors.
pub fn simulated(payload: u32) -> usize {
    payload as usize / 512 * SECTOR_BYTES
}

/// An `Id` of a peer request as a key.
pub fn key(device: DeviceIndex, id: Id) -> (u8, u64) {
    (device.0, id.to_u64())
}

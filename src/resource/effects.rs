// SPDX-License-Identifier: GPL-2.0-only

//! Carries out what the engine asks for: requests end, block I/O starts.

use drbd_core::{
    meta::layout::Place,
    resource::{
        device::DeviceIndex,
        effect::{
            Effect,
            Outcome, //
        },
        request::Operation,
        Wishes, //
    },
    slab::Id, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

use super::{
    tokens::Waiting,
    Guarded,
    Resource, //
};
use crate::{
    disk::{
        backing::{
            Attached,
            Backing, //
        },
        io::{
            LocalIo,
            LocalIoContext,
            PageIo,
            PageIoContext,
            Purpose, //
        }, //
    },
    kernel_api::{
        bio::{
            BioPin,
            OpFlags, //
        },
        block_status::BlkStatus,
        kthread::StopFlag,
        noio::NoIo,
        pages::{
            Direction,
            PageBio, //
        }, //
    },
};

/// One thing to do, with all that it needs taken from under the lock.
enum Action {
    Copy {
        backing: Arc<Attached>,
        source: BioPin,
        flags: OpFlags,
        index: DeviceIndex,
        id: Id,
    },
    Flush {
        backing: Arc<Attached>,
        io: LocalIo,
        index: DeviceIndex,
    },
    /// A discard was left to the thread that does those.
    Range,
    /// Metadata on a device of its own was left to the thread that does that.
    SeparateMetadata,
    Write {
        backing: Arc<Attached>,
        pages: PageBio<PageIo>,
        flags: OpFlags,
        sector: u64,
        index: DeviceIndex,
        id: Id,
    },
    Read {
        backing: Arc<Attached>,
        sector: u64,
        size: u32,
        index: DeviceIndex,
        id: Id,
    },
    Metadata {
        backing: Arc<Attached>,
        index: DeviceIndex,
        purpose: Purpose,
    },
    Digest(super::digests::Task),
    Free(#[expect(dead_code, reason = "its destructor does the work")] Option<PageBio<PageIo>>),
    /// There is no disk any more, or no pages: it failed.
    Fail {
        index: DeviceIndex,
        effect: Effect,
    },
}

impl Action {
    /// Whether it starts block I/O, which may take as long as a disk likes.
    fn may_wait(&self) -> bool {
        matches!(
            self,
            Self::Copy { .. }
                | Self::Flush { .. }
                | Self::Write { .. }
                | Self::Read { .. }
                | Self::Metadata { .. }
        )
    }
}

/// The thread that starts block I/O that was asked for where sleeping is not allowed.
pub(crate) fn run(resource: &Arc<Resource>, stop: &StopFlag) {
    // A node whose swap is on the device makes progress only if this thread does.
    let _noio = NoIo::enter();
    while resource.disk_work.wait(stop) {
        drain(resource);
    }
}

/// What is taken from the engine under one lock.
const AT_ONCE: usize = 8;

/// Requests that have ended, on their way to whoever waits for them.
type Ended = [Option<(Waiting, Outcome)>; AT_ONCE];

/// Ends requests and starts block I/O until nothing is left, and wakes whom the engine wants awake. Sleeps.
pub(crate) fn drain(resource: &Arc<Resource>) {
    loop {
        let (ended, action, wishes, done) = {
            let mut guarded = resource.lock_now();
            let ended = take_ended(&mut guarded);
            let action = next_action(&mut guarded);
            let engine = &mut guarded.engine;
            let done = !engine.has_effects() && !engine.has_completions();
            // Nobody waits with this task for a disk that takes nothing more, or for pages that the sender has to free.
            let wake = done || action.as_ref().is_some_and(Action::may_wait);
            (ended, action, wake.then(|| engine.take_wishes()), done)
        };
        end(ended);
        if let Some(wishes) = wishes {
            resource.grant(wishes);
        }
        if let Some(action) = action {
            resource.carry_out(action);
        }
        if done {
            return;
        }
    }
}

/// What a task in `submit_bio` does next.
enum Step {
    Start(Action),
    /// Pages for metadata are needed first.
    GetPages,
    /// Nothing is left, or something that may wait.
    Leave,
}

/// As [`drain`], for a task in `submit_bio`: what it submits starts only when it returns from there. So it must not wait
/// for memory that such I/O holds, and leaves to the threads what could. Copies and flushes come from a set whose rescuer
/// starts what lies there, what the peer writes has its bio and its pages, and metadata gets pages that are there at once,
/// as the rare transaction of the activity log does that the task's own write waits for.
pub(crate) fn drain_in_submit(resource: &Arc<Resource>) {
    let mut pages = None;
    loop {
        let (ended, step, wishes) = {
            let mut guarded = resource.lock_now();
            let ended = take_ended(&mut guarded);
            let step = next_step(&mut guarded, pages.is_some());
            let engine = &mut guarded.engine;
            let done = !engine.has_effects() && !engine.has_completions();
            (ended, step, done.then(|| engine.take_wishes()))
        };
        end(ended);
        match (step, pages.take()) {
            (
                Step::Start(Action::Metadata {
                    backing,
                    index,
                    purpose,
                }),
                Some(pages),
            ) => resource.write_metadata(&backing, index, purpose, Ok(pages)),
            (Step::Start(action), _) => resource.carry_out(action),
            (Step::GetPages, _) => {
                let Ok(found) = resource.metadata.try_alloc(METADATA_BYTES) else {
                    return resource.engine_in_irq(|_| ());
                };
                pages = Some(found);
            }
            (Step::Leave, _) if wishes.is_none() => return resource.engine_in_irq(|_| ()),
            (Step::Leave, _) => {}
        }
        if let Some(wishes) = wishes {
            return resource.grant(wishes);
        }
    }
}

/// Ends requests and frees pages, as far as nothing else comes first, and answers whom the engine wants awake.
pub(crate) fn drain_in_sender(resource: &Resource) -> Wishes {
    loop {
        let (ended, free, wishes) = {
            let mut guarded = resource.lock_now();
            let ended = take_ended(&mut guarded);
            let front = guarded.engine.front_effect();
            let frees = matches!(front, Some(Effect::ReleasePeerRequest { .. }));
            let free = frees.then(|| next_action(&mut guarded));
            let engine = &mut guarded.engine;
            let done = !frees && !engine.has_completions();
            (ended, free, done.then(|| engine.take_wishes()))
        };
        end(ended);
        drop(free);
        if let Some(wishes) = wishes {
            return wishes;
        }
    }
}

fn next_step(guarded: &mut Guarded, has_pages: bool) -> Step {
    let Some(effect) = guarded.engine.front_effect() else {
        return Step::Leave;
    };
    if let Effect::SubmitPeerRequest {
        device,
        peer_request,
    } = effect
    {
        // A read needs pages, of which there may be many.
        let request = guarded.engine.peer_request(device, peer_request);
        if request.is_some_and(|request| request.operation == Operation::Read) {
            return Step::Leave;
        }
    }
    if metadata_purpose(effect).is_some() && !has_pages {
        return Step::GetPages;
    }
    next_action(guarded).map_or(Step::Leave, Step::Start)
}

fn take_ended(guarded: &mut Guarded) -> Ended {
    core::array::from_fn(|_| {
        let completion = guarded.engine.next_completion()?;
        let waiting = guarded.take_bio(completion.device, completion.request)?;
        Some((waiting, completion.outcome))
    })
}

fn end(ended: Ended) {
    for (Waiting { bio, start }, outcome) in ended.into_iter().flatten() {
        let status = if outcome.is_success() {
            BlkStatus::OK
        } else {
            BlkStatus::IO_ERROR
        };
        bio.end_accounted(status, start);
    }
}

/// Ends requests of applications, and answers whom the engine wants awake after the last. Any context.
pub(crate) fn end_requests(resource: &Resource) -> Wishes {
    loop {
        let (ended, wishes) = {
            let mut guarded = resource.lock_now();
            let ended = take_ended(&mut guarded);
            let engine = &mut guarded.engine;
            let done = !engine.has_completions();
            (ended, done.then(|| engine.take_wishes()))
        };
        end(ended);
        if let Some(wishes) = wishes {
            return wishes;
        }
    }
}

fn next_action(guarded: &mut Guarded) -> Option<Action> {
    let effect = guarded.engine.next_effect()?;
    if guarded.keep_range(effect) {
        return Some(Action::Range);
    }
    if guarded.keep_separate_metadata(effect) {
        return Some(Action::SeparateMetadata);
    }
    Some(prepare(guarded, effect).unwrap_or_else(|index| Action::Fail { index, effect }))
}

/// Collects what an effect needs; the device where that is not there.
fn prepare(guarded: &mut Guarded, effect: Effect) -> Result<Action, DeviceIndex> {
    match effect {
        Effect::None => Ok(Action::Free(None)),
        Effect::SubmitRequest {
            device: index,
            request: id,
        } => {
            let backing = guarded.backing(index).ok_or(index)?;
            let bio = &guarded.bio(index, id).ok_or(index)?.bio;
            Ok(Action::Copy {
                backing,
                source: bio.pin(),
                flags: bio.flags(),
                index,
                id,
            })
        }
        Effect::SubmitPeerRequest {
            device: index,
            peer_request: id,
        } => prepare_peer_request(guarded, index, id).ok_or(index),
        Effect::Digest {
            device: index,
            peer_request: id,
        } => Ok(Action::Digest(guarded.digest_task(index, id))),
        Effect::ReleasePeerRequest {
            device: index,
            peer_request: id,
        } => Ok(Action::Free(guarded.take_pages(index, id))),
        Effect::FlushDisk { device: index } => Ok(Action::Flush {
            backing: guarded.backing(index).ok_or(index)?,
            io: LocalIo::Flush,
            index,
        }),
        Effect::WriteSuperblock { device: index }
        | Effect::WriteActivityLog { device: index }
        | Effect::WriteBitmapPage { device: index, .. } => Ok(Action::Metadata {
            backing: guarded.backing(index).ok_or(index)?,
            index,
            purpose: metadata_purpose(effect).ok_or(index)?.1,
        }),
    }
}

/// Which metadata is to be written, if any.
pub(super) fn metadata_purpose(effect: Effect) -> Option<(DeviceIndex, Purpose)> {
    match effect {
        Effect::WriteSuperblock { device } => Some((device, Purpose::Superblock)),
        Effect::WriteActivityLog { device } => Some((device, Purpose::ActivityLog)),
        Effect::WriteBitmapPage { device, page } => Some((device, Purpose::BitmapPage(page))),
        _ => None,
    }
}

fn prepare_peer_request(guarded: &mut Guarded, index: DeviceIndex, id: Id) -> Option<Action> {
    let backing = guarded.backing(index)?;
    let request = *guarded.engine.peer_request(index, id)?;
    let (sector, size) = (request.sector, request.size);
    match request.operation {
        Operation::Read => Some(Action::Read {
            backing,
            sector,
            size,
            index,
            id,
        }),
        Operation::Write => {
            let pages = guarded.take_pages(index, id)?;
            Some(Action::Write {
                backing,
                pages,
                flags: write_flags(request.flags),
                sector,
                index,
                id,
            })
        }
        // Those are the business of another thread.
        Operation::Discard | Operation::WriteZeroes | Operation::Flush => None,
    }
}

fn write_flags(flags: drbd_core::wire::DataFlags) -> OpFlags {
    use drbd_core::wire::DataFlags;
    let mut result = OpFlags::NONE;
    for (wire, own) in [
        (DataFlags::RW_SYNC, OpFlags::SYNC),
        (DataFlags::FUA, OpFlags::FUA),
        (DataFlags::FLUSH, OpFlags::PREFLUSH),
    ] {
        if flags.contains(wire) {
            result |= own;
        }
    }
    result
}

impl Resource {
    fn carry_out(self: &Arc<Self>, action: Action) {
        let owner = self.clone();
        match action {
            Action::Free(_) => {}
            Action::Digest(task) => task.carry_out(self),
            Action::Copy {
                backing,
                source,
                flags,
                index,
                id,
            } => {
                let context = LocalIoContext {
                    resource: owner,
                    index,
                    io: LocalIo::Request(id),
                };
                self.copies
                    .submit_copy(&backing.data, source, flags, context);
            }
            Action::Flush { backing, io, index } => {
                let context = LocalIoContext {
                    resource: owner,
                    index,
                    io,
                };
                self.copies.submit_flush(&backing.data, context);
            }
            Action::Range => self.range_work.raise(),
            Action::SeparateMetadata => self.metadata_work.raise(),
            Action::Write {
                backing,
                pages,
                flags,
                sector,
                index,
                id,
            } => {
                let purpose = Purpose::Write(id);
                let context = PageIoContext {
                    resource: owner,
                    index,
                    purpose,
                };
                pages.submit(&backing.data, Direction::Write, flags, sector, context);
            }
            Action::Read {
                backing,
                sector,
                size,
                index,
                id,
            } => {
                let purpose = Purpose::Read(id);
                let context = PageIoContext {
                    resource: owner,
                    index,
                    purpose,
                };
                match self.replies.alloc(size as usize) {
                    Ok(pages) => {
                        let flags = OpFlags::NONE;
                        pages.submit(&backing.data, Direction::Read, flags, sector, context);
                    }
                    Err(_) => {
                        self.engine_in_irq(|guarded| guarded.engine.peer_io_done(index, id, false));
                    }
                }
            }
            Action::Metadata {
                backing,
                index,
                purpose,
            } => {
                let pages = self.metadata.alloc(METADATA_BYTES);
                self.write_metadata(&backing, index, purpose, pages);
            }
            Action::Fail { index, effect } => self.fail(index, effect),
        }
    }

    fn fail(&self, index: DeviceIndex, effect: Effect) {
        self.engine_in_irq(|guarded| {
            let engine = &mut guarded.engine;
            match effect {
                Effect::SubmitRequest { request, .. } => {
                    engine.local_io_done(index, request, false)
                }
                Effect::SubmitPeerRequest { peer_request, .. } => {
                    engine.peer_io_done(index, peer_request, false);
                }
                Effect::FlushDisk { .. } => engine.flush_done(index, false),
                Effect::WriteSuperblock { .. } => engine.superblock_written(index, false),
                Effect::WriteActivityLog { .. } => engine.activity_log_written(index, false),
                Effect::WriteBitmapPage { page, .. } => {
                    engine.bitmap_page_written(index, page, false);
                }
                Effect::Digest { peer_request, .. } => {
                    engine.digest_done(index, peer_request, None)
                }
                Effect::ReleasePeerRequest { .. } | Effect::None => {}
            }
        });
    }

    fn write_metadata(
        self: &Arc<Self>,
        backing: &Backing,
        index: DeviceIndex,
        purpose: Purpose,
        pages: Result<PageBio<PageIo>>,
    ) {
        let written = pages.and_then(|pages| self.encode_metadata(index, purpose, pages));
        let context = PageIoContext {
            resource: self.clone(),
            index,
            purpose,
        };
        match written {
            Ok(metadata) => metadata.submit(backing, context),
            Err(_) => context.finished(false),
        }
    }

    /// Fills `pages`, of [`METADATA_BYTES`], with a piece of metadata as it is now. Any context.
    pub(super) fn encode_metadata(
        &self,
        index: DeviceIndex,
        purpose: Purpose,
        mut pages: PageBio<PageIo>,
    ) -> Result<Metadata> {
        self.peek(|guarded| {
            let place = guarded.encode_metadata(index, purpose, &mut pages);
            let Place { sector, sectors } = place.ok_or(EIO)?;
            // The last page of the bitmap may be short.
            pages.truncate(sectors as usize * 512)?;
            Ok(Metadata {
                pages,
                sector,
                data_goes_first: guarded.engine.data_goes_first(index),
            })
        })
    }
}

/// Bytes of the largest piece of metadata.
pub(super) const METADATA_BYTES: usize = 4096;

/// A piece of metadata as it was at one moment.
pub(super) struct Metadata {
    pages: PageBio<PageIo>,
    /// Where it goes, on the device with the metadata.
    sector: u64,
    /// The disk is to be flushed before it is written.
    pub(super) data_goes_first: bool,
}

impl Metadata {
    /// Writes it. May sleep, for a slot in the queue of the device.
    pub(super) fn submit(self, backing: &Backing, context: PageIoContext) {
        self.pages.submit(
            backing.metadata(),
            Direction::Write,
            backing.metadata_flags(),
            self.sector,
            context,
        );
    }
}

impl Guarded {
    fn encode_metadata(
        &mut self,
        index: DeviceIndex,
        purpose: Purpose,
        pages: &mut PageBio<PageIo>,
    ) -> Option<Place> {
        let whole = |sector| Place { sector, sectors: 8 };
        let Self {
            engine, scratch, ..
        } = self;
        let place = match purpose {
            Purpose::Superblock => whole(engine.superblock(index, scratch)?),
            Purpose::ActivityLog => whole(engine.activity_log_block(index, scratch)?),
            Purpose::BitmapPage(page) => engine.bitmap_page(index, page, scratch)?,
            Purpose::Read(_) | Purpose::Write(_) => return None,
        };
        let length = pages.len().min(scratch.len());
        pages.copy_in(0, scratch.get(..length)?).ok()?;
        Some(place)
    }
}

// SPDX-License-Identifier: GPL-2.0-only

//! Bios from above.

use drbd_core::resource::{
    request::{
        Io,
        Operation, //
    },
    Admission,
    OpenError, //
};
use kernel::{
    error::code,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
};

use super::Device;
use crate::{
    kernel_api::{
        bio::{
            Bio,
            OpFlags,
            Operation as BioOperation, //
        },
        block_status::BlkStatus,
        gendisk::{
            BlockOps,
            OpenMode, //
        },
        module_params,
        noio::NoIo, //
    },
    resource::tokens::Waiting, //
};

impl BlockOps for Device {
    type Data = Arc<Device>;

    fn submit_bio(device: ArcBorrow<'_, Device>, bio: Bio) {
        let Some(io) = io_of(&bio) else {
            return bio.end(BlkStatus::NOT_SUPPORTED);
        };
        let _noio = NoIo::enter();
        let start = bio.start_accounting();
        let mut waiting = Some(Waiting { bio, start });
        if !device.admit(io, &mut waiting) {
            // No room: requests have to end first.
            device
                .resource
                .room
                .wait_event(|| device.admit(io, &mut waiting));
        }
        if let Some(Waiting { bio, start }) = waiting {
            bio.end_accounted(BlkStatus::IO_ERROR, start);
        }
    }

    fn open(device: ArcBorrow<'_, Device>, mode: OpenMode) -> Result {
        let index = device.index;
        device
            .resource
            .peek(|guarded| {
                guarded
                    .engine
                    .open(index, mode.write, module_params::allow_open_on_secondary())
            })
            .map_err(|error| match error {
                OpenError::ReadOnly => code::EROFS,
                OpenError::WrongRole => code::EMEDIUMTYPE,
                OpenError::Gone => code::ENODEV,
            })
    }

    fn release(device: ArcBorrow<'_, Device>) {
        let index = device.index;
        device.resource.peek(|guarded| guarded.engine.close(index));
    }
}

impl Device {
    /// Gives a bio to the engine. False where there is no room; `waiting` is left where it is refused. In `submit_bio`,
    /// which is about to return when the answer is true.
    fn admit(&self, io: Io, waiting: &mut Option<Waiting>) -> bool {
        let index = self.index;
        self.resource
            .guarded_in_submit(|guarded| match guarded.engine.submit(index, io) {
                Admission::Accepted(id) => {
                    if let Some(bio) = waiting.take() {
                        *waiting = guarded.keep_bio(index, id, bio);
                    }
                    true
                }
                Admission::Wait => false,
                Admission::Refused => true,
            })
    }
}

fn io_of(bio: &Bio) -> Option<Io> {
    let flags = bio.flags();
    let size = bio.size();
    let preflush = flags.contains(OpFlags::PREFLUSH);
    let operation = match bio.operation() {
        BioOperation::Read => Operation::Read,
        BioOperation::Write if size == 0 && preflush => Operation::Flush,
        BioOperation::Write => Operation::Write,
        BioOperation::Discard => Operation::Discard,
        BioOperation::WriteZeroes => Operation::WriteZeroes,
        BioOperation::Other(_) => return None,
    };
    Some(Io {
        operation,
        sector: bio.sector(),
        size,
        preflush,
        fua: flags.contains(OpFlags::FUA),
        sync: flags.contains(OpFlags::SYNC),
        unmap: !flags.contains(OpFlags::NO_UNMAP),
        read_ahead: flags.contains(OpFlags::READ_AHEAD),
    })
}

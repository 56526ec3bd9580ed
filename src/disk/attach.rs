// SPDX-License-Identifier: GPL-2.0-only

//! Attaching a disk: open, read, check, hand over to the engine. And closing it.

use core::fmt::Write as _;

use drbd_core::{
    activity_log::{
        ActivityLog,
        ExtentSlot, //
    },
    bitmap::{
        bits_for_sectors,
        storage_needed,
        Bitmap,
        Storage, //
    },
    config::{
        check::{
            fit_to_disk,
            DiscardLimits, //
        },
        disk::DiskConf,
        text::Text, //
    },
    meta::{
        layout::{
            Layout,
            MetaIndex, //
        },
        superblock::Superblock, //
    },
    resource::{
        AttachError,
        Attachment, //
    },
    return_code::ReturnCode, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

use super::{
    backing::{
        Attached,
        Backing, //
    },
    slot::Slot,
    Device, //
};
use crate::{
    kernel_api::{
        block_device::{
            BackingDevice,
            Holder,
            MetaBlock, //
        },
        printk::{
            print,
            Level, //
        }, //
    },
    resource::Refused, //
};

/// The largest bio that a disk is said to take, in bytes.
const MAX_BIO_SIZE: u32 = 1 << 20;

impl Device {
    /// Attaches a disk. Sleeps.
    pub(crate) fn attach(self: &Arc<Self>, conf: DiskConf) -> Result<(), Refused> {
        let index = self.index;
        let index_kind = MetaIndex::from_raw(conf.meta_dev_idx)
            .ok_or_else(|| Refused::from(ReturnCode::MdIdxInvalid))?;
        self.resource
            .operations
            .wait_event(|| !self.is_closing_disk());
        let backing = self.open_backing(&conf, index_kind)?;
        let (superblock, layout) = self.read_superblock(&backing, index_kind)?;
        let max_capacity = layout.max_capacity(backing.data.sectors());
        if max_capacity < conf.disk_size {
            return Err(ReturnCode::DiskTooSmall.into());
        }
        let conf = self.fitted(conf, &backing, &layout);
        self.resource
            .engine_for_command(|engine| engine.begin_attach(index))
            .map_err(Refused::from)?;
        let result = self.attach_read(conf, backing, superblock, layout, max_capacity);
        if result.is_err() {
            self.resource
                .engine_for_command(|engine| engine.abort_attach(index));
        }
        self.resource.settle();
        result
    }

    #[inline(never)]
    fn attach_read(
        &self,
        conf: DiskConf,
        backing: Backing,
        superblock: Superblock,
        layout: Layout,
        max_capacity: u64,
    ) -> Result<(), Refused> {
        let backing = Attached::new(backing).map_err(|_| Refused::from(ReturnCode::NoMemory))?;
        let slots = self
            .resource
            .lender
            .try_lend_with(conf.al_extents as usize, |_| ExtentSlot::empty())
            .map_err(|_| Refused::from(ReturnCode::NoMemory))?;
        let bitmap = self.read_bitmap(&backing, &superblock, &layout, max_capacity)?;
        let limits = backing.data.limits();
        let attachment = Attachment {
            conf,
            layout,
            superblock,
            bitmap,
            activity_log: ActivityLog::new(slots.keep(), layout.stripes(), 0),
            max_capacity,
            limits: backing.limits_for_peer(),
            max_bio_size: limits.max_hw_sectors.saturating_mul(512).min(MAX_BIO_SIZE),
            volatile_cache: limits.write_cache,
        };
        let index = self.index;
        let result = self.resource.engine_in_irq(|guarded| {
            if let Some(shelf) = guarded.shelf(index) {
                shelf.backing = Some(backing.clone());
            }
            let result = guarded.engine.finish_attach(index, attachment);
            if result.is_err() {
                if let Some(shelf) = guarded.shelf(index) {
                    drop(shelf.backing.take());
                }
            }
            result
        });
        result.map_err(|(error, attachment)| {
            self.give_back(attachment.bitmap, attachment.activity_log);
            refusal(error)
        })
    }

    #[inline(never)]
    fn open_backing(&self, conf: &DiskConf, index: MetaIndex) -> Result<Backing, Refused> {
        let holder = Holder::new().map_err(|_| Refused::from(ReturnCode::NoMemory))?;
        let mut data = open(
            conf.backing_dev.as_bytes(),
            holder.clone(),
            ReturnCode::OpenDisk,
        )?;
        let slot = match index {
            MetaIndex::Fixed(slot) => Some(slot),
            _ => None,
        };
        let holder = slot.map_or(holder, |_| Holder::Shared);
        let meta = open(conf.meta_dev.as_bytes(), holder, ReturnCode::OpenMdDisk)?;
        let same = data.is_same(&meta);
        if same != index.is_internal() {
            return Err(ReturnCode::MdIdxInvalid.into());
        }
        let mut separate = if same { None } else { Some(meta) };
        if let Some(meta) = separate.as_ref() {
            if meta.sectors() < index.min_meta_device_sectors() {
                return Err(ReturnCode::MdDiskTooSmall.into());
            }
        } else if data.sectors() < index.min_meta_device_sectors() {
            return Err(ReturnCode::MdDiskTooSmall.into());
        }
        let slot = match (slot, separate.as_ref()) {
            (Some(slot), Some(meta)) => Some(take_slot(meta, slot)?),
            _ => None,
        };
        self.show_below(&mut data, ReturnCode::OpenDisk)?;
        if let Some(meta) = separate.as_mut() {
            self.show_below(meta, ReturnCode::OpenMdDisk)?;
        }
        Ok(Backing {
            data,
            separate,
            flush_metadata: Atomic::new(conf.md_flushes),
            _slot: slot,
        })
    }

    /// Shows in sysfs that this volume lies on a device: who looks for unused disks finds that this is none.
    fn show_below(&self, device: &mut BackingDevice, refusal: ReturnCode) -> Result<(), Refused> {
        let mut shown = Ok(());
        self.with_disk(|disk| shown = device.link_holder(disk));
        shown.map_err(|error| {
            let code = error.to_errno();
            self.log(
                Level::Error,
                format_args!("bd_link_disk_holder failed with {code}"),
            );
            refusal.into()
        })
    }

    #[inline(never)]
    fn read_superblock(
        &self,
        backing: &Backing,
        index: MetaIndex,
    ) -> Result<(Superblock, Layout), Refused> {
        let data = backing.data.sectors();
        let meta = backing.metadata().sectors();
        let place = Layout::new(
            data,
            meta,
            index,
            drbd_core::meta::layout::AlStripes::standard(),
        )
        .map_err(|_| Refused::from(ReturnCode::MdDiskTooSmall))?
        .superblock_sector();
        let mut block = MetaBlock::new().map_err(|_| Refused::from(ReturnCode::NoMemory))?;
        backing
            .metadata()
            .read_block(place, &mut block)
            .map_err(|_| {
                self.log(Level::Error, format_args!("Error while reading metadata."));
                Refused::from(ReturnCode::IoMdDisk)
            })?;
        let refuse = |error: drbd_core::meta::superblock::SuperblockError| {
            self.log(Level::Error, format_args!("{error}"));
            Refused {
                code: i32::try_from(error.return_code()).unwrap_or(0),
                text: Text::EMPTY,
            }
        };
        let superblock = Superblock::decode(block.bytes()).map_err(refuse)?;
        let layout = superblock.layout(index, data, meta).map_err(refuse)?;
        Ok((superblock, layout))
    }

    /// The options as this disk allows them.
    #[inline(never)]
    fn fitted(&self, mut conf: DiskConf, backing: &Backing, layout: &Layout) -> DiskConf {
        self.fit(&mut conf, &backing.data, layout.stripes().blocks());
        conf
    }

    /// Fits options that are changed to the disk that is attached, with so many blocks of 4 KiB for the activity log.
    pub(crate) fn fit_options(&self, conf: &mut DiskConf, al_size_4k: u32) {
        let index = self.index;
        if let Some(backing) = self.resource.peek(|guarded| guarded.backing(index)) {
            self.fit(conf, &backing.data, al_size_4k);
        }
    }

    fn fit(&self, conf: &mut DiskConf, disk: &BackingDevice, al_size_4k: u32) {
        let limits = disk.limits();
        let discards = (limits.max_discard_sectors > 0).then_some(DiscardLimits {
            granularity: limits.discard_granularity,
            max: u64::from(limits.max_discard_sectors) * 512,
        });
        if fit_to_disk(conf, al_size_4k, discards) {
            self.log(
                Level::Info,
                format_args!(
                    "rs_discard_granularity changed to {}",
                    conf.rs_discard_granularity
                ),
            );
        }
    }

    #[inline(never)]
    fn read_bitmap(
        &self,
        backing: &Backing,
        superblock: &Superblock,
        layout: &Layout,
        max_capacity: u64,
    ) -> Result<Bitmap<'static>, Refused> {
        let no_memory = |_| Refused::from(ReturnCode::NoMemoryBitmap);
        let bits = bits_for_sectors(superblock.effective_size);
        let (words, dirty) = storage_needed(bits.max(bits_for_sectors(max_capacity)));
        let lender = &self.resource.lender;
        let words = lender.try_lend_with(words, |_| 0).map_err(no_memory)?;
        let dirty = lender.try_lend_with(dirty, |_| 0).map_err(no_memory)?;
        let storage = Storage {
            words: words.keep(),
            dirty: dirty.keep(),
        };
        let mut bitmap =
            Bitmap::new(storage, bits).map_err(|_| Refused::from(ReturnCode::NoMemoryBitmap))?;
        match load_bitmap(&mut bitmap, backing, layout) {
            Ok(()) => Ok(bitmap),
            Err(refused) => {
                self.give_back_bitmap(bitmap);
                Err(refused)
            }
        }
    }

    fn give_back_bitmap(&self, bitmap: Bitmap<'static>) {
        let storage = bitmap.into_storage();
        self.resource.lender.reclaim(storage.words);
        self.resource.lender.reclaim(storage.dirty);
    }

    fn give_back(&self, bitmap: Bitmap<'static>, log: ActivityLog<'static>) {
        self.give_back_bitmap(bitmap);
        self.resource.lender.reclaim(log.into_storage());
    }

    /// Writes a line about this device to the kernel log.
    pub(crate) fn log(&self, level: Level, message: core::fmt::Arguments<'_>) {
        let name = core::str::from_utf8(self.resource.name()).unwrap_or("?");
        print(
            level,
            format_args!("{name}/{} drbd{}: {message}", self.volume, self.minor),
        );
    }

    /// Whether a disk that is no longer used has not been closed.
    fn is_closing_disk(&self) -> bool {
        let index = self.index;
        self.resource.peek(|guarded| {
            guarded.engine.device(index).is_some_and(|device| {
                device.disk().is_some()
                    && device.state().disk <= drbd_core::state::DiskState::Failed
            })
        })
    }

    /// Says whether metadata is flushed from now on, where there is a disk.
    pub(crate) fn set_md_flushes(&self, md_flushes: bool) {
        let backing = self.resource.peek(|guarded| guarded.backing(self.index));
        if let Some(backing) = backing {
            backing.flush_metadata.store(md_flushes, Relaxed);
        }
    }

    /// Closes a disk that the engine has let go. Event thread.
    ///
    /// Its devices first: who waits for the engine to be without a disk opens them again, or somebody else does.
    pub(crate) fn close_disk(&self) {
        let index = self.index;
        let backing = self.resource.peek(|guarded| {
            if !guarded.engine.may_take_disk(index) {
                return None;
            }
            guarded.shelf(index)?.backing.take()
        });
        if let Some(backing) = backing {
            Attached::close(backing);
        }
        let disk = self
            .resource
            .engine_in_irq(|guarded| guarded.engine.take_disk(index));
        if let Some(disk) = disk {
            self.give_back(disk.bitmap, disk.activity_log);
        }
        self.resource.operations.wake_all();
    }
}

fn load_bitmap(bitmap: &mut Bitmap<'_>, backing: &Backing, layout: &Layout) -> Result<(), Refused> {
    let mut block = MetaBlock::new().map_err(|_| Refused::from(ReturnCode::NoMemory))?;
    for page in 0..bitmap.pages() {
        let place = layout.bitmap_page(page).ok_or(ReturnCode::MdInvalid)?;
        backing
            .metadata()
            .read_block(place.sector, &mut block)
            .map_err(|_| Refused::from(ReturnCode::IoMdDisk))?;
        bitmap.load_page(page, block.bytes());
    }
    Ok(())
}

fn open(path: &[u8], holder: Holder, refusal: ReturnCode) -> Result<BackingDevice, Refused> {
    let path = core::str::from_utf8(path).map_err(|_| Refused::from(refusal))?;
    let path = CString::try_from_fmt(fmt!("{path}")).map_err(|_| Refused::from(refusal))?;
    BackingDevice::open(&path, holder).map_err(|error| {
        pr_err!("open({:?}) failed with {}\n", path, error.to_errno());
        refusal.into()
    })
}

fn take_slot(device: &BackingDevice, number: u32) -> Result<Slot, Refused> {
    Slot::take(device, number).map_err(|error| {
        if error != EBUSY {
            return ReturnCode::NoMemory.into();
        }
        let mut text = Text::EMPTY;
        let _ = write!(
            text,
            "index {number} of this meta-disk is in use by another volume"
        );
        Refused {
            code: ReturnCode::MdIdxInvalid.into(),
            text,
        }
    })
}

fn refusal(error: AttachError) -> Refused {
    match error {
        AttachError::State(code) => code.into(),
        AttachError::DataNotCurrent => ReturnCode::DataNotCurrent.into(),
        AttachError::DiskTooSmall => ReturnCode::DiskTooSmall.into(),
        AttachError::NoCapacity => ReturnCode::NoMemoryBitmap.into(),
        AttachError::ImplicitShrink {
            effective,
            possible,
        } => {
            let mut text = Text::EMPTY;
            let _ = write!(
                text,
                "To-be-attached device has last effective > current size, and is consistent\n\
                 ({effective} > {possible} sectors). Refusing to attach."
            );
            Refused {
                code: ReturnCode::ImplicitShrink.into(),
                text,
            }
        }
    }
}

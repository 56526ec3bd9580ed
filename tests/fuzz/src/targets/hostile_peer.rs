// SPDX-License-Identifier: GPL-2.0-only

//! A node whose peer sends anything, in every state of a connection, while applications and an administrator are at work.
//! The node must not panic, no invariant of its engine may break, and once the peer is gone everything that was begun has
//! to end. Bytes: how far an honest peer went before it turned, then what is done, step by step.

use bumpalo::Bump;
use drbd_core::config::policy::Protocol;
use drbd_core::resource::device::DeviceIndex;
use drbd_core::resource::request::Operation;
use drbd_core::wire::Command;
use drbd_sim::admin::Admin;
use drbd_sim::app::io;
use drbd_sim::link::{DATA, META};
use drbd_sim::node::Receiver;
use drbd_sim::world::{Ev, Setup, World};

use super::Source;

/// The node under attack, and the one that turns.
const NODE: usize = 0;
const PEER: usize = 1;
const STEPS: usize = 64;

pub fn run(data: &[u8]) {
    let arena = Bump::new();
    let mut source = Source(data);
    let mut world = honest(&arena, &mut source);
    // The peer is gone, its cables are in other hands. What it sent still comes.
    world.nodes[PEER].life = None;
    world.nodes[PEER].boot += 1;
    world.garbage = true;
    world.run(1000);
    for _ in 0..STEPS {
        if source.is_empty() {
            break;
        }
        step(&mut world, &mut source);
    }
    aftermath(&mut world);
}

/// Two honest nodes, for a while.
fn honest<'a>(arena: &'a Bump, source: &mut Source<'_>) -> World<'a> {
    let choice = source.byte();
    let mut setup = Setup {
        volumes: 1 + usize::from(choice & 1),
        device_sectors: 1024,
        internal: choice & 2 != 0,
        disk_latency: 50,
        net_latency: 10,
        ..Setup::default()
    };
    setup.net.wire_protocol =
        [Protocol::A, Protocol::B, Protocol::C, Protocol::C][usize::from(choice >> 2 & 3)];
    setup.net.use_rle = choice & 16 != 0;
    setup.sizes.requests = 8;
    setup.sizes.peer_requests = 8;
    let mut world = World::new(arena, 1, setup);
    world.up(NODE);
    world.up(PEER);
    let story = source.byte();
    let met = story & 7;
    if met > 0 {
        world.run_until(5_000_000, |world| {
            world.is_idle() && world.current_link(NODE).is_some()
        });
    }
    let (primary, other) = if story & 8 == 0 {
        (NODE, PEER)
    } else {
        (PEER, NODE)
    };
    if met > 1 {
        let _ = world.command(primary, Admin::PromoteForced(0));
    }
    if met > 2 {
        world.run_until(60_000_000, |world| world.in_sync());
    }
    match met {
        4 => world.admin(other, Admin::Invalidate(0)),
        5 => drop(world.command(primary, Admin::Detach(0))),
        6 => {
            let _ = world.command(other, Admin::Disconnect);
            let _ = world.write(primary, 8, 40, 77);
            world.admin(other, Admin::Connect);
        }
        7 => drop(world.command(other, Admin::Detach(0))),
        _ => {}
    }
    // In the middle of whatever goes on now.
    let later = u64::from(source.byte());
    world.run(later * later * 16);
    assert_eq!(
        world.failures,
        Vec::<String>::new(),
        "while both were honest"
    );
    world
}

fn step(world: &mut World<'_>, source: &mut Source<'_>) {
    match source.byte() % 10 {
        0 => {
            let (socket, count) = (source.byte(), source.byte());
            let bytes = source.bytes(count.into());
            inject(world, socket, bytes);
        }
        1..=4 => packet(world, source),
        5 => world.run(1 << (source.byte() % 23)),
        6 => application(world, source),
        7 => administrator(world, source),
        8 => world.cut(),
        _ => reconnect(world),
    }
    world.run(100);
}

/// Puts bytes where the node will read them.
fn inject(world: &mut World<'_>, socket: u8, bytes: &[u8]) {
    let socket = if socket & 1 == 0 { DATA } else { META };
    if let Some(link) = world
        .current_link(NODE)
        .and_then(|id| world.links.get_mut(&id))
    {
        link.pipes[PEER][socket].inbox.extend(bytes);
        world.schedule_receive(NODE, socket);
    }
}

/// A packet with a header that makes sense.
fn packet(world: &mut World<'_>, source: &mut Source<'_>) {
    let command = Command::ALL[usize::from(source.byte()) % Command::ALL.len()];
    let (volume, socket, form) = (source.byte() % 3, source.byte(), source.byte());
    let count = usize::from(source.byte());
    let body = source.bytes(count);
    let mut length = body.len() as u32;
    if form & 1 == 1 {
        // Payload that is cut short in this world: a sector is eight bytes.
        length += u32::from(form >> 1) * 512;
    }
    let header = world.nodes[NODE]
        .life
        .as_ref()
        .map_or(8, |life| life.engine.header_size());
    let mut bytes = Vec::new();
    if header == 8 {
        bytes.extend(0x8374_0267u32.to_be_bytes());
        bytes.extend(command.number().to_be_bytes());
        bytes.extend((length as u16).to_be_bytes());
    } else {
        bytes.extend(0x8620_ec20u32.to_be_bytes());
        bytes.extend(u16::from(volume).to_be_bytes());
        bytes.extend(command.number().to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend([0; 4]);
    }
    bytes.extend(body);
    bytes.extend(std::iter::repeat_n(
        7,
        usize::from(form >> 1) * 8 * usize::from(form & 1),
    ));
    inject(world, socket, &bytes);
}

fn application(world: &mut World<'_>, source: &mut Source<'_>) {
    let kind = source.byte();
    let sector = u64::from(source.byte()) * 2;
    let sectors = 1 + u64::from(source.byte() % 64);
    let volume = kind >> 4 & 1;
    if !world.is_primary(NODE, volume.into()) {
        return;
    }
    let mut request = match kind % 6 {
        0 => io(Operation::Read, sector, sectors),
        1 => io(Operation::Flush, 0, 0),
        2 => io(Operation::Discard, sector, sectors),
        3 => io(Operation::WriteZeroes, sector, sectors),
        _ => io(Operation::Write, sector, sectors),
    };
    request.fua = request.operation == Operation::Write && kind & 64 != 0;
    let values = match request.operation {
        Operation::Write => vec![99; sectors as usize],
        _ => vec![0; request.sectors() as usize],
    };
    world.submit(NODE, volume, request, values);
}

fn administrator(world: &mut World<'_>, source: &mut Source<'_>) {
    let commands = [
        Admin::Attach(0),
        Admin::Detach(0),
        Admin::DetachForced(0),
        Admin::Connect,
        Admin::ConnectDiscardMyData,
        Admin::Disconnect,
        Admin::DisconnectForced,
        Admin::Promote(0),
        Admin::PromoteForced(0),
        Admin::Demote(0),
        Admin::Invalidate(0),
        Admin::InvalidateRemote(0),
        Admin::PauseSync(0),
        Admin::ResumeSync(0),
        Admin::NewCurrentUuid(0),
    ];
    let command = commands[usize::from(source.byte()) % commands.len()];
    let waiting = world.nodes[NODE]
        .life
        .as_ref()
        .map_or(9, |life| life.admin.len());
    if waiting < 4 {
        world.admin(NODE, command);
    }
}

/// Somebody connects who says to be the peer.
fn reconnect(world: &mut World<'_>) {
    let searches = world.nodes[NODE]
        .life
        .as_ref()
        .is_some_and(|life| life.receiver == Receiver::Searching);
    if !searches {
        return;
    }
    world.run(2_000_000);
    let (link, boot) = (world.new_link(), world.nodes[NODE].boot);
    if let Some(life) = world.nodes[NODE].life.as_mut() {
        if life.receiver == Receiver::Searching {
            life.receiver = Receiver::Met(link);
            world.push(world.now, Ev::LinkUp(NODE, boot, link));
        }
    }
}

/// The peer is gone for good: what was begun ends, and the node is in order.
fn aftermath(world: &mut World<'_>) {
    world.cut();
    world.run(90_000_000);
    assert_eq!(world.failures, Vec::<String>::new());
    let life = world.nodes[NODE]
        .life
        .as_ref()
        .expect("nobody took its power");
    let alone = world.current_link(NODE).is_none();
    assert!(alone, "the node still has a connection");
    assert!(
        !life.engine.is_broken(),
        "an invariant of the engine is broken"
    );
    assert!(
        life.running.is_none(),
        "{:?} never ended",
        life.running.as_ref().map(|running| running.command)
    );
    assert!(life.disk_io.is_empty() && life.peer_pages.is_empty());
    assert!(
        !life.engine.has_effects(),
        "the engine asks for work that is not done"
    );
    let suspended = (0..world.setup.volumes).any(|volume| {
        world
            .engine_state(NODE, volume)
            .is_some_and(|state| state.is_suspended())
    });
    assert!(
        suspended || life.requests.is_empty() && life.backlog.is_empty(),
        "requests that never end"
    );
    for volume in 0..world.setup.volumes {
        let device = life
            .engine
            .device(DeviceIndex(volume as u8))
            .expect("configured");
        if let Some(disk) = device.disk() {
            assert!(disk.bitmap.weight() <= disk.bitmap.bits());
            assert!(
                disk.metadata.superblock_durable == disk.metadata.superblock_issued || disk.failed
            );
        }
    }
}

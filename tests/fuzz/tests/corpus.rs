// SPDX-License-Identifier: GPL-2.0-only

//! What a fuzzer once found worth keeping, and what once went wrong, without a fuzzer: `corpus/TARGET/NAME.bin`. And a short
//! random walk from there, the same each time.

use std::path::Path;

use drbd_sim::rng::Rng;

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read(&path).expect("a file"),
            )
        })
        .collect();
    found.sort();
    found
}

fn play(name: &str, mutations: u64) {
    let run = drbd_fuzz::target(name).expect("a target");
    let files = corpus(name);
    assert!(!files.is_empty(), "there is no corpus of {name}");
    for (path, bytes) in &files {
        let played = std::panic::catch_unwind(|| run(bytes));
        assert!(played.is_ok(), "{path} fails");
    }
    let mut rng = Rng::new(1);
    for _ in 0..mutations {
        let (path, bytes) = rng.pick(&files);
        let mut bytes = bytes.clone();
        mutate(&mut bytes, &mut rng);
        let played = std::panic::catch_unwind(|| run(&bytes));
        assert!(played.is_ok(), "{path}, changed, fails: {bytes:?}");
    }
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.range(1, 4) {
        let at = rng.below(bytes.len() as u64 + 1) as usize;
        match rng.below(4) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => bytes[at] = *rng.pick(&[0, 1, 0x7f, 0x80, 0xff]),
            2 => bytes.insert(at, rng.next() as u8),
            _ => bytes.truncate(at),
        }
    }
}

#[test]
fn packet() {
    play("packet", 3000);
}

#[test]
fn bitmap_runs() {
    play("bitmap_runs", 1000);
}

#[test]
fn superblock() {
    play("superblock", 1000);
}

#[test]
fn activity_log() {
    play("activity_log", 300);
}

#[test]
fn netlink() {
    play("netlink", 3000);
}

#[test]
fn hostile_peer() {
    play("hostile_peer", 100);
}

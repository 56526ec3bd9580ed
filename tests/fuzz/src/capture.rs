// SPDX-License-Identifier: GPL-2.0-only

//! What C nodes said to each other, and left on their disks: the files of `captures/`, see the README there.

use std::path::{Path, PathBuf};

/// A packet of a C node.
#[derive(Clone, Debug)]
pub struct Captured {
    /// File and line.
    pub place: String,
    /// `a` or `b`.
    pub sender: char,
    /// It went over the data socket, not the meta socket.
    pub data_socket: bool,
    /// Header, fixed part, and payload as far as it was kept.
    pub bytes: Vec<u8>,
    /// Bytes of the header.
    pub header: usize,
    /// Bytes of payload that were not kept.
    pub left_out: usize,
    /// What the C headers say that it means.
    pub meaning: String,
}

/// The folder.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

/// Files of the folder that end so, by name.
pub fn files(ending: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder()).expect("the captures are there");
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == ending)
        })
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a text file");
            (
                path.file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                text,
            )
        })
        .collect();
    found.sort();
    found
}

/// All packets, file by file.
pub fn packets() -> Vec<(String, Vec<Captured>)> {
    let read = |(name, text): (String, String)| {
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.starts_with('#'));
        let packets =
            lines.map(|(number, line)| packet(&format!("{name}.packets:{}", number + 1), line));
        (name.clone(), packets.collect())
    };
    files("packets").into_iter().map(read).collect()
}

/// `a data 8620ec20...[.fixed part and payload][+left out] meaning`
fn packet(place: &str, line: &str) -> Captured {
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("{place}: too short"));
    let (sender, socket, bytes, meaning) = (word(), word(), word(), word());
    let (bytes, left_out) = bytes.split_once('+').unwrap_or((bytes, "0"));
    let (header, body) = bytes
        .split_once('.')
        .unwrap_or_else(|| panic!("{place}: no header"));
    let mut all = unhex(header);
    let header = all.len();
    all.extend(unhex(body));
    Captured {
        place: place.into(),
        sender: sender.chars().next().unwrap_or('?'),
        data_socket: socket == "data",
        bytes: all,
        header,
        left_out: left_out.parse().expect("a number"),
        meaning: meaning.into(),
    }
}

/// Hexadecimal digits to bytes.
pub fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

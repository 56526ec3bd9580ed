// SPDX-License-Identifier: GPL-2.0-only

//! A copy of engine and simulator in which every fault is compiled in, each behind a switch. What is built of it stays in
//! `build/mutants`; the source of the engine, and the module, know nothing of it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::fault::Fault;

/// The switch, as a module of the copy's core.
const SWITCH: &str = "
/// Which fault is on. Not part of the engine.
pub mod mutant {
    use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    static CURRENT: AtomicU32 = AtomicU32::new(0);
    static REACHED: AtomicBool = AtomicBool::new(false);

    /// Switches a fault on.
    pub fn switch_on(fault: u32) {
        CURRENT.store(fault, Ordering::Relaxed);
    }

    /// Whether the code of the fault that is on ever ran.
    pub fn was_reached() -> bool {
        REACHED.load(Ordering::Relaxed)
    }

    pub(crate) fn is(fault: u32) -> bool {
        let on = CURRENT.load(Ordering::Relaxed) == fault;
        if on {
            REACHED.store(true, Ordering::Relaxed);
        }
        on
    }
}
";

/// A replacement: where, by which fault, with what.
struct Change {
    place: Range<usize>,
    fault: usize,
    name: String,
    with: String,
}

/// Puts all faults into the text of one file.
fn rewrite(file: &str, text: &str, faults: &[Fault]) -> Result<String, String> {
    let mut changes = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        for edit in fault.edits.iter().filter(|edit| edit.file == file) {
            let place = edit
                .place(text)
                .map_err(|why| format!("{}: {why}", fault.name))?;
            changes.push(Change {
                place,
                fault: number + 1,
                name: fault.name.clone(),
                with: edit.replace.clone(),
            });
        }
    }
    // The outermost first.
    changes.sort_by_key(|change| (change.place.start, std::cmp::Reverse(change.place.end)));
    render(text, 0..text.len(), &changes)
}

fn render(text: &str, range: Range<usize>, changes: &[Change]) -> Result<String, String> {
    let mut out = String::new();
    let mut at = range.start;
    let mut rest = changes;
    while let Some((change, after)) = rest.split_first() {
        let inside = after
            .iter()
            .take_while(|other| other.place.start < change.place.end)
            .count();
        let (inner, next) = after.split_at(inside);
        if inner.iter().any(|other| other.place.end > change.place.end) {
            return Err(format!(
                "faults overlap around `{}`",
                &text[change.place.clone()]
            ));
        }
        out.push_str(&text[at..change.place.start]);
        let right = render(text, change.place.clone(), inner)?;
        out.push_str(&format!(
            "{{ if crate::mutant::is({}) /* {} */ {{ {} }} else {{ {right} }} }}",
            change.fault,
            change.name,
            change.with.trim()
        ));
        at = change.place.end;
        rest = next;
    }
    out.push_str(&text[at..range.end]);
    Ok(out)
}

/// All files below a folder, by their path from the top of the tree.
fn files(top: &Path, folder: &str, found: &mut BTreeMap<String, PathBuf>) -> Result<(), String> {
    let path = top.join(folder);
    let entries = fs::read_dir(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    for entry in entries.filter_map(Result::ok) {
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files(top, &name, found)?;
        } else if [".rs", ".toml", ".lock", ".txt"]
            .iter()
            .any(|ending| name.ends_with(ending))
        {
            found.insert(name, entry.path());
        }
    }
    Ok(())
}

/// Writes what is not there yet, so that cargo builds only what changed.
fn write(path: &Path, text: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let failed = |why| format!("{}: {why}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
    fs::write(path, text).map_err(failed)
}

/// Where a file of the tree lies in the copy.
fn place(name: &str) -> String {
    name.replace("tests/mutants/inside", "tests/inside")
}

/// Takes away what an older copy had, and the tree no longer has.
fn forget_others(copy: &Path, sources: &BTreeMap<String, PathBuf>) -> Result<(), String> {
    let wanted: Vec<String> = sources.keys().map(|name| place(name)).collect();
    let mut there = BTreeMap::new();
    for folder in ["src", "tests/core", "tests/sim", "tests/inside"] {
        files(copy, folder, &mut there)?;
    }
    for (name, path) in there {
        if !wanted.contains(&name) {
            fs::remove_file(&path).map_err(|why| format!("{name}: {why}"))?;
        }
    }
    Ok(())
}

/// Why a fault does not fit the source any more.
pub fn does_not_apply(top: &Path, fault: &Fault) -> Option<String> {
    fault.edits.iter().find_map(|edit| {
        let text = fs::read_to_string(top.join(&edit.file));
        let text = text.map_err(|why| format!("{}: {why}", edit.file));
        text.and_then(|text| edit.place(&text)).err()
    })
}

/// Makes the copy of the tree `top` in `copy`.
pub fn make(top: &Path, copy: &Path, faults: &[Fault]) -> Result<(), String> {
    let mut sources = BTreeMap::new();
    for folder in [
        "src/core",
        "tests/core",
        "tests/sim",
        "tests/mutants/inside",
    ] {
        files(top, folder, &mut sources)?;
    }
    sources.insert("tests/Cargo.lock".into(), top.join("tests/Cargo.lock"));
    // All that is wrong is worth knowing at once.
    let mut wrong = Vec::new();
    for (name, path) in &sources {
        let text = fs::read_to_string(path).map_err(|why| format!("{name}: {why}"))?;
        match rewrite(name, &text, faults) {
            Ok(text) if name == "src/core/drbd_core.rs" => {
                write(&copy.join(name), &(text + SWITCH))?
            }
            Ok(text) => write(&copy.join(place(name)), &text)?,
            Err(why) => wrong.push(why),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    forget_others(copy, &sources)?;
    write(
        &copy.join("tests/Cargo.toml"),
        "[workspace]\nresolver = \"2\"\nmembers = [\"core\", \"sim\", \"inside\"]\n\n[profile.dev]\nopt-level = 2\ndebug = false\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Edit;

    fn fault(find: &str, replace: &str) -> Fault {
        Fault {
            name: find.into(),
            why: "?".into(),
            quick: false,
            seeds: None,
            story: None,
            not_found: None,
            edits: vec![Edit {
                file: "a.rs".into(),
                after: String::new(),
                find: find.into(),
                replace: replace.into(),
            }],
        }
    }

    #[test]
    fn faults_side_by_side_and_inside_each_other() {
        let faults = [fault("b + c", "b"), fault("c", "0"), fault("d", "1")];
        let text = rewrite("a.rs", "a(b + c, d)", &faults).expect("fits");
        let inner = "{ if crate::mutant::is(2) /* c */ { 0 } else { c } }";
        let outer =
            format!("{{ if crate::mutant::is(1) /* b + c */ {{ b }} else {{ b + {inner} }} }}");
        let other = "{ if crate::mutant::is(3) /* d */ { 1 } else { d } }";
        assert_eq!(text, format!("a({outer}, {other})"));
    }

    #[test]
    fn what_is_not_there_once_is_refused() {
        assert!(rewrite("a.rs", "a a", &[fault("a", "b")]).is_err());
        assert!(rewrite("a.rs", "b", &[fault("a", "b")]).is_err());
        assert!(rewrite("a.rs", "a b c", &[fault("a b", "x"), fault("b c", "y")]).is_err());
    }
}

// SPDX-License-Identifier: GPL-2.0-only

//! A deliberate fault: a small file that says what to look for in the source, and what to put there.
//!
//! ```text
//! # SPDX-License-Identifier: GPL-2.0-only
//! # What is wrong now, in a sentence.
//! quick
//! file: src/core/resource/epoch.rs
//! find:
//! epoch.active > 0 || epoch.flushing > 0
//! replace:
//! epoch.active > 0
//! ```
//!
//! What is found is an expression, or whole statements; how it is broken into lines does not matter. It has to be there
//! exactly once; or, where a line `after: fn name` stands before `find:`, what comes first after those words counts, and
//! they have to be there once. `file`, `find`, `replace` may come again, for a fault in several places. `quick`: one of the
//! few that `make test` tries. `story: name` says that the directed story of that name finds it (`tests/sim/src/directed`): it
//! alone is played. `seeds: 3000` gives a fault that is hard to meet a larger budget. `not found yet: reason`: a
//! checker or an event is still missing; it is tried with `--all` alone.

use std::ops::Range;
use std::path::Path;

/// One place of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// From the top of the tree.
    pub file: String,
    /// Where to begin to look; empty for the beginning.
    pub after: String,
    pub find: String,
    pub replace: String,
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub name: String,
    pub why: String,
    pub quick: bool,
    pub seeds: Option<u64>,
    /// The directed story that finds it; else random seeds do.
    pub story: Option<String>,
    /// Why nobody finds it yet.
    pub not_found: Option<String>,
    pub edits: Vec<Edit>,
}

impl Fault {
    /// Reads a file of the form above.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut fault = Self {
            name: name.into(),
            why: String::new(),
            quick: false,
            seeds: None,
            story: None,
            not_found: None,
            edits: Vec::new(),
        };
        let mut part: Option<fn(&mut Edit) -> &mut String> = None;
        for line in text.lines() {
            if line.starts_with("# SPDX") {
            } else if let Some(words) = line.strip_prefix("# ") {
                fault.why = format!("{} {words}", fault.why).trim().into();
            } else if let Some(file) = line.strip_prefix("file: ") {
                part = None;
                fault.edits.push(Edit {
                    file: file.trim().into(),
                    after: String::new(),
                    find: String::new(),
                    replace: String::new(),
                });
            } else if let (Some(words), None, Some(edit)) =
                (line.strip_prefix("after: "), part, fault.edits.last_mut())
            {
                edit.after = words.into();
            } else if line == "find:" {
                part = Some(|edit| &mut edit.find);
            } else if line == "replace:" {
                part = Some(|edit| &mut edit.replace);
            } else if let (Some(part), Some(edit)) = (part, fault.edits.last_mut()) {
                let text = part(edit);
                text.push_str(line);
                text.push('\n');
            } else if line == "quick" {
                fault.quick = true;
            } else if let Some(reason) = line.strip_prefix("not found yet: ") {
                fault.not_found = Some(reason.into());
            } else if let Some(story) = line.strip_prefix("story: ") {
                fault.story = Some(story.trim().into());
            } else if let Some(seeds) = line.strip_prefix("seeds: ") {
                fault.seeds = Some(
                    seeds
                        .trim()
                        .parse()
                        .map_err(|_| format!("{name}: {line}"))?,
                );
            } else if !line.is_empty() {
                return Err(format!("{name}: what is `{line}`?"));
            }
        }
        let empty = |edit: &Edit| edit.find.trim().is_empty();
        if fault.why.is_empty() || fault.edits.is_empty() || fault.edits.iter().any(empty) {
            return Err(format!("{name}: needs a sentence, a file and what to find"));
        }
        Ok(fault)
    }

    /// All faults of a folder, by name.
    pub fn all(folder: &Path) -> Result<Vec<Self>, String> {
        let mut faults = Vec::new();
        let entries =
            std::fs::read_dir(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.extension().is_some_and(|ending| ending == "fault") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let text =
                    std::fs::read_to_string(&path).map_err(|why| format!("{name}: {why}"))?;
                faults.push(Self::parse(&name, &text)?);
            }
        }
        faults.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(faults)
    }
}

impl Edit {
    /// Where in the text of the file it is; else why that is not clear.
    pub fn place(&self, text: &str) -> Result<Range<usize>, String> {
        let once = |found: &[Range<usize>], what: &str| match found {
            [place] => Ok(place.clone()),
            _ => Err(format!(
                "`{}` is there {} times in {}, not once",
                what.trim(),
                found.len(),
                self.file
            )),
        };
        let found = places(text, &self.find);
        if self.after.is_empty() {
            return once(&found, &self.find);
        }
        let begin = once(&places(text, &self.after), &self.after)?.end;
        let first = found.into_iter().find(|place| place.start >= begin);
        first.ok_or_else(|| {
            format!(
                "`{}` is not in {} after `{}`",
                self.find.trim(),
                self.file,
                self.after
            )
        })
    }
}

/// Where `find` stands in `text`, whatever the white space: all places.
fn places(text: &str, find: &str) -> Vec<Range<usize>> {
    let dense = |text: &str| -> Vec<(usize, char)> {
        let all = text.char_indices();
        all.filter(|(_, letter)| !letter.is_whitespace()).collect()
    };
    let (text, find) = (dense(text), dense(find));
    text.windows(find.len().max(1))
        .filter(|window| {
            window
                .iter()
                .map(|(_, letter)| letter)
                .eq(find.iter().map(|(_, letter)| letter))
        })
        .filter_map(|window| {
            let ((first, _), (last, letter)) = (window.first()?, window.last()?);
            Some(*first..*last + letter.len_utf8())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read() {
        let text = "# SPDX-License-Identifier: GPL-2.0-only\n# One\n# two.\nquick\nfile: a.rs\nfind:\nx + 1\nreplace:\nx\n";
        let fault = Fault::parse("name", text).expect("a good file");
        assert_eq!(fault.why, "One two.");
        assert!(fault.quick);
        assert_eq!(fault.edits[0].find, "x + 1\n");
        assert_eq!(fault.edits[0].replace, "x\n");
        assert!(Fault::parse("name", "find:\nx\n").is_err());
    }

    #[test]
    fn the_first_after_some_words() {
        let mut edit = Edit {
            file: "a.rs".into(),
            after: "fn b".into(),
            find: "x".into(),
            replace: "y".into(),
        };
        assert_eq!(edit.place("fn a { x } fn b { x x }"), Ok(18..19));
        edit.after = String::new();
        assert!(edit.place("fn a { x } fn b { x }").is_err());
        edit.after = "fn c".into();
        assert!(edit.place("x").is_err());
    }

    #[test]
    fn white_space_does_not_matter() {
        assert_eq!(places("if a\n    && b {", "a && b"), vec![3..13; 1]);
        assert_eq!(places("f(a); f(b); f(a);", "f(a);"), [0..5, 12..17]);
        assert_eq!(places("a\n  .b()", "a.b()"), vec![0..8; 1]);
        assert_eq!(places("ab", "a c"), []);
    }
}

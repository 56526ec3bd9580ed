// SPDX-License-Identifier: GPL-2.0-only

//! What is left out of the story of a seed.
//!
//! Each trouble and each thought of an application has a number and chance of its own, so that a story without some of
//! them is still much the same.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// What is left out, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub troubles: BTreeSet<u64>,
    pub thoughts: BTreeSet<u64>,
}

impl Script {
    pub fn is_empty(&self) -> bool {
        self.troubles.is_empty() && self.thoughts.is_empty()
    }
}

fn ranges(numbers: &BTreeSet<u64>) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let words = ranges.iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    words.collect::<Vec<_>>().join(",")
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", ranges(&self.troubles), ranges(&self.thoughts))
    }
}

impl FromStr for Script {
    type Err = String;

    /// Troubles, a slash, thoughts: `1-4,7/20-30`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (troubles, thoughts) = text.split_once('/').unwrap_or((text, ""));
        let numbers = |text: &str| -> Result<BTreeSet<u64>, String> {
            let mut set = BTreeSet::new();
            for part in text.split(',').filter(|part| !part.is_empty()) {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let number = |text: &str| {
                    text.parse::<u64>()
                        .map_err(|_| format!("{text} is no number"))
                };
                set.extend(number(first)?..=number(last)?);
            }
            Ok(set)
        };
        Ok(Self {
            troubles: numbers(troubles)?,
            thoughts: numbers(thoughts)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        let script: Script = "1-4,7/20-30,40".parse().expect("well formed");
        assert_eq!(script.troubles.len(), 5);
        assert_eq!(script.to_string(), "1-4,7/20-30,40");
        assert_eq!("/".parse::<Script>(), Ok(Script::default()));
        assert!("a/".parse::<Script>().is_err());
    }
}

// SPDX-License-Identifier: GPL-2.0-only

//! The log lines about state changes, in the words of 8.4, which monitoring greps for. Without level, prefix and line
//! end, which are the caller's.

use super::{State, StateCode};
use core::fmt::{Result, Write};

/// The fields that a line shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Role of this node.
    pub role: bool,
    /// Role of the peer.
    pub peer: bool,
    /// Connection.
    pub connection: bool,
    /// Own disk.
    pub disk: bool,
    /// Disk of the peer.
    pub peer_disk: bool,
}

impl Fields {
    /// All of them.
    pub const ALL: Self = Self {
        role: true,
        peer: true,
        connection: true,
        disk: true,
        peer_disk: true,
    };
    /// None of them.
    pub const NONE: Self = Self {
        role: false,
        peer: false,
        connection: false,
        disk: false,
        peer_disk: false,
    };

    /// The fields that are equal on all volumes. A change of all volumes shows these once, for the connection, and
    /// the others for each volume.
    pub fn common(volumes: impl IntoIterator<Item = State>) -> Self {
        let mut volumes = volumes.into_iter();
        let mut common = Self::ALL;
        if let Some(first) = volumes.next() {
            for other in volumes {
                common.role &= other.role == first.role;
                common.peer &= other.peer == first.peer;
                common.connection &= other.connection == first.connection;
                common.disk &= other.disk == first.disk;
                common.peer_disk &= other.peer_disk == first.peer_disk;
            }
        }
        common
    }

    /// Those that are not in `self`.
    #[must_use]
    pub const fn others(self) -> Self {
        Self {
            role: !self.role,
            peer: !self.peer,
            connection: !self.connection,
            disk: !self.disk,
            peer_disk: !self.peer_disk,
        }
    }
}

fn write_fields(out: &mut impl Write, old: &State, new: &State, fields: Fields) -> Result {
    if fields.role && old.role != new.role {
        write!(out, "role( {} -> {} ) ", old.role, new.role)?;
    }
    if fields.peer && old.peer != new.peer {
        write!(out, "peer( {} -> {} ) ", old.peer, new.peer)?;
    }
    if fields.connection && old.connection != new.connection {
        write!(out, "conn( {} -> {} ) ", old.connection, new.connection)?;
    }
    if fields.disk && old.disk != new.disk {
        write!(out, "disk( {} -> {} ) ", old.disk, new.disk)?;
    }
    if fields.peer_disk && old.peer_disk != new.peer_disk {
        write!(out, "pdsk( {} -> {} ) ", old.peer_disk, new.peer_disk)?;
    }
    Ok(())
}

fn write_flag(out: &mut impl Write, name: &str, old: bool, new: bool) -> Result {
    if old == new {
        return Ok(());
    }
    write!(out, "{name}( {} -> {} ) ", u8::from(old), u8::from(new))
}

/// Writes what changes for one volume. Nothing is written where nothing of `fields` changes: then there is no line.
///
/// A change of this volume alone shows [`Fields::ALL`], one of all volumes what they do not have in common.
///
/// # Errors
///
/// As `out`.
pub fn write_volume_change(
    out: &mut impl Write,
    old: &State,
    new: &State,
    fields: Fields,
) -> Result {
    write_fields(out, old, new, fields)?;
    write_flag(
        out,
        "aftr_isp",
        old.after_dependency_paused,
        new.after_dependency_paused,
    )?;
    write_flag(out, "peer_isp", old.peer_paused, new.peer_paused)?;
    write_flag(out, "user_isp", old.user_paused, new.user_paused)
}

/// Writes what changes for the whole connection: what all volumes have in common, and whether I/O is suspended. Nothing
/// is written where nothing changes.
///
/// After a change of one volume alone, this has its line for the suspension, with [`Fields::NONE`].
///
/// # Errors
///
/// As `out`.
pub fn write_connection_change(
    out: &mut impl Write,
    old: &State,
    new: &State,
    fields: Fields,
) -> Result {
    write_fields(out, old, new, fields)?;
    write_flag(out, "susp", old.is_suspended(), new.is_suspended())
}

/// Writes why a change was refused. Two lines with [`write_state`] follow: `" state"` and `"wanted"`.
///
/// [`StateCode::InTransientState`] is not worth a line: the change is tried again.
///
/// # Errors
///
/// As `out`.
pub fn write_refusal(out: &mut impl Write, code: StateCode) -> Result {
    write!(out, "State change failed: {code}")
}

/// Writes a whole state on a line, after `name`.
///
/// # Errors
///
/// As `out`.
pub fn write_state(out: &mut impl Write, name: &str, state: &State) -> Result {
    let letter = |set: bool, letter: char| if set { letter } else { '-' };
    write!(
        out,
        " {name} = {{ cs:{} ro:{}/{} ds:{}/{} {}{}{}{}{}{} }}",
        state.connection,
        state.role,
        state.peer,
        state.disk,
        state.peer_disk,
        if state.is_suspended() { 's' } else { 'r' },
        letter(state.after_dependency_paused, 'a'),
        letter(state.peer_paused, 'p'),
        letter(state.user_paused, 'u'),
        letter(state.suspended_fencing, 'F'),
        letter(state.suspended_no_data, 'N'),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{ConnectionState, DiskState, Role};
    use std::string::String;

    fn line(write: impl FnOnce(&mut String) -> Result) -> String {
        let mut out = String::new();
        write(&mut out).unwrap();
        out
    }

    #[test]
    fn lines_are_those_of_the_c_driver() {
        let old = State {
            connection: ConnectionState::WFReportParams,
            ..State::default()
        };
        let new = State {
            peer: Role::Secondary,
            connection: ConnectionState::Connected,
            disk: DiskState::UpToDate,
            peer_disk: DiskState::UpToDate,
            peer_paused: true,
            suspended_no_data: true,
            ..old
        };
        assert_eq!(
            line(|out| write_volume_change(out, &old, &new, Fields::ALL)),
            "peer( Unknown -> Secondary ) conn( WFReportParams -> Connected ) disk( Diskless -> UpToDate ) \
             pdsk( DUnknown -> UpToDate ) peer_isp( 0 -> 1 ) "
        );
        assert_eq!(
            line(|out| write_connection_change(out, &old, &new, Fields::NONE)),
            "susp( 0 -> 1 ) "
        );
        assert_eq!(
            line(|out| write_state(out, "wanted", &new)),
            " wanted = { cs:Connected ro:Secondary/Secondary ds:UpToDate/UpToDate s-p--N }"
        );
        assert_eq!(
            line(|out| write_refusal(out, StateCode::TwoPrimaries)),
            "State change failed: Multiple primaries not allowed by config"
        );
    }

    #[test]
    fn common_fields_are_shown_once() {
        let first = State::default();
        let second = State {
            disk: DiskState::UpToDate,
            ..first
        };
        let common = Fields::common([first, second]);
        assert_eq!(
            common,
            Fields {
                disk: false,
                ..Fields::ALL
            }
        );
        let (old, new) = (
            second,
            State {
                role: Role::Primary,
                disk: DiskState::Failed,
                ..second
            },
        );
        assert_eq!(
            line(|out| write_connection_change(out, &old, &new, common)),
            "role( Secondary -> Primary ) "
        );
        assert_eq!(
            line(|out| write_volume_change(out, &old, &new, common.others())),
            "disk( UpToDate -> Failed ) "
        );
        assert_eq!(Fields::common([]), Fields::ALL);
    }
}

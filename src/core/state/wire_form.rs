// SPDX-License-Identifier: GPL-2.0-only

//! A state, and a wished change of it, as the 32-bit numbers of the wire and of netlink (`union drbd_state`).

use super::{Change, ConnectionState, DiskState, Role, State};

/// Where a field lies in the number, counted from the least significant bit.
#[derive(Clone, Copy)]
struct Field {
    shift: u32,
    width: u32,
}

const ROLE: Field = Field { shift: 0, width: 2 };
const PEER: Field = Field { shift: 2, width: 2 };
const CONNECTION: Field = Field { shift: 4, width: 5 };
const DISK: Field = Field { shift: 9, width: 4 };
const PEER_DISK: Field = Field {
    shift: 13,
    width: 4,
};
const SUSPENDED: Field = Field {
    shift: 17,
    width: 1,
};
const AFTER_DEPENDENCY_PAUSED: Field = Field {
    shift: 18,
    width: 1,
};
const PEER_PAUSED: Field = Field {
    shift: 19,
    width: 1,
};
const USER_PAUSED: Field = Field {
    shift: 20,
    width: 1,
};
const SUSPENDED_NO_DATA: Field = Field {
    shift: 21,
    width: 1,
};
const SUSPENDED_FENCING: Field = Field {
    shift: 22,
    width: 1,
};

impl Field {
    const fn largest(self) -> u32 {
        match self.width {
            1 => 0x1,
            2 => 0x3,
            4 => 0xf,
            _ => 0x1f,
        }
    }

    const fn mask(self) -> u32 {
        self.largest().wrapping_shl(self.shift)
    }

    fn put(self, number: u8) -> u32 {
        (u32::from(number) & self.largest()).wrapping_shl(self.shift)
    }

    fn get(self, word: u32) -> u8 {
        let [low, ..] = (word.wrapping_shr(self.shift) & self.largest()).to_le_bytes();
        low
    }

    fn is_set(self, word: u32) -> bool {
        self.get(word) != 0
    }
}

/// A word that is no state, or no change of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireStateError {
    /// A field of this word holds a number that stands for nothing.
    UnknownNumber(u32),
    /// The mask holds parts of a field only, or the value holds bits outside of the mask.
    BadMask {
        /// The mask as it came.
        mask: u32,
        /// The value as it came.
        value: u32,
    },
}

impl State {
    /// The number that stands for this state in `P_STATE`, and in netlink broadcasts.
    pub fn to_wire(self) -> u32 {
        ROLE.put(self.role.number())
            | PEER.put(self.peer.number())
            | CONNECTION.put(self.connection.number())
            | DISK.put(self.disk.number())
            | PEER_DISK.put(self.peer_disk.number())
            | SUSPENDED.put(u8::from(self.suspended))
            | AFTER_DEPENDENCY_PAUSED.put(u8::from(self.after_dependency_paused))
            | PEER_PAUSED.put(u8::from(self.peer_paused))
            | USER_PAUSED.put(u8::from(self.user_paused))
            | SUSPENDED_NO_DATA.put(u8::from(self.suspended_no_data))
            | SUSPENDED_FENCING.put(u8::from(self.suspended_fencing))
    }

    /// Reads a state. The nine highest bits mean nothing and are not looked at.
    ///
    /// # Errors
    ///
    /// [`WireStateError::UnknownNumber`] when a field holds a number that stands for nothing.
    pub fn from_wire(word: u32) -> Result<Self, WireStateError> {
        let unknown = |_| WireStateError::UnknownNumber(word);
        Ok(Self {
            role: Role::try_from(ROLE.get(word)).map_err(unknown)?,
            peer: Role::try_from(PEER.get(word)).map_err(unknown)?,
            connection: ConnectionState::try_from(CONNECTION.get(word)).map_err(unknown)?,
            disk: DiskState::try_from(DISK.get(word)).map_err(unknown)?,
            peer_disk: DiskState::try_from(PEER_DISK.get(word)).map_err(unknown)?,
            suspended: SUSPENDED.is_set(word),
            suspended_no_data: SUSPENDED_NO_DATA.is_set(word),
            suspended_fencing: SUSPENDED_FENCING.is_set(word),
            after_dependency_paused: AFTER_DEPENDENCY_PAUSED.is_set(word),
            peer_paused: PEER_PAUSED.is_set(word),
            user_paused: USER_PAUSED.is_set(word),
        })
    }
}

/// Collects a mask and a value, field by field.
#[derive(Default)]
struct MaskAndValue {
    mask: u32,
    value: u32,
}

impl MaskAndValue {
    fn put(&mut self, field: Field, number: Option<u8>) {
        if let Some(number) = number {
            self.mask |= field.mask();
            self.value |= field.put(number);
        }
    }

    /// The number in `field` where the mask holds the whole field, nothing where the mask holds none of it.
    fn get(&self, field: Field) -> Result<Option<u8>, WireStateError> {
        match self.mask & field.mask() {
            0 => Ok(None),
            whole if whole == field.mask() => Ok(Some(field.get(self.value))),
            _ => Err(self.bad_mask()),
        }
    }

    fn get_as<T: TryFrom<u8>>(&self, field: Field) -> Result<Option<T>, WireStateError> {
        self.get(field)?
            .map(T::try_from)
            .transpose()
            .map_err(|_| WireStateError::UnknownNumber(self.value))
    }

    fn get_flag(&self, field: Field) -> Result<Option<bool>, WireStateError> {
        Ok(self.get(field)?.map(|number| number != 0))
    }

    const fn bad_mask(&self) -> WireStateError {
        WireStateError::BadMask {
            mask: self.mask,
            value: self.value,
        }
    }
}

impl Change {
    /// The pair of numbers, mask and value, that stands for this change in `P_STATE_CHG_REQ` and
    /// `P_CONN_ST_CHG_REQ`.
    pub fn to_wire(self) -> (u32, u32) {
        let mut pair = MaskAndValue::default();
        pair.put(ROLE, self.role.map(Role::number));
        pair.put(PEER, self.peer.map(Role::number));
        pair.put(CONNECTION, self.connection.map(ConnectionState::number));
        pair.put(DISK, self.disk.map(DiskState::number));
        pair.put(PEER_DISK, self.peer_disk.map(DiskState::number));
        pair.put(SUSPENDED, self.suspended.map(u8::from));
        pair.put(
            AFTER_DEPENDENCY_PAUSED,
            self.after_dependency_paused.map(u8::from),
        );
        pair.put(PEER_PAUSED, self.peer_paused.map(u8::from));
        pair.put(USER_PAUSED, self.user_paused.map(u8::from));
        pair.put(SUSPENDED_NO_DATA, self.suspended_no_data.map(u8::from));
        pair.put(SUSPENDED_FENCING, self.suspended_fencing.map(u8::from));
        (pair.mask, pair.value)
    }

    /// Reads a change as it stands on the wire, in the view of the node that sent it
    /// (see [`Change::mirrored`]).
    ///
    /// # Errors
    ///
    /// A mask that cuts a field, a value outside of the mask, or a number that stands for nothing.
    pub fn from_wire(mask: u32, value: u32) -> Result<Self, WireStateError> {
        let pair = MaskAndValue { mask, value };
        if value & !mask != 0 {
            return Err(pair.bad_mask());
        }
        Ok(Self {
            role: pair.get_as(ROLE)?,
            peer: pair.get_as(PEER)?,
            connection: pair.get_as(CONNECTION)?,
            disk: pair.get_as(DISK)?,
            peer_disk: pair.get_as(PEER_DISK)?,
            suspended: pair.get_flag(SUSPENDED)?,
            suspended_no_data: pair.get_flag(SUSPENDED_NO_DATA)?,
            suspended_fencing: pair.get_flag(SUSPENDED_FENCING)?,
            after_dependency_paused: pair.get_flag(AFTER_DEPENDENCY_PAUSED)?,
            peer_paused: pair.get_flag(PEER_PAUSED)?,
            user_paused: pair.get_flag(USER_PAUSED)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::every_state;
    use proptest::prelude::*;

    #[test]
    fn known_words() {
        // What a fresh C node sends: cs:WFReportParams ro:Secondary/Unknown ds:Consistent/DUnknown.
        let state = State {
            connection: ConnectionState::WFReportParams,
            disk: DiskState::Consistent,
            ..State::default()
        };
        assert_eq!(state.to_wire(), 2 | 9 << 4 | 7 << 9 | 6 << 13);
        assert_eq!(Change::none().role(Role::Primary).to_wire(), (3, 1));
        let disconnect = Change::none()
            .connection(ConnectionState::Disconnecting)
            .disk(DiskState::Outdated);
        assert_eq!(
            disconnect.to_wire(),
            (0x1f << 4 | 0xf << 9, 1 << 4 | 5 << 9)
        );
    }

    #[test]
    fn every_state_survives_the_wire() {
        for state in every_state() {
            assert_eq!(State::from_wire(state.to_wire()), Ok(state));
        }
    }

    #[test]
    fn numbers_without_meaning_are_refused() {
        for word in [3, 3 << 2, 24 << 4 | 2, 9 << 9 | 2, 15 << 13 | 2] {
            assert_eq!(
                State::from_wire(word),
                Err(WireStateError::UnknownNumber(word))
            );
        }
        assert!(Change::from_wire(1, 1).is_err(), "half a field");
        assert!(
            Change::from_wire(3, 4).is_err(),
            "value outside of the mask"
        );
        assert!(Change::from_wire(3, 3).is_err(), "no such role");
        assert_eq!(Change::from_wire(0xff80_0000, 0), Ok(Change::none()));
    }

    proptest! {
        #[test]
        fn any_word_is_read_or_refused(word: u32) {
            if let Ok(state) = State::from_wire(word) {
                prop_assert_eq!(state.to_wire(), word & 0x007f_ffff);
            }
        }

        #[test]
        fn any_pair_is_read_or_refused(mask: u32, value: u32) {
            let value = value & mask;
            if let Ok(change) = Change::from_wire(mask, value) {
                prop_assert_eq!(change.to_wire(), (mask & 0x007f_ffff, value & 0x007f_ffff));
            }
        }

        #[test]
        fn what_is_written_is_read(mask: [bool; 11], word: u32) {
            let Ok(state) = State::from_wire(word) else { return Ok(()) };
            let change = Change {
                role: mask[0].then_some(state.role),
                peer: mask[1].then_some(state.peer),
                connection: mask[2].then_some(state.connection),
                disk: mask[3].then_some(state.disk),
                peer_disk: mask[4].then_some(state.peer_disk),
                suspended: mask[5].then_some(state.suspended),
                suspended_no_data: mask[6].then_some(state.suspended_no_data),
                suspended_fencing: mask[7].then_some(state.suspended_fencing),
                after_dependency_paused: mask[8].then_some(state.after_dependency_paused),
                peer_paused: mask[9].then_some(state.peer_paused),
                user_paused: mask[10].then_some(state.user_paused),
            };
            let (mask, value) = change.to_wire();
            prop_assert_eq!(Change::from_wire(mask, value), Ok(change));
        }
    }
}

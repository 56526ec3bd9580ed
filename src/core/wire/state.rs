// SPDX-License-Identifier: GPL-2.0-only

//! States, and requests to change them.
//!
//! The state travels as one packed word (`union drbd_state` in `uapi/linux/drbd.h`); here it stays a number.
//!
//! C header: `struct p_state`, `p_req_state`, `p_req_state_reply` in `drbd_protocol.h`.

use super::WireValue;
use crate::bytes::{
    Reader,
    Truncated,
    Writer, //
};

/// `P_STATE`: the state of a volume as the sender sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The packed state.
    pub state: u32,
}

impl WireValue for State {
    const SIZE: usize = 4;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self {
            state: reader.u32()?,
        })
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u32(self.state)
    }
}

/// `P_STATE_CHG_REQ` and `P_CONN_ST_CHG_REQ`: a change that the sender wants, from its point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestState {
    /// The bits of the packed state that are to change.
    pub mask: u32,
    /// What they are to be.
    pub val: u32,
}

impl WireValue for RequestState {
    const SIZE: usize = 8;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self {
            mask: reader.u32()?,
            val: reader.u32()?,
        })
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.u32(self.mask)?;
        writer.u32(self.val)
    }
}

/// `P_STATE_CHG_REPLY` and `P_CONN_ST_CHG_REPLY`: whether the peer agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestStateReply {
    /// `enum drbd_state_rv`: 1 and above is yes, the rest is no and says why.
    pub retcode: i32,
}

impl WireValue for RequestStateReply {
    const SIZE: usize = 4;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self {
            retcode: i32::from_be_bytes(reader.array()?),
        })
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Truncated> {
        writer.bytes(&self.retcode.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_round_trip;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_refusal_is_negative() {
        let refusal = RequestStateReply { retcode: -19 };
        assert_eq!(
            RequestStateReply::decode(&[0xff, 0xff, 0xff, 0xed]),
            Ok(refusal)
        );
    }

    proptest! {
        #[test]
        fn round_trips(mask: u32, val: u32, retcode: i32) {
            check_round_trip(&State { state: mask });
            check_round_trip(&RequestState { mask, val });
            check_round_trip(&RequestStateReply { retcode });
        }
    }
}

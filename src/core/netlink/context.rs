// SPDX-License-Identifier: GPL-2.0-only

//! Which object a request is about, and whether it exists.

use core::fmt;

use super::attribute::{
    Attribute,
    Malformed, //
};
use super::command::Needs;
use crate::config::option::OptionError;
use crate::return_code::ReturnCode;

/// Longest name of a resource, in bytes.
pub const RESOURCE_NAME_MAX: usize = 128;
/// Longest address of an endpoint, in bytes (`struct sockaddr_storage`).
pub const ADDRESS_MAX: usize = 128;

/// Numbers of the attributes in the context (`DRBD_A_DRBD_CFG_CONTEXT_*`).
pub(super) mod number {
    pub(crate) const VOLUME: u16 = 1;
    pub(crate) const RESOURCE_NAME: u16 = 2;
    pub(crate) const MY_ADDRESS: u16 = 3;
    pub(crate) const PEER_ADDRESS: u16 = 4;
}

/// Why a request was refused, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The return code says it all.
    None,
    /// These words.
    Words(&'static str),
    /// An option.
    Option(OptionError),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::None => Ok(()),
            Reason::Words(words) => f.write_str(words),
            Reason::Option(error) => error.fmt(f),
        }
    }
}

/// A request that cannot be done: the code for the reply, and text for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The return code.
    pub code: ReturnCode,
    /// What was wrong.
    pub reason: Reason,
}

impl Refusal {
    /// A refusal with words.
    pub const fn new(code: ReturnCode, words: &'static str) -> Self {
        Self {
            code,
            reason: Reason::Words(words),
        }
    }
}

impl From<ReturnCode> for Refusal {
    fn from(code: ReturnCode) -> Self {
        Self {
            code,
            reason: Reason::None,
        }
    }
}

impl From<OptionError> for Refusal {
    fn from(error: OptionError) -> Self {
        Self {
            code: error.code(),
            reason: Reason::Option(error),
        }
    }
}

/// What a request says about its object (`DRBD_NLA_CFG_CONTEXT`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context<'a> {
    /// The number of the volume in its resource.
    pub volume: Option<u32>,
    /// The name of the resource.
    pub resource_name: Option<&'a [u8]>,
    /// The address of this end of the connection: a `struct sockaddr` as it came.
    pub my_address: Option<&'a [u8]>,
    /// The address of the peer.
    pub peer_address: Option<&'a [u8]>,
}

impl<'a> Context<'a> {
    /// Reads the context group.
    pub fn parse(group: &Attribute<'a>) -> Result<Self, Malformed> {
        let mut context = Self::default();
        for attribute in group.nested()? {
            let attribute = attribute?;
            if attribute.is_nested() {
                return Err(Malformed::Invalid);
            }
            match attribute.number() {
                number::VOLUME => context.volume = Some(attribute.u32()?),
                number::RESOURCE_NAME => {
                    context.resource_name = Some(attribute.text(RESOURCE_NAME_MAX)?);
                }
                number::MY_ADDRESS => context.my_address = Some(attribute.binary(ADDRESS_MAX)?),
                number::PEER_ADDRESS => {
                    context.peer_address = Some(attribute.binary(ADDRESS_MAX)?);
                }
                _ => return Err(Malformed::Invalid),
            }
        }
        Ok(context)
    }

    /// Both addresses, which a new connection needs.
    pub fn endpoints(&self) -> Result<(&'a [u8], &'a [u8]), Refusal> {
        self.my_address.zip(self.peer_address).ok_or_else(|| {
            Refusal::new(ReturnCode::InvalidRequest, "connection endpoint(s) missing")
        })
    }

    /// The name for a new resource: there, and without a slash.
    pub fn new_resource_name(&self) -> Result<&'a [u8], Refusal> {
        let name = self.resource_name.unwrap_or_default();
        if name.is_empty() {
            return Err(Refusal::new(
                ReturnCode::MandatoryTag,
                "resource name missing",
            ));
        }
        if name.contains(&b'/') {
            return Err(Refusal::new(
                ReturnCode::InvalidRequest,
                "invalid resource name",
            ));
        }
        Ok(name)
    }
}

/// What the shell found when it looked up what a request names. `R` identifies a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<R> {
    /// The resource and the volume of the device with the minor of the request.
    pub device: Option<(R, u32)>,
    /// The resource with the name in the context.
    pub resource: Option<R>,
    /// Whether there is a connection between the addresses in the context.
    pub connection: bool,
}

/// Whether the objects that a command needs exist, and fit each other. To be asked before the request is looked at
/// further, so that the first problem is the one that is told.
pub fn check<R: PartialEq>(
    needs: Needs,
    context: &Context<'_>,
    found: &Found<R>,
) -> Result<(), Refusal> {
    let invalid = |text| Err(Refusal::new(ReturnCode::InvalidRequest, text));
    if needs == Needs::Minor && found.device.is_none() {
        return Err(Refusal::new(ReturnCode::MinorInvalid, "unknown minor"));
    }
    if needs == Needs::Resource && found.resource.is_none() {
        let code = match context.resource_name {
            Some(_) => ReturnCode::ResNotKnown,
            None => ReturnCode::InvalidRequest,
        };
        return Err(Refusal::new(code, "unknown resource"));
    }
    if needs == Needs::Connection {
        if found.resource.is_some() {
            return invalid("no resource name expected");
        }
        if found.device.is_some() {
            return invalid("no minor number expected");
        }
        if !found.connection {
            return invalid("unknown connection");
        }
    }
    if let Some((owner, volume)) = &found.device {
        if found.resource.as_ref().is_some_and(|named| named != owner) {
            return invalid("minor exists in different resource");
        }
        if context.volume.is_some_and(|named| named != *volume) {
            return invalid("minor exists as different volume");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const NOTHING: Found<u32> = Found {
        device: None,
        resource: None,
        connection: false,
    };

    fn refusal(
        needs: Needs,
        context: &Context<'_>,
        found: &Found<u32>,
    ) -> (i32, std::string::String) {
        let refusal = check(needs, context, found).unwrap_err();
        (refusal.code.number(), refusal.reason.to_string())
    }

    #[test]
    fn the_first_problem_is_told() {
        let named = Context {
            resource_name: Some(b"r0"),
            volume: Some(0),
            ..Context::default()
        };
        let empty = Context::default();
        assert_eq!(
            refusal(Needs::Minor, &named, &NOTHING),
            (127, "unknown minor".to_string())
        );
        assert_eq!(
            refusal(Needs::Resource, &named, &NOTHING),
            (158, "unknown resource".to_string())
        );
        assert_eq!(
            refusal(Needs::Resource, &empty, &NOTHING),
            (162, "unknown resource".to_string())
        );
        assert_eq!(
            refusal(Needs::Connection, &empty, &NOTHING),
            (162, "unknown connection".to_string())
        );
        let device = Found {
            device: Some((1, 5)),
            resource: Some(1),
            connection: true,
        };
        assert_eq!(
            refusal(Needs::Connection, &named, &device),
            (162, "no resource name expected".to_string())
        );
        assert_eq!(
            refusal(Needs::Minor, &named, &device),
            (162, "minor exists as different volume".to_string())
        );
        let other = Found {
            resource: Some(2),
            ..device
        };
        assert_eq!(
            refusal(Needs::Nothing, &named, &other),
            (162, "minor exists in different resource".to_string())
        );
        let connection = Found {
            connection: true,
            ..NOTHING
        };
        assert_eq!(check(Needs::Connection, &empty, &connection), Ok(()));
        assert_eq!(check(Needs::Minor, &empty, &device), Ok(()));
    }

    #[test]
    fn names_are_checked() {
        let name = |name| {
            Context {
                resource_name: name,
                ..Context::default()
            }
            .new_resource_name()
            .map_err(|refusal| refusal.code)
        };
        assert_eq!(name(Some(b"r0")), Ok(&b"r0"[..]));
        assert_eq!(name(Some(b"a/b")), Err(ReturnCode::InvalidRequest));
        assert_eq!(name(Some(b"")), Err(ReturnCode::MandatoryTag));
        assert_eq!(name(None), Err(ReturnCode::MandatoryTag));
    }
}

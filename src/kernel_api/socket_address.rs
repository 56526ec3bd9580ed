// SPDX-License-Identifier: GPL-2.0-only

//! Addresses of connection ends, as drbd-utils hand them in: the bytes of a `sockaddr`.
//!
//! Two addresses are the same where their bytes are: that is how 8.4 finds a connection by its ends.
//!
//! C headers: [`include/uapi/linux/in.h`](srctree/include/uapi/linux/in.h),
//! [`include/uapi/linux/in6.h`](srctree/include/uapi/linux/in6.h)

use core::{
    fmt,
    net::{
        Ipv4Addr,
        Ipv6Addr, //
    }, //
};

use kernel::prelude::*;

/// The most bytes that an address attribute has: `sizeof(struct sockaddr_storage)`.
pub(crate) const MAX_LENGTH: usize = 128;

/// `sizeof(struct sockaddr_in)`
const IPV4_LENGTH: usize = 16;
/// `sizeof(struct sockaddr_in6)`
const IPV6_LENGTH: usize = 28;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// The kinds of address that a connection can have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressFamily {
    /// `AF_INET`
    Ipv4,
    /// `AF_INET6`
    Ipv6,
}

impl AddressFamily {
    /// The word for it in configuration files and in `DRBD_PEER_AF`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            AddressFamily::Ipv4 => "ipv4",
            AddressFamily::Ipv6 => "ipv6",
        }
    }

    /// The number in `sa_family`, and for `socket(2)`.
    pub(crate) fn number(self) -> u16 {
        match self {
            AddressFamily::Ipv4 => AF_INET,
            AddressFamily::Ipv6 => AF_INET6,
        }
    }
}

/// An Internet address with its port.
///
/// # Invariants
///
/// `bytes` begins with a `sockaddr_in` or `sockaddr_in6`, according to `family`; `length` is between the size of that
/// structure and [`MAX_LENGTH`]; what lies behind `length` is zero.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(8))]
pub(crate) struct SocketAddress {
    bytes: [u8; MAX_LENGTH],
    length: u8,
    family: AddressFamily,
}

impl SocketAddress {
    /// Reads the bytes of an address attribute. `EAFNOSUPPORT` for another family than IPv4 and IPv6 (SDP and SuperSockets
    /// are not supported), `EINVAL` where the length does not fit the family.
    pub(crate) fn from_bytes(given: &[u8]) -> Result<Self> {
        let (family, _) = given.split_first_chunk().ok_or(EINVAL)?;
        let (family, needed) = match u16::from_ne_bytes(*family) {
            AF_INET => (AddressFamily::Ipv4, IPV4_LENGTH),
            AF_INET6 => (AddressFamily::Ipv6, IPV6_LENGTH),
            _ => return Err(EAFNOSUPPORT),
        };
        if given.len() < needed {
            return Err(EINVAL);
        }
        let mut bytes = [0; MAX_LENGTH];
        bytes
            .get_mut(..given.len())
            .ok_or(EINVAL)?
            .copy_from_slice(given);
        // INVARIANT: family and length were checked above.
        Ok(SocketAddress {
            bytes,
            length: u8::try_from(given.len())?,
            family,
        })
    }

    /// The bytes as they were given: what goes back into netlink messages.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    /// The kind of address.
    pub(crate) fn family(&self) -> AddressFamily {
        self.family
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        u16::from_be_bytes(self.at(2))
    }

    /// The same address with another port; 0 lets the kernel choose one.
    #[must_use]
    pub(crate) fn with_port(&self, port: u16) -> Self {
        let mut other = *self;
        for (to, from) in other.bytes.iter_mut().skip(2).zip(port.to_be_bytes()) {
            *to = from;
        }
        other
    }

    /// What sockets are given: a pointer to the structure and its size, without what may have been given behind it.
    pub(super) fn as_raw(&self) -> (*const u8, c_int) {
        let length = match self.family {
            AddressFamily::Ipv4 => 16,
            AddressFamily::Ipv6 => 28,
        };
        (self.bytes.as_ptr(), length)
    }

    /// Some bytes at an offset. All offsets here are constants within the structures.
    fn at<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.bytes
            .get(offset..)
            .and_then(|bytes| bytes.first_chunk())
            .copied()
            .unwrap_or([0; N])
    }

    /// The address without port, in the form that handlers get as `DRBD_PEER_ADDRESS`: IPv6 with all its digits.
    pub(crate) fn host(&self) -> Host<'_> {
        Host(self)
    }
}

/// Prints an address without its port. See [`SocketAddress::host`].
pub(crate) struct Host<'a>(&'a SocketAddress);

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.family {
            AddressFamily::Ipv4 => fmt::Display::fmt(&Ipv4Addr::from(self.0.at::<4>(4)), f),
            AddressFamily::Ipv6 => {
                let groups = Ipv6Addr::from(self.0.at::<16>(8)).segments();
                for (index, group) in groups.iter().enumerate() {
                    let colon = if index == 0 { "" } else { ":" };
                    write!(f, "{colon}{group:04x}")?;
                }
                Ok(())
            }
        }
    }
}

/// As in configuration files: `ipv4 10.0.0.1:7788`, `ipv6 [2001:db8::1]:7788`.
impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, port) = (self.family.name(), self.port());
        match self.family {
            AddressFamily::Ipv4 => write!(f, "{family} {}:{port}", Ipv4Addr::from(self.at::<4>(4))),
            AddressFamily::Ipv6 => {
                write!(f, "{family} [{}]:{port}", Ipv6Addr::from(self.at::<16>(8)))
            }
        }
    }
}

// The print macros of the kernel have a `Display` of their own.
impl kernel::fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl kernel::fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// SPDX-License-Identifier: GPL-2.0-only

//! One table for an enumeration that has numbers and names known outside: on the wire, in netlink, in logs.

/// Defines an enumeration with its numbers and names side by side, and the conversions between them.
macro_rules! numbered {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident {
            $( $(#[$variant_attribute:meta])* $variant:ident = $number:literal $text:literal, )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[$variant_attribute])* $variant = $number, )+
        }

        impl $name {
            /// Every value, by number.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )+];

            /// The number that stands for this value on the wire and in netlink.
            pub const fn number(self) -> u8 {
                match self {
                    $( Self::$variant => $number, )+
                }
            }

            /// The word that logs, `/proc/drbd` and the tools show.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $text, )+
                }
            }
        }

        impl TryFrom<u8> for $name {
            type Error = $crate::state::UnknownNumber;

            fn try_from(number: u8) -> Result<Self, Self::Error> {
                match number {
                    $( $number => Ok(Self::$variant), )+
                    _ => Err($crate::state::UnknownNumber(number)),
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use numbered;

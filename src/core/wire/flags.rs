// SPDX-License-Identifier: GPL-2.0-only

//! Sets of flag bits as they travel: bits that nobody has named survive decoding and encoding.

/// Declares a newtype over an integer whose bits have names.
macro_rules! bit_flags {
    (
        $(#[$attribute:meta])*
        $name:ident: $integer:ty {
            $( $(#[$flag_attribute:meta])* $flag:ident = $value:expr; )*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name($integer);

        impl $name {
            $( $(#[$flag_attribute])* pub const $flag: Self = Self($value); )*

            /// No flag.
            pub const NONE: Self = Self(0);

            /// The set with these bits, named or not.
            pub const fn from_bits(bits: $integer) -> Self {
                Self(bits)
            }

            /// The bits as they travel.
            pub const fn bits(self) -> $integer {
                self.0
            }

            /// Whether no bit is set.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Whether every bit of `other` is set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether at least one bit of `other` is set.
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// The bits that are in either set.
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The bits that are in both sets.
            #[must_use]
            pub const fn intersection(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            /// The bits that are in this set and not in `other`.
            #[must_use]
            pub const fn difference(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// This set, with `other` added where `condition` holds.
            #[must_use]
            pub const fn with_if(self, condition: bool, other: Self) -> Self {
                if condition {
                    self.union(other)
                } else {
                    self
                }
            }
        }

        impl core::ops::BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                self.union(other)
            }
        }
    };
}

pub(super) use bit_flags;

#[cfg(test)]
mod tests {
    bit_flags! {
        /// Flags to test with.
        Colours: u16 {
            /// Red.
            RED = 1;
            /// Blue.
            BLUE = 4;
        }
    }

    #[test]
    fn set_operations() {
        let both = Colours::RED | Colours::BLUE;
        assert_eq!(both.bits(), 5);
        assert!(both.contains(Colours::BLUE));
        assert!(!Colours::RED.contains(both));
        assert!(Colours::RED.intersects(both));
        assert!(!Colours::RED.intersects(Colours::BLUE));
        assert_eq!(both.difference(Colours::RED), Colours::BLUE);
        assert_eq!(both.intersection(Colours::RED), Colours::RED);
        assert!(Colours::NONE.is_empty() && Colours::NONE.with_if(false, both).is_empty());
        assert_eq!(Colours::RED.with_if(true, Colours::BLUE), both);
        assert_eq!(Colours::from_bits(0x8001).bits(), 0x8001);
    }
}

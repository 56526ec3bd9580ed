// SPDX-License-Identifier: GPL-2.0-only

//! What of a discard a disk can discard, and what has to be written with zeros in its place.
//!
//! A disk gives back whole units; what a discard leaves of a unit at either end stays as it was. Both nodes must read
//! the same afterwards, and their disks may have different units: so the ends are zeroed.

/// How a disk discards. In sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    /// The size of one; 0 and 1 are the same.
    pub granularity: u64,
    /// Where one begins, any of them.
    pub boundary: u64,
}

/// The three parts of a discard, each in sectors; parts may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// From the first sector on: zeros are written.
    pub head: u64,
    /// Then: whole units, discarded.
    pub middle: u64,
    /// To the end: zeros are written.
    pub tail: u64,
}

/// Divides a discard of `sectors` from `sector` on.
pub fn divide(sector: u64, sectors: u64, units: Units) -> Parts {
    let granularity = units.granularity.max(1);
    let rest = |value: u64| value.checked_rem(granularity).unwrap_or(0);
    // How far into its unit a sector lies.
    let into = |at: u64| {
        rest(
            rest(at)
                .saturating_add(granularity)
                .saturating_sub(rest(units.boundary)),
        )
    };
    let head = match into(sector) {
        0 => 0,
        beyond => granularity.saturating_sub(beyond),
    };
    let tail = into(sector.saturating_add(sectors));
    match sectors
        .checked_sub(head)
        .and_then(|left| left.checked_sub(tail))
    {
        Some(middle) if middle > 0 => Parts { head, middle, tail },
        // Not one whole unit.
        _ => Parts {
            head: sectors,
            middle: 0,
            tail: 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_units_are_discarded_and_the_ends_zeroed() {
        let units = Units {
            granularity: 8,
            boundary: 0,
        };
        let parts = |head, middle, tail| Parts { head, middle, tail };
        assert_eq!(divide(16, 32, units), parts(0, 32, 0));
        assert_eq!(divide(15, 34, units), parts(1, 32, 1));
        assert_eq!(divide(15, 8, units), parts(8, 0, 0));
        assert_eq!(divide(17, 6, units), parts(6, 0, 0));
        assert_eq!(divide(17, 20, units), parts(7, 8, 5));
        let units = Units {
            granularity: 8,
            boundary: 3,
        };
        assert_eq!(divide(16, 32, units), parts(3, 24, 5));
        let units = Units {
            granularity: 0,
            boundary: 5,
        };
        assert_eq!(divide(7, 3, units), parts(0, 3, 0));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_only_whole_units_are_discarded(
            sector in 0..1_u64 << 50, sectors in 1..1_u64 << 23, granularity in 0..5000_u64, boundary in 0..1_u64 << 40,
        ) {
            let parts = divide(sector, sectors, Units { granularity, boundary });
            prop_assert_eq!(parts.head + parts.middle + parts.tail, sectors);
            let unit = granularity.max(1);
            if parts.middle > 0 {
                prop_assert_eq!(parts.middle % unit, 0);
                prop_assert_eq!((sector + parts.head + unit - boundary % unit) % unit, 0);
                prop_assert!(parts.head < unit && parts.tail < unit);
            } else {
                prop_assert!(sectors < 2 * unit);
            }
        }

        #[test]
        fn any_numbers(sector in any::<u64>(), sectors in any::<u64>(), granularity in any::<u64>(), boundary in any::<u64>()) {
            let _ = divide(sector, sectors, Units { granularity, boundary });
        }
    }
}

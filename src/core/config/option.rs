// SPDX-License-Identifier: GPL-2.0-only

//! The table that a group of options is made of, and what follows from it.

use core::fmt;

use super::text::{
    Secret,
    Text, //
};
use crate::netlink::attribute::{
    Attribute,
    AttributeWriter,
    Attributes,
    Malformed,
    NoSpace, //
};
use crate::return_code::ReturnCode;

/// How the value of an option travels in its attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// 8 bits.
    Number8,
    /// 32 bits.
    Number32,
    /// 64 bits.
    Number64,
    /// NUL-terminated text of at most this many bytes.
    Text(usize),
}

impl Form {
    /// Whether an attribute has this form: the check that netlink makes before the driver sees a message.
    pub fn check(self, attribute: &Attribute<'_>) -> Result<(), Malformed> {
        if attribute.is_nested() {
            return Err(Malformed::Invalid);
        }
        match self {
            Form::Number8 => attribute.u8().map(|_| ()),
            Form::Number32 => attribute.u32().map(|_| ()),
            Form::Number64 => attribute.u64().map(|_| ()),
            Form::Text(limit) => attribute.text(limit).map(|_| ()),
        }
    }
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nothing: text, a flag or a choice.
    None,
    /// Pieces.
    Count,
    /// Bytes.
    Bytes,
    /// KiB.
    Kibibytes,
    /// KiB for each second.
    KibibytesPerSecond,
    /// Sectors of 512 bytes.
    Sectors,
    /// Pages of 4 KiB.
    Pages,
    /// Tenths of a second.
    Deciseconds,
    /// Seconds.
    Seconds,
    /// A device minor; -1 is none.
    Minor,
}

/// Which numbers an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All that its type can hold.
    Any,
    /// From the first to the second; others are refused.
    Within(i64, i64),
    /// From the first to the second; others are moved to the nearer end, as the C driver does.
    Clamped(i64, i64),
}

impl Range {
    /// The number to take for `number`, or `None` to refuse it.
    pub fn admit(self, number: i64) -> Option<i64> {
        match self {
            Range::Any => Some(number),
            Range::Within(low, high) => (low <= number && number <= high).then_some(number),
            Range::Clamped(low, high) => Some(number.max(low).min(high)),
        }
    }
}

/// When an option may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At any time.
    AtRunTime,
    /// Only when the object is configured.
    AtStart,
    /// Always when the object is configured, and only then.
    AtStartRequired,
}

/// One row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionSpec {
    /// The number of its netlink attribute.
    pub attribute: u16,
    /// Its name in the configuration file.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// Which numbers it takes.
    pub range: Range,
    /// When it may be given.
    pub change: Change,
    /// How it travels.
    pub form: Form,
}

impl OptionSpec {
    /// A row for an option of type `T`.
    pub const fn new<T: OptionType>(
        attribute: u16,
        name: &'static str,
        unit: Unit,
        range: Range,
        change: Change,
    ) -> Self {
        Self {
            attribute,
            name,
            unit,
            range,
            change,
            form: T::FORM,
        }
    }

    /// Whether a configured object keeps its value for good.
    pub const fn is_invariant(&self) -> bool {
        !matches!(self.change, Change::AtRunTime)
    }
}

/// A value as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionValue<'a> {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(i64),
    /// The number of a choice and its word.
    Choice(u32, &'static str),
    /// Text.
    Text(&'a [u8]),
    /// Text that must not be shown.
    Hidden,
}

/// A type that an option can have.
pub trait OptionType: Sized {
    /// How it travels.
    const FORM: Form;

    /// The value in an attribute, unless `spec` refuses it.
    fn parse(attribute: &Attribute<'_>, spec: &OptionSpec) -> Option<Self>;

    /// Appends the value as attribute.
    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace>;

    /// The value for people.
    fn value(&self) -> OptionValue<'_>;
}

impl OptionType for bool {
    const FORM: Form = Form::Number8;

    fn parse(attribute: &Attribute<'_>, _: &OptionSpec) -> Option<Self> {
        attribute.u8().ok().map(|number| number != 0)
    }

    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.flag(number, *self)
    }

    fn value(&self) -> OptionValue<'_> {
        OptionValue::Flag(*self)
    }
}

impl OptionType for u32 {
    const FORM: Form = Form::Number32;

    fn parse(attribute: &Attribute<'_>, spec: &OptionSpec) -> Option<Self> {
        let number = i64::from(attribute.u32().ok()?);
        u32::try_from(spec.range.admit(number)?).ok()
    }

    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.u32(number, *self)
    }

    fn value(&self) -> OptionValue<'_> {
        OptionValue::Number(i64::from(*self))
    }
}

impl OptionType for i32 {
    const FORM: Form = Form::Number32;

    fn parse(attribute: &Attribute<'_>, spec: &OptionSpec) -> Option<Self> {
        let number = i64::from(attribute.i32().ok()?);
        i32::try_from(spec.range.admit(number)?).ok()
    }

    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.i32(number, *self)
    }

    fn value(&self) -> OptionValue<'_> {
        OptionValue::Number(i64::from(*self))
    }
}

impl OptionType for u64 {
    const FORM: Form = Form::Number64;

    fn parse(attribute: &Attribute<'_>, spec: &OptionSpec) -> Option<Self> {
        let number = attribute.u64().ok()?;
        match spec.range {
            Range::Any => Some(number),
            range => u64::try_from(range.admit(i64::try_from(number).ok()?)?).ok(),
        }
    }

    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.u64(number, *self)
    }

    fn value(&self) -> OptionValue<'_> {
        OptionValue::Number(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl<const N: usize> OptionType for Text<N> {
    // User space counts the terminator in the size of a field, netlink does not: one byte more passes there and is
    // refused here.
    const FORM: Form = Form::Text(N.saturating_add(1));

    fn parse(attribute: &Attribute<'_>, _: &OptionSpec) -> Option<Self> {
        Self::new(attribute.text(N).ok()?)
    }

    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.text(number, self.as_bytes())
    }

    fn value(&self) -> OptionValue<'_> {
        OptionValue::Text(self.as_bytes())
    }
}

impl OptionType for Secret {
    const FORM: Form = Form::Text(64);

    fn parse(attribute: &Attribute<'_>, _: &OptionSpec) -> Option<Self> {
        attribute.text(64).ok().map(Self::new)
    }

    fn put(&self, writer: &mut AttributeWriter<'_>, number: u16) -> Result<(), NoSpace> {
        writer.text(number, self.as_bytes())
    }

    fn value(&self) -> OptionValue<'_> {
        OptionValue::Hidden
    }
}

/// For what attributes are read into a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An object is configured: required options must be there.
    Start,
    /// A configured object is changed: invariant options must not be there.
    Change,
}

/// Why options were refused, and which one it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionError {
    /// A required option, or the whole group (no name), was not given.
    Missing(&'static str),
    /// The value is out of range or not one of the choices.
    Invalid(&'static OptionSpec),
    /// The option cannot be changed once it is in use.
    Invariant(&'static str),
}

impl OptionError {
    /// The return code for user space.
    pub const fn code(&self) -> ReturnCode {
        ReturnCode::MandatoryTag
    }
}

/// The text for user space: the words of 8.4, then the option.
impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionError::Missing("") => f.write_str("required attribute missing"),
            OptionError::Missing(name) => write!(f, "required attribute missing: {name}"),
            OptionError::Invariant(name) => write!(f, "cannot change invariant setting: {name}"),
            OptionError::Invalid(spec) => {
                write!(f, "invalid attribute value: {}", spec.name)?;
                match spec.range {
                    Range::Within(low, high) => write!(f, " must be in {low}..{high}"),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// A group of options, made by the `options!` table.
pub trait Configuration: Clone + Default {
    /// The number of the group among the attributes of a message.
    const GROUP: u16;
    /// The rows of the table, in the order in which the group is sent.
    const OPTIONS: &'static [OptionSpec];

    /// Sets the option in `attribute`, and names its row. Unknown attributes are left alone.
    fn set(
        &mut self,
        attribute: &Attribute<'_>,
    ) -> Result<Option<&'static OptionSpec>, &'static OptionSpec>;

    /// Sets every option that may change at run time to its default (`DRBD_GENL_F_SET_DEFAULTS`).
    fn set_defaults(&mut self);

    /// Appends each option as attribute.
    fn put(&self, writer: &mut AttributeWriter<'_>) -> Result<(), NoSpace>;

    /// Shows each row and value to `see`.
    fn visit(&self, see: &mut dyn FnMut(&'static OptionSpec, OptionValue<'_>));

    /// The row of an attribute.
    fn spec(number: u16) -> Option<&'static OptionSpec> {
        Self::OPTIONS.iter().find(|spec| spec.attribute == number)
    }

    /// Whether netlink would let `attributes` pass for this group: all known, all of the right form.
    fn validate(attributes: Attributes<'_>) -> Result<(), Malformed> {
        for attribute in attributes {
            let attribute = attribute?;
            Self::spec(attribute.number())
                .ok_or(Malformed::Invalid)?
                .form
                .check(&attribute)?;
        }
        Ok(())
    }

    /// Reads `attributes`, which have been validated, into this configuration. On error the configuration is part old,
    /// part new: work on a copy.
    fn apply(&mut self, attributes: Attributes<'_>, purpose: Purpose) -> Result<(), OptionError> {
        let mut seen = 0u64;
        for attribute in attributes.flatten() {
            let Some(spec) = self.set(&attribute).map_err(OptionError::Invalid)? else {
                continue;
            };
            if purpose == Purpose::Change && spec.is_invariant() {
                return Err(OptionError::Invariant(spec.name));
            }
            seen |= bit(spec.attribute);
        }
        if purpose == Purpose::Change {
            return Ok(());
        }
        let missing = Self::OPTIONS
            .iter()
            .find(|spec| spec.change == Change::AtStartRequired && seen & bit(spec.attribute) == 0);
        missing.map_or(Ok(()), |spec| Err(OptionError::Missing(spec.name)))
    }

    /// Appends the group as one nested attribute.
    fn encode(&self, writer: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
        writer.nest(Self::GROUP, |writer| self.put(writer))
    }
}

fn bit(number: u16) -> u64 {
    1u64.checked_shl(u32::from(number)).unwrap_or(0)
}

/// Makes a structure of options from a table. Each row: field, type, default, then attribute number, name, unit, range
/// and when it may change.
macro_rules! options {
    (
        $(#[$doc:meta])*
        pub struct $name:ident in $group:expr;
        $(
            $(#[$field_doc:meta])*
            $field:ident: $type:ty = $default:expr,
                $attribute:literal $word:literal $unit:ident $range:expr, $change:ident;
        )+
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::config::option::Configuration for $name {
            const GROUP: u16 = $group;
            const OPTIONS: &'static [$crate::config::option::OptionSpec] = &[
                $( $crate::config::option::OptionSpec::new::<$type>(
                    $attribute,
                    $word,
                    $crate::config::option::Unit::$unit,
                    $range,
                    $crate::config::option::Change::$change,
                ), )+
            ];

            fn set(
                &mut self,
                attribute: &$crate::netlink::attribute::Attribute<'_>,
            ) -> Result<
                Option<&'static $crate::config::option::OptionSpec>,
                &'static $crate::config::option::OptionSpec,
            > {
                let Some(spec) = Self::spec(attribute.number()) else {
                    return Ok(None);
                };
                match spec.attribute {
                    $( $attribute => {
                        self.$field =
                            $crate::config::option::OptionType::parse(attribute, spec).ok_or(spec)?;
                    } )+
                    _ => {}
                }
                Ok(Some(spec))
            }

            fn set_defaults(&mut self) {
                let default = Self::default();
                $(
                    if matches!(
                        $crate::config::option::Change::$change,
                        $crate::config::option::Change::AtRunTime
                    ) {
                        self.$field = default.$field;
                    }
                )+
            }

            fn put(
                &self,
                writer: &mut $crate::netlink::attribute::AttributeWriter<'_>,
            ) -> Result<(), $crate::netlink::attribute::NoSpace> {
                $( $crate::config::option::OptionType::put(&self.$field, writer, $attribute)?; )+
                Ok(())
            }

            fn visit(
                &self,
                see: &mut dyn FnMut(
                    &'static $crate::config::option::OptionSpec,
                    $crate::config::option::OptionValue<'_>,
                ),
            ) {
                $(
                    if let Some(spec) = Self::spec($attribute) {
                        see(spec, $crate::config::option::OptionType::value(&self.$field));
                    }
                )+
            }
        }
    };
}
pub(crate) use options;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        DetachParms,
        DisconnectParms,
        DiskConf,
        NetConf,
        NewCurrentUuidParms,
        ResizeParms,
        ResourceOptions,
        SetRoleParms,
        StartVerifyParms, //
    };
    use std::string::ToString;
    use std::vec::Vec;

    fn written<C: Configuration>(configuration: &C) -> Vec<u8> {
        let mut buffer = [0; 2000];
        let mut writer = AttributeWriter::new(&mut buffer);
        configuration.encode(&mut writer).unwrap();
        writer.written().to_vec()
    }

    fn keeps_its_table<C: Configuration + PartialEq + fmt::Debug>(fields: usize) {
        assert_eq!(C::OPTIONS.len(), fields);
        let numbers: Vec<u16> = C::OPTIONS.iter().map(|spec| spec.attribute).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(numbers.iter().all(|number| bit(*number) != 0));

        // Defaults are in range, and survive being sent and read.
        let default = C::default();
        default.visit(&mut |spec, value| {
            if let OptionValue::Number(number) = value {
                assert_eq!(spec.range.admit(number), Some(number), "{}", spec.name);
            }
        });
        let bytes = written(&default);
        let group = Attributes::new(&bytes).next().unwrap().unwrap();
        assert_eq!(group.number(), C::GROUP);
        let nested = group.nested().unwrap();
        assert_eq!(C::validate(nested), Ok(()));
        assert_eq!(nested.count(), fields);
        let mut read = C::default();
        assert_eq!(read.apply(nested, Purpose::Start), Ok(()));
        assert_eq!(read, default);
    }

    #[test]
    fn tables_are_consistent() {
        keeps_its_table::<DiskConf>(25);
        keeps_its_table::<NetConf>(31);
        keeps_its_table::<ResourceOptions>(2);
        keeps_its_table::<SetRoleParms>(1);
        keeps_its_table::<ResizeParms>(5);
        keeps_its_table::<StartVerifyParms>(2);
        keeps_its_table::<NewCurrentUuidParms>(1);
        keeps_its_table::<DisconnectParms>(1);
        keeps_its_table::<DetachParms>(1);
    }

    /// The limits of `drbd_limits.h`: attribute, least, most, default.
    fn has_limits<C: Configuration>(limits: &[(u16, i64, i64, i64)]) {
        for (attribute, low, high, default) in limits {
            let mut seen = false;
            C::default().visit(&mut |spec, value| {
                if spec.attribute == *attribute {
                    seen = true;
                    assert!(
                        spec.range == Range::Within(*low, *high)
                            || spec.range == Range::Clamped(*low, *high),
                        "{}",
                        spec.name
                    );
                    assert_eq!(value, OptionValue::Number(*default), "{}", spec.name);
                }
            });
            assert!(seen);
        }
    }

    #[test]
    fn ranges_are_those_of_user_space() {
        has_limits::<DiskConf>(&[
            (4, 0, 2 << 40, 0),
            (5, 0, 128, 0),
            (8, 1, 4 << 20, 250),
            (10, 67, 0xfffe, 1237),
            (11, 0, 300, 20),
            (12, 1, 100, 10),
            (13, 0, 1 << 20, 100),
            (14, 250, 4 << 20, 102_400),
            (15, 0, 4 << 20, 250),
            (20, 0, 6000, 0),
            (25, 0, 1 << 20, 0),
        ]);
        has_limits::<NetConf>(&[
            (7, 1, 120, 10),
            (8, 1, 600, 60),
            (9, 1, 120, 10),
            (10, 1, 300, 5),
            (11, 0, 10 << 20, 0),
            (12, 0, 10 << 20, 0),
            (13, 0, 200, 7),
            (14, 32, 131_072, 2048),
            (15, 1, 20_000, 2048),
            (16, 1, 131_072, 128),
            (22, 0, 10 << 21, 0),
            (23, 67, 0xfffe, 1237),
            (34, 0, 300, 0),
        ]);
        has_limits::<ResizeParms>(&[(1, 0, 2 << 40, 0), (4, 1, 1024, 1), (5, 4, 16_777_216, 32)]);
    }

    #[test]
    fn defaults_are_those_of_user_space() {
        let mut flags = Vec::new();
        let mut choices = Vec::new();
        let mut see = |spec: &'static OptionSpec, value: OptionValue<'_>| match value {
            OptionValue::Flag(true) => flags.push(spec.name),
            OptionValue::Choice(_, word) => choices.push(word),
            _ => {}
        };
        DiskConf::default().visit(&mut see);
        NetConf::default().visit(&mut see);
        ResourceOptions::default().visit(&mut see);
        assert_eq!(
            flags,
            [
                "disk-flushes",
                "disk-drain",
                "md-flushes",
                "al-updates",
                "discard-zeroes-if-aligned",
                "tcp-cork",
                "use-rle"
            ]
        );
        assert_eq!(
            choices,
            [
                "detach",
                "dont-care",
                "prefer-local",
                "C",
                "disconnect",
                "disconnect",
                "disconnect",
                "disconnect",
                "block",
                "io-error"
            ]
        );
        let invariant: Vec<_> = DiskConf::OPTIONS
            .iter()
            .chain(NetConf::OPTIONS)
            .filter(|spec| spec.is_invariant())
            .map(|spec| spec.attribute)
            .collect();
        assert_eq!(invariant, [1, 2, 3, 4, 5, 25, 28]);
    }

    #[test]
    fn some_values_are_moved_into_range() {
        let mut buffer = [0; 64];
        let mut writer = AttributeWriter::new(&mut buffer);
        writer.u32(8, 0).unwrap();
        writer.u32(10, 7).unwrap();
        writer.u32(11, 1000).unwrap();
        let mut conf = DiskConf::default();
        conf.apply(Attributes::new(writer.written()), Purpose::Change)
            .unwrap();
        assert_eq!(
            (conf.resync_rate, conf.al_extents, conf.c_plan_ahead),
            (1, 67, 300)
        );
    }

    #[test]
    fn errors_name_the_option() {
        let error = OptionError::Invalid(NetConf::spec(8).unwrap());
        assert_eq!(
            error.to_string(),
            "invalid attribute value: timeout must be in 1..600"
        );
        assert_eq!(error.code().number(), 126);
    }

    #[test]
    fn the_secret_is_not_shown() {
        let mut shown = None;
        NetConf {
            shared_secret: Secret::new(b"hush"),
            ..NetConf::default()
        }
        .visit(&mut |spec, value| {
            if spec.attribute == 1 {
                shown = Some(value == OptionValue::Hidden);
            }
        });
        assert_eq!(shown, Some(true));
    }
}

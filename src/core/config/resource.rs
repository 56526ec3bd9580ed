// SPDX-License-Identifier: GPL-2.0-only

//! The options of a resource.

use super::option::{
    options,
    Range, //
};
use super::policy::OnNoData;
use super::text::Text;
use crate::netlink::group;

options! {
    /// How a resource behaves (`struct res_opts`).
    pub struct ResourceOptions in group::RESOURCE_OPTIONS;

    /// Processors for the threads of the resource, as hexadecimal bit mask; empty lets the driver spread resources.
    cpu_mask: Text<31> = Text::EMPTY,
        1 "cpu-mask" None Range::Any, AtRunTime;
    /// What I/O without usable data does.
    on_no_data: OnNoData = OnNoData::IoError,
        2 "on-no-data-accessible" None Range::Any, AtRunTime;
}

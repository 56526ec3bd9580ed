// SPDX-License-Identifier: GPL-2.0-only

//! Keeps the module loaded.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use kernel::{
    bindings,
    module::this_module, //
};

use crate::LocalModule;

/// While this exists, `rmmod` says that the module is in use.
///
/// # Invariants
///
/// Stands for one reference to the module.
pub(crate) struct ModuleReference(());

impl ModuleReference {
    /// Takes a reference; `None` where the module is about to go. Any context.
    pub(crate) fn take() -> Option<Self> {
        // SAFETY: the pointer is that of our module, whose code runs here.
        let taken = unsafe { bindings::try_module_get(this_module::<LocalModule>().as_ptr()) };
        // INVARIANT: taken just now.
        taken.then_some(Self(()))
    }
}

impl Drop for ModuleReference {
    fn drop(&mut self) {
        // SAFETY: by the type invariant. Unloading joins every thread of ours, this one too, before the code goes.
        unsafe { bindings::module_put(this_module::<LocalModule>().as_ptr()) };
    }
}

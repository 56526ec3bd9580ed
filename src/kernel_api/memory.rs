// SPDX-License-Identifier: GPL-2.0-only

//! Memory for the tables of the engine, which allocates nothing itself and borrows for as long as it likes.

use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// A table that is out.
///
/// # Invariants
///
/// `address`, `len` and `capacity` are of a `VVec<T>` taken apart, and `free` puts a `VVec` of the same `T` together.
struct Loan {
    address: usize,
    len: usize,
    bytes: usize,
    capacity: usize,
    free: unsafe fn(usize, usize, usize),
}

/// Lends tables, and takes them back.
///
/// What is not back when the lender goes stays allocated, with a warning: somebody may still use it.
#[pin_data(PinnedDrop)]
pub(crate) struct Lender {
    #[pin]
    loans: Mutex<KVec<Loan>>,
}

impl Lender {
    /// A lender with nothing lent.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            loans <- new_mutex!(KVec::new(), "Lender::loans"),
        }? Error)
    }

    /// As [`Lender::lend_with`], for one of several tables that are wanted all or none.
    pub(crate) fn try_lend_with<T: 'static>(
        &self,
        len: usize,
        entry: impl FnMut(usize) -> T,
    ) -> Result<Lent<'_, T>> {
        Ok(Lent {
            table: Some(self.lend_with(len, entry)?),
            lender: self,
        })
    }

    /// Lends a table of `len` entries that `entry` makes (called with 0, 1, ...). Sleeps.
    pub(crate) fn lend_with<T: 'static>(
        &self,
        len: usize,
        mut entry: impl FnMut(usize) -> T,
    ) -> Result<&'static mut [T]> {
        let mut table = VVec::with_capacity(len, GFP_KERNEL)?;
        for index in 0..len {
            table.push(entry(index), GFP_KERNEL)?;
        }
        self.lend(table)
    }

    /// Lends a table. Sleeps.
    pub(crate) fn lend<T: 'static>(&self, table: VVec<T>) -> Result<&'static mut [T]> {
        self.lend_or_return(table).map_err(|_| ENOMEM)
    }

    /// Lends a table, or gives it back where there is no memory to note that. Sleeps.
    pub(crate) fn lend_or_return<T: 'static>(
        &self,
        table: VVec<T>,
    ) -> Result<&'static mut [T], VVec<T>> {
        let mut loans = self.loans.lock();
        if loans.reserve(1, GFP_KERNEL).is_err() {
            return Err(table);
        }
        let (table, len, capacity) = table.into_raw_parts();
        // SAFETY: The vector has `len` entries, which belong to nobody else now, and are not freed before whoever has this
        // only reference gives it back.
        let lent = unsafe { core::slice::from_raw_parts_mut(table, len) };
        let bytes = size_of_val(lent);
        if bytes == 0 && capacity * size_of::<T>() == 0 {
            // Nothing to give back.
            return Ok(lent);
        }
        // INVARIANT: Of the vector that was taken apart.
        let loan = Loan {
            address: table.addr(),
            len,
            bytes,
            capacity,
            free: free::<T>,
        };
        table.expose_provenance();
        // There is room for one: just reserved.
        let _ = loans.push_within_capacity(loan);
        Ok(lent)
    }

    /// Takes a table back, drops its entries, and frees it. What was not lent here as a whole stays allocated, with a
    /// warning. Sleeps.
    pub(crate) fn reclaim<T: 'static>(&self, table: &'static mut [T]) {
        let address = table.as_ptr().addr();
        let bytes = size_of_val(table);
        if bytes == 0 {
            return;
        }
        let loan = {
            let mut loans = self.loans.lock();
            let found = loans
                .iter()
                .position(|loan| loan.address == address && loan.bytes == bytes);
            match found {
                Some(index) => loans.remove(index).ok(),
                None => None,
            }
        };
        match loan {
            // SAFETY: The loan says how the table came to be. The caller gave up the only reference to all of its bytes,
            // and it is taken off the list, so this happens once.
            Some(loan) => unsafe { (loan.free)(loan.address, loan.len, loan.capacity) },
            None => pr_warn!("a table of {bytes} bytes was not lent here: it stays allocated\n"),
        }
    }
}

/// A table that goes back unless it is [kept](Lent::keep).
pub(crate) struct Lent<'a, T: 'static> {
    table: Option<&'static mut [T]>,
    lender: &'a Lender,
}

impl<T: 'static> Lent<'_, T> {
    /// The table; somebody else gives it back from now on.
    pub(crate) fn keep(mut self) -> &'static mut [T] {
        self.table.take().unwrap_or_default()
    }
}

impl<T: 'static> Drop for Lent<'_, T> {
    /// Sleeps.
    fn drop(&mut self) {
        if let Some(table) = self.table.take() {
            self.lender.reclaim(table);
        }
    }
}

/// Puts a vector together again, and drops it.
///
/// # Safety
///
/// The numbers are of a `VVec<T>` taken apart, whose provenance was exposed, and nobody uses it.
unsafe fn free<T>(address: usize, len: usize, capacity: usize) {
    let table = core::ptr::with_exposed_provenance_mut::<T>(address);
    // SAFETY: By the safety requirements.
    drop(unsafe { VVec::from_raw_parts(table, len, capacity) });
}

#[pinned_drop]
impl PinnedDrop for Lender {
    fn drop(self: Pin<&mut Self>) {
        let loans = self.loans.lock();
        if !loans.is_empty() {
            let bytes: usize = loans.iter().map(|loan| loan.bytes).sum();
            pr_warn!(
                "{} tables ({bytes} bytes) were not given back: they stay allocated\n",
                loans.len()
            );
        }
    }
}

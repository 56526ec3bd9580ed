// SPDX-License-Identifier: GPL-2.0-only

//! A first-in first-out queue over borrowed storage.

/// The queue has no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFull;

/// A queue of at most `storage.len()` values.
///
/// # Invariants
///
/// `length <= storage.len()`, and `head < storage.len()` unless the storage is empty.
#[derive(Debug)]
pub struct Ring<'m, T> {
    storage: &'m mut [T],
    head: usize,
    length: usize,
}

impl<'m, T: Copy> Ring<'m, T> {
    /// An empty queue. What the storage holds does not matter.
    pub fn new(storage: &'m mut [T]) -> Self {
        Self {
            storage,
            head: 0,
            length: 0,
        }
    }

    /// How many values wait.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many more values fit.
    pub fn room(&self) -> usize {
        self.storage.len().saturating_sub(self.length)
    }

    /// Adds a value at the end.
    pub fn push(&mut self, value: T) -> Result<(), RingFull> {
        if self.room() == 0 {
            return Err(RingFull);
        }
        let position = self.position(self.length).ok_or(RingFull)?;
        *self.storage.get_mut(position).ok_or(RingFull)? = value;
        self.length = self.length.saturating_add(1);
        Ok(())
    }

    /// The oldest value.
    pub fn front(&self) -> Option<&T> {
        if self.length == 0 {
            return None;
        }
        self.storage.get(self.head)
    }

    /// The oldest value, to be changed in place.
    pub fn front_mut(&mut self) -> Option<&mut T> {
        if self.length == 0 {
            return None;
        }
        self.storage.get_mut(self.head)
    }

    /// The value at `offset` from the oldest.
    pub fn get(&self, offset: usize) -> Option<&T> {
        if offset >= self.length {
            return None;
        }
        self.storage.get(self.position(offset)?)
    }

    /// The value at `offset` from the oldest, to be changed in place.
    pub fn get_mut(&mut self, offset: usize) -> Option<&mut T> {
        if offset >= self.length {
            return None;
        }
        let position = self.position(offset)?;
        self.storage.get_mut(position)
    }

    /// Takes the oldest value.
    pub fn pop(&mut self) -> Option<T> {
        let value = *self.front()?;
        self.head = self.position(1).unwrap_or(0);
        self.length = self.length.saturating_sub(1);
        Some(value)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.head = 0;
        self.length = 0;
    }

    /// Gives the storage back.
    pub fn into_storage(self) -> &'m mut [T] {
        self.storage
    }

    fn position(&self, offset: usize) -> Option<usize> {
        let position = self.head.checked_add(offset)?;
        if position < self.storage.len() {
            Some(position)
        } else {
            position.checked_sub(self.storage.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn behaves_like_a_bounded_deque(capacity in 0usize..5, steps in prop::collection::vec(any::<Option<u8>>(), 0..64)) {
            let mut storage = std::vec![0u8; capacity];
            let mut ring = Ring::new(&mut storage);
            let mut model = VecDeque::new();
            for step in steps {
                match step {
                    Some(value) if model.len() < capacity => {
                        model.push_back(value);
                        prop_assert_eq!(ring.push(value), Ok(()));
                    }
                    Some(value) => prop_assert_eq!(ring.push(value), Err(RingFull)),
                    None => prop_assert_eq!(ring.pop(), model.pop_front()),
                }
                prop_assert_eq!(ring.front(), model.front());
                prop_assert_eq!(ring.len(), model.len());
                prop_assert_eq!(ring.room(), capacity - model.len());
                for offset in 0..=capacity {
                    prop_assert_eq!(ring.get(offset), model.get(offset));
                }
            }
        }
    }
}

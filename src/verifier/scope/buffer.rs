//! A short list that lives on the stack and moves to the heap only when it grows long.

/// How many items cost no allocation. An alternative that our broker writes binds at most five variables.
const INLINE: usize = 8;

/// Items in the order in which they came.
#[derive(Debug)]
pub(super) struct Buffer<T> {
    inline: [Option<T>; INLINE],
    len: usize,
    more: Vec<T>,
}

impl<T: Copy> Default for Buffer<T> {
    fn default() -> Self {
        Self { inline: [None; INLINE], len: 0, more: Vec::new() }
    }
}

// Inlined, so that an item is written where it stays and not copied in pieces.
impl<T: Copy> Buffer<T> {
    #[inline(always)]
    pub(super) fn push(&mut self, item: T) {
        match self.inline.get_mut(self.len) {
            Some(place) => {
                *place = Some(item);
                self.len += 1;
            }
            None => self.more.push(item),
        }
    }

    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<T> {
        if let Some(item) = self.more.pop() {
            return Some(item);
        }
        let last = self.len.checked_sub(1)?;
        self.len = last;
        self.inline.get(last).copied().flatten()
    }

    #[inline(always)]
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.more.clear();
    }

    #[inline(always)]
    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        self.inline.iter().take(self.len).copied().flatten().chain(self.more.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_in_order_wherever_they_lie() {
        let mut buffer = Buffer::default();
        for round in 0..2 {
            for item in 0..30 {
                buffer.push(item);
            }
            assert!(buffer.iter().eq(0..30), "round {round}");
            for item in (5..30).rev() {
                assert_eq!(buffer.pop(), Some(item));
            }
            assert!(buffer.iter().eq(0..5));
            buffer.clear();
            assert_eq!((buffer.pop(), buffer.iter().next()), (None, None));
        }
    }
}

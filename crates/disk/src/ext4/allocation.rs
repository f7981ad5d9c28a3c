//! Allocation of blocks: one cursor that moves upwards and jumps over blocks with a fixed purpose.
//!
//! No block is ever given back, so a position is enough to take the same blocks again.

/// Consecutive blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// First block.
    pub(crate) start: u64,
    /// Number of blocks.
    pub(crate) len: u64,
}

impl Run {
    /// The block behind the last one.
    pub(crate) fn end(self) -> u64 {
        self.start + self.len
    }
}

/// Takes blocks in ascending order around `fixed`.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    fixed: &'a [Run],
    next_fixed: usize,
    at: u64,
}

impl<'a> Cursor<'a> {
    /// A cursor at block `at`; `fixed` is sorted and does not overlap.
    pub(crate) fn new(fixed: &'a [Run], at: u64) -> Self {
        Self {
            fixed,
            next_fixed: fixed.partition_point(|run| run.end() <= at),
            at,
        }
    }

    /// Position: the block behind the last one taken.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// Takes `count` blocks in as few runs as the fixed places allow, and adds them to `runs`.
    pub(crate) fn take(&mut self, mut count: u64, runs: &mut Vec<Run>) {
        while count > 0 {
            self.jump();
            let room = self
                .fixed
                .get(self.next_fixed)
                .map_or(u64::MAX, |run| run.start)
                - self.at;
            let len = count.min(room);
            runs.push(Run {
                start: self.at,
                len,
            });
            self.at += len;
            count -= len;
        }
    }

    /// Takes one block.
    pub(crate) fn take_one(&mut self) -> u64 {
        self.jump();
        self.at += 1;
        self.at - 1
    }

    /// Takes `count` blocks that lie together, leaving a gap before them where they would not.
    pub(crate) fn take_together(&mut self, count: u64) -> u64 {
        self.jump();
        while let Some(run) = self
            .fixed
            .get(self.next_fixed)
            .filter(|run| run.start - self.at < count)
        {
            self.at = run.end();
            self.jump();
        }
        self.at += count;
        self.at - count
    }

    fn jump(&mut self) {
        while let Some(run) = self
            .fixed
            .get(self.next_fixed)
            .filter(|run| run.start <= self.at)
        {
            self.at = self.at.max(run.end());
            self.next_fixed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: [Run; 2] = [Run { start: 0, len: 2 }, Run { start: 5, len: 3 }];

    #[test]
    fn blocks_are_taken_around_fixed_places() {
        let mut cursor = Cursor::new(&FIXED, 0);
        let mut runs = Vec::new();
        cursor.take(5, &mut runs);
        assert_eq!(runs, [Run { start: 2, len: 3 }, Run { start: 8, len: 2 }]);
        assert_eq!(cursor.position(), 10);
    }

    #[test]
    fn a_cursor_that_starts_again_takes_the_same_blocks() {
        let mut first = Cursor::new(&FIXED, 0);
        first.take_one();
        let start = first.position();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        first.take(4, &mut a);
        Cursor::new(&FIXED, start).take(4, &mut b);
        assert_eq!(a, b);
    }

    #[test]
    fn blocks_that_must_lie_together_leave_a_gap() {
        let mut cursor = Cursor::new(&FIXED, 0);
        assert_eq!(cursor.take_together(4), 8);
        assert_eq!(Cursor::new(&FIXED, 0).take_together(3), 2);
    }
}

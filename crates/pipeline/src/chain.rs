// SPDX-License-Identifier: Apache-2.0
//! Runs stages over a batch, in order, and times them.

use std::sync::Arc;

use vor_health::{Board, Counter, count};

use crate::{Stage, now};

/// Stages in the order in which they were added. The time that each one took, in `ns`, and what it `dropped` are
/// counted under its own name.
pub struct Chain<T> {
    stages: Vec<Link<T>>,
    taken: Counter,
    given: Counter,
    dropped: Counter,
    board: Arc<Board>,
}

struct Link<T> {
    stage: Box<dyn Stage<T>>,
    spent: Counter,
    dropped: Counter,
}

impl<T> Chain<T> {
    /// A chain that changes nothing, counted as stage `name`.
    #[must_use]
    pub fn new(name: &'static str, board: Arc<Board>) -> Self {
        let count = |what| board.counter(name, what);
        let (taken, given, dropped) = (count("in"), count("out"), count("lost.stage"));
        Self { stages: Vec::new(), taken, given, dropped, board }
    }

    /// Adds `stage` at the end.
    #[must_use]
    pub fn stage(mut self, stage: impl Stage<T> + 'static) -> Self {
        let count = |what| self.board.counter(stage.name(), what);
        let (spent, dropped) = (count("ns"), count("dropped"));
        self.stages.push(Link { stage: Box::new(stage), spent, dropped });
        self
    }

    /// Adds `stage` if there is one.
    #[must_use]
    pub fn maybe(self, stage: Option<impl Stage<T> + 'static>) -> Self {
        match stage {
            Some(stage) => self.stage(stage),
            None => self,
        }
    }

    /// Takes `batch` through every stage.
    pub fn run(&mut self, batch: &mut Vec<T>) {
        let before = batch.len();
        let mut start = now();
        for Link { stage, spent, dropped } in &mut self.stages {
            let given = batch.len();
            stage.apply(batch);
            let end = now();
            spent.add(end.0.saturating_sub(start.0));
            dropped.add(count(given.saturating_sub(batch.len())));
            start = end;
        }
        // A stage that adds counts as one that was given more.
        self.taken.add(count(before.max(batch.len())));
        self.given.add(count(batch.len()));
        self.dropped.add(count(before.saturating_sub(batch.len())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Keep(fn(&u32) -> bool);

    impl Stage<u32> for Keep {
        fn name(&self) -> &'static str {
            "keep"
        }
        fn apply(&mut self, batch: &mut Vec<u32>) {
            batch.retain(self.0);
        }
    }

    #[test]
    fn stages_run_in_order_and_what_they_drop_is_counted() {
        let board = Board::new();
        let mut chain = Chain::new("chain", Arc::clone(&board))
            .stage(Keep(|number| number % 2 == 0))
            .stage(Keep(|number| *number > 2));
        let mut batch = vec![1, 2, 3, 4];
        chain.run(&mut batch);
        assert_eq!(batch, [4]);
        let counted = |what| board.counter("chain", what).get();
        assert_eq!((counted("in"), counted("out"), counted("lost.stage")), (4, 1, 3));
        assert_eq!(board.counter("keep", "dropped").get(), 3);
    }
}

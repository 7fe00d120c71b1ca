//! The threads between the input's blocks and the two output files.
//!
//! ```text
//! blocks ─▶ parse, check, mask ─▶ in order again: row numbers, quarantine, row groups ─▶ encode a column ─▶ append in order
//!  (caller)     (any thread)                     (one thread at a time)                   (any thread)     (one at a time)
//! ```
//!
//! The caller's thread reads the input, and works like all others when enough blocks are in flight; so `threads` is the number of
//! threads in all, and one is enough. What is nearest to the output is done first, which keeps little in between; the bounds are
//! those of [`super::state`].
//!
//! Of the input's errors the first in input order is returned, whichever thread met its own first. An error of the output or a
//! panic ends all threads at once. Nobody but the caller's thread runs the caller's code, except that it writes.

use std::io::Write;
use std::panic::resume_unwind;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::block::Block;
use super::columns::BronzeColumns;
use super::freshness::Freshness;
use super::quality::Probe;
use super::record::{Parse, Tally};
use super::sequence::{Outputs, Parsed};
use super::state::{Done, Room, State, Task};
use super::{EngineError, Job, Outcome, Sizes};

/// What all threads share.
struct Shared<'s, 'j, P, B: Write + Send, Q: Write + Send> {
    job: &'s Job<'j>,
    parser: &'s P,
    quality: Probe<'j>,
    freshness: Freshness<'j>,
    state: Mutex<State<'j, B, Q>>,
    changed: Condvar,
}

/// Runs blocks through to the outputs. `next_block` fills a buffer with the next block.
///
/// # Errors
/// Whatever reading, masking or writing says.
pub(super) fn run<'j, B: Write + Send, Q: Write + Send>(
    mut next_block: impl FnMut(Vec<u8>) -> Result<Option<Block>, EngineError>,
    parser: &impl Parse,
    outputs: Outputs<'j, B, Q>,
    job: &Job<'j>,
    sizes: &Sizes,
    progress: &mut dyn FnMut(u64),
) -> Result<Outcome, EngineError> {
    let threads = sizes.threads.max(1);
    let state = Mutex::new(State::new(outputs, threads));
    let (quality, freshness) = (Probe::new(job.table), Freshness::new(job.table));
    let shared = Shared { job, parser, quality, freshness, state, changed: Condvar::new() };
    thread::scope(|scope| {
        let shared = &shared;
        let helpers: Vec<_> = (1..threads)
            .map_while(|number| {
                let helper = thread::Builder::new().name(format!("bronze-{number}"));
                // Without it the others do its work.
                helper.spawn_scoped(scope, move || shared.help()).ok()
            })
            .collect();
        shared.read(&mut next_block, progress);
        for helper in helpers {
            if let Err(panic) = helper.join() {
                resume_unwind(panic);
            }
        }
    });
    shared.state.into_inner().unwrap_or_else(PoisonError::into_inner).close()
}

impl<'j, P: Parse, B: Write + Send, Q: Write + Send> Shared<'_, 'j, P, B, Q> {
    /// The state. What panics, panics outside; should a thread ever do so in here, the others are told to stop.
    fn lock(&self) -> MutexGuard<'_, State<'j, B, Q>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the input to its end, then works until everything is done. The caller's thread.
    fn read(
        &self,
        next_block: &mut impl FnMut(Vec<u8>) -> Result<Option<Block>, EngineError>,
        progress: &mut dyn FnMut(u64),
    ) {
        let stop = StopOnPanic(self);
        let mut columns = BronzeColumns::new(self.job.table);
        while let Some(buffer) = self.wait_for_room(&mut columns, progress) {
            let block = next_block(buffer);
            let goes_on = self.lock().read(block);
            self.changed.notify_all();
            if !goes_on {
                break;
            }
        }
        let mut state = self.report(self.lock(), progress);
        while !state.is_over() {
            state = self.step(state, &mut columns);
            state = self.report(state, progress);
        }
        drop(state);
        drop(stop);
    }

    /// A buffer for the next block as soon as there may be one; `None` when there will be none.
    fn wait_for_room(&self, columns: &mut BronzeColumns, progress: &mut dyn FnMut(u64)) -> Option<Vec<u8>> {
        let mut state = self.lock();
        loop {
            state = self.report(state, progress);
            match state.room() {
                Room::Yes(buffer) => return Some(buffer),
                Room::Stopped => return None,
                Room::No => state = self.step(state, columns),
            }
        }
    }

    /// Works until everything is done. All other threads.
    fn help(&self) {
        let stop = StopOnPanic(self);
        let mut columns = BronzeColumns::new(self.job.table);
        let mut state = self.lock();
        while !state.is_over() {
            state = self.step(state, &mut columns);
        }
        drop(state);
        drop(stop);
    }

    /// Tells the caller how many records were put in order, without the lock.
    fn report<'g>(
        &'g self,
        mut state: MutexGuard<'g, State<'j, B, Q>>,
        progress: &mut dyn FnMut(u64),
    ) -> MutexGuard<'g, State<'j, B, Q>> {
        loop {
            let rows = state.take_rows_unreported();
            if rows == 0 {
                return state;
            }
            drop(state);
            progress(rows);
            state = self.lock();
        }
    }

    /// Does one piece of work, or waits for some.
    fn step<'g>(
        &'g self,
        mut state: MutexGuard<'g, State<'j, B, Q>>,
        columns: &mut BronzeColumns,
    ) -> MutexGuard<'g, State<'j, B, Q>> {
        let Some(task) = state.next_task() else {
            if state.is_over() {
                self.changed.notify_all();
                return state;
            }
            return self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        // Taking a task may have made room, or another task possible.
        self.changed.notify_all();
        drop(state);
        let done = self.perform(task, columns);
        let mut state = self.lock();
        match done {
            Ok(done) => state.apply(done),
            Err(error) => state.stop(Some(error)),
        }
        self.changed.notify_all();
        state
    }

    /// Does a task, without the lock.
    fn perform(&self, task: Task<'j, B, Q>, columns: &mut BronzeColumns) -> Result<Done<'j, B, Q>, EngineError> {
        Ok(match task {
            Task::Append(mut bronze, row_group) => {
                bronze.append(row_group)?;
                Done::Appended(bronze)
            }
            Task::Sequence(mut sequencer, parsed) => {
                let rows = parsed.tally.rows_in;
                let row_groups = sequencer.take(parsed)?;
                Done::Sequenced(sequencer, rows, row_groups)
            }
            Task::Finish(sequencer) => {
                let (last, outcome) = sequencer.finish()?;
                Done::Finished(last, outcome)
            }
            Task::Encode(task) => Done::Encoded(task.number, task.column, task.encode()?),
            Task::Parse(number, block) => {
                let parsed = self.parse(&block, columns);
                Done::Parsed(number, parsed, block.into_buffer())
            }
        })
    }

    fn parse(&self, block: &Block, columns: &mut BronzeColumns) -> Result<Parsed, EngineError> {
        let mut tally = Tally::default();
        self.parser.parse(block, columns, &mut tally);
        let rows = columns.take()?;
        let (counts, newest) = (self.quality.count(&rows), self.freshness.newest(&rows));
        let masked = rows.into_iter().map(|rows| self.job.masker.mask(rows));
        Ok(Parsed { newest, ..Parsed::new(masked.collect::<Result<_, _>>()?, tally, counts) })
    }
}

/// Stops all threads when its own panics: they would wait for it for ever.
struct StopOnPanic<'p, 's, 'j, P: Parse, B: Write + Send, Q: Write + Send>(&'p Shared<'s, 'j, P, B, Q>);

impl<P: Parse, B: Write + Send, Q: Write + Send> Drop for StopOnPanic<'_, '_, '_, P, B, Q> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().stop(None);
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread::ThreadId;

    use super::*;
    use crate::engine::testing::with_job;

    /// Panics on any thread but one.
    struct PanicsElsewhere(ThreadId);

    impl Parse for PanicsElsewhere {
        fn parse(&self, _: &Block, _: &mut BronzeColumns, _: &mut Tally) {
            assert_eq!(thread::current().id(), self.0, "a panic on another thread");
        }
    }

    #[test]
    fn a_panic_on_any_thread_ends_all_of_them() {
        with_job(0, |job| {
            for round in 0..20 {
                let sizes = Sizes { threads: 2 + round % 3, ..Sizes::of(job) };
                let outputs = Outputs::new(Vec::new(), Vec::new(), job, &sizes);
                let parser = PanicsElsewhere(thread::current().id());
                // There is always a next block, so another thread gets one, and nothing but its panic ends this.
                let run = || run(|_| Ok(Some(Block::default())), &parser, outputs, job, &sizes, &mut |_| ());
                assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "the caller is told, round {round}");
            }
        });
    }
}

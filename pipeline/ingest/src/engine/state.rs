//! What the threads of the pipeline share: work that waits, work that is done, and how much of both there may be.
//!
//! Pure bookkeeping under a lock that others hold: no thread and no I/O is in here.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;

use parquet::arrow::arrow_writer::ArrowColumnChunk;

use super::block::Block;
use super::parquet::{BronzeFile, ColumnTask, EncodedRowGroup, RowGroupTasks};
use super::sequence::{Outputs, Parsed, Sequencer};
use super::{EngineError, Outcome};

/// Blocks in flight for each thread: one that it works on, and one that waits.
pub(super) const BLOCKS_PER_THREAD: usize = 2;
/// Bytes of blocks in flight beyond which no further one is begun. Blocks are small unless records are large.
pub(super) const BLOCK_BYTES_IN_FLIGHT: usize = 48 * 1024 * 1024;
/// Bytes of blocks that are read and wait for their turn beyond which no further one is read. Short records become much larger
/// than they were: a violation takes a hundred bytes, however short the record that broke the rule.
pub(super) const PARSED_BYTES_IN_FLIGHT: usize = 64 * 1024 * 1024;
/// Buffers that a large record has made larger are not kept for the next block.
const SPARE_BUFFER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Row groups that are complete and not yet in the file. Beyond them no block is put in order.
pub(super) const ROW_GROUPS_IN_FLIGHT: usize = 2;

/// A piece of work that one thread does without the lock.
pub(super) enum Task<'j, B: Write + Send, Q: Write + Send> {
    /// Append the row group whose columns are all encoded.
    Append(BronzeFile<'j, B>, EncodedRowGroup),
    /// Put the next block in order.
    Sequence(Box<Sequencer<'j, Q>>, Parsed),
    /// There is no further block.
    Finish(Box<Sequencer<'j, Q>>),
    /// Encode a column.
    Encode(ColumnTask),
    /// Read a block.
    Parse(u64, Block),
}

/// What came of a task.
pub(super) enum Done<'j, B: Write + Send, Q: Write + Send> {
    /// A row group more is in the file.
    Appended(BronzeFile<'j, B>),
    /// So many records more are in order; they completed these row groups.
    Sequenced(Box<Sequencer<'j, Q>>, u64, Vec<RowGroupTasks>),
    /// All records are in order, with the last row group, if rows were left.
    Finished(Option<RowGroupTasks>, Outcome),
    /// A column of a row group is encoded.
    Encoded(u64, usize, Box<ArrowColumnChunk>),
    /// A block is read; its buffer is free. An error waits for its turn.
    Parsed(u64, Result<Parsed, EngineError>, Vec<u8>),
}

/// Whether the reader may begin a block.
pub(super) enum Room {
    /// Yes, in this buffer.
    Yes(Vec<u8>),
    /// Not before something else is done.
    No,
    /// Never again.
    Stopped,
}

/// The state.
pub(super) struct State<'j, B: Write + Send, Q: Write + Send> {
    blocks_max: usize,
    blocks: VecDeque<(u64, Block)>,
    blocks_read: u64,
    blocks_in_flight: usize,
    bytes_in_flight: usize,
    input_ended: bool,
    spare_buffers: Vec<Vec<u8>>,
    /// Blocks that are read, by their number; some before their turn. An error stands in for its block.
    parsed: BTreeMap<u64, (usize, Result<Parsed, EngineError>)>,
    /// Memory of those.
    parsed_bytes: usize,
    blocks_sequenced: u64,
    /// `None` while a thread works with it, and after the end.
    sequencer: Option<Box<Sequencer<'j, Q>>>,
    columns: VecDeque<ColumnTask>,
    row_groups: VecDeque<EncodedRowGroup>,
    row_groups_appended: u64,
    /// `None` while a thread works with it.
    bronze: Option<BronzeFile<'j, B>>,
    rows_unreported: u64,
    outcome: Option<Outcome>,
    stopped: bool,
    error: Option<EngineError>,
}

impl<'j, B: Write + Send, Q: Write + Send> State<'j, B, Q> {
    pub(super) fn new(outputs: Outputs<'j, B, Q>, threads: usize) -> Self {
        Self {
            blocks_max: BLOCKS_PER_THREAD * (threads + 1),
            blocks: VecDeque::new(),
            blocks_read: 0,
            blocks_in_flight: 0,
            bytes_in_flight: 0,
            input_ended: false,
            spare_buffers: Vec::new(),
            parsed: BTreeMap::new(),
            parsed_bytes: 0,
            blocks_sequenced: 0,
            sequencer: Some(outputs.sequencer),
            columns: VecDeque::new(),
            row_groups: VecDeque::new(),
            row_groups_appended: 0,
            bronze: Some(outputs.bronze),
            rows_unreported: 0,
            outcome: None,
            stopped: false,
            error: None,
        }
    }

    /// Asks for a buffer to read the next block into.
    pub(super) fn room(&mut self) -> Room {
        if self.stopped {
            return Room::Stopped;
        }
        let full = self.blocks_in_flight >= self.blocks_max || self.bytes_in_flight >= BLOCK_BYTES_IN_FLIGHT;
        if full { Room::No } else { Room::Yes(self.spare_buffers.pop().unwrap_or_default()) }
    }

    /// Takes what the reader got: a block, the end, or an error in the place of a block. `false`: there is no next one.
    pub(super) fn read(&mut self, block: Result<Option<Block>, EngineError>) -> bool {
        match block {
            Ok(Some(block)) => {
                self.blocks_in_flight += 1;
                self.bytes_in_flight += block.memory_bytes();
                self.blocks.push_back((self.blocks_read, block));
                self.blocks_read += 1;
                return true;
            }
            Ok(None) => {}
            Err(error) => {
                self.blocks_in_flight += 1;
                self.parsed.insert(self.blocks_read, (0, Err(error)));
                self.blocks_read += 1;
            }
        }
        self.input_ended = true;
        false
    }

    /// The next piece of work, the nearest to the output first. An error whose turn has come ends everything.
    pub(super) fn next_task(&mut self) -> Option<Task<'j, B, Q>> {
        if self.stopped {
            return None;
        }
        let complete = self.row_groups.front().is_some_and(EncodedRowGroup::is_complete);
        if let Some(bronze) = self.bronze.take_if(|_| complete) {
            return self.row_groups.pop_front().map(|row_group| Task::Append(bronze, row_group));
        }
        if self.row_groups.len() < ROW_GROUPS_IN_FLIGHT
            && let Some(sequencer) = self.sequencer.take()
        {
            if let Some((bytes, parsed)) = self.parsed.remove(&self.blocks_sequenced) {
                self.blocks_sequenced += 1;
                self.blocks_in_flight -= 1;
                self.bytes_in_flight -= bytes;
                match parsed {
                    Ok(parsed) => {
                        self.parsed_bytes -= parsed.memory_bytes;
                        return Some(Task::Sequence(sequencer, parsed));
                    }
                    Err(error) => {
                        self.stop(Some(error));
                        return None;
                    }
                }
            }
            if self.input_ended && self.blocks_sequenced == self.blocks_read {
                return Some(Task::Finish(sequencer));
            }
            self.sequencer = Some(sequencer);
        }
        if let Some(column) = self.columns.pop_front() {
            return Some(Task::Encode(column));
        }
        // This ends: blocks are begun in order, so if one waits for its turn, the one whose turn it is has been begun, too. It
        // is put in order without any further block being read, and after it the ones that wait.
        if self.parsed_bytes >= PARSED_BYTES_IN_FLIGHT {
            return None;
        }
        self.blocks.pop_front().map(|(number, block)| Task::Parse(number, block))
    }

    /// Takes what came of a task.
    pub(super) fn apply(&mut self, done: Done<'j, B, Q>) {
        match done {
            Done::Appended(bronze) => {
                self.row_groups_appended += 1;
                self.bronze = Some(bronze);
            }
            Done::Sequenced(sequencer, rows, row_groups) => {
                self.rows_unreported += rows;
                row_groups.into_iter().for_each(|row_group| self.begin_row_group(row_group));
                self.sequencer = Some(sequencer);
            }
            Done::Finished(last, outcome) => {
                last.into_iter().for_each(|row_group| self.begin_row_group(row_group));
                self.outcome = Some(outcome);
            }
            Done::Encoded(row_group, column, chunk) => {
                // A row group leaves the queue when it is complete, so one that lacks a column is in it.
                let first = self.row_groups_appended + u64::from(self.bronze.is_none());
                let place = usize::try_from(row_group - first).unwrap_or(usize::MAX);
                self.row_groups[place].put(column, chunk);
            }
            Done::Parsed(number, parsed, buffer) => {
                self.parsed_bytes += parsed.as_ref().map_or(0, |parsed| parsed.memory_bytes);
                // What it holds, not what the last record left of it.
                self.parsed.insert(number, (buffer.capacity(), parsed));
                if self.spare_buffers.len() < self.blocks_max && buffer.capacity() <= SPARE_BUFFER_BYTES_MAX {
                    self.spare_buffers.push(buffer);
                }
            }
        }
    }

    fn begin_row_group(&mut self, RowGroupTasks { mut columns, encoded }: RowGroupTasks) {
        self.row_groups.push_back(encoded);
        // The longest first, so that no thread is left with one when the others are done.
        columns.sort_by_key(|column| std::cmp::Reverse(column.memory_bytes()));
        self.columns.extend(columns);
    }

    /// Ends everything.
    pub(super) fn stop(&mut self, error: Option<EngineError>) {
        self.stopped = true;
        self.error = self.error.take().or(error);
        self.blocks.clear();
        self.columns.clear();
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        let all_written = self.outcome.is_some() && self.row_groups.is_empty() && self.bronze.is_some();
        self.stopped || all_written
    }

    /// Records put in order since the last call.
    pub(super) fn take_rows_unreported(&mut self) -> u64 {
        std::mem::take(&mut self.rows_unreported)
    }

    /// Closes the bronze file, or says why there is none.
    pub(super) fn close(self) -> Result<Outcome, EngineError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let (bronze, outcome) = self.bronze.zip(self.outcome).expect("without an error all work is done");
        assert_eq!(bronze.close()?, outcome.rows_good, "every good row that was counted is in the bronze file");
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Sizes;
    use crate::engine::quality::Counts;
    use crate::engine::record::Tally;
    use crate::engine::testing::with_job;

    type TestState<'j> = State<'j, Vec<u8>, Vec<u8>>;

    /// The state of one thread, into memory.
    fn with_state(check: impl FnOnce(TestState<'_>)) {
        with_job(1, |job| check(State::new(Outputs::new(Vec::new(), Vec::new(), job, &Sizes::of(job)), 1)));
    }

    fn read(state: &mut TestState<'_>, blocks: usize) {
        for at in 0..blocks {
            assert!(matches!(state.room(), Room::Yes(_)), "room for block {at}");
            assert!(state.read(Ok(Some(Block::default()))), "a next one");
        }
    }

    #[track_caller]
    fn begin(state: &mut TestState<'_>, number: u64) {
        assert!(matches!(state.next_task(), Some(Task::Parse(found, _)) if found == number), "block {number} is begun");
    }

    fn end(state: &mut TestState<'_>, number: u64, memory_bytes: usize) {
        let parsed = Parsed { memory_bytes, ..Parsed::new(Vec::new(), Tally::default(), Counts::default()) };
        state.apply(Done::Parsed(number, Ok(parsed), Vec::new()));
    }

    fn fail(state: &mut TestState<'_>, number: u64) {
        state.apply(Done::Parsed(number, Err(EngineError::unreadable(format!("block {number}"))), Vec::new()));
    }

    #[track_caller]
    fn sequence(state: &mut TestState<'_>) {
        let Some(Task::Sequence(mut sequencer, parsed)) = state.next_task() else { panic!("a block has its turn") };
        let row_groups = sequencer.take(parsed).expect("into memory");
        state.apply(Done::Sequenced(sequencer, 0, row_groups));
    }

    #[test]
    fn no_more_blocks_are_read_than_may_be_in_flight() {
        with_state(|mut state| {
            read(&mut state, BLOCKS_PER_THREAD * 2);
            assert!(matches!(state.room(), Room::No), "enough");
            begin(&mut state, 0);
            end(&mut state, 0, 0);
            assert!(matches!(state.room(), Room::No), "a block that waits for its turn is in flight");
            sequence(&mut state);
            read(&mut state, 1);
            assert!(matches!(state.room(), Room::No), "enough again");
            state.stop(None);
            assert!(matches!(state.room(), Room::Stopped), "nothing follows");
        });
    }

    #[test]
    fn of_several_errors_the_first_in_input_order_is_returned() {
        with_state(|mut state| {
            read(&mut state, 4);
            (0..4).for_each(|number| begin(&mut state, number));
            fail(&mut state, 3);
            fail(&mut state, 1);
            assert!(state.next_task().is_none() && !state.is_over(), "block 0 may have one, too");
            end(&mut state, 0, 0);
            sequence(&mut state);
            assert!(state.next_task().is_none() && state.is_over(), "stopped");
            let error = state.close().expect_err("there are two");
            assert!(error.to_string().ends_with("block 1"), "{error}");
        });
    }

    #[test]
    fn no_block_is_begun_while_large_ones_wait_for_their_turn() {
        with_state(|mut state| {
            read(&mut state, 3);
            begin(&mut state, 0);
            begin(&mut state, 1);
            end(&mut state, 1, PARSED_BYTES_IN_FLIGHT);
            assert!(state.next_task().is_none(), "block 2 must wait");
            end(&mut state, 0, 1);
            sequence(&mut state);
            sequence(&mut state);
            assert_eq!(state.parsed_bytes, 0);
            begin(&mut state, 2);
        });
    }
}

//! How full each queue is, was at most, and may be.

use std::collections::BTreeMap;

/// Queues in the order in which rows meet them; others follow by name.
const ORDER: [&str; 9] = [
    "kinesis.iterator_age_ms",
    "firehose.buffered_bytes",
    "firehose.active_partitions",
    "s3.notifications",
    "step_functions.queued",
    "step_functions.running",
    "lambda.waiting",
    "lambda.running",
    "ecs.running",
];
/// Queues remembered.
const QUEUES_MAX: usize = 64;

/// One queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) depth: u64,
    pub(crate) depth_max: u64,
    pub(crate) bound: Option<u64>,
}

impl Queue {
    /// How full it is, from 0 to 1.
    pub(crate) fn fill(&self) -> Option<f64> {
        let bound = self.bound.filter(|bound| *bound > 0)?;
        Some((self.depth as f64 / bound as f64).min(1.0))
    }
}

/// All queues.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queues {
    by_name: BTreeMap<String, Queue>,
}

impl Queues {
    pub(crate) fn take(&mut self, name: String, depth: u64, bound: Option<u64>) {
        if self.by_name.len() >= QUEUES_MAX && !self.by_name.contains_key(&name) {
            return;
        }
        let queue = self.by_name.entry(name).or_insert(Queue { depth, depth_max: depth, bound });
        *queue = Queue { depth, depth_max: queue.depth_max.max(depth), bound };
    }

    /// In the order of the flow.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Queue)> {
        let known = ORDER.iter().filter_map(|name| self.by_name.get_key_value(*name));
        let others = self.by_name.iter().filter(|(name, _)| !ORDER.contains(&name.as_str()));
        known.chain(others).map(|(name, queue)| (name.as_str(), queue))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_keep_their_peak_and_stand_in_flow_order() {
        let mut queues = Queues::default();
        queues.take("another".to_owned(), 1, None);
        queues.take("lambda.running".to_owned(), 4, Some(4));
        queues.take("lambda.running".to_owned(), 1, Some(4));
        queues.take("s3.notifications".to_owned(), 0, Some(1_024));
        let names: Vec<_> = queues.all().map(|(name, _)| name).collect();
        assert_eq!(names, ["s3.notifications", "lambda.running", "another"]);
        let lambda = queues.by_name["lambda.running"];
        assert_eq!((lambda.depth, lambda.depth_max, lambda.fill()), (1, 4, Some(0.25)));
        assert_eq!(queues.by_name["another"].fill(), None);
    }
}

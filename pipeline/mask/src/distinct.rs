//! Distinct values are masked once per batch: the work of a column is that of its different values, not of its rows.
//!
//! Promises: equal texts get equal outcomes, NULL stays NULL, and a row that repeats an earlier value costs a look-up and a copy,
//! no allocation. Knows nothing of what is done with a value.

use std::collections::HashMap;

use arrow::array::{Array, StringArray, StringBuilder};
use foldhash::fast::RandomState;

/// A column of which each different value was masked once.
pub(crate) struct Distinct {
    /// The masked column.
    pub(crate) column: StringArray,
    /// How many values were computed.
    pub(crate) computed: u64,
    /// Rows whose value was not of the expected shape.
    pub(crate) unshaped: u64,
}

/// Where the outcome of one distinct value stands.
struct Outcome {
    start: usize,
    end: usize,
    is_shaped: bool,
}

/// Masks the values of a column. `mask` appends what becomes of a value to the text and says whether the value had the expected
/// shape.
pub(crate) fn map(values: &StringArray, mut mask: impl FnMut(&str, &mut String) -> bool) -> Distinct {
    // Seeded by the process, so that nobody can choose values that collide; nothing that comes out depends on it.
    let mut places: HashMap<&str, u32, RandomState> = HashMap::default();
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut texts = String::new();
    let mut column = StringBuilder::with_capacity(values.len(), values.value_data().len());
    let mut unshaped = 0;
    for value in values {
        let Some(value) = value else {
            column.append_null();
            continue;
        };
        let place = *places.entry(value).or_insert_with(|| {
            let start = texts.len();
            let is_shaped = mask(value, &mut texts);
            outcomes.push(Outcome { start, end: texts.len(), is_shaped });
            u32::try_from(outcomes.len() - 1).expect("an Arrow column of 32-bit offsets has fewer rows")
        });
        let outcome = &outcomes[place as usize];
        unshaped += u64::from(!outcome.is_shaped);
        column.append_value(&texts[outcome.start..outcome.end]);
    }
    Distinct { column: column.finish(), computed: outcomes.len() as u64, unshaped }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_different_value_is_computed_once() {
        let values: StringArray = (0..10_000).map(|row| Some(format!("v{}", row % 100))).collect();
        let mut calls = 0;
        let masked = map(&values, |value, out| {
            calls += 1;
            out.push_str(value);
            value != "v7"
        });
        assert_eq!((calls, masked.computed, masked.unshaped), (100, 100, 100));
        assert_eq!(masked.column, values);
    }

    proptest! {
        #[test]
        fn the_column_is_the_values_one_by_one(
            values in prop::collection::vec(prop::option::of("[a-dé]{0,2}"), 0..40), from in 0usize..5,
        ) {
            // A slice has offsets that do not begin at 0.
            let all = StringArray::from(values.clone());
            let column = all.slice(from.min(all.len()), all.len() - from.min(all.len()));
            let masked = map(&column, |value, out| {
                out.push_str(value);
                out.push('!');
                true
            });
            let expected: StringArray =
                column.iter().map(|value| value.map(|value| format!("{value}!"))).collect();
            prop_assert_eq!(masked.column, expected);
        }
    }
}

//! The transforms on Arrow columns: what a column becomes and what is counted of it.
//!
//! Each transform takes a column of the Arrow type its contract type maps to and gives the same type back; the caller reports
//! another type. NULL stays NULL everywhere.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, StringArray, StringBuilder, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use lakebed_contract::generalise::{self, Generalisation};
use lakebed_contract::policy::Excerpt;

use crate::coverage::Counts;
use crate::distinct::{self, Distinct};
use crate::find::Scanner;
use crate::fpe::{FormatCipher, Scratch};
use crate::partial;
use crate::redact::redact_column;
use crate::token::Tokenizer;

/// What happens to a column, ready to be done.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Keep,
    Drop,
    Token(Box<Tokenizer>),
    Fpe(Box<FormatCipher>),
    Partial(Excerpt),
    Generalise(Generalisation),
    Prefix(usize),
    Redact(Arc<Scanner>),
}

impl Action {
    /// The masked column; `None` when the array is not of the type the action works on.
    pub(crate) fn apply(&self, column: &ArrayRef, counts: &mut Counts) -> Option<ArrayRef> {
        counts.values = column.len() as u64;
        counts.non_null = (column.len() - column.null_count()) as u64;
        counts.masked = counts.non_null;
        Some(match self {
            Self::Keep => {
                counts.masked = 0;
                Arc::clone(column)
            }
            Self::Drop => new_null_array(column.data_type(), column.len()),
            Self::Token(tokenizer) => {
                let mut spelling = String::new();
                let token = |value: &str, out: &mut String| {
                    tokenizer.append(value, &mut spelling, out);
                    true
                };
                counted(distinct::map(texts(column)?, token), counts)
            }
            Self::Fpe(cipher) => {
                let mut scratch = Scratch::default();
                let encrypt = |value: &str, out: &mut String| cipher.append(value, &mut scratch, out);
                counted(distinct::map(texts(column)?, encrypt), counts)
            }
            Self::Partial(excerpt) => {
                let show = |value: &str, out: &mut String| partial::append(*excerpt, value, out);
                counted(distinct::map(texts(column)?, show), counts)
            }
            Self::Generalise(how) => {
                let coarse = generalised(*how, column)?;
                counts.masked = changed(column, &coarse)?;
                coarse
            }
            Self::Prefix(count) => {
                let cut = prefixes(texts(column)?, *count);
                counts.masked = changed(column, &cut)?;
                cut
            }
            Self::Redact(scanner) => {
                counts.masked = 0;
                redact_column(scanner, texts(column)?, column, |found| counts.count_findings(found))
            }
        })
    }
}

fn counted(masked: Distinct, counts: &mut Counts) -> ArrayRef {
    counts.computed = masked.computed;
    counts.unshaped = masked.unshaped;
    Arc::new(masked.column)
}

/// How many values are not what they were: the beginning of a short text is all of it.
fn changed(before: &ArrayRef, after: &ArrayRef) -> Option<u64> {
    Some(cmp::distinct(before, after).ok()?.true_count() as u64)
}

fn texts(column: &ArrayRef) -> Option<&StringArray> {
    column.as_any().downcast_ref::<StringArray>()
}

fn generalised(how: Generalisation, column: &ArrayRef) -> Option<ArrayRef> {
    Some(match column.data_type() {
        DataType::Date32 => {
            let coarse: Date32Array = column.as_primitive::<Date32Type>().unary(|day| how.date(day));
            Arc::new(coarse)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let instants = column.as_primitive::<TimestampMicrosecondType>();
            let coarse: TimestampMicrosecondArray = instants.unary(|micros| how.instant(micros));
            Arc::new(coarse.with_data_type(column.data_type().clone()))
        }
        _ => return None,
    })
}

/// The first `count` characters of each text.
fn prefixes(texts: &StringArray, count: usize) -> ArrayRef {
    let mut cut = StringBuilder::with_capacity(texts.len(), texts.len() * count.min(16));
    texts.iter().for_each(|text| cut.append_option(text.map(|text| generalise::prefix(text, count))));
    Arc::new(cut.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(action: &Action, column: ArrayRef) -> (ArrayRef, Counts) {
        let mut counts = Counts::default();
        (action.apply(&column, &mut counts).expect("the right type"), counts)
    }

    #[test]
    fn dates_are_cut_to_their_year() {
        // 2024-02-29, 2024-12-31, 2000-01-01, 1969-12-31, 0001-01-01, 1900-03-01
        let days = [19_782, 20_088, 10_957, -1, -719_162, -25_508].map(Some).into_iter().chain([None]);
        let (years, counts) = apply(&Action::Generalise(Generalisation::Year), Arc::new(days.collect::<Date32Array>()));
        let expected = [19_723, 19_723, 10_957, -365, -719_162, -25_567].map(Some).into_iter().chain([None]);
        assert_eq!(years.as_primitive::<Date32Type>(), &expected.collect::<Date32Array>());
        assert_eq!((counts.values, counts.non_null, counts.masked), (7, 6, 4), "two are a first of January already");
    }

    #[test]
    fn instants_keep_their_time_zone() {
        let noon = 43_200_000_000;
        let column = TimestampMicrosecondArray::from(vec![Some(noon), None, Some(-1)]).with_timezone("UTC");
        let (days, counts) = apply(&Action::Generalise(Generalisation::Day), Arc::new(column.clone()));
        assert_eq!(days.data_type(), column.data_type());
        let expected = TimestampMicrosecondArray::from(vec![Some(0), None, Some(-2 * noon)]).with_timezone("UTC");
        assert_eq!(days.as_primitive::<TimestampMicrosecondType>(), &expected);
        assert_eq!(counts.masked, 2);
    }

    #[test]
    fn prefixes_count_characters() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("éàü-123"), Some("é"), Some(""), None]));
        let (cut, counts) = apply(&Action::Prefix(3), Arc::clone(&texts));
        assert_eq!((counts.non_null, counts.masked), (3, 1), "the others are no longer than the prefix");
        assert_eq!(cut.as_string::<i32>(), &StringArray::from(vec![Some("éàü"), Some("é"), Some(""), None]));
        let (huge, counts) = apply(&Action::Prefix(usize::MAX), Arc::clone(&texts));
        assert_eq!((&huge, counts.masked), (&texts, 0));
    }

    #[test]
    fn what_stays_is_not_counted_as_masked() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("hops"), None, Some("to a@b.co and c@d.org")]));
        let (kept, counts) = apply(&Action::Keep, Arc::clone(&texts));
        assert!(Arc::ptr_eq(&kept, &texts) && counts.masked == 0 && counts.non_null == 2);
        let (redacted, counts) = apply(&Action::Redact(Arc::new(Scanner::default())), Arc::clone(&texts));
        assert_eq!(redacted.as_string::<i32>().value(2), "to [EMAIL] and [EMAIL]");
        assert_eq!((counts.masked, counts.findings["EMAIL"]), (1, 2));
        let (dropped, counts) = apply(&Action::Drop, texts);
        assert_eq!((dropped.null_count(), counts.masked), (3, 2));
    }

    #[test]
    fn another_type_is_refused() {
        let numbers: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1]));
        for action in [
            Action::Prefix(1),
            Action::Partial(Excerpt::Email),
            Action::Generalise(Generalisation::Year),
            Action::Redact(Arc::new(Scanner::default())),
        ] {
            assert!(action.apply(&numbers, &mut Counts::default()).is_none(), "{action:?}");
        }
    }
}

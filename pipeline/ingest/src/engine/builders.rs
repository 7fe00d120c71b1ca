//! Arrow builders that can forget their last values: Arrow's own cannot, and a row is kept whole or not at all.
//!
//! Each takes `Option`s and becomes an array; the next one starts with room for as many values. Knows nothing of bronze.

use std::iter::repeat_n;
use std::mem;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, PrimitiveArray, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType};
use arrow::error::ArrowError;

/// Which values are NULL. Costs nothing as long as none is.
#[derive(Debug, Default)]
struct Validity {
    rows: usize,
    /// One per value, from the first NULL on.
    flags: Vec<bool>,
}

impl Validity {
    #[inline]
    fn push(&mut self, valid: bool) {
        if !valid && self.flags.is_empty() {
            self.flags.resize(self.rows, true);
        }
        self.rows += 1;
        if !self.flags.is_empty() || !valid {
            self.flags.push(valid);
        }
    }

    fn push_many(&mut self, valid: bool, rows: usize) {
        if !valid && self.flags.is_empty() {
            self.flags.resize(self.rows, true);
        }
        self.rows += rows;
        if !self.flags.is_empty() || !valid {
            self.flags.resize(self.rows, valid);
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.rows = rows.min(self.rows);
        self.flags.truncate(rows);
    }

    fn finish(&mut self) -> Option<NullBuffer> {
        let flags = mem::take(&mut self.flags);
        self.rows = 0;
        // A NULL may have been taken back since.
        flags.contains(&false).then(|| NullBuffer::from(flags))
    }
}

/// Values of one primitive type.
#[derive(Debug)]
pub(super) struct Numbers<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<T::Native>,
    validity: Validity,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    /// A builder of arrays of `data_type`, which is one of those that `T` stores.
    pub(super) fn of(data_type: DataType) -> Self {
        Self { data_type, values: Vec::new(), validity: Validity::default() }
    }

    #[inline]
    pub(super) fn push(&mut self, value: Option<T::Native>) {
        self.values.push(value.unwrap_or_default());
        self.validity.push(value.is_some());
    }

    /// The same value for so many rows.
    pub(super) fn push_many(&mut self, value: Option<T::Native>, rows: usize) {
        self.values.extend(repeat_n(value.unwrap_or_default(), rows));
        self.validity.push_many(value.is_some(), rows);
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.validity.truncate(rows);
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let next = Vec::with_capacity(self.values.len());
        let values = ScalarBuffer::from(mem::replace(&mut self.values, next));
        let array = PrimitiveArray::<T>::try_new(values, self.validity.finish())?;
        Ok(Arc::new(array.with_data_type(self.data_type.clone())))
    }
}

/// Booleans.
#[derive(Debug, Default)]
pub(super) struct Booleans {
    values: Vec<bool>,
    validity: Validity,
}

impl Booleans {
    #[inline]
    pub(super) fn push(&mut self, value: Option<bool>) {
        self.values.push(value.unwrap_or_default());
        self.validity.push(value.is_some());
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.validity.truncate(rows);
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let values = BooleanBuffer::from(mem::take(&mut self.values));
        Arc::new(BooleanArray::new(values, self.validity.finish()))
    }
}

/// Texts.
#[derive(Debug, Default)]
pub(super) struct Texts {
    text: String,
    /// Where each value begins in `text`, and where the last ends: a value more than there are. Empty before the first.
    offsets: Vec<i32>,
    validity: Validity,
}

impl Texts {
    /// # Panics
    /// At 2 GiB of text: who pushes ends a batch long before.
    #[inline]
    pub(super) fn push(&mut self, value: Option<&str>) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.text.push_str(value.unwrap_or_default());
        self.offsets.push(i32::try_from(self.text.len()).expect("a batch holds far less than 2 GiB"));
        self.validity.push(value.is_some());
    }

    /// The same value for so many rows.
    pub(super) fn push_many(&mut self, value: Option<&str>, rows: usize) {
        (0..rows).for_each(|_| self.push(value));
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.text.truncate(self.offsets.last().map_or(0, |end| end.cast_unsigned() as usize));
        self.validity.truncate(rows);
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let next = Vec::with_capacity(self.offsets.len());
        let mut offsets = mem::replace(&mut self.offsets, next);
        if offsets.is_empty() {
            offsets.push(0);
        }
        // A little more, so that a batch which is hardly larger does not move all of it.
        let next = String::with_capacity(self.text.len() + self.text.len() / 8);
        let text = mem::replace(&mut self.text, next).into_bytes();
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(text), self.validity.finish())?))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn values_taken_back_leave_no_trace() {
        let (mut numbers, mut texts, mut booleans) =
            (Numbers::<Int64Type>::of(DataType::Int64), Texts::default(), Booleans::default());
        for round in 0..2 {
            numbers.push(Some(1));
            texts.push(Some("é"));
            booleans.push(Some(true));
            numbers.push(None);
            texts.push(None);
            booleans.push(None);
            texts.push(Some("tail"));
            numbers.truncate(1);
            texts.truncate(1);
            booleans.truncate(1);
            numbers.push(Some(3));
            texts.push(Some(""));
            booleans.push(Some(false));
            let (numbers, texts) = (numbers.finish().expect("numbers"), texts.finish().expect("texts"));
            assert_eq!(numbers.as_primitive::<Int64Type>().values(), &[1, 3], "round {round}");
            let expected = StringArray::from(vec!["é", ""]);
            assert_eq!((texts.as_string::<i32>(), texts.null_count()), (&expected, 0));
            assert_eq!(booleans.finish().as_boolean(), &BooleanArray::from(vec![true, false]));
        }
    }

    #[test]
    fn nulls_are_kept_in_place() {
        let mut texts = Texts::default();
        for value in [Some("a"), None, Some("b")] {
            texts.push(value);
        }
        assert_eq!(
            texts.finish().expect("texts").as_string::<i32>(),
            &StringArray::from(vec![Some("a"), None, Some("b")])
        );
        assert_eq!(texts.finish().expect("texts").len(), 0);
    }
}

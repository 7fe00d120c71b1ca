//! The form of the generated tables: shapes that refer to one another by their place, and what each demands of a value.
//!
//! Names are the models'. Holds no service's data and judges nothing.

/// Least and greatest, where there is one.
pub(super) type Bounds = (Option<i64>, Option<i64>);

/// The requests of one service.
#[derive(Debug)]
pub(super) struct Model {
    /// Operations in alphabetical order, each with the place of its input's shape.
    pub(super) operations: &'static [(&'static str, usize)],
    /// Shapes that the inputs reach.
    pub(super) shapes: &'static [Shape],
}

impl Model {
    /// The shape of an operation's input.
    pub(super) fn input(&self, operation: &str) -> Option<usize> {
        let at = self.operations.binary_search_by(|(name, _)| (*name).cmp(operation)).ok()?;
        Some(self.operations[at].1)
    }

    /// The shape at a place that the tables name.
    pub(super) fn shape(&self, at: usize) -> &'static Shape {
        &self.shapes[at]
    }
}

/// What a value must be.
#[derive(Debug)]
pub(super) enum Shape {
    /// Its name and its members.
    Structure(&'static str, &'static [Member]),
    /// The shape of its elements, and how many there may be.
    List(usize, Bounds),
    /// The shapes of its keys and values, and how many entries there may be.
    Map(usize, usize, Bounds),
    /// Characters, the place of a pattern, and all values if they are listed.
    Text(Bounds, Option<usize>, &'static [&'static str]),
    /// Bytes.
    Blob(Bounds),
    /// Java's name of its type, and its range.
    Number(&'static str, Bounds),
    /// True or false.
    Boolean,
    /// Seconds since the epoch.
    Timestamp,
}

/// A member of a structure.
#[derive(Debug)]
pub(super) struct Member {
    /// As it stands in a request.
    pub(super) name: &'static str,
    /// The place of its shape.
    pub(super) shape: usize,
    /// Whether it must be there.
    pub(super) is_required: bool,
}

/// A member that may be absent.
pub(super) const fn optional(name: &'static str, shape: usize) -> Member {
    Member { name, shape, is_required: false }
}

/// A member that must be there.
pub(super) const fn required(name: &'static str, shape: usize) -> Member {
    Member { name, shape, is_required: true }
}

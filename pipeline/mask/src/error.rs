//! Why a table or a batch cannot be masked. Names of tables, columns and classes only, never a value.

/// Why masking refused.
#[derive(Debug, thiserror::Error)]
pub enum MaskError {
    /// The policy does not say what happens to a class.
    #[error("failed to mask `{table}.{column}`: class `{class}` has no transform in the policy")]
    Undecided {
        /// Table.
        table: String,
        /// Column.
        column: String,
        /// Its class.
        class: String,
    },
    /// The transform cannot work on the column's type.
    #[error(
        "failed to mask `{table}.{column}`: transform `{transform}` needs a {needs} column, the contract says {found}"
    )]
    WrongType {
        /// Table.
        table: String,
        /// Column.
        column: String,
        /// The transform's word in the policy.
        transform: Box<str>,
        /// The types it works on.
        needs: Box<str>,
        /// The column's type.
        found: String,
    },
    /// A batch carries a column that neither the contract nor the bronze layout knows.
    #[error("failed to mask a batch of `{table}`: column `{column}` is not in the contract")]
    UnknownColumn {
        /// Table.
        table: String,
        /// Column.
        column: String,
    },
    /// A batch carries a column in another Arrow type than its contract type maps to.
    #[error("failed to mask `{table}.{column}`: the batch has Arrow type {found}")]
    WrongArray {
        /// Table.
        table: String,
        /// Column.
        column: String,
        /// Arrow type of the batch.
        found: String,
    },
    /// There are no tokens to be made anew.
    #[error("failed to make the tokens of `{table}.{column}` anew: no column of that name is tokenised")]
    NoTokens {
        /// Table.
        table: String,
        /// Column.
        column: String,
    },
    /// The ring of keys has none of that version.
    #[error("failed to find the mask key of version {version}: the key ring does not hold it")]
    NoSuchKey {
        /// The version asked for.
        version: u32,
    },
    /// Arrow refused to put the masked columns together.
    #[error("failed to assemble a masked batch of `{table}`")]
    Assemble {
        /// Table.
        table: String,
        /// Why.
        #[source]
        source: arrow::error::ArrowError,
    },
}

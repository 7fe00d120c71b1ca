//! What a column holds: its class, how sure that is, and where the knowledge comes from.
//!
//! Order of trust: the contract; values that validate (nine of ten); the name together with values of the right shape; the
//! name alone, which is a suspicion and is masked by default. Names and addresses have no check digits: there the scanner's
//! findings count as values. Errs on the side of personal data: values that contradict a name lower the confidence, they do
//! not acquit. Promises the same answer for the same sample; knows neither tables' meaning nor what is done about a class.

mod header;
mod shape;
mod values;

mod audit;
mod evidence;

use std::fmt;

use lakebed_contract::ColumnType;

use crate::find::{PiiKind, PiiKinds, Scanner};
use header::{Claim, Header};
use values::Values;

pub use audit::Suspicion;
pub use evidence::{Evidence, ValueSample};

/// Share of values that must validate for the values to decide.
const VALID_MIN: f32 = 0.9;
/// Share of values that must have the shape of the kind the name claims.
const SHAPED_MIN: f32 = 0.5;
/// Share of values the scanner must take for a name or an address: it does not know every name.
const NAMES_MIN: f32 = 0.5;
/// The same under a name that speaks of a thing: brewers call beers after people.
const NAMES_OF_THINGS_MIN: f32 = 0.8;
/// The same under a name that is as good for people as for things.
const NAMES_OF_VAGUE_MIN: f32 = 0.15;
/// Share of sentences that makes a column free text.
const PROSE_MIN: f32 = 0.3;
/// Share of worded values with personal data in them that makes a column free text, and the fewest such values.
const WORDED_FOUND_MIN: (f32, usize) = (0.02, 2);
/// The same of values without words, where check digits are right by chance now and then.
const BARE_FOUND_MIN: f32 = 0.3;
/// Confidence in a name whose values have the shape, and what is added when all of them validate too.
const SHAPED_CONFIDENCE: f32 = 0.65;
const VALID_CONFIDENCE: f32 = 0.3;
/// Confidence in a name without any values.
const NAME_CONFIDENCE: f32 = 0.5;
/// Confidence in a name that no value agrees with.
const CONTRADICTED_CONFIDENCE: f32 = 0.3;

/// The class of a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ColumnClass {
    /// Every value is personal data of one kind.
    Pii(PiiKind),
    /// Text that may hold personal data of any kind; contracts call it `free_text`.
    FreeText,
    /// A class of the contract's own, by its name.
    Declared(String),
}

impl ColumnClass {
    /// The class a contract names.
    pub fn named(name: &str) -> Self {
        let kind = PiiKind::ALL.into_iter().find(|kind| kind.class() == name);
        match kind {
            Some(kind) => Self::Pii(kind),
            None if name == "free_text" => Self::FreeText,
            None => Self::Declared(name.to_owned()),
        }
    }

    /// Its name in contracts and policies.
    pub fn name(&self) -> &str {
        match self {
            Self::Pii(kind) => kind.class(),
            Self::FreeText => "free_text",
            Self::Declared(name) => name,
        }
    }
}

impl fmt::Display for ColumnClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a classification comes from, most trusted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The contract says so.
    Contract,
    /// The values say so, whatever the column is called.
    Values,
    /// The name says so, and the values have the shape.
    NameAndShape,
    /// The name alone says so.
    Name,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    /// The class; `None` when nothing speaks for personal data.
    pub class: Option<ColumnClass>,
    /// From 0 to 1; of a column without a class, that there is none.
    pub confidence: f32,
    /// The most trusted source that spoke.
    pub source: Source,
}

impl Classification {
    /// Whether the class is a guess that a person should confirm; it is masked until then.
    pub fn is_suspected(&self) -> bool {
        self.class.is_some() && (self.source == Source::Name || self.confidence < VALID_MIN)
    }
}

/// Classifies columns. Holds the scanner's tables and nothing else; make it once and share it.
#[derive(Debug)]
pub struct Classifier {
    scanner: Scanner,
}

impl Default for Classifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Classifier {
    /// A classifier that knows every kind.
    pub fn new() -> Self {
        Self { scanner: Scanner::new(PiiKinds::all()) }
    }

    /// Classifies one column from its name, type, contract class, and non-null values as text. Looks at 65,536 values and
    /// judges 2,048 distinct ones at most; the caller picks them from the whole column, not from its beginning.
    pub fn classify<'a>(
        &self,
        column_name: &str,
        column_type: ColumnType,
        contract_class: Option<&str>,
        sample: impl Iterator<Item = &'a str>,
    ) -> Classification {
        if let Some(class) = contract_class {
            return Classification {
                class: Some(ColumnClass::named(class)),
                confidence: 1.0,
                source: Source::Contract,
            };
        }
        let header = Header::read(column_name);
        let claim = header.claim.as_ref().filter(|claim| can_hold(column_type, &claim.class));
        match column_type {
            ColumnType::Boolean | ColumnType::Double => nothing(&Values::default()),
            // A date of birth looks like any other: the name decides, the type is its shape.
            ColumnType::Date | ColumnType::Timestamptz => claim.map_or_else(
                || nothing(&Values::default()),
                |claim| found(claim.class.clone(), VALID_MIN, Source::NameAndShape),
            ),
            ColumnType::Text | ColumnType::Integer | ColumnType::Bigint | ColumnType::Decimal { .. } => {
                let values = Values::of(&self.scanner, column_type != ColumnType::Text, sample);
                judge(claim, header.names_a_thing, &values)
            }
        }
    }
}

/// Weighs the name's claim and the values against each other.
fn judge(claim: Option<&Claim>, names_a_thing: bool, values: &Values) -> Classification {
    let by_values = decisive_kind(claim, values).or_else(|| person(claim, names_a_thing, values));
    if let Some((kind, share)) = by_values {
        return found(ColumnClass::Pii(kind), share, Source::Values);
    }
    if let Some((class, share)) = claim.and_then(|claim| Some((&claim.class, agreement(claim, values)?))) {
        return found(class.clone(), SHAPED_CONFIDENCE + VALID_CONFIDENCE * share, Source::NameAndShape);
    }
    let (worded_share, worded) = values.worded_found();
    let holds_findings =
        (worded_share >= WORDED_FOUND_MIN.0 && worded >= WORDED_FOUND_MIN.1) || values.bare_found() >= BARE_FOUND_MIN;
    if values.prose() >= PROSE_MIN || holds_findings {
        let share = values.prose().max(worded_share).max(values.bare_found());
        return found(ColumnClass::FreeText, share.min(0.8), Source::Values);
    }
    match claim {
        Some(claim) if values.is_empty() => found(claim.class.clone(), NAME_CONFIDENCE, Source::Name),
        Some(claim) if !claim.vague => found(claim.class.clone(), CONTRADICTED_CONFIDENCE, Source::Name),
        _ => nothing(values),
    }
}

/// The kind nine of ten values cannot help being; where several fit, the one the name claims, then the one that fits best.
fn decisive_kind(claim: Option<&Claim>, values: &Values) -> Option<(PiiKind, f32)> {
    let claimed = |kind: PiiKind| claim.is_some_and(|claim| claim.class == ColumnClass::Pii(kind));
    let distinct = PiiKind::ALL.into_iter().map(|kind| (kind, values.distinctive(kind)));
    let best = distinct.filter(|(_, share)| *share >= VALID_MIN).max_by(|(a, a_share), (b, b_share)| {
        claimed(*a).cmp(&claimed(*b)).then(a_share.total_cmp(b_share)).then(b.cmp(a))
    });
    best.or_else(|| mixed_addresses(values))
}

/// IP addresses of which some could be version numbers: `10.0.3.7` between `10.0.3.200`.
fn mixed_addresses(values: &Values) -> Option<(PiiKind, f32)> {
    let valid = values.valid(PiiKind::IpAddress);
    (valid >= VALID_MIN && values.distinctive(PiiKind::IpAddress) >= SHAPED_MIN).then_some((PiiKind::IpAddress, valid))
}

/// A name or an address, as far as the scanner knows them.
fn person(claim: Option<&Claim>, names_a_thing: bool, values: &Values) -> Option<(PiiKind, f32)> {
    let is_vague = claim.is_some_and(|claim| claim.vague);
    let names_min = match (names_a_thing, is_vague) {
        (true, _) => NAMES_OF_THINGS_MIN,
        (false, true) => NAMES_OF_VAGUE_MIN,
        (false, false) => NAMES_MIN,
    };
    let (addresses, names) = (values.addresses(), values.names());
    if addresses >= NAMES_MIN && addresses >= names {
        return Some((PiiKind::Address, addresses));
    }
    (names >= names_min).then_some((PiiKind::Name, names))
}

/// How far values of the shape the name claims also validate; `None` when they have another shape, or there are none.
fn agreement(claim: &Claim, values: &Values) -> Option<f32> {
    let (shaped, valid) = match &claim.class {
        ColumnClass::Pii(_) if claim.vague => return None,
        ColumnClass::Pii(PiiKind::Name | PiiKind::Address) if values.prose() >= PROSE_MIN => return None,
        ColumnClass::Pii(PiiKind::Name) => (values.shaped(PiiKind::Name), values.names()),
        ColumnClass::Pii(PiiKind::Address) => (values.shaped(PiiKind::Address), values.addresses()),
        ColumnClass::Pii(kind) => (values.shaped(*kind), values.valid(*kind)),
        ColumnClass::FreeText => (values.prose(), values.prose()),
        ColumnClass::Declared(_) => return None,
    };
    (shaped >= SHAPED_MIN).then_some(valid)
}

/// Whether a column of a type can hold a class at all: no integer is an e-mail address.
fn can_hold(column_type: ColumnType, class: &ColumnClass) -> bool {
    let ColumnClass::Pii(kind) = class else { return column_type == ColumnType::Text };
    match column_type {
        ColumnType::Text => true,
        ColumnType::Date | ColumnType::Timestamptz => *kind == PiiKind::BirthDate,
        ColumnType::Integer | ColumnType::Bigint | ColumnType::Decimal { scale: 0, .. } => matches!(
            kind,
            PiiKind::Phone
                | PiiKind::Cpf
                | PiiKind::Cnpj
                | PiiKind::Cep
                | PiiKind::Rg
                | PiiKind::PixKey
                | PiiKind::CreditCard
                | PiiKind::Ssn
                | PiiKind::Itin
                | PiiKind::BirthDate
                | PiiKind::Passport
                | PiiKind::DriverLicence
        ),
        ColumnType::Boolean | ColumnType::Double | ColumnType::Decimal { .. } => false,
    }
}

fn found(class: ColumnClass, confidence: f32, source: Source) -> Classification {
    Classification { class: Some(class), confidence: confidence.min(1.0), source }
}

fn nothing(values: &Values) -> Classification {
    let (confidence, source) = if values.is_empty() { (NAME_CONFIDENCE, Source::Name) } else { (0.9, Source::Values) };
    Classification { class: None, confidence, source }
}

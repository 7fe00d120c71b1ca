//! The transforms of the policy: their words, the columns they work on, and the layers that can apply them.
//!
//! Knows the words, not the arithmetic: tokens, encryption and redaction live in `lakebed-mask`. A word that is read is a
//! transform that can be done: a shape nobody knows, a band of no years and a number too short to be encrypted are refused here.

use std::fmt;

use crate::generalise::Generalisation;
use crate::table::ColumnType;

/// Smallest number of values among which FF1 may permute: NIST SP 800-38G Rev. 1 (second draft, 2025), section 5.1.
pub const FPE_DOMAIN_MIN: u64 = 1_000_000;

/// Longest `fpe:digits:<n>`.
const FPE_DIGITS_MAX: u8 = 19;

/// Years a band may have.
const BAND_YEARS: std::ops::RangeInclusive<u16> = 2..=100;

/// Characters that `prefix` may leave: with more, most values would stay whole.
const PREFIX_MAX: usize = 16;

/// What happens to the values of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transform {
    /// Keyed HMAC token of the canonical value: `tok_<key version>_<base32>`. Equal values of one domain give equal tokens.
    Token {
        /// Domain separation: classes that share a domain can be joined on their tokens.
        domain: String,
    },
    /// FF1 encryption into another valid value of the same shape. Reversible with the key: still personal data.
    Fpe {
        /// Domain separation, as of tokens; it is the tweak.
        domain: String,
        /// What the values look like.
        shape: Shape,
    },
    /// Display form: most characters replaced by `*`.
    Partial(Excerpt),
    /// Date or instant cut to the first of January of its year.
    Year,
    /// Date cut to the first of January of the first year of its band of so many years.
    Band(u16),
    /// Date or instant cut to the first of its month.
    Month,
    /// Instant cut to midnight UTC of its day.
    Day,
    /// The first `n` characters.
    Prefix(usize),
    /// Free text: found personal data is replaced by the name of its kind (`[EMAIL]`, `[PHONE]`, …); the rest stays.
    Redact,
    /// NULL.
    Drop,
    /// Unchanged; the explicit way to say that a class may stay in clear.
    Keep,
}

/// A format in which FF1 can encrypt: which characters change and what must hold afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Eleven digits; both check digits recomputed.
    Cpf,
    /// Twelve digits or capital letters and two check digits, which are recomputed; digits stay digits.
    Cnpj,
    /// 13 to 19 digits; the first six (the issuer) stay, the check digit is recomputed.
    CreditCard,
    /// Country and area code stay, and what tells a mobile number; the rest changes.
    Phone,
    /// Eight or nine digits, all of which change.
    PostalCode,
    /// Exactly so many digits, all of which change.
    Digits(u8),
}

/// A display form: what is left to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excerpt {
    /// `j***@d***.com`
    Email,
    /// `****1234`: the last four digits.
    CreditCard,
    /// `***.456.789-**`: the six digits in the middle.
    Cpf,
    /// `**.345.678/****-**`: six digits of the root.
    Cnpj,
    /// `****1234`: the last four digits.
    Phone,
    /// `J*** S***`: initials.
    FullName,
}

/// A layer of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Parquet in the source's rows, the first layer behind `raw/`.
    Bronze,
    /// Iceberg tables merged from bronze.
    Silver,
    /// Iceberg tables computed from silver.
    Gold,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bronze => "bronze",
            Self::Silver => "silver",
            Self::Gold => "gold",
        })
    }
}

/// Why a word of the policy is no transform. Says what is allowed instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WordError {
    /// No such word.
    Unknown,
    /// The word is known; what it is applied to, or its argument, is not.
    Refused(String),
}

impl Transform {
    /// Reads the word of a class; `domain` separates its tokens.
    pub(crate) fn parse(word: &str, class: &str, domain: &str) -> Result<Self, WordError> {
        let (name, argument) = word.split_once(':').map_or((word, None), |(name, argument)| (name, Some(argument)));
        let shown = argument.unwrap_or(class);
        Ok(match (name, argument) {
            ("token", None) => Self::Token { domain: domain.to_owned() },
            ("fpe", _) => Self::Fpe { domain: domain.to_owned(), shape: Shape::parse(shown)? },
            ("partial", _) => Self::Partial(Excerpt::parse(shown)?),
            ("year", None) => Self::Year,
            ("month", None) => Self::Month,
            ("day", None) => Self::Day,
            ("band", Some(band)) => Self::Band(band_years(band)?),
            ("prefix", Some(count)) => Self::Prefix(prefix_characters(count)?),
            ("redact", None) => Self::Redact,
            ("drop", None) => Self::Drop,
            ("keep", None) => Self::Keep,
            _ => return Err(WordError::Unknown),
        })
    }

    /// The column types it works on; empty when it works on any.
    pub fn column_types(&self) -> &'static [ColumnType] {
        match self {
            Self::Token { .. } | Self::Fpe { .. } | Self::Partial(_) | Self::Prefix(_) | Self::Redact => {
                &[ColumnType::Text]
            }
            Self::Year | Self::Month => &[ColumnType::Date, ColumnType::Timestamptz],
            Self::Band(_) => &[ColumnType::Date],
            // A date is a day already: `day` would let it through unmasked.
            Self::Day => &[ColumnType::Timestamptz],
            Self::Drop | Self::Keep => &[],
        }
    }

    /// Whether it works on a column type.
    pub fn fits(&self, column_type: ColumnType) -> bool {
        let types = self.column_types();
        types.is_empty() || types.contains(&column_type)
    }

    /// The types it works on, in words; empty when it works on any.
    pub fn needs(&self) -> String {
        let names: Vec<String> = self.column_types().iter().map(ColumnType::to_string).collect();
        names.join(" or ")
    }

    /// How coarse it makes dates and instants; `None` for the other transforms.
    pub fn generalisation(&self) -> Option<Generalisation> {
        match self {
            Self::Year => Some(Generalisation::Year),
            Self::Band(years) => Some(Generalisation::Band(*years)),
            Self::Month => Some(Generalisation::Month),
            Self::Day => Some(Generalisation::Day),
            _ => None,
        }
    }

    /// Whether it can be done behind bronze, where values are masked already and there is no key.
    pub fn needs_no_key(&self) -> bool {
        matches!(self, Self::Drop | Self::Keep | Self::Prefix(_)) || self.generalisation().is_some()
    }
}

impl fmt::Display for Transform {
    /// The word of the policy, without the domain.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { .. } => f.write_str("token"),
            Self::Fpe { shape: Shape::Digits(count), .. } => write!(f, "fpe:digits:{count}"),
            Self::Fpe { .. } => f.write_str("fpe"),
            Self::Partial(_) => f.write_str("partial"),
            Self::Year => f.write_str("year"),
            Self::Band(years) => write!(f, "band:{years}y"),
            Self::Month => f.write_str("month"),
            Self::Day => f.write_str("day"),
            Self::Prefix(count) => write!(f, "prefix:{count}"),
            Self::Redact => f.write_str("redact"),
            Self::Drop => f.write_str("drop"),
            Self::Keep => f.write_str("keep"),
        }
    }
}

fn prefix_characters(text: &str) -> Result<usize, WordError> {
    let count: usize = text.parse().map_err(|_| WordError::Unknown)?;
    if count > PREFIX_MAX {
        return Err(WordError::Refused(format!(
            "`prefix` takes 0 to {PREFIX_MAX} characters; with more, most values would stay as they are; `keep` says so"
        )));
    }
    Ok(count)
}

fn band_years(text: &str) -> Result<u16, WordError> {
    let years = text.strip_suffix('y').and_then(|years| years.parse().ok()).filter(|years| BAND_YEARS.contains(years));
    years.ok_or_else(|| {
        WordError::Refused(format!(
            "`band` takes {} to {} years, as in `band:5y`",
            BAND_YEARS.start(),
            BAND_YEARS.end()
        ))
    })
}

impl Shape {
    /// By the name of the class that looks so.
    fn parse(name: &str) -> Result<Self, WordError> {
        Ok(match name {
            "cpf" => Self::Cpf,
            "cnpj" => Self::Cnpj,
            "credit_card" => Self::CreditCard,
            "phone" => Self::Phone,
            "postal_code" => Self::PostalCode,
            other => {
                let Some(count) = other.strip_prefix("digits:").and_then(|count| count.parse::<u8>().ok()) else {
                    return Err(WordError::Refused(format!(
                        "`fpe` does not know the shape `{other}`; known: cpf, cnpj, credit_card, phone, postal_code, \
                         digits:<n>, written `fpe:<shape>` where the class has another name"
                    )));
                };
                if 10u64.checked_pow(u32::from(count)).is_some_and(|values| values < FPE_DOMAIN_MIN) {
                    return Err(WordError::Refused(format!(
                        "`fpe:digits:{count}` has fewer than {FPE_DOMAIN_MIN} values, which FF1 must not encrypt \
                         (NIST SP 800-38G Rev. 1): such values can be found by trying all of them; use `token` or `drop`"
                    )));
                }
                if count > FPE_DIGITS_MAX {
                    return Err(WordError::Refused(format!("`fpe:digits` takes at most {FPE_DIGITS_MAX} digits")));
                }
                Self::Digits(count)
            }
        })
    }
}

impl Excerpt {
    /// By the name of the class that is shown so.
    fn parse(name: &str) -> Result<Self, WordError> {
        Ok(match name {
            "email" => Self::Email,
            "credit_card" => Self::CreditCard,
            "cpf" => Self::Cpf,
            "cnpj" => Self::Cnpj,
            "phone" => Self::Phone,
            "full_name" => Self::FullName,
            other => {
                return Err(WordError::Refused(format!(
                    "`partial` does not know how to show `{other}`; known: email, credit_card, cpf, cnpj, phone, \
                     full_name, written `partial:<class>` where the class has another name"
                )));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(word: &str, class: &str) -> Result<Transform, WordError> {
        Transform::parse(word, class, class)
    }

    #[test]
    fn words_are_read_and_shown_again() {
        for word in [
            "token",
            "fpe",
            "fpe:digits:9",
            "partial",
            "year",
            "band:5y",
            "month",
            "day",
            "prefix:3",
            "redact",
            "drop",
            "keep",
        ] {
            assert_eq!(parse(word, "cpf").map(|transform| transform.to_string()), Ok(word.to_owned()));
        }
        let phone = parse("fpe:phone", "contact");
        assert_eq!(phone, Ok(Transform::Fpe { domain: "contact".into(), shape: Shape::Phone }));
        assert_eq!(parse("partial:email", "contact"), Ok(Transform::Partial(Excerpt::Email)));
    }

    #[test]
    fn what_is_no_transform_is_refused() {
        for word in ["md5", "token:x", "year:2", "band", "prefix", "prefix:x", "prefix:-1", "keep:all", ""] {
            assert_eq!(parse(word, "cpf"), Err(WordError::Unknown), "{word}");
        }
        let refused = |word: &str, class: &str, says: &str| match parse(word, class) {
            Err(WordError::Refused(reason)) => assert!(reason.contains(says), "{word}: {reason}"),
            other => panic!("{word} on {class} gave {other:?}"),
        };
        refused("fpe", "email", "shape `email`");
        refused("fpe:digits:5", "zip", "fewer than 1000000 values");
        refused("fpe:digits:0", "zip", "fewer than 1000000 values");
        refused("fpe:digits:20", "zip", "at most 19");
        refused("fpe:digits:x", "zip", "known: cpf");
        refused("partial", "birth_date", "show `birth_date`");
        refused("prefix:17", "zip", "0 to 16 characters");
        refused("prefix:100", "zip", "0 to 16 characters");
        for band in ["band:5", "band:1y", "band:101y", "band:y", "band:-5y"] {
            refused(band, "birth_date", "2 to 100 years");
        }
    }

    #[test]
    fn each_transform_has_its_types() {
        let fits = |word: &str, types: &[ColumnType]| {
            let transform = parse(word, "cpf").expect("a transform");
            for column_type in [ColumnType::Text, ColumnType::Date, ColumnType::Timestamptz, ColumnType::Bigint] {
                assert_eq!(transform.fits(column_type), types.contains(&column_type), "{word} on {column_type}");
            }
        };
        let all = [ColumnType::Text, ColumnType::Date, ColumnType::Timestamptz, ColumnType::Bigint];
        for word in ["token", "fpe", "partial", "prefix:2", "redact"] {
            fits(word, &all[..1]);
        }
        fits("year", &all[1..3]);
        fits("month", &all[1..3]);
        fits("band:5y", &all[1..2]);
        fits("day", &all[2..3]);
        fits("drop", &all);
        fits("keep", &all);
        assert_eq!(parse("year", "cpf").map(|year| year.needs()), Ok("date or timestamptz".to_owned()));
    }
}

//! What a column holds, and one value of it at a time.
//!
//! Most values are ordinary; a few lie at the ends of their type, where encoders break. What a class says is personal is drawn
//! in the form its masking expects and recorded as planted, unless the policy lets it through. A class nobody knows gets
//! random letters, which cannot stand anywhere by chance. Whole numbers decide everything, so every platform draws the same.

use lakebed_contract::{Column, ColumnType, Policy, Timestamp, Transform};
use rand::{Rng as _, RngCore};

use super::value::Value;
use super::words;
use crate::beer::names::{per_mille, person, pick};
use crate::beer::pii;
use crate::truth::{KeyPart, PlantedValue, class};

/// 2010-01-01T00:00:00Z: the first of the months in which generated moments lie.
const FIRST_MOMENT: Timestamp = Timestamp::from_seconds(1_262_304_000);
/// 2012-01-01T00:00:00Z, twenty-four months later.
const END_MOMENT: Timestamp = Timestamp::from_seconds(1_325_376_000);
/// 0001-01-01 and 9999-12-31 in days since 1970-01-01.
const EXTREME_DAYS: [i32; 2] = [-719_162, 2_932_896];
const MICROS_PER_DAY: i64 = 86_400_000_000;
const NULL_PER_MILLE: u32 = 100;
const EXTREME_PER_MILLE: u32 = 8;
/// Letters of a value of an unknown class.
const OPAQUE_LETTERS: usize = 14;
/// Endings of the names of text columns that hold one of a few words.
const KIND_ENDINGS: &[&str] = &["kind", "type", "status", "state", "category", "level", "role", "country", "currency"];

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    Boolean,
    Integer,
    Bigint,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Date,
    /// An instant of the twenty-four months, or with `extremes` at times the first or last of the calendar.
    Moment {
        extremes: bool,
    },
    /// One word out of a few.
    Kind,
    Phrase,
    /// Free text with planted values; without `planted` the policy lets it through in clear.
    Prose {
        planted: bool,
    },
    /// A personal datum that is a whole value.
    Personal {
        form: Form,
        /// Class of the planted value and whether it counts as standing in a text; `None` when the policy lets it through.
        planted: Option<(String, bool)>,
    },
}

/// How a personal datum looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Email,
    FullName,
    Phone,
    Cpf,
    PostalCode,
    Opaque,
}

impl Draw {
    /// What a column holds, by its type, its class and what the policy does with the class.
    pub(crate) fn of(column: &Column, policy: &Policy, partitions: bool) -> Self {
        match (column.column_type, &column.class) {
            (ColumnType::Text, Some(class)) => personal(class, policy.transform(class)),
            (ColumnType::Text, None) => {
                let last = column.name.rsplit('_').next().unwrap_or_default();
                if KIND_ENDINGS.contains(&last) { Self::Kind } else { Self::Phrase }
            }
            (ColumnType::Boolean, _) => Self::Boolean,
            (ColumnType::Integer, _) => Self::Integer,
            (ColumnType::Bigint, _) => Self::Bigint,
            (ColumnType::Double, _) => Self::Double,
            (ColumnType::Decimal { precision, scale }, _) => Self::Decimal { precision, scale },
            (ColumnType::Date, _) => Self::Date,
            (ColumnType::Timestamptz, _) => Self::Moment { extremes: !partitions },
        }
    }

    /// A value, or NULL now and then where `nullable`.
    pub(crate) fn value(&self, rng: &mut impl RngCore, nullable: bool, planted: &mut Vec<PlantedValue>) -> Value {
        if nullable && per_mille(rng, NULL_PER_MILLE) {
            return Value::Null;
        }
        match self {
            Self::Boolean => Value::Boolean(per_mille(rng, 500)),
            Self::Integer => Value::integer(integer(rng)),
            Self::Bigint => Value::integer(bigint(rng)),
            Self::Double => Value::Double(double(rng)),
            Self::Decimal { precision, scale } => {
                Value::Decimal { unscaled: unscaled(rng, *precision, *scale), scale: *scale }
            }
            Self::Date => Value::Part(KeyPart::Date(day(rng))),
            Self::Moment { extremes } => Value::Part(KeyPart::Instant(moment(rng, *extremes))),
            Self::Kind => Value::text(words::kind(rng)),
            Self::Phrase => Value::text(words::phrase(rng)),
            Self::Prose { planted: true } => Value::text(words::prose(rng, planted)),
            Self::Prose { planted: false } => Value::text(words::prose(rng, &mut Vec::new())),
            Self::Personal { form, planted: recorded } => {
                let text = form.text(rng);
                if let Some((class, in_text)) = recorded {
                    planted.push(PlantedValue { class: class.clone(), value: text.clone(), in_text: *in_text });
                }
                Value::text(text)
            }
        }
    }

    /// A value for a part of a key: never NULL, never at the end of its type.
    pub(crate) fn key_part(&self, rng: &mut impl RngCore) -> KeyPart {
        match self {
            Self::Date => KeyPart::Date(ordinary_day(rng)),
            Self::Moment { .. } => KeyPart::Instant(moment(rng, false)),
            Self::Integer | Self::Bigint => KeyPart::Integer(rng.random_range(0..1_000)),
            _ => KeyPart::Text(words::kind(rng).to_owned()),
        }
    }
}

fn personal(class_name: &str, transform: Option<&Transform>) -> Draw {
    let form = match form_of(class_name, transform) {
        Some(form) => form,
        None if transform == Some(&Transform::Redact) || class_name == "free_text" => {
            return Draw::Prose { planted: transform != Some(&Transform::Keep) };
        }
        None => Form::Opaque,
    };
    let class = match form {
        Form::Email => class::EMAIL.to_owned(),
        Form::FullName => class::NAME.to_owned(),
        Form::Phone => class::PHONE.to_owned(),
        Form::Cpf => class::CPF.to_owned(),
        // Postal codes are short numbers, which stand in other places by chance.
        Form::PostalCode => return Draw::Personal { form, planted: None },
        Form::Opaque => class_name.to_ascii_uppercase(),
    };
    let planted = match transform {
        Some(Transform::Keep) | None => None,
        // Half of a value is no longer that value; more may be all of it.
        Some(Transform::Prefix(count)) if *count > form.length_min() / 2 => None,
        Some(transform) => Some((class, *transform == Transform::Redact)),
    };
    Draw::Personal { form, planted }
}

/// The form of a class that has one, by its own name or by the domain in which its tokens join.
fn form_of(class: &str, transform: Option<&Transform>) -> Option<Form> {
    let by_name = |name: &str| {
        Some(match name {
            "email" => Form::Email,
            "full_name" => Form::FullName,
            "phone" => Form::Phone,
            "cpf" => Form::Cpf,
            "postal_code" => Form::PostalCode,
            _ => return None,
        })
    };
    by_name(class).or_else(|| match transform {
        Some(Transform::Token { domain }) => by_name(domain),
        _ => None,
    })
}

impl Form {
    fn text(self, rng: &mut impl RngCore) -> String {
        match self {
            Self::Email => {
                let (first, last) = person(rng);
                let tail = rng.random_range(10..1_000_000).to_string();
                pii::email(rng, first, last, &tail)
            }
            Self::FullName => {
                let (first, last) = person(rng);
                format!("{first} {last}")
            }
            Self::Phone => {
                let international = per_mille(rng, 500);
                if per_mille(rng, 300) { pii::phone_br(rng, international) } else { pii::phone_us(rng) }
            }
            Self::Cpf => pii::cpf_formatted(pii::cpf_digits(rng)),
            Self::PostalCode => pii::postal_code_br(rng),
            Self::Opaque => (0..OPAQUE_LETTERS).map(|_| char::from(rng.random_range(b'A'..=b'Z'))).collect(),
        }
    }

    /// Characters of the shortest value.
    fn length_min(self) -> usize {
        match self {
            Self::Email => 16,
            Self::FullName => 5,
            Self::PostalCode => 9,
            Self::Phone | Self::Cpf | Self::Opaque => 14,
        }
    }
}

fn integer(rng: &mut impl RngCore) -> i64 {
    match per_mille(rng, EXTREME_PER_MILLE) {
        true => i64::from(*pick(rng, &[i32::MIN, i32::MAX, 0, -1])),
        false => rng.random_range(0..10_000),
    }
}

/// One in thirty is beyond 2^53, where a reader that takes JSON numbers for floating point goes wrong.
fn bigint(rng: &mut impl RngCore) -> i64 {
    match rng.random_range(0..1_000) {
        roll if roll < EXTREME_PER_MILLE => *pick(rng, &[i64::MIN, i64::MAX, 0, -1]),
        roll if roll < EXTREME_PER_MILLE + 30 => rng.random_range(1 << 53..i64::MAX),
        _ => rng.random_range(0..1_000_000),
    }
}

fn double(rng: &mut impl RngCore) -> f64 {
    match per_mille(rng, EXTREME_PER_MILLE) {
        true => *pick(rng, &[f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, -1e-300, 0.1 + 0.2, 0.0]),
        false => f64::from(rng.random_range(-1_000_000..1_000_000)) / 1_000.0,
    }
}

fn unscaled(rng: &mut impl RngCore, precision: u8, scale: u8) -> i128 {
    let end = |digits: u8| 10_i128.pow(u32::from(digits));
    if per_mille(rng, EXTREME_PER_MILLE) {
        let most = end(precision) - 1;
        return *pick(rng, &[most, -most, 0]);
    }
    rng.random_range(0..end(precision.min(scale.saturating_add(4))))
}

fn ordinary_day(rng: &mut impl RngCore) -> i32 {
    // From 1950 on, so that years of birth look like some.
    rng.random_range(-7_305..15_000)
}

fn day(rng: &mut impl RngCore) -> i32 {
    if per_mille(rng, EXTREME_PER_MILLE) { *pick(rng, &EXTREME_DAYS) } else { ordinary_day(rng) }
}

fn moment(rng: &mut impl RngCore, extremes: bool) -> i64 {
    if extremes && per_mille(rng, EXTREME_PER_MILLE) {
        let [first, last] = EXTREME_DAYS.map(i64::from);
        return *pick(rng, &[first * MICROS_PER_DAY, (last + 1) * MICROS_PER_DAY - 1]);
    }
    rng.random_range(FIRST_MOMENT.0..END_MOMENT.0)
}

#[cfg(test)]
mod tests {
    use lakebed_contract::Seed;

    use super::*;

    fn column(name: &str, column_type: ColumnType, class: Option<&str>) -> Column {
        let class = class.map(str::to_owned);
        Column { name: name.to_owned(), column_type, nullable: true, is_key: false, class, former_names: Vec::new() }
    }

    fn policy() -> Policy {
        let classes = "email: {bronze: token}, contact: {bronze: token, domain: phone}, iban: {bronze: drop}, \
                       note: {bronze: redact}, cep: {bronze: 'prefix:3'}, open: {bronze: keep}, postal_code: {bronze: 'prefix:3'}";
        Policy::from_yaml(&format!("version: 1\nclasses: {{{classes}}}\n")).expect("a policy")
    }

    /// Form and planted class of a text column of `class`.
    fn check(class: &str, form: Form, planted: Option<&str>) {
        let Draw::Personal { form: found, planted: recorded } =
            Draw::of(&column("c", ColumnType::Text, Some(class)), &policy(), false)
        else {
            panic!("{class}")
        };
        assert_eq!((found, recorded.as_ref().map(|(class, _)| class.as_str())), (form, planted), "{class}");
    }

    #[test]
    fn classes_decide_the_form_and_what_is_planted() {
        check("email", Form::Email, Some("EMAIL"));
        check("contact", Form::Phone, Some("PHONE"));
        check("iban", Form::Opaque, Some("IBAN"));
        check("cep", Form::Opaque, Some("CEP"));
        check("open", Form::Opaque, None);
        check("postal_code", Form::PostalCode, None);
        let note = Draw::of(&column("note", ColumnType::Text, Some("note")), &policy(), false);
        assert_eq!(note, Draw::Prose { planted: true });
        assert_eq!(Draw::of(&column("order_status", ColumnType::Text, None), &policy(), false), Draw::Kind);
        assert_eq!(Draw::of(&column("title", ColumnType::Text, None), &policy(), false), Draw::Phrase);
    }

    #[test]
    fn every_planted_value_is_recorded_and_some_values_are_null() {
        let (mut rng, mut planted) = (Seed(1).rng("draw"), Vec::new());
        let draw = Draw::of(&column("email", ColumnType::Text, Some("email")), &policy(), false);
        let mut nulls = 0;
        for _ in 0..1_000 {
            match draw.value(&mut rng, true, &mut planted) {
                Value::Null => nulls += 1,
                value => assert_eq!(Some(&value), planted.last().map(|p| Value::text(p.value.clone())).as_ref()),
            }
        }
        assert_eq!(planted.len() + nulls, 1_000);
        assert!((60..150).contains(&nulls), "{nulls}");
        assert!((0..1_000).all(|_| draw.value(&mut rng, false, &mut planted) != Value::Null));
    }

    #[test]
    fn numbers_stay_inside_their_types_and_reach_their_ends() {
        let mut rng = Seed(2).rng("numbers");
        let (mut widest, mut precise) = (0, false);
        for _ in 0..20_000 {
            let value = unscaled(&mut rng, 38, 10);
            assert!(value.unsigned_abs() < 10_u128.pow(38));
            widest = widest.max(value);
            assert!(unscaled(&mut rng, 2, 2).abs() < 100);
            assert!(i32::try_from(integer(&mut rng)).is_ok() && double(&mut rng).is_finite());
            precise |= bigint(&mut rng) > 1 << 53;
            assert!((FIRST_MOMENT.0..END_MOMENT.0).contains(&moment(&mut rng, false)));
        }
        assert!(widest == 10_i128.pow(38) - 1 && precise);
    }
}

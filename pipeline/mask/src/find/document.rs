//! Passport and driver's licence numbers: shapes too common to mean anything without their name around.
//!
//! Passports: up to two letters and six to nine digits, eight characters at least (Brazil `AB123456`, US nine digits or a
//! letter and eight). Licences: Brazil's eleven digits with right check digits; else up to two letters and six to fourteen
//! digits, which covers the US states' forms, Florida's and its kin with hyphens.

use super::brazil::is_cnh;
use super::kind::PiiKind;
use super::row::{Row, Run};

/// Letters in front of the digits.
const LETTERS_MAX: usize = 2;

pub(super) fn find(row: &mut Row<'_>, run: Run) {
    if !row.wants(PiiKind::Passport) && !row.wants(PiiKind::DriverLicence) {
        return;
    }
    let letters =
        row.bytes[..run.start].iter().rev().take(LETTERS_MAX).take_while(|byte| byte.is_ascii_uppercase()).count();
    let start = run.start - letters;
    if !row.begins(start) {
        return;
    }
    let is_end = row.ends(run.end);
    if row.wants(PiiKind::Passport) && is_end && matches!((letters, run.len()), (0, 8 | 9) | (1, 7 | 8) | (2, 6 | 7)) {
        row.hit_in_context(PiiKind::Passport, start..run.end);
    }
    if !row.wants(PiiKind::DriverLicence) {
        return;
    }
    match (letters, run.len()) {
        (0, 11) if is_end && is_cnh(&row.bytes[run.start..run.end]) => {
            row.hit_in_context(PiiKind::DriverLicence, start..run.end);
        }
        (0, 11) => {}
        (_, 6..=14) if is_end => row.hit_in_context(PiiKind::DriverLicence, start..run.end),
        (1, 3 | 4) => {
            let shapes = ["ddd~ddd~dd~ddd~d", "ddd~dddd~dddd", "dddd~ddddd~ddddd"];
            if let Some(end) = shapes.iter().find_map(|shape| row.shape(run.start, shape)).filter(|end| row.ends(*end))
            {
                row.hit_in_context(PiiKind::DriverLicence, start..end);
            }
        }
        _ => {}
    }
}

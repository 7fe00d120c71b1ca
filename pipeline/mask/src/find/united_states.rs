//! US numbers of a person: SSN and ITIN, `ddd-dd-dddd`, or nine bare digits next to their name.
//!
//! Rules of the Social Security Administration (no area 000, 666, 9xx; no group 00; no serial 0000) and of the IRS (9xx with
//! the middle 50 to 65, 70 to 88, 90 to 92, 94 to 99).

use super::kind::PiiKind;
use super::row::{Row, Run, digits};

pub(super) fn ssn(row: &mut Row<'_>, run: Run) {
    find(row, run, PiiKind::Ssn);
}

pub(super) fn itin(row: &mut Row<'_>, run: Run) {
    find(row, run, PiiKind::Itin);
}

fn find(row: &mut Row<'_>, run: Run, kind: PiiKind) {
    let end = match run.len() {
        3 if run.after == row.byte(run.end + 3) => row.shape(run.start, "ddd~dd~dddd"),
        9 => Some(run.end),
        _ => None,
    };
    let Some(end) = end.filter(|end| run.begins && row.ends(*end)) else { return };
    if kind_of(&row.bytes[run.start..end]) != Some(kind) {
        return;
    }
    match run.after {
        b'-' if run.len() == 3 => row.hit_boosted(kind, run.start..end, 0.86, 0.98),
        _ => row.hit_in_context(kind, run.start..end),
    }
}

fn kind_of(bytes: &[u8]) -> Option<PiiKind> {
    let (values, _) = digits::<9>(bytes);
    let number = |digits: &[u8]| digits.iter().fold(0, |number, digit| number * 10 + u32::from(*digit));
    match (number(&values[..3]), number(&values[3..5]), number(&values[5..])) {
        (900.., 50..=65 | 70..=88 | 90..=92 | 94..=99, _) => Some(PiiKind::Itin),
        (0 | 666 | 900.., _, _) | (_, 0, _) | (_, _, 0) => None,
        _ => Some(PiiKind::Ssn),
    }
}

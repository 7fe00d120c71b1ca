//! Which of several candidates for the same bytes is kept: the surest, then the longest, then the left-most.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::kind::Finding;

/// Candidates that are compared each with each.
const FEW: usize = 32;

/// Sorts candidates by place and takes out those that overlap a better one.
pub(super) fn resolve(found: &mut Vec<Finding>) {
    let overlaps = |pair: &[Finding]| pair[0].end > pair[1].start;
    if found.is_sorted_by(|one, next| one.start <= next.start) && !found.windows(2).any(overlaps) {
        return;
    }
    if found.len() <= FEW { resolve_few(found) } else { resolve_many(found) }
}

/// Goes through the candidates from the surest to the least sure.
fn resolve_many(found: &mut Vec<Finding>) {
    found.sort_by(surer_first);
    // By their starts. None of them overlap, so only the neighbours can be in the way.
    let mut kept: BTreeMap<usize, Finding> = BTreeMap::new();
    for finding in found.iter() {
        let before = kept.range(..finding.start).next_back();
        let behind = kept.range(finding.start..).next();
        let is_free = before.is_none_or(|(_, before)| before.end <= finding.start)
            && behind.is_none_or(|(start, _)| finding.end <= *start);
        if is_free {
            kept.insert(finding.start, *finding);
        }
    }
    found.clear();
    found.extend(kept.into_values());
}

/// The better of two first; no two candidates are alike.
fn surer_first(one: &Finding, other: &Finding) -> Ordering {
    let length = |finding: &Finding| finding.end - finding.start;
    let sureness = other.score.total_cmp(&one.score).then(length(other).cmp(&length(one)));
    sureness.then(one.start.cmp(&other.start)).then(one.kind.cmp(&other.kind))
}

/// Takes the best of what is left, and out what overlaps it, until nothing is left. The square of a few is little.
fn resolve_few(found: &mut Vec<Finding>) {
    let mut kept = 0;
    while kept < found.len() {
        let rest = kept..found.len();
        let Some(best) = rest.min_by(|one, other| surer_first(&found[*one], &found[*other])) else { break };
        found.swap(kept, best);
        let best = found[kept];
        kept += 1;
        let mut free = kept;
        for at in kept..found.len() {
            if found[at].end <= best.start || best.end <= found[at].start {
                found.swap(free, at);
                free += 1;
            }
        }
        found.truncate(free);
    }
    found.sort_unstable_by_key(|finding| finding.start);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::kind::PiiKind;
    use super::*;

    proptest! {
        #[test]
        fn few_and_many_are_resolved_alike(
            candidates in prop::collection::vec((0usize..40, 1usize..9, 0u8..4, 0usize..4), 0..=FEW),
        ) {
            let finding = |&(start, length, score, kind): &(usize, usize, u8, usize)| Finding {
                kind: PiiKind::ALL[kind], start, end: start + length, score: f32::from(score) / 4.0,
            };
            let mut few: Vec<Finding> = candidates.iter().map(finding).collect();
            let mut many = few.clone();
            resolve_few(&mut few);
            resolve_many(&mut many);
            prop_assert_eq!(few, many);
        }
    }

    #[test]
    fn the_surest_then_longest_then_leftmost_is_kept() {
        let check = |candidates: &[(usize, usize, f32)], expected: &[(usize, usize)]| {
            let finding = |&(start, end, score)| Finding { kind: PiiKind::Phone, start, end, score };
            let mut found: Vec<Finding> = candidates.iter().map(finding).collect();
            resolve(&mut found);
            assert_eq!(found.iter().map(|finding| (finding.start, finding.end)).collect::<Vec<_>>(), expected);
        };
        check(&[], &[]);
        check(&[(4, 6, 0.5), (0, 4, 0.5)], &[(0, 4), (4, 6)]);
        check(&[(0, 9, 0.5), (2, 4, 0.9)], &[(2, 4)]);
        check(&[(0, 4, 0.5), (2, 9, 0.5)], &[(2, 9)]);
        check(&[(2, 6, 0.5), (0, 4, 0.5)], &[(0, 4)]);
        check(&[(0, 4, 0.5), (3, 7, 0.9), (6, 9, 0.5), (9, 10, 0.1)], &[(3, 7), (9, 10)]);
    }

    /// Every second one overlaps both neighbours and is less sure than they are; the surest stand last, so that each one kept
    /// goes before all kept so far. A cost that grows with the square would take minutes here.
    #[test]
    fn very_many_candidates_are_resolved() {
        const CANDIDATES: usize = 200_000;
        let candidate = |place: usize| Finding {
            kind: PiiKind::Phone,
            start: 2 * place,
            end: 2 * place + 3,
            score: place as f32 / (2 * CANDIDATES) as f32 + if place.is_multiple_of(2) { 0.5 } else { 0.0 },
        };
        let mut found: Vec<Finding> = (0..CANDIDATES).map(candidate).collect();
        resolve(&mut found);
        assert_eq!(found.len(), CANDIDATES / 2);
        assert!(found.iter().enumerate().all(|(place, finding)| finding.start == 4 * place));
    }
}

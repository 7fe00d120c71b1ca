//! Which of several candidates for the same bytes is kept: the surest, then the longest, then the left-most.

use super::kind::Finding;

/// Sorts candidates by place and takes out those that overlap a better one.
pub(super) fn resolve(found: &mut Vec<Finding>) {
    let overlaps = |pair: &[Finding]| pair[0].end > pair[1].start;
    if found.is_sorted_by(|one, next| one.start <= next.start) && !found.windows(2).any(overlaps) {
        return;
    }
    found.sort_by(|one, other| {
        let length = |finding: &Finding| finding.end - finding.start;
        let sureness = other.score.total_cmp(&one.score).then(length(other).cmp(&length(one)));
        sureness.then(one.start.cmp(&other.start)).then(one.kind.cmp(&other.kind))
    });
    let mut kept: Vec<Finding> = Vec::with_capacity(found.len());
    for finding in found.iter() {
        let at = kept.partition_point(|kept| kept.start < finding.start);
        let free = at.checked_sub(1).is_none_or(|before| kept[before].end <= finding.start);
        if free && kept.get(at).is_none_or(|next| finding.end <= next.start) {
            kept.insert(at, *finding);
        }
    }
    *found = kept;
}

#[cfg(test)]
mod tests {
    use super::super::kind::PiiKind;
    use super::*;

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
}

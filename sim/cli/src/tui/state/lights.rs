//! The judge's word on each invariant. One that was not judged yet has none: it is neither pass nor fail.

use lakebed_contract::event::Outcome;

/// Invariants there are.
pub(crate) const INVARIANTS: usize = 10;

/// `I1` to `I10`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lights {
    by_number: [Option<Outcome>; INVARIANTS],
}

impl Lights {
    pub(crate) fn take(&mut self, invariant: &str, outcome: Outcome) {
        let number: Option<usize> = invariant.strip_prefix('I').and_then(|number| number.parse().ok());
        if let Some(light) = number.and_then(|number| self.by_number.get_mut(number.checked_sub(1)?)) {
            *light = Some(outcome);
        }
    }

    /// Number and word of each, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, Option<Outcome>)> {
        self.by_number.iter().enumerate().map(|(at, light)| (at + 1, *light))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_invariants_have_a_light() {
        let mut lights = Lights::default();
        for name in ["I1", "I10", "I11", "I0", "x"] {
            lights.take(name, Outcome::Pass);
        }
        let lit: Vec<_> = lights.all().filter(|(_, light)| light.is_some()).map(|(number, _)| number).collect();
        assert_eq!(lit, [1, 10]);
    }
}

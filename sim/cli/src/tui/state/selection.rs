//! A place in a list that may grow, shrink and be filtered under it.

/// Which line is selected. Remembers a number only; whoever shows the list clamps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    at: usize,
}

impl Selection {
    /// The selected line of a list of `length`; `None` when it is empty.
    pub(crate) fn of(self, length: usize) -> Option<usize> {
        (length > 0).then(|| self.at.min(length - 1))
    }

    /// Moves by `lines`, staying in a list of `length`.
    pub(crate) fn step(&mut self, lines: isize, length: usize) {
        let from = self.of(length).unwrap_or(0);
        self.at = from.saturating_add_signed(lines).min(length.saturating_sub(1));
    }

    /// Back to the first line.
    pub(crate) fn reset(&mut self) {
        self.at = 0;
    }

    /// The first line to show when `height` lines fit, so that the selected one is among them.
    pub(crate) fn first_shown(self, length: usize, height: usize) -> usize {
        let Some(at) = self.of(length) else { return 0 };
        let middle = at.saturating_sub(height / 2);
        middle.min(length.saturating_sub(height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_stays_in_its_list_and_on_the_screen() {
        let mut selection = Selection::default();
        assert_eq!(selection.of(0), None);
        selection.step(-3, 10);
        assert_eq!(selection.of(10), Some(0));
        selection.step(isize::MAX, 10);
        assert_eq!((selection.of(10), selection.of(4)), (Some(9), Some(3)), "a list that shrank");
        assert_eq!(selection.first_shown(10, 4), 6);
        selection.step(-4, 10);
        assert_eq!(selection.first_shown(10, 4), 3);
        assert_eq!(selection.first_shown(3, 4), 0);
        selection.step(1, 0);
        assert_eq!(selection.of(5), Some(0));
    }
}

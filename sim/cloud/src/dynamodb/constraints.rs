//! Constraints of request members, and AWS's sentence about every one that is broken.
//!
//! All broken constraints of a request are told in one message, in the order they were asked for. The message quotes
//! the value, as AWS does; so only members that hold names, numbers and positions are asked about here, never items.

use super::answer::Failure;

/// Collects broken constraints.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    broken: Vec<String>,
}

impl Constraints {
    /// The member must be there, with a length within bounds.
    pub(super) fn text(&mut self, member: &str, value: Option<&str>, (least, most): (usize, usize)) {
        match value {
            None => self.is_missing(member),
            Some(_) => self.optional_text(member, value, (least, most)),
        }
    }

    /// If the member is there, its length is within bounds.
    pub(super) fn optional_text(&mut self, member: &str, value: Option<&str>, (least, most): (usize, usize)) {
        let Some(value) = value else { return };
        let length = value.chars().count();
        if length < least {
            self.fails(member, value, &format!("Member must have length greater than or equal to {least}"));
        } else if length > most {
            self.fails(member, value, &format!("Member must have length less than or equal to {most}"));
        }
    }

    /// The member must be there and one of `allowed`.
    pub(super) fn one_of(&mut self, member: &str, value: Option<&str>, allowed: &[&str]) {
        match value {
            Some(value) if !allowed.contains(&value) => {
                let set = allowed.join(", ");
                self.fails(member, value, &format!("Member must satisfy enum value set: [{set}]"));
            }
            Some(_) => {}
            None => self.is_missing(member),
        }
    }

    /// If the page size is given, it is between one and `most`.
    pub(super) fn page(&mut self, member: &str, value: Option<i64>, most: usize) {
        let Some(value) = value else { return };
        if value < 1 {
            self.fails(member, &value.to_string(), "Member must have value greater than or equal to 1");
        } else if usize::try_from(value).is_ok_and(|value| value > most) {
            self.fails(member, &value.to_string(), &format!("Member must have value less than or equal to {most}"));
        }
    }

    /// Refuses the request if anything was broken.
    pub(super) fn check(self) -> Result<(), Failure> {
        let count = self.broken.len();
        if count == 0 {
            return Ok(());
        }
        let plural = if count == 1 { "" } else { "s" };
        let told = self.broken.join("; ");
        Err(Failure::validation(&format!("{count} validation error{plural} detected: {told}")))
    }

    fn is_missing(&mut self, member: &str) {
        self.broken.push(format!("Value null at '{member}' failed to satisfy constraint: Member must not be null"));
    }

    fn fails(&mut self, member: &str, value: &str, constraint: &str) {
        self.broken.push(format!("Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"));
    }
}

/// A page size that has passed [`Constraints::page`], or the largest one.
pub(super) fn page_size(asked: Option<i64>, most: usize) -> usize {
    asked.and_then(|asked| usize::try_from(asked).ok()).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_within_bounds_passes() {
        let mut constraints = Constraints::default();
        constraints.text("shardIterator", Some("abc"), (1, 3));
        constraints.optional_text("sequenceNumber", None, (21, 40));
        constraints.one_of("type", Some("A"), &["A", "B"]);
        constraints.page("limit", Some(1), 100);
        constraints.page("limit", Some(100), 100);
        constraints.check().unwrap();
        assert_eq!(page_size(Some(7), 100), 7);
        assert_eq!(page_size(None, 100), 100);
    }

    #[test]
    fn everything_broken_is_told_at_once_in_the_words_of_aws() {
        let mut constraints = Constraints::default();
        constraints.text("streamArn", None, (37, 1024));
        constraints.page("limit", Some(0), 100);
        constraints.page("limit", Some(101), 100);
        constraints.one_of("type", Some("C"), &["A", "B"]);
        constraints.optional_text("shardId", Some("short"), (28, 65));
        let told = format!("{:?}", constraints.check().unwrap_err());
        for expected in [
            "5 validation errors detected: Value null at 'streamArn' failed to satisfy constraint: Member must not be \
             null; Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to \
             1; ",
            "Value '101' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 100; ",
            "Value 'C' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [A, B]; ",
            "Value 'short' at 'shardId' failed to satisfy constraint: Member must have length greater than or equal \
             to 28",
        ] {
            assert!(told.contains(expected), "{told}");
        }
    }
}

//! What a lifecycle configuration means: which objects a rule is about, and from which moment on they have to go.
//!
//! Days count from the moment a version was written (or stopped being current, or an upload began) and are rounded up to
//! the next midnight UTC, as in AWS. Pure functions of rules, an object and moments. Who asks when is [`super::sweeper`];
//! how rules are written in XML, and which are refused, is [`super::lifecycle_document`].

use lakebed_contract::Timestamp;
use serde::{Deserialize, Serialize};

use super::tagging::Tags;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) is_enabled: bool,
    pub(super) form: Form,
    pub(super) selection: Selection,
    pub(super) expiration: Option<Expiration>,
    pub(super) non_current: Option<NonCurrentExpiration>,
    /// Days after its beginning that an upload has to be completed in.
    pub(super) upload_days: Option<i32>,
}

/// How the selection was written, to give it back alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Form {
    /// The old prefix of the rule itself.
    Prefix,
    /// A filter of at most one condition.
    Filter,
    /// A filter of several.
    And,
}

/// What a rule is about. All that is there must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Selection {
    pub(super) prefix: Option<String>,
    #[serde(default)]
    pub(super) tags: Tags,
    pub(super) size_greater_than: Option<i64>,
    pub(super) size_less_than: Option<i64>,
}

/// When the current version expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Expiration {
    Days(i32),
    Date(Timestamp),
    /// Not at all, but delete markers without versions are removed, if this is `true`.
    LoneMarkers(bool),
}

/// When versions that are not current go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NonCurrentExpiration {
    pub(super) days: i32,
    /// So many of the newest of them stay.
    pub(super) newer: Option<i32>,
}

/// A version of an object, as far as rules look at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version<'a> {
    pub(super) key: &'a str,
    pub(super) size: u64,
    pub(super) tags: &'a Tags,
    pub(super) is_marker: bool,
    pub(super) written_at: Timestamp,
    pub(super) place: Place,
}

/// Where a version stands among those of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The latest; `is_only` if there is no other.
    Latest { is_only: bool },
    /// Since then not the latest; `newer` are the versions that are not the latest either and newer than this one.
    NonCurrent { since: Timestamp, newer: usize },
}

/// What has to become of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// As a DeleteObject without a version does it.
    Expire,
    /// This version goes for good.
    Remove,
}

impl Selection {
    fn selects(&self, key: &str, size: u64, tags: &Tags) -> bool {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        self.has_prefix_of(key)
            && self.tags.iter().all(|(key, value)| tags.get(key) == Some(value))
            && self.size_greater_than.is_none_or(|bound| size > bound)
            && self.size_less_than.is_none_or(|bound| size < bound)
    }

    fn has_prefix_of(&self, key: &str) -> bool {
        self.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix))
    }

    pub(super) fn has_sizes(&self) -> bool {
        self.size_greater_than.is_some() || self.size_less_than.is_some()
    }
}

impl Rule {
    fn selects(&self, version: &Version<'_>) -> bool {
        if version.is_marker && (self.selection.has_sizes() || !self.selection.tags.is_empty()) {
            // A marker has neither.
            return false;
        }
        self.is_enabled && self.selection.selects(version.key, version.size, version.tags)
    }

    fn fate(&self, version: &Version<'_>, now: Timestamp) -> Option<Fate> {
        match version.place {
            Place::NonCurrent { since, newer } => {
                let rule = self.non_current.as_ref()?;
                let kept = rule.newer.and_then(|newer| usize::try_from(newer).ok()).unwrap_or(0);
                (newer >= kept && due(since, rule.days) <= now).then_some(Fate::Remove)
            }
            Place::Latest { is_only } if version.is_marker => {
                // A rule by age removes markers of that age too.
                let is_due = match self.expiration? {
                    Expiration::LoneMarkers(is_on) => is_on,
                    Expiration::Days(_) | Expiration::Date(_) => self.expires_at(version.written_at)? <= now,
                };
                (is_only && is_due).then_some(Fate::Remove)
            }
            Place::Latest { .. } => (self.expires_at(version.written_at)? <= now).then_some(Fate::Expire),
        }
    }

    /// When a version that was written then expires, if it is the latest.
    fn expires_at(&self, written_at: Timestamp) -> Option<Timestamp> {
        match self.expiration? {
            Expiration::Days(days) => Some(due(written_at, days)),
            Expiration::Date(date) => Some(date),
            Expiration::LoneMarkers(_) => None,
        }
    }
}

/// What has to become of a version now. What removes it wins over what hides it.
pub(super) fn fate(rules: &[Rule], version: &Version<'_>, now: Timestamp) -> Option<Fate> {
    let selecting = rules.iter().filter(|rule| rule.selects(version));
    selecting.filter_map(|rule| rule.fate(version, now)).max_by_key(|fate| *fate == Fate::Remove)
}

/// When the latest version expires, and the rule that says so; the earliest counts.
pub(super) fn expiry<'r>(rules: &'r [Rule], version: &Version<'_>) -> Option<(Timestamp, &'r str)> {
    let selecting = rules.iter().filter(|rule| rule.selects(version));
    let moments = selecting.filter_map(|rule| Some((rule.expires_at(version.written_at)?, rule.id.as_str())));
    moments.min_by_key(|(at, _)| *at)
}

/// When an upload that began then is aborted, and the rule that says so.
pub(super) fn upload_expiry<'r>(rules: &'r [Rule], key: &str, began_at: Timestamp) -> Option<(Timestamp, &'r str)> {
    let selecting = rules.iter().filter(|rule| rule.is_enabled && rule.selection.has_prefix_of(key));
    let moments = selecting.filter_map(|rule| Some((due(began_at, rule.upload_days?), rule.id.as_str())));
    moments.min_by_key(|(at, _)| *at)
}

/// So many days after a moment, and then the next midnight UTC.
pub(super) fn due(from: Timestamp, days: i32) -> Timestamp {
    next_midnight(Timestamp(from.0.saturating_add(i64::from(days).saturating_mul(DAY_MICROS))))
}

/// The first midnight UTC behind a moment.
pub(super) fn next_midnight(after: Timestamp) -> Timestamp {
    Timestamp(after.0.div_euclid(DAY_MICROS).saturating_add(1).saturating_mul(DAY_MICROS))
}

/// Whether a moment is a midnight UTC.
pub(super) fn is_midnight(at: Timestamp) -> bool {
    at.0.rem_euclid(DAY_MICROS) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: Timestamp = Timestamp(10 * DAY_MICROS + DAY_MICROS / 2);
    const ONLY: Place = Place::Latest { is_only: true };

    fn rule(id: &str, expiration: Option<Expiration>) -> Rule {
        Rule {
            id: id.to_owned(),
            is_enabled: true,
            form: Form::Filter,
            selection: Selection::default(),
            expiration,
            non_current: None,
            upload_days: None,
        }
    }

    fn version(tags: &Tags, place: Place) -> Version<'_> {
        Version { key: "logs/a", size: 100, tags, is_marker: false, written_at: NOON, place }
    }

    fn day(number: i64) -> Timestamp {
        Timestamp(number * DAY_MICROS)
    }

    #[test]
    fn days_are_rounded_up_to_a_midnight() {
        // AWS's example: 2014-01-15 10:30 and three days make 2014-01-19 00:00.
        let written = Timestamp::from_seconds(1_389_781_800);
        assert_eq!(due(written, 3).to_string(), "2014-01-19T00:00:00.000000Z");
        assert_eq!(next_midnight(day(3)), day(4));
        assert!(is_midnight(day(3)) && !is_midnight(NOON));
    }

    #[test]
    fn the_current_version_expires_by_age_or_date() {
        let tags = Tags::new();
        let by_age = [rule("age", Some(Expiration::Days(2)))];
        assert_eq!(fate(&by_age, &version(&tags, ONLY), day(12)), None);
        assert_eq!(fate(&by_age, &version(&tags, ONLY), day(13)), Some(Fate::Expire));
        let by_date = [rule("date", Some(Expiration::Date(day(11))))];
        assert_eq!(fate(&by_date, &version(&tags, ONLY), NOON), None);
        assert_eq!(fate(&by_date, &version(&tags, ONLY), day(11)), Some(Fate::Expire));
        let both = [by_age[0].clone(), by_date[0].clone()];
        assert_eq!(expiry(&both, &version(&tags, ONLY)), Some((day(11), "date")));
        let disabled = [Rule { is_enabled: false, ..by_date[0].clone() }];
        assert_eq!(expiry(&disabled, &version(&tags, ONLY)), None);
    }

    #[test]
    fn a_marker_goes_when_it_is_alone() {
        let tags = Tags::new();
        let marker = |place| Version { is_marker: true, ..version(&tags, place) };
        let shared = Place::Latest { is_only: false };
        let clean = [rule("clean", Some(Expiration::LoneMarkers(true)))];
        assert_eq!(fate(&clean, &marker(ONLY), NOON), Some(Fate::Remove));
        assert_eq!(fate(&clean, &marker(shared), NOON), None);
        assert_eq!(fate(&clean, &version(&tags, ONLY), day(99)), None);
        let off = [rule("off", Some(Expiration::LoneMarkers(false)))];
        assert_eq!(fate(&off, &marker(ONLY), NOON), None);
        let by_age = [rule("age", Some(Expiration::Days(1)))];
        assert_eq!(fate(&by_age, &marker(ONLY), day(11)), None);
        assert_eq!(fate(&by_age, &marker(ONLY), day(12)), Some(Fate::Remove));
        let mut sized = by_age[0].clone();
        sized.selection.size_less_than = Some(1_000);
        assert_eq!(fate(&[sized], &marker(ONLY), day(12)), None);
    }

    #[test]
    fn versions_that_are_not_current_go_but_the_newest_stay() {
        let tags = Tags::new();
        let mut rule = rule("old", None);
        rule.non_current = Some(NonCurrentExpiration { days: 1, newer: Some(2) });
        let fate = |newer, now| {
            super::fate(std::slice::from_ref(&rule), &version(&tags, Place::NonCurrent { since: NOON, newer }), now)
        };
        assert_eq!((fate(1, day(99)), fate(2, day(11)), fate(2, day(12))), (None, None, Some(Fate::Remove)));
        assert_eq!(super::fate(std::slice::from_ref(&rule), &version(&tags, ONLY), day(99)), None);
    }

    #[test]
    fn a_selection_holds_as_a_whole() {
        let tags = Tags::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let base = Selection { prefix: Some("logs/".to_owned()), ..Selection::default() };
        let selects = |selection: &Selection| selection.selects("logs/a", 100, &tags);
        assert!(selects(&base) && !base.selects("log", 100, &tags));
        assert!(selects(&Selection { tags: Tags::from([("a".to_owned(), "1".to_owned())]), ..base.clone() }));
        assert!(!selects(&Selection { tags: Tags::from([("a".to_owned(), "2".to_owned())]), ..base.clone() }));
        assert!(!selects(&Selection { size_greater_than: Some(100), ..base.clone() }));
        assert!(selects(&Selection { size_greater_than: Some(99), size_less_than: Some(101), ..base.clone() }));
        assert!(!selects(&Selection { size_less_than: Some(100), ..base }));
    }

    #[test]
    fn uploads_are_aborted_by_prefix_and_age() {
        let mut rule = rule("uploads", None);
        rule.selection.prefix = Some("logs/".to_owned());
        rule.upload_days = Some(7);
        let rules = [rule];
        assert_eq!(upload_expiry(&rules, "logs/a", NOON), Some((day(18), "uploads")));
        assert_eq!(upload_expiry(&rules, "other", NOON), None);
    }

    proptest! {
        #[test]
        fn expiry_is_a_midnight_less_than_a_day_late(written in 0_i64..4_000_000_000_000_000, days in 1_i32..4_000) {
            let at = due(Timestamp(written), days);
            let exact = written + i64::from(days) * DAY_MICROS;
            prop_assert!(is_midnight(at));
            prop_assert!(at.0 > exact && at.0 - exact <= DAY_MICROS);
        }

        #[test]
        fn what_is_announced_is_when_it_happens(written in 0_i64..4_000_000_000_000_000, days in 1_i32..400) {
            let (tags, rules) = (Tags::new(), [rule("age", Some(Expiration::Days(days)))]);
            let version = Version { written_at: Timestamp(written), ..version(&tags, ONLY) };
            let (at, _) = expiry(&rules, &version).expect("a date");
            prop_assert_eq!(fate(&rules, &version, Timestamp(at.0 - 1)), None);
            prop_assert_eq!(fate(&rules, &version, at), Some(Fate::Expire));
        }
    }
}

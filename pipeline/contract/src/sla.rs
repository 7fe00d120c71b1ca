//! Service levels of a contract: how old data may be when it arrives, and how often it must come; read from `slaProperties`.
//!
//! `latency` and `frequency` of ODCS v3.1.0 are kept, under the standard's names and short names in any case. What would not be
//! carried out as it is written is refused: an unknown property (a misspelt one would be no promise at all), an unknown field or
//! unit, a value that is no time, an element that is no column of dates or instants, or one whose ages would tell what is masked.
//! Other properties of the standard, and when and by what another checker asks, are accepted and not read. Here is also what a
//! broken level is told by: names and times, and no value of a row. Knows no rows and no clock.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_norway::Value;

use crate::clock::Timestamp;
use crate::odcs_quality::Entry;
use crate::table::{Column, ColumnType};

/// What a table's data must keep. Data that does not is told of and not kept out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceLevels {
    /// How old the newest value of a column may be when an object arrives.
    pub latencies: Vec<Latency>,
    /// Time from one object's arrival in which the next one must come.
    pub frequency: Option<Duration>,
}

/// How old the newest value of a column may be when an object arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Name of the column, of type `timestamptz` or `date`.
    pub column: String,
    /// The age allowed.
    pub allowed: Duration,
}

impl Latency {
    /// What is told of an object of `table` that has come too late. `newest` is the newest value of the column in it; one ahead
    /// of `now` has no age.
    pub fn breach(&self, table: &str, newest: Timestamp, now: Timestamp) -> Option<String> {
        let age = now.since(newest);
        (age > self.allowed).then(|| {
            let (age, allowed) = (shown(age), shown(self.allowed));
            format!("in table `{table}` the newest `{}` is {age} old, latency allows {allowed}", self.column)
        })
    }
}

impl ServiceLevels {
    /// Names of the columns whose newest values are asked for.
    pub fn columns(&self) -> BTreeSet<&str> {
        self.latencies.iter().map(|latency| latency.column.as_str()).collect()
    }

    /// What is told of `table` if its last object in bronze arrived too long ago.
    pub fn overdue(&self, table: &str, last: Timestamp, now: Timestamp) -> Option<String> {
        let (allowed, waited) = (self.frequency?, now.since(last));
        (waited > allowed).then(|| {
            let (waited, allowed) = (shown(waited), shown(allowed));
            format!("table `{table}` got its last object that is in bronze {waited} ago, frequency allows {allowed}")
        })
    }
}

/// A time in the two largest units that say something.
fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let Some(first) = units.iter().position(|(count, _)| *count > 0) else { return format!("{time:?}") };
    let said = units.iter().skip(first).take(2).filter(|(count, _)| *count > 0);
    said.map(|(count, unit)| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

/// Fields of an entry. Those that are not asked for describe it.
const FIELDS: [&str; 10] =
    ["id", "property", "value", "valueExt", "unit", "element", "driver", "description", "scheduler", "schedule"];

/// Properties of the standard that nobody here carries out, in lower case, and their short names.
const DESCRIPTIVE: &str = "availability av throughput th errorrate er generalavailability ga endofsupport es endoflife el \
     retention re timeofavailability timetodetect td timetonotify tn timetorepair tr";

/// Reads the entries of a table's contract. `default_element` is the `slaDefaultElement` of older files.
pub(crate) fn read(
    entries: &[Entry],
    default_element: Option<&str>,
    table: &str,
    columns: &[Column],
) -> Result<ServiceLevels, String> {
    let mut levels = ServiceLevels::default();
    for (at, entry) in entries.iter().enumerate() {
        let reader = Reader { entry, default_element, table, columns };
        reader.read(&mut levels).map_err(|why| format!("entry {} of slaProperties {why}", at + 1))?;
    }
    Ok(levels)
}

/// One entry, and what it may speak of.
struct Reader<'e> {
    entry: &'e Entry,
    default_element: Option<&'e str>,
    table: &'e str,
    columns: &'e [Column],
}

impl Reader<'_> {
    fn read(&self, levels: &mut ServiceLevels) -> Result<(), String> {
        if let Some(unknown) = self.entry.keys().find(|field| !FIELDS.contains(&field.as_str())) {
            return Err(format!("has the unknown field `{unknown}`; known: {}", FIELDS.join(", ")));
        }
        let property = self.word("property")?.ok_or("has no `property`")?;
        match property.to_ascii_lowercase().as_str() {
            "latency" | "ly" => {
                let allowed = self.time()?;
                let elements = self.elements()?;
                if elements.is_empty() {
                    return Err(format!(
                        "needs an `element`, the column whose newest value counts: {}.COLUMN",
                        self.table
                    ));
                }
                for element in elements {
                    levels.latencies.push(Latency { column: self.moments(element)?.name.clone(), allowed });
                }
            }
            "frequency" | "fy" => {
                // Objects arrive, not columns; one that is named must be there all the same.
                for element in self.elements()?.into_iter().filter(|element| *element != self.table) {
                    self.column(element)?;
                }
                // Of several the shortest is broken first.
                let time = self.time()?;
                levels.frequency = Some(levels.frequency.map_or(time, |other| other.min(time)));
            }
            "freshness" => return Err("has the property `freshness`; the standard calls it `latency`".to_owned()),
            other if DESCRIPTIVE.split(' ').any(|accepted| accepted == other) => {}
            _ => {
                return Err(format!(
                    "has the unknown property `{property}`; carried out are latency and frequency, accepted are availability, \
                     throughput, errorRate, generalAvailability, endOfSupport, endOfLife, retention, timeOfAvailability, \
                     timeToDetect, timeToNotify, timeToRepair"
                ));
            }
        }
        Ok(())
    }

    /// A field that is one word, if it is there.
    fn word(&self, field: &str) -> Result<Option<&str>, String> {
        let Some(value) = self.entry.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| format!("has a `{field}` that is no text"))
    }

    /// `value` and `unit`.
    fn time(&self) -> Result<Duration, String> {
        let value = self.entry.get("value").and_then(Value::as_f64).filter(|value| *value > 0.0);
        let value = value.ok_or("has a `value` that is no number above 0")?;
        let more = self.entry.get("valueExt").filter(|more| !more.is_null());
        if more.is_some_and(|more| more.as_f64() != Some(value)) {
            return Err("has a `valueExt` that is not its `value`; only one time is carried out".to_owned());
        }
        let seconds = match self.word("unit")?.ok_or("needs a `unit`")? {
            "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "wk" | "week" | "weeks" => 7.0 * 86_400.0,
            "y" | "yr" | "year" | "years" => 365.0 * 86_400.0,
            unit => {
                return Err(format!(
                    "has the unknown unit `{unit}`; known: s, min, h, d, w, y (365 d), and their names; m is a minute, months \
                     are of no one length"
                ));
            }
        };
        Duration::try_from_secs_f64(value * seconds).map_err(|_| "has a `value` that is no time".to_owned())
    }

    /// What the entry speaks of, without the table's name before a column.
    fn elements(&self) -> Result<Vec<&str>, String> {
        let Some(elements) = self.word("element")?.or(self.default_element) else { return Ok(Vec::new()) };
        let of_table = |element: &'_ str| match element.split_once('.') {
            Some((table, _)) if table != self.table => {
                Err(format!("has the element `{element}` of another table; this contract describes `{}`", self.table))
            }
            _ => Ok(()),
        };
        elements
            .split(',')
            .map(str::trim)
            .map(|element| of_table(element).map(|()| element.split_once('.').map_or(element, |(_, column)| column)))
            .collect()
    }

    fn column(&self, name: &str) -> Result<&Column, String> {
        let found = self.columns.iter().find(|column| column.name == name);
        found.ok_or_else(|| format!("has the element `{name}`, which is no column of `{}`", self.table))
    }

    /// A column whose values are moments that may be told of.
    fn moments(&self, name: &str) -> Result<&Column, String> {
        let column = self.column(name)?;
        if !matches!(column.column_type, ColumnType::Timestamptz | ColumnType::Date) {
            let kind = column.column_type;
            return Err(format!(
                "has the element `{name}` of type {kind}; a latency is of a timestamptz or date column"
            ));
        }
        match &column.class {
            None => Ok(column),
            Some(class) => Err(format!(
                "has the element `{name}` of the PII class `{class}`; its newest value's age would show what is masked"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::table::TableContract;

    use super::*;

    /// A contract of table `t` with these `slaProperties`.
    fn contract(entries: &str) -> Result<ServiceLevels, String> {
        let text = format!(
            "apiVersion: v3.1.0\nkind: DataContract\nversion: 1.0.0\n{entries}\nschema:\n  - name: t\n    physicalName: s.t\n    \
             properties:\n      - {{name: id, physicalType: bigint, primaryKey: true}}\n      \
             - {{name: seen_at, physicalType: timestamptz}}\n      - {{name: day, physicalType: date}}\n      \
             - {{name: born, physicalType: date, classification: birth_date}}\n"
        );
        let table = TableContract::from_odcs_yaml("t.yaml", &text).map_err(|error| error.to_string())?;
        Ok(table.service_levels)
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3_600)
    }

    #[track_caller]
    fn check(entry: &str, why: &str) {
        let refused = contract(&format!("slaProperties:\n  - {entry}")).expect_err("must be refused");
        assert!(refused.contains("entry 1 of slaProperties ") && refused.contains(why), "{refused}");
    }

    /// The example of the standard, as far as it fits the table.
    #[test]
    fn levels_are_read_as_the_standard_writes_them() {
        let levels = contract(
            "slaProperties:\n  \
             - {id: a, property: latency, value: 4, unit: d, element: t.seen_at, scheduler: cron, schedule: 0 30 * * *}\n  \
             - {property: generalAvailability, value: 2022-05-12T09:30:10-08:00, description: GA at 12.5.22}\n  \
             - {property: retention, value: 3, unit: y, element: t.seen_at}\n  \
             - {property: frequency, value: 1, valueExt: 1, unit: d, element: t.seen_at}\n  \
             - {property: timeOfAvailability, value: '09:00-08:00', element: t.seen_at, driver: regulatory}\n  \
             - {property: LY, value: 90, unit: min, element: 'seen_at, t.day'}\n  \
             - {property: fy, value: 0.5, unit: hour, element: t}",
        )
        .expect("valid");
        let latency = |column: &str, allowed| Latency { column: column.to_owned(), allowed };
        let expected = [
            latency("seen_at", hours(96)),
            latency("seen_at", Duration::from_secs(5_400)),
            latency("day", Duration::from_secs(5_400)),
        ];
        assert_eq!(levels.latencies, expected);
        assert_eq!(levels.frequency, Some(Duration::from_secs(1_800)), "the shorter one");
        assert_eq!(levels.columns().into_iter().collect::<Vec<_>>(), ["day", "seen_at"]);
        let older = contract("slaDefaultElement: t.day\nslaProperties: [{property: latency, value: 1, unit: years}]");
        assert_eq!(older.expect("valid").latencies, [latency("day", hours(365 * 24))]);
        assert_eq!(contract("").expect("valid"), ServiceLevels::default());
    }

    #[test]
    fn what_would_not_be_carried_out_is_refused() {
        let latency = |rest: &str| format!("{{property: latency, {rest}}}");
        check(&latency("value: 4, unit: d, elment: t.seen_at"), "unknown field `elment`");
        check(&latency("value: 4, unit: d"), "needs an `element`");
        check(&latency("value: 4, unit: d, element: seen"), "`seen`, which is no column of `t`");
        check(&latency("value: 4, unit: d, element: u.seen_at"), "`u.seen_at` of another table");
        check(&latency("value: 4, unit: d, element: id"), "`id` of type bigint");
        check(&latency("value: 4, unit: d, element: born"), "PII class `birth_date`");
        check(&latency("value: -4, unit: d, element: seen_at"), "no number above 0");
        check(&latency("value: four, unit: d, element: seen_at"), "no number above 0");
        check(&latency("value: .inf, unit: d, element: seen_at"), "no time");
        check(&latency("value: 4, element: seen_at"), "needs a `unit`");
        check(&latency("value: 4, unit: months, element: seen_at"), "unknown unit `months`");
        check(&latency("value: 4, valueExt: 5, unit: d, element: seen_at"), "`valueExt`");
        check("{property: frequency, value: 0, unit: d}", "no number above 0");
        check("{property: frequency, value: 1, unit: d, element: t.seen}", "`seen`, which is no column");
        check("{property: freshness, value: 4, unit: d, element: seen_at}", "calls it `latency`");
        check("{property: latencey, value: 4, unit: d, element: seen_at}", "unknown property `latencey`");
        check("{value: 4, unit: d, element: seen_at}", "has no `property`");
    }

    #[test]
    fn what_is_broken_is_told_in_names_and_times() {
        let (now, ago) = (Timestamp::from_seconds(1_700_000_000), |hours: i64| 1_700_000_000 - hours * 3_600);
        let latency = Latency { column: "seen_at".into(), allowed: hours(96) };
        let told = |newest: i64| latency.breach("t", Timestamp::from_seconds(newest), now);
        assert_eq!((told(ago(96)), told(ago(-5))), (None, None), "at the limit, and ahead of the clock");
        let expected = "in table `t` the newest `seen_at` is 4 d 2 h old, latency allows 4 d";
        assert_eq!(told(ago(98)).as_deref(), Some(expected));
        let levels = ServiceLevels { latencies: Vec::new(), frequency: Some(hours(1)) };
        let told = |last: i64| levels.overdue("t", Timestamp::from_seconds(last), now);
        assert_eq!(told(ago(1)), None);
        assert_eq!(
            told(ago(1) - 61).as_deref(),
            Some("table `t` got its last object that is in bronze 1 h 1 min ago, frequency allows 1 h")
        );
        assert_eq!(ServiceLevels::default().overdue("t", Timestamp(0), now), None);
        assert_eq!(shown(Duration::from_millis(1_500)), "1 s");
        assert_eq!(shown(Duration::from_millis(500)), "500ms");
    }
}

//! Numbers as people read them: medians with their spread, and units.

use super::super::record::Sample;

/// Median and ends of some samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Spread {
    /// Of any values; `None` of none.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, low, high })
    }

    /// Of one figure of each sample; `None` when a sample lacks it.
    pub(super) fn of_figure(samples: &[Sample], name: &str) -> Option<Self> {
        let values: Option<Vec<f64>> = samples.iter().map(|sample| sample.figures.get(name).copied()).collect();
        Self::of(values?)
    }

    pub(super) fn of_wall(samples: &[Sample]) -> Option<Self> {
        Self::of(samples.iter().map(|sample| sample.wall_ms))
    }

    pub(super) fn of_cpu(samples: &[Sample]) -> Option<Self> {
        let values: Option<Vec<f64>> = samples.iter().map(|sample| sample.cpu_ms).collect();
        Self::of(values?)
    }

    pub(super) fn of_memory(samples: &[Sample]) -> Option<Self> {
        let values: Option<Vec<f64>> =
            samples.iter().map(|sample| sample.peak_rss_bytes.map(|bytes| bytes as f64)).collect();
        Self::of(values?)
    }

    /// Each value divided.
    pub(super) fn per(self, divisor: f64) -> Self {
        Self { median: self.median / divisor, low: self.low / divisor, high: self.high / divisor }
    }

    /// `1.23 (1.20 to 1.31)`.
    pub(super) fn shown(self) -> String {
        format!("{} ({} to {})", number(self.median), number(self.low), number(self.high))
    }
}

/// Three significant digits, thousands grouped, no exponent.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let digits = if size >= 100.0 || size == 0.0 {
        0
    } else if size >= 10.0 {
        1
    } else if size >= 1.0 {
        2
    } else {
        3
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, fraction)| (whole, Some(fraction)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match fraction {
        Some(fraction) => format!("{sign}{grouped}.{fraction}"),
        None => format!("{sign}{grouped}"),
    }
}

/// `12 MiB`.
pub(super) fn mebibytes(bytes: f64) -> String {
    number(bytes / (1024.0 * 1024.0))
}

/// A Markdown table.
pub(super) fn markdown(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &mut dyn Iterator<Item = String>| -> String {
        let mut text = String::from("|");
        for cell in cells {
            text.push(' ');
            text.push_str(&cell.replace('|', "\\|").replace('\n', " "));
            text.push_str(" |");
        }
        text.push('\n');
        text
    };
    let mut text = line(&mut header.iter().map(|cell| (*cell).to_owned()));
    text.push_str(&line(&mut header.iter().map(|_| "---".to_owned())));
    for row in rows {
        text.push_str(&line(&mut row.iter().cloned()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_digits() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, low: 1.0, high: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, low: 1.0, high: 4.0 }));
        assert_eq!(Spread::of([]), None);
        let shown: Vec<_> = [0.0, 0.0123, 1.234, 12.34, 123.4, 1_234_567.8].map(number).into();
        assert_eq!(shown, ["0", "0.012", "1.23", "12.3", "123", "1,234,568"]);
        assert_eq!(markdown(&["a"], &[vec!["x|y\nz".to_owned()]]), "| a |\n| --- |\n| x\\|y z |\n");
    }
}

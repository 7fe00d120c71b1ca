//! Plots as SVG: horizontal bars with their spread. Plain text, no script, readable on light and dark pages.

use std::fmt::Write as _;

use super::super::definition::Work;
use super::super::record::{Benchmark, ContenderResult, Outcome, Record, Role, Sample};
use super::figures::{Spread, number};

const WIDTH: f64 = 760.0;
const LABEL_WIDTH: f64 = 170.0;
/// Room for the value behind the longest bar.
const VALUE_WIDTH: f64 = 110.0;
const ROW_HEIGHT: f64 = 30.0;
const BAR_HEIGHT: f64 = 16.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 16.0;

struct Bar {
    label: String,
    class: &'static str,
    spread: Spread,
}

/// One plot per benchmark in which somebody was measured, by the benchmark's name.
pub(super) fn of_record(record: &Record) -> Vec<(String, String)> {
    record.benchmarks.iter().filter_map(|benchmark| Some((benchmark.name.clone(), of_benchmark(benchmark)?))).collect()
}

fn of_benchmark(benchmark: &Benchmark) -> Option<String> {
    let (title, better, bars) = match benchmark.work {
        Work::CsvToParquet => (
            "wall time of the whole process, s".to_owned(),
            "shorter",
            contender_bars(benchmark, |samples| Some(Spread::of_wall(samples)?.per(1e3))),
        ),
        Work::Store if benchmark.connections == 1 => (
            "median time of a call, µs".to_owned(),
            "shorter",
            contender_bars(benchmark, |samples| Spread::of_figure(samples, "p50_us")),
        ),
        Work::Store => (
            format!("calls per second over {} connections", benchmark.connections),
            "longer",
            contender_bars(benchmark, |samples| Spread::of_figure(samples, "calls_per_s")),
        ),
        Work::Demo => ("time by stage; stages overlap, s".to_owned(), "shorter", stage_bars(benchmark)),
    };
    (!bars.is_empty()).then(|| svg(&format!("{}: {title}; {better} is better", benchmark.name), &bars))
}

fn contender_bars(benchmark: &Benchmark, spread: impl Fn(&[Sample]) -> Option<Spread>) -> Vec<Bar> {
    let bar = |contender: &ContenderResult| {
        let Outcome::Measured { samples } = &contender.outcome else { return None };
        let class = match contender.role {
            Role::Ours => "ours",
            Role::Control | Role::Floor => "floor",
            Role::Theirs => "theirs",
        };
        Some(Bar { label: contender.name.clone(), class, spread: spread(samples)? })
    };
    benchmark.contenders.iter().filter_map(bar).collect()
}

fn stage_bars(benchmark: &Benchmark) -> Vec<Bar> {
    let samples = benchmark.contenders.iter().find_map(|contender| match &contender.outcome {
        Outcome::Measured { samples } => Some(samples.as_slice()),
        _ => None,
    });
    let Some(samples) = samples else { return Vec::new() };
    let total = Spread::of_wall(samples).map(|spread| ("whole process".to_owned(), "floor", spread));
    let names = samples.first().into_iter().flat_map(|sample| sample.figures.keys());
    let stages = names
        .filter_map(|name| Some((name.strip_suffix("_ms")?.to_owned(), "ours", Spread::of_figure(samples, name)?)));
    stages.chain(total).map(|(label, class, spread)| Bar { label, class, spread: spread.per(1e3) }).collect()
}

fn svg(title: &str, bars: &[Bar]) -> String {
    let height = TOP + BOTTOM + ROW_HEIGHT * bars.len() as f64;
    let longest = bars.iter().map(|bar| bar.spread.high).fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / longest;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{0}\">\n\
         <title>{0}</title>\n<style>\n\
         text {{ font: 13px system-ui, sans-serif; fill: #1f2328 }}\n.title {{ font-weight: 600 }}\n\
         .ours {{ fill: #b8621b }} .theirs {{ fill: #6e7b8a }} .floor {{ fill: #c9ced6 }}\n\
         line {{ stroke: #1f2328; stroke-width: 1.5 }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} line {{ stroke: #e6edf3 }} .floor {{ fill: #59636e }} }}\n\
         </style>\n<text class=\"title\" x=\"8\" y=\"24\">{0}</text>\n",
        escaped(title)
    );
    for (at, bar) in bars.iter().enumerate() {
        let top = TOP + ROW_HEIGHT * at as f64;
        let middle = top + BAR_HEIGHT / 2.0;
        let [width, low, high] = [bar.spread.median, bar.spread.low, bar.spread.high].map(|value| value * scale);
        writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{}\" x=\"{LABEL_WIDTH:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT:.1}\"/>\
             <line x1=\"{:.1}\" y1=\"{middle:.1}\" x2=\"{:.1}\" y2=\"{middle:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LABEL_WIDTH - 8.0,
            middle + 4.5,
            escaped(&bar.label),
            bar.class,
            LABEL_WIDTH + low,
            LABEL_WIDTH + high,
            LABEL_WIDTH + high + 8.0,
            middle + 4.5,
            number(bar.spread.median),
        )
        .expect("writing to a String cannot fail");
    }
    text.push_str("</svg>\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

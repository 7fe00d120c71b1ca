//! How well the scanner finds what the labelled corpus labels: precision, recall, F1 and F2 per kind.
//!
//! A finding is a hit when it has the label's kind and the two overlap by at least half of the longer one; a label is hit
//! once. Thresholds are asserted on the unseen split, of which only counts are printed: a detector must never be mended by
//! looking at what it missed there. Misses of the dev split are printed with `--nocapture`; all values are fictional.
//! The format of the corpus is described beside it.

use std::collections::BTreeMap;

use lakebed_mask::{Finding, PiiKind, PiiKinds, Scanner};

const DEV: [(&str, &str); 2] =
    [("dev-en", include_str!("../corpus/dev-en.txt")), ("dev-pt", include_str!("../corpus/dev-pt.txt"))];
const UNSEEN: [(&str, &str); 2] =
    [("unseen-en", include_str!("../corpus/unseen-en.txt")), ("unseen-pt", include_str!("../corpus/unseen-pt.txt"))];

/// Labels of a kind below which a split says nothing about it.
const LABELS_MIN: usize = 15;

/// A sentence and what it holds.
struct Sentence {
    text: String,
    labels: Vec<Label>,
}

#[derive(Clone, Copy)]
struct Label {
    kind: PiiKind,
    start: usize,
    end: usize,
}

fn kind_named(name: &str) -> PiiKind {
    PiiKind::ALL.into_iter().find(|kind| kind.name() == name).expect("labels are names of kinds")
}

fn parse(line: &str) -> Sentence {
    let line = line.replace("\\n", "\n");
    let (mut text, mut labels, mut rest) = (String::new(), Vec::new(), line.as_str());
    while let Some((before, label)) = rest.split_once('⟦') {
        let (label, after) = label.split_once('⟧').expect("each label is closed");
        let (kind, value) = label.split_once(':').expect("each label has a kind");
        text.push_str(before);
        let start = text.len();
        text.push_str(value);
        labels.push(Label { kind: kind_named(kind), start, end: text.len() });
        rest = after;
    }
    text.push_str(rest);
    Sentence { text, labels }
}

fn is_hit(label: &Label, finding: &Finding) -> bool {
    let overlap = label.end.min(finding.end).saturating_sub(label.start.max(finding.start));
    let longer = (label.end - label.start).max(finding.end - finding.start);
    label.kind == finding.kind && 2 * overlap >= longer
}

#[derive(Clone, Copy, Default)]
struct Counts {
    labelled: usize,
    found: usize,
    hit: usize,
}

impl Counts {
    fn precision(self) -> f64 {
        ratio(self.hit, self.found)
    }

    fn recall(self) -> f64 {
        ratio(self.hit, self.labelled)
    }

    /// F-measure; `beta` says how many times recall counts for precision.
    fn f(self, beta: f64) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        let weighted = beta * beta * precision + recall;
        if weighted == 0.0 { 0.0 } else { (1.0 + beta * beta) * precision * recall / weighted }
    }
}

/// Nothing of nothing is everything: a detector that finds nothing where nothing is has made no mistake.
fn ratio(part: usize, whole: usize) -> f64 {
    let exact = |count: usize| f64::from(u32::try_from(count).expect("a small corpus"));
    if whole == 0 { 1.0 } else { exact(part) / exact(whole) }
}

type Score = BTreeMap<PiiKind, Counts>;

/// Adds up one file; `miss` is told of each label not found (`-`) and each finding without a label (`+`).
fn score(scanner: &Scanner, corpus: &str, total: &mut Score, mut miss: impl FnMut(&str, char, PiiKind, &str)) {
    let mut found = Vec::new();
    for sentence in corpus.lines().map(parse) {
        scanner.scan(&sentence.text, &mut found);
        let mut open = sentence.labels.clone();
        for label in &sentence.labels {
            total.entry(label.kind).or_default().labelled += 1;
        }
        for finding in &found {
            let counts = total.entry(finding.kind).or_default();
            counts.found += 1;
            match open.iter().position(|label| is_hit(label, finding)) {
                Some(at) => {
                    counts.hit += 1;
                    open.swap_remove(at);
                }
                None => miss(&sentence.text, '+', finding.kind, &sentence.text[finding.start..finding.end]),
            }
        }
        for label in open {
            miss(&sentence.text, '-', label.kind, &sentence.text[label.start..label.end]);
        }
    }
}

fn print(title: &str, score: &Score) {
    println!("{title:<42}labels  found    hit   prec  recall   F1     F2");
    for (kind, counts) in score {
        println!(
            "  {:<40}{:>6} {:>6} {:>6}  {:.3}  {:.3}  {:.3}  {:.3}",
            kind.name(),
            counts.labelled,
            counts.found,
            counts.hit,
            counts.precision(),
            counts.recall(),
            counts.f(1.0),
            counts.f(2.0)
        );
    }
}

/// What is wrong with one kind on the unseen split, if anything.
fn shortfall(kind: PiiKind, counts: Counts) -> Option<String> {
    let (measure, reached, needed) = match kind {
        PiiKind::Cpf | PiiKind::Cnpj | PiiKind::CreditCard | PiiKind::Iban | PiiKind::Email => {
            ("the lower of precision and recall", counts.precision().min(counts.recall()), 0.99)
        }
        PiiKind::Phone => ("F1", counts.f(1.0), 0.85),
        PiiKind::Name | PiiKind::Address => ("F2", counts.f(2.0), 0.75),
        _ => ("F1", counts.f(1.0), 0.8),
    };
    (reached < needed).then(|| format!("{}: {measure} is {reached:.3}, needed {needed}", kind.name()))
}

#[test]
fn the_unseen_split_is_found() {
    let scanner = Scanner::new(PiiKinds::all());
    for (name, corpus) in DEV {
        let mut dev = Score::new();
        score(&scanner, corpus, &mut dev, |sentence, sign, kind, text| {
            println!("{name} {sign} {:<16} `{text}` in `{}`", kind.name(), sentence.replace('\n', "\\n"));
        });
        print(name, &dev);
    }
    let mut unseen = Score::new();
    for (name, corpus) in UNSEEN {
        let mut one = Score::new();
        score(&scanner, corpus, &mut one, |_, _, _, _| {});
        print(name, &one);
        score(&scanner, corpus, &mut unseen, |_, _, _, _| {});
    }
    print("unseen", &unseen);
    let short: Vec<String> = PiiKind::ALL
        .into_iter()
        .filter_map(|kind| shortfall(kind, unseen.get(&kind).copied().unwrap_or_default()))
        .collect();
    assert!(short.is_empty(), "the unseen split is not found well enough:\n{}", short.join("\n"));
}

#[test]
fn both_splits_hold_enough_of_every_kind_and_share_no_sentence() {
    let labels = |corpora: [(&str, &str); 2]| {
        let mut counts: BTreeMap<PiiKind, usize> = BTreeMap::new();
        for label in corpora.iter().flat_map(|(_, corpus)| corpus.lines()).flat_map(|line| parse(line).labels) {
            *counts.entry(label.kind).or_default() += 1;
        }
        counts
    };
    for (split, counts) in [("dev", labels(DEV)), ("unseen", labels(UNSEEN))] {
        for kind in PiiKind::ALL {
            let needed = match kind {
                PiiKind::Name => 240,
                PiiKind::Address => 110,
                _ => LABELS_MIN,
            };
            let found = counts.get(&kind).copied().unwrap_or_default();
            assert!(found >= needed, "{split} has {found} labels of {}, needed {needed}", kind.name());
        }
    }
    let dev: Vec<&str> = DEV.iter().flat_map(|(_, corpus)| corpus.lines()).collect();
    for (name, corpus) in UNSEEN {
        let shared = corpus.lines().filter(|line| dev.contains(line)).count();
        assert_eq!(shared, 0, "{name} repeats sentences of the dev split");
    }
}

#[test]
fn hits_need_the_kind_and_half_of_the_longer_span() {
    let sentence = parse("é ⟦NAME:Ana Lima⟧\\n⟦EMAIL:a@b.co⟧");
    assert_eq!(sentence.text, "é Ana Lima\na@b.co");
    let label = &sentence.labels[0];
    assert_eq!(&sentence.text[label.start..label.end], "Ana Lima");
    let finding = |kind, start, end| Finding { kind, start, end, score: 0.9 };
    assert!(is_hit(label, &finding(PiiKind::Name, 3, 11)));
    assert!(is_hit(label, &finding(PiiKind::Name, 3, 7)), "exactly half");
    assert!(!is_hit(label, &finding(PiiKind::Name, 3, 6)), "less than half");
    assert!(!is_hit(label, &finding(PiiKind::Name, 0, 18)), "much too long");
    assert!(!is_hit(label, &finding(PiiKind::Address, 3, 11)), "another kind");
}

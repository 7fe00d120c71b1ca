//! I8: no planted value stands in clear beyond `raw/`.
//!
//! Every object of every bucket and every item of the control table is searched, as it lies and unpacked (gzip, Parquet string
//! columns with their dictionaries, deflated Avro). Excluded: `raw/`, and `errors/`, where Firehose puts records as they came.
//! Values that encryption (`fpe`) rightly makes of others tell nothing where they are found, and are not searched.
//! Findings name objects and classes, never a value, and no object whose own name holds one. What cannot be unpacked is a gap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use lakebed_contract::layout;

use super::Planted;
use super::control::{self, Item};
use super::error::JudgeError;
use super::finding::Evidence;
use super::objects::{Listed, OBJECTS_AT_ONCE, Objects};
use super::unpack;

/// Names shorter than this are words of their own in other texts.
const NAME_CHARS_MIN: usize = 5;
/// Objects named in a finding.
const SAMPLE_MAX: usize = 5;

/// Class → occurrences.
type Hits = BTreeMap<String, u64>;

/// One automaton for all planted values.
pub(super) struct Search {
    automaton: AhoCorasick,
    patterns: Vec<Pattern>,
    values: usize,
}

struct Pattern {
    class: String,
    /// A bare number counts only where no further digit stands beside it; otherwise any long number would match by chance.
    is_number: bool,
    /// It may rightly stand in the lake.
    is_outcome: bool,
}

impl Search {
    pub(super) fn new(planted: &[Planted]) -> Result<Self, JudgeError> {
        let mut forms: BTreeMap<String, &str> = BTreeMap::new();
        let mut values = 0;
        for planted in planted {
            let short_name = planted.class == "NAME" && planted.value.chars().count() < NAME_CHARS_MIN;
            if planted.value.is_empty() || short_name {
                continue;
            }
            values += 1;
            forms.insert(planted.value.clone(), &planted.class);
            match planted.class.as_str() {
                "EMAIL" => _ = forms.insert(planted.value.to_lowercase(), &planted.class),
                // The canonical form of the token, in case the pipeline let that out.
                "CPF" | "PHONE" => {
                    let digits: String = planted.value.chars().filter(char::is_ascii_digit).collect();
                    if !digits.is_empty() {
                        forms.insert(digits, &planted.class);
                    }
                }
                _ => {}
            }
        }
        let automaton = AhoCorasickBuilder::new()
            .match_kind(MatchKind::Standard)
            .build(forms.keys())
            .map_err(JudgeError::Search)?;
        let patterns = forms
            .into_iter()
            .map(|(form, class)| Pattern {
                class: class.to_owned(),
                is_number: form.bytes().all(|byte| byte.is_ascii_digit()),
                is_outcome: false,
            })
            .collect();
        Ok(Self { automaton, patterns, values })
    }

    /// Leaves out what stands in one of these texts, which the lake may rightly hold.
    pub(super) fn leave_out(&mut self, outcomes: &BTreeSet<String>) {
        for outcome in outcomes {
            let found: Vec<usize> = self.found(outcome.as_bytes()).collect();
            found.into_iter().for_each(|at| self.patterns[at].is_outcome = true);
        }
    }

    /// Spellings of values that are left out.
    fn left_out(&self) -> usize {
        self.patterns.iter().filter(|pattern| pattern.is_outcome).count()
    }

    fn add_hits(&self, text: &[u8], hits: &mut Hits) {
        for pattern in self.found(text).map(|at| &self.patterns[at]).filter(|pattern| !pattern.is_outcome) {
            *hits.entry(pattern.class.clone()).or_default() += 1;
        }
    }

    /// The patterns that stand in a text, each as often as it does.
    fn found<'s>(&'s self, text: &'s [u8]) -> impl Iterator<Item = usize> + 's {
        self.automaton.find_overlapping_iter(text).filter_map(move |found| {
            let at = found.pattern().as_usize();
            let digit = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_digit);
            let is_part = digit(found.start().checked_sub(1)) || digit(Some(found.end()));
            (!self.patterns[at].is_number || !is_part).then_some(at)
        })
    }

    /// Hits in a file as it lies and unpacked, whichever are more; and why it could not be unpacked.
    fn search_file(&self, file: &Bytes) -> (Hits, Option<String>) {
        let (mut as_it_lies, mut unpacked) = (Hits::new(), Hits::new());
        self.add_hits(file, &mut as_it_lies);
        let gap = unpack::each_text(file, |text| self.add_hits(text, &mut unpacked)).err();
        for (class, count) in unpacked {
            let most = as_it_lies.entry(class).or_default();
            *most = count.max(*most);
        }
        (as_it_lies, gap)
    }

    /// A name fit for a finding.
    fn shown<'n>(&self, name: &'n str) -> &'n str {
        let mut hits = Hits::new();
        self.add_hits(name.as_bytes(), &mut hits);
        if hits.is_empty() { name } else { "(its name holds a planted value)" }
    }
}

/// Searches the object store and the control items. `personal`: whether the lake has columns with a PII class at all.
pub(super) async fn judge(
    search: Search,
    personal: bool,
    objects: &Objects,
    items: &[Item],
) -> Result<Evidence, JudgeError> {
    let mut evidence = Evidence::default();
    if search.values == 0 && !personal {
        evidence.holds("no column of the lake has a PII class");
        return Ok(evidence);
    }
    if search.values == 0 {
        evidence.cannot_check("no values were planted");
        return Ok(evidence);
    }
    let search = Arc::new(search);
    let (searched, excluded) = list(objects).await?;
    let results: Vec<_> = stream::iter(&searched)
        .map(|object| search_object(Arc::clone(&search), objects, object))
        .buffered(OBJECTS_AT_ONCE)
        .try_collect()
        .await?;
    let mut leaks: Vec<String> = Vec::new();
    let mut bytes = 0;
    for (object, result) in searched.iter().zip(results) {
        let name = format!("s3://{}/{}", object.bucket, search.shown(&object.key));
        bytes += result.bytes;
        if !result.hits.is_empty() {
            leaks.push(leak(&name, &result.hits));
        }
        if let Some(reason) = result.gap {
            evidence.cannot_check(format!("{name} cannot be searched ({reason})"));
        }
    }
    for item in items {
        let mut hits = Hits::new();
        search.add_hits(control::texts(item).as_bytes(), &mut hits);
        if !hits.is_empty() {
            let pk = item.get("pk").and_then(|pk| pk.as_s().ok()).map_or("without a key", String::as_str);
            leaks.push(leak(&format!("control item {}", search.shown(pk)), &hits));
        }
    }
    if leaks.is_empty() {
        let megabytes = bytes.div_ceil(1_000_000);
        evidence.holds(format!(
            "none of {} planted values in {} objects ({megabytes} MB) and {} control items",
            search.values,
            searched.len(),
            items.len()
        ));
    } else {
        let first = leaks.iter().take(SAMPLE_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
        evidence.fails(format!("{} places hold planted values: {first}", leaks.len()));
    }
    let left_out = search.left_out();
    if left_out == search.patterns.len() {
        evidence.cannot_check("encryption (`fpe`) makes every planted value of another one");
    } else if left_out > 0 {
        evidence.note(format!("not searched: {left_out} spellings that encryption (`fpe`) rightly makes of others"));
    }
    let [raw, errors] = excluded;
    evidence.note(format!("excluded: {raw} objects of raw/, {errors} of errors/ (raw records by Firehose's design)"));
    Ok(evidence)
}

fn leak(name: &str, hits: &Hits) -> String {
    let classes: Vec<_> = hits.iter().map(|(class, count)| format!("{count} {class}")).collect();
    format!("{name} ({})", classes.join(", "))
}

/// All objects to be searched, and how many of `raw/` and `errors/` are not.
async fn list(objects: &Objects) -> Result<(Vec<Listed>, [usize; 2]), JudgeError> {
    let (mut searched, mut excluded) = (Vec::new(), [0, 0]);
    let buckets: BTreeSet<_> = objects.buckets().await?.into_iter().collect();
    for bucket in buckets {
        for object in objects.list(&bucket, "").await? {
            let stage = bucket == layout::STAGE_BUCKET;
            if stage && object.key.starts_with(layout::RAW_PREFIX) {
                excluded[0] += 1;
            } else if stage && object.key.starts_with(layout::ERROR_PREFIX) {
                excluded[1] += 1;
            } else {
                searched.push(object);
            }
        }
    }
    Ok((searched, excluded))
}

#[derive(Default)]
struct Searched {
    hits: Hits,
    gap: Option<String>,
    bytes: u64,
}

async fn search_object(search: Arc<Search>, objects: &Objects, object: &Listed) -> Result<Searched, JudgeError> {
    let Some((file, _)) = objects.get(&object.bucket, &object.key).await? else { return Ok(Searched::default()) };
    let key = object.key.clone();
    Ok(tokio::task::spawn_blocking(move || {
        let (mut hits, gap) = search.search_file(&file);
        search.add_hits(key.as_bytes(), &mut hits);
        Searched { hits, gap, bytes: file.len() as u64 }
    })
    .await?)
}

#[cfg(test)]
mod tests {
    use super::super::unpack::tests::{deflated_avro, gzip, zstd_parquet};
    use super::*;

    const EMAIL: &str = "Ana.Lima@Example.com";

    fn search() -> Search {
        let planted = |class: &str, value: &str| Planted { class: class.into(), value: value.into(), in_text: false };
        Search::new(&[
            planted("EMAIL", EMAIL),
            planted("CPF", "529.982.247-25"),
            planted("CPF", "11144477735"),
            planted("NAME", "Ana"),
            planted("NAME", "Ana Lima"),
        ])
        .expect("patterns build")
    }

    fn hits(file: impl Into<Bytes>) -> Hits {
        let (hits, gap) = search().search_file(&file.into());
        assert_eq!(gap, None);
        hits
    }

    fn one(class: &str) -> Hits {
        Hits::from([(class.to_owned(), 1)])
    }

    #[test]
    fn an_email_is_found_in_text_in_gzip_and_lower_case() {
        assert_eq!(hits(format!("x {EMAIL} y").into_bytes()), one("EMAIL"));
        assert_eq!(hits(b"ana.lima@example.com".to_vec()), one("EMAIL"));
        assert_eq!(hits(gzip(format!("x {EMAIL} y").as_bytes())), one("EMAIL"));
        assert_eq!(hits(b"tok_1_ohmg25nss3j3m2hnze7hs3aqhm".to_vec()), Hits::new());
    }

    #[test]
    fn an_email_is_found_in_a_compressed_dictionary_and_in_plain_pages() {
        for dictionary in [true, false] {
            let file = zstd_parquet(&["nothing", EMAIL, "nothing", EMAIL], dictionary);
            let mut as_it_lies = Hits::new();
            search().add_hits(&file, &mut as_it_lies);
            assert_eq!(as_it_lies, Hits::new(), "the file hides the value from a search of its bytes");
            assert!(hits(file).contains_key("EMAIL"), "dictionary: {dictionary}");
        }
        assert_eq!(hits(zstd_parquet(&["nothing", "tok_1_x"], true)), Hits::new());
    }

    #[test]
    fn an_email_is_found_in_deflated_avro() {
        assert_eq!(hits(deflated_avro(format!("..{EMAIL}..").as_bytes())), one("EMAIL"));
        assert_eq!(hits(deflated_avro(b"....")), Hits::new());
    }

    #[test]
    fn numbers_count_only_between_other_characters() {
        assert_eq!(hits(b"cpf 52998224725.".to_vec()), one("CPF"));
        assert_eq!(hits(b"\"11144477735\"".to_vec()), one("CPF"));
        assert_eq!(hits(b"snapshot 8111444777350000".to_vec()), Hits::new());
        assert_eq!(hits(b"529.982.247-25".to_vec()), one("CPF"));
    }

    #[test]
    fn what_encryption_makes_of_another_value_is_left_out() {
        let mut search = search();
        search.leave_out(&BTreeSet::from(["529.982.247-25".to_owned(), "911144477735".to_owned()]));
        assert_eq!(search.left_out(), 1, "the second one is part of a longer number");
        let mut hits = Hits::new();
        search.add_hits(b"529.982.247-25, 52998224725, 11144477735", &mut hits);
        assert_eq!(hits, Hits::from([("CPF".to_owned(), 2)]), "the bare digits are no outcome");
    }

    #[test]
    fn short_names_are_skipped_and_long_ones_are_not() {
        assert_eq!(hits(b"Ana Souza, Anatolia".to_vec()), Hits::new());
        assert_eq!(hits(b"by Ana Lima".to_vec()), one("NAME"));
    }

    #[test]
    fn a_name_that_leaks_is_not_shown() {
        let search = search();
        assert_eq!(search.shown("bronze/x"), "bronze/x");
        assert!(!search.shown("bronze/ana.lima@example.com").contains('@'));
    }
}

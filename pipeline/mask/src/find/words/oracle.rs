//! The rules of names once more, slow and simple: split at blanks, look up in hash sets, compare strings.
//!
//! Covers names inside a sentence: what a run of capitalised words gives by itself. Knows no titles, greetings or companies in
//! lower case; texts for it are made of [`WORDS`].

use std::collections::HashSet;
use std::sync::LazyLock;

/// Words of texts that the two implementations are compared on.
pub(super) const WORDS: &[&str] = &[
    "João", "Maria", "John", "Fernanda", "WILLIAM", "Mark", "Grace", "Amber", "April", "Silva", "Oliveira", "Johnson",
    "SOUZA", "Costa", "Wood", "Brown", "Zorblat", "Quexi", "A.", "J.", "B", "da", "dos", "de", "e", "Jr.", "Neto",
    "Brewing", "Valley", "Lager", "Porter", "Great", "Denver", "zq", "zq", "zq.", "samuel", "Pedro", "Lima",
];

struct Lists {
    brand: HashSet<(String, String)>,
    portuguese: HashSet<&'static str>,
    given: HashSet<&'static str>,
    surname: HashSet<&'static str>,
    ordinary: HashSet<&'static str>,
    stop: HashSet<&'static str>,
    beer: HashSet<&'static str>,
    place: HashSet<&'static str>,
    company: HashSet<&'static str>,
    landmark: HashSet<&'static str>,
    institution: HashSet<&'static str>,
}

fn set(lists: &[&'static str]) -> HashSet<&'static str> {
    lists.iter().flat_map(|list| list.split_whitespace()).collect()
}

fn fold(word: &str) -> String {
    let plain = |letter: char| match letter {
        'ã' | 'á' => 'a',
        'é' => 'e',
        other => other,
    };
    word.trim_end_matches('.').to_lowercase().chars().map(plain).collect()
}

struct Token {
    start: usize,
    end: usize,
    folded: String,
    dot: bool,
    shouted: bool,
    capital: bool,
    /// Behind an article of Portuguese, which a given name alone needs.
    article: bool,
    /// A sentence begins here.
    opens: bool,
}

/// Start and end of each name.
pub(super) fn names(text: &str) -> Vec<(usize, usize)> {
    static LISTS: LazyLock<Lists> = LazyLock::new(Lists::build);
    let lists = &*LISTS;
    let mut names = Vec::new();
    let mut run: Vec<Token> = Vec::new();
    let mut start = 0;
    let (mut article, mut opens) = (false, false);
    for word in text.split(' ') {
        let bare = word.trim_end_matches('.');
        let token = Token {
            start,
            end: start + bare.len(),
            folded: fold(word),
            dot: word.ends_with('.'),
            shouted: bare.to_uppercase() == bare,
            capital: bare.starts_with(char::is_uppercase),
            article,
            opens,
        };
        opens = token.dot;
        article = word == "da";
        start += word.len() + 1;
        let connector = ["da", "dos", "de", "e"].contains(&word);
        let connectors = run.iter().rev().take_while(|token| !token.capital).count();
        // A dot ends a run, but for an initial or a suffix.
        let ends = token.dot && !(token.shouted && bare.len() == 1 || token.folded == "jr");
        if token.capital || connector && !run.is_empty() && connectors < 2 {
            run.push(token);
        } else {
            cut(lists, &mut run, &mut names);
            continue;
        }
        if ends || run.len() == 10 {
            cut(lists, &mut run, &mut names);
        }
    }
    cut(lists, &mut run, &mut names);
    names
}

/// Cuts a run into names.
fn cut(lists: &Lists, run: &mut Vec<Token>, names: &mut Vec<(usize, usize)>) {
    while run.last().is_some_and(|token| !token.capital) {
        run.pop();
    }
    let mut index = 0;
    while index < run.len() {
        let (length, accepted) = name(lists, run, index);
        if accepted {
            names.push((run[index].start, run[index + length - 1].end));
        }
        index += length.max(1);
    }
    run.clear();
}

impl Lists {
    fn build() -> Self {
        let lines = include_str!("lists/brand.txt").lines().filter_map(|line| line.split_once(' '));
        Self {
            brand: lines.map(|(first, second)| (first.to_owned(), second.to_owned())).collect(),
            portuguese: set(&[include_str!("lists/given_portuguese.txt")]),
            given: set(&[include_str!("lists/given_english.txt"), include_str!("lists/given_portuguese.txt")]),
            surname: set(&[include_str!("lists/surname_english.txt"), include_str!("lists/surname_portuguese.txt")]),
            ordinary: set(&[include_str!("lists/ordinary.txt")]),
            stop: set(&[include_str!("lists/stop.txt")]),
            beer: set(&[include_str!("lists/beer.txt")]),
            place: set(&[include_str!("lists/place.txt")]),
            company: set(&[include_str!("lists/company.txt")]),
            landmark: set(&[include_str!("lists/landmark.txt")]),
            institution: set(&[include_str!("lists/institution.txt")]),
        }
    }

    fn given(&self, token: &Token) -> u8 {
        let word = token.folded.as_str();
        let weak = [&self.stop, &self.beer, &self.company, &self.landmark, &self.institution];
        match self.given.contains(word) {
            false => 0,
            true if weak.iter().any(|list| list.contains(word)) => 1,
            true if self.ordinary.contains(word) || self.place.contains(word) => 2,
            true => 3,
        }
    }

    fn surname(&self, token: &Token) -> u8 {
        let word = token.folded.as_str();
        let weak = [&self.ordinary, &self.stop, &self.place, &self.landmark, &self.institution];
        match self.surname.contains(word) {
            false => 0,
            true if self.beer.contains(word) || self.company.contains(word) => 1,
            true if weak.iter().any(|list| list.contains(word)) => 2,
            true => 3,
        }
    }

    fn unknown(&self, token: &Token) -> bool {
        ["zorblat", "quexi"].contains(&token.folded.as_str())
    }

    fn thing(&self, token: &Token) -> bool {
        let word = token.folded.as_str();
        [&self.beer, &self.company, &self.landmark].iter().any(|list| list.contains(word)) && !self.given.contains(word)
    }
}

/// How many words from `index` on are looked at together, and whether they are a name.
fn name(lists: &Lists, run: &[Token], index: usize) -> (usize, bool) {
    let first = &run[index];
    let (given, is_unknown) = (lists.given(first), lists.unknown(first));
    let single = first.end - first.start < 2;
    if !first.capital || single || given == 0 && lists.surname(first) == 0 && !is_unknown {
        return (0, false);
    }
    let at = |index: usize| run.get(index);
    let strength = |index: usize, of: fn(&Lists, &Token) -> u8| at(index).map_or(0, |token| of(lists, token));
    if given == 0 && strength(index + 1, Lists::given) == 3 && strength(index + 2, Lists::surname) > 1 {
        return (0, false);
    }
    let (mut surname, mut second, mut unknown, mut initial, mut connected, mut suffix) =
        (0, false, 0, false, false, false);
    let mut next = index + 1;
    while let (Some(token), false) = (at(next), suffix) {
        if !token.capital {
            let behind = next + run[next..].iter().take_while(|token| !token.capital).count();
            let found = strength(behind, Lists::surname);
            let joins = token.folded == "e";
            let Some(word) = at(behind) else { break };
            if joins && (surname == 0 || found == 0) || found == 0 && lists.given(word) == 0 && !lists.unknown(word) {
                break;
            }
            unknown += usize::from(found == 0);
            surname = surname.max(found);
            connected = true;
            next = behind + 1;
            continue;
        }
        if ["jr", "neto"].contains(&token.folded.as_str()) && (surname > 0 || second) {
            suffix = true;
        } else if token.shouted && token.end - token.start == 1 {
            initial = true;
            let single = |token: &Token| token.shouted && token.end - token.start == 1;
            let inside =
                strength(next + 1, Lists::surname) > 1 || at(next + 1).is_some_and(|t| lists.unknown(t) || single(t));
            let last = at(next + 1).is_none() && token.dot && surname == 0 && given == 3;
            if !inside && !last {
                break;
            }
        } else {
            match (lists.surname(token), lists.given(token)) {
                (1, _) if surname > 0 || at(next + 1).is_some() => break,
                (0, 0) if unknown == 0 && lists.unknown(token) => unknown += 1,
                (0, 0) => break,
                (0, known) if surname > 0 || known < 2 => break,
                (0, _) => second = true,
                (found, _) => surname = surname.max(found),
            }
        }
        next += 1;
    }
    let length = next - index;
    let counts = match (given, surname) {
        (3, 1..) | (2, 2..) | (1, 3) => true,
        (2 | 3, _) if second => true,
        (3, _) if unknown > 0 && (!first.shouted || connected) => true,
        (3, _) if initial => true,
        (0, 2..) if connected && !first.shouted => true,
        (0, 3) if !first.shouted => true,
        (1.., 0) => false,
        _ => return (0, false),
    };
    let thin = matches!((given, surname), (3, 1) | (2, 2) | (0, 3)) || given == 2 && surname < 3 && second;
    let thin = thin && !(given == 0 && connected);
    let park = thin && lists.landmark.contains(run[next - 1].folded.as_str());
    let alone = length == 1
        && given == 3
        && !first.shouted
        && first.article
        && lists.portuguese.contains(first.folded.as_str());
    let second = run[index + 1..].iter().find(|token| token.capital);
    let brand = second.is_some_and(|second| lists.brand.contains(&(first.folded.clone(), second.folded.clone())));
    (
        length,
        !brand
            && (counts && length > 1 || alone)
            && !park
            && !(thin && index == 0 && first.opens)
            && !at(next).is_some_and(|token| lists.thing(token)),
    )
}

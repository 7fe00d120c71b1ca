//! The word lists as one hash table: a folded word in, what is known of it out.
//!
//! The lists are our own, written from general knowledge: frequent given names and surnames of Brazil and of the English
//! speaking countries, and the words that look like names in a text about beer but are none. They are stored folded (ASCII,
//! lower case) and sorted. A bitmap of 8 KiB answers for most words that are in no list. Knows nothing of rules.

use std::sync::LazyLock;

/// A folded word of at most sixteen letters, its first letter in the lowest byte; 0 stands for a longer one.
pub(super) type Key = u128;

/// What is known of a word: a set of the constants in [`is`].
pub(super) type Flags = u32;

/// What a word can be. One word is often several things.
pub(super) mod is {
    use super::Flags;

    pub(in super::super) const GIVEN: Flags = 1;
    /// A given name of the Portuguese list.
    pub(in super::super) const GIVEN_PT: Flags = 1 << 1;
    pub(in super::super) const SURNAME: Flags = 1 << 2;
    /// A name that is an ordinary word too: weaker evidence.
    pub(in super::super) const ORDINARY: Flags = 1 << 3;
    /// A word that opens sentences or titles.
    pub(in super::super) const STOP: Flags = 1 << 4;
    /// Beer, its styles and its brands.
    pub(in super::super) const BEER: Flags = 1 << 5;
    pub(in super::super) const PLACE: Flags = 1 << 6;
    /// Behind a name: the name of a company.
    pub(in super::super) const COMPANY: Flags = 1 << 7;
    /// Behind a name: something named after a person.
    pub(in super::super) const LANDMARK: Flags = 1 << 8;
    /// In front of a name: something named after a person.
    pub(in super::super) const INSTITUTION: Flags = 1 << 9;
    pub(in super::super) const TITLE: Flags = 1 << 10;
    pub(in super::super) const CONNECTOR: Flags = 1 << 11;
    pub(in super::super) const SUFFIX: Flags = 1 << 12;
    /// Announces a name: "name", "nome", "assinado".
    pub(in super::super) const FIELD: Flags = 1 << 13;
    /// In front of a given name alone: "dear", "obrigado", "amigo".
    pub(in super::super) const CALLS: Flags = 1 << 14;
    /// Behind a given name alone: what only people do.
    pub(in super::super) const ACTS: Flags = 1 << 15;
    pub(in super::super) const STREET_PT: Flags = 1 << 16;
    /// Last word of an English street name.
    pub(in super::super) const STREET_EN: Flags = 1 << 17;
    /// The same, but more often something else.
    pub(in super::super) const STREET_WEAK: Flags = 1 << 18;
    pub(in super::super) const DIRECTION: Flags = 1 << 19;
    /// Part of a building.
    pub(in super::super) const UNIT: Flags = 1 << 20;
    /// A road known by its number.
    pub(in super::super) const ROUTE: Flags = 1 << 21;
    pub(in super::super) const BOX: Flags = 1 << 22;
    /// Article or preposition that stands in front of a person's name in Portuguese.
    pub(in super::super) const ARTICLE: Flags = 1 << 23;

    /// Words that are looked at in lower case too.
    pub(in super::super) const KEYWORD: Flags = TITLE | FIELD | STREET_PT | BOX;
    pub(in super::super) const NAME: Flags = GIVEN | SURNAME;
    /// What makes a word no part of a name, unless it is in a list of names.
    pub(in super::super) const BLOCKED: Flags = STOP
        | BEER
        | PLACE
        | COMPANY
        | LANDMARK
        | INSTITUTION
        | CONNECTOR
        | CALLS
        | KEYWORD
        | STREET_EN
        | ACTS
        | SUFFIX;
    /// What turns the name in front of it into that of a thing.
    pub(in super::super) const THING: Flags = BEER | COMPANY | LANDMARK | STREET_EN;
}

const LISTS: [(Flags, &str); 32] = [
    (is::GIVEN, include_str!("lists/given_english.txt")),
    (is::GIVEN | is::GIVEN_PT, include_str!("lists/given_portuguese.txt")),
    (is::SURNAME, include_str!("lists/surname_english.txt")),
    (is::SURNAME, include_str!("lists/surname_portuguese.txt")),
    (is::ORDINARY, include_str!("lists/ordinary.txt")),
    (is::STOP, include_str!("lists/stop.txt")),
    (is::BEER, include_str!("lists/beer.txt")),
    (is::PLACE, include_str!("lists/place.txt")),
    (is::COMPANY, include_str!("lists/company.txt")),
    (is::LANDMARK, include_str!("lists/landmark.txt")),
    (is::INSTITUTION, include_str!("lists/institution.txt")),
    (
        is::TITLE,
        "mr mrs ms miss mx dr doctor prof professor rev reverend sir madam sr sra srta senhor senhora senhorita dra \
         doutor doutora professora dona padre frei pastor eng engenheiro engenheira",
    ),
    (is::CONNECTOR, "de da do dos das e del della di du la le van von der den ter ten bin ibn al el y"),
    (is::SUFFIX, "jr junior filho neto sobrinho ii iii iv phd md esq"),
    (is::FIELD, "name nome chamo chama assinado assinada signed signature assinatura titular destinatario remetente"),
    (
        is::CALLS,
        "dear hi hello hey thanks thank friend wife husband brother sister son daughter mother father mom dad uncle aunt \
         cousin boss colleague coworker neighbor neighbour roommate girlfriend boyfriend fiance fiancee named called met \
         contact ask told asked with by cc attn am m i'm regards sincerely cheers best love signed customer client buyer \
         caro cara prezado prezada querido querida ola oi obrigado obrigada amigo amiga esposa esposo marido mulher irmao \
         irma filho filha mae pai tio tia primo prima chefe colega vizinho vizinha namorado namorada noivo noiva cunhado \
         cunhada avo sogra sogro sou atenciosamente abraco abracos abs att cordialmente beijos bjs vendedor vendedora \
         atendente gerente garcom cliente speak spoke talk talked call meet text email comprador compradora responsavel falar falei contatar seller server bartender \
         waiter waitress manager patient guest employee attendant",
    ),
    (
        is::ACTS,
        "said says has wrote told asked called emailed phoned texted replied answered lives works likes loves loved liked \
         thinks thought recommended brought bought gave drank who was is disse falou ligou escreveu pediu respondeu mora \
         trabalha gosta gostou adora adorou comprou trouxe recomendou achou quer reclamou confirmou informou me foi",
    ),
    (
        is::STREET_PT,
        "rua r av avenida travessa trav tv alameda al praca pca rodovia rod estrada estr est largo ladeira viela beco via \
         quadra sqn sqs cln cls",
    ),
    (
        is::STREET_EN,
        "street st avenue ave av road rd boulevard blvd lane ln drive dr court ct parkway pkwy highway hwy terrace ter \
         turnpike tpke expressway expy freeway fwy crescent cres causeway mews",
    ),
    (
        is::STREET_WEAK,
        "way place pl circle cir square sq trail trl loop park row plaza plz alley run path point pt bend hill crossing xing \
         close grove gardens walk cove ridge broadway green quay wharf pike",
    ),
    (is::DIRECTION, "n s e w ne nw se sw north south east west northeast northwest southeast southwest"),
    (
        is::UNIT,
        "apt apartment suite ste unit floor fl room rm bldg building ap apto apartamento bloco bl casa cs sala sl conj \
         conjunto cj andar lote lt quadra qd loja torre fundos cobertura cob terreo sobreloja edificio ed condominio cond",
    ),
    (is::ROUTE, "highway hwy route rte interstate us sr cr county state farm road fm"),
    (is::BOX, "po p post caixa cx"),
    (is::ARTICLE, "o a do da ao pelo pela com para pro pra por seu"),
    // Titles and greetings are no names; nor are the words that announce one.
    (is::STOP, "mr mrs ms dr sr sra srta dra prof sir madam senhor senhora hi hello hey oi ola"),
    (is::INSTITUTION, "rua av avenida travessa alameda praca rodovia estrada largo ladeira"),
    // Given names that are surnames as often, and the other way round.
    (is::SURNAME, "alexander thomas james martin scott henry lewis arthur duarte caetano afonso martim rafael estevao"),
    (is::ORDINARY, "sr jr ms al ed"),
    (is::STOP, "el la le der van von den"),
    (is::PLACE, "sao"),
    (is::STOP, "i"),
];

/// First and second word of what only looks like a person.
const BRANDS: &str = include_str!("lists/brand.txt");

const SLOTS: usize = 1 << 14;

/// The table.
pub(super) struct Lexicon {
    /// One bit for each hash of a listed word.
    bits: [u64; 1 << 10],
    /// Open addressing, half empty: place in `entries` plus one, 0 for none.
    slots: Vec<u16>,
    entries: Vec<(Key, Flags)>,
    brands: Vec<(Key, Key)>,
    /// First three letters of the keywords, five bits each.
    prefixes: [u64; 1 << 9],
    /// Those of two letters.
    short_prefixes: [u64; 1 << 4],
}

/// The lexicon, built at first use.
pub(super) fn lexicon() -> &'static Lexicon {
    static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::build);
    &LEXICON
}

impl Lexicon {
    fn build() -> Self {
        let mut words: Vec<(Key, Flags)> = LISTS
            .iter()
            .flat_map(|(flags, list)| list.split_ascii_whitespace().map(|word| (key(word), *flags)))
            .collect();
        words.sort_unstable();
        let mut entries: Vec<(Key, Flags)> = Vec::with_capacity(words.len());
        for (key, flags) in words {
            match entries.last_mut() {
                Some(last) if last.0 == key => last.1 |= flags,
                _ => entries.push((key, flags)),
            }
        }
        assert!(entries.len() < SLOTS / 2, "the table is at most half full");
        let mut lexicon = Self {
            bits: [0; 1 << 10],
            slots: vec![0; SLOTS],
            entries,
            brands: brands(),
            prefixes: [0; 1 << 9],
            short_prefixes: [0; 1 << 4],
        };
        for index in 0..lexicon.entries.len() {
            let (key, flags) = lexicon.entries[index];
            let hash = hash(key);
            lexicon.bits[hash >> 6 & 1023] |= 1 << (hash & 63);
            let mut slot = hash >> 16 & (SLOTS - 1);
            while lexicon.slots[slot] != 0 {
                slot = (slot + 1) & (SLOTS - 1);
            }
            lexicon.slots[slot] = u16::try_from(index + 1).unwrap_or(0);
            if flags & is::KEYWORD != 0 {
                mark_prefix(&mut lexicon, key);
            }
        }
        lexicon
    }

    /// What is known of a word; 0 if nothing.
    pub(super) fn flags(&self, key: Key) -> Flags {
        let hash = hash(key);
        if self.bits[hash >> 6 & 1023] >> (hash & 63) & 1 == 0 {
            return 0;
        }
        let mut slot = hash >> 16 & (SLOTS - 1);
        loop {
            match self.slots[slot] {
                0 => return 0,
                index => match self.entries[usize::from(index) - 1] {
                    (found, flags) if found == key => return flags,
                    _ => slot = (slot + 1) & (SLOTS - 1),
                },
            }
        }
    }

    /// Whether two words are the start of a brand or of a place.
    pub(super) fn is_brand(&self, first: Key, second: Key) -> bool {
        self.brands.binary_search(&(first, second)).is_ok()
    }

    /// Whether a keyword may begin with these bytes, the first in the lowest. Says yes too often, never too rarely.
    #[inline]
    pub(super) fn may_be_keyword(&self, bytes: u64) -> bool {
        let bytes = [bytes as u8, (bytes >> 8) as u8, (bytes >> 16) as u8];
        let prefix = prefix(bytes);
        let is_marked = |prefixes: &[u64], prefix: usize| prefixes[prefix >> 6] >> (prefix & 63) & 1 != 0;
        is_marked(&self.prefixes, prefix)
            || is_marked(&self.short_prefixes, prefix >> 5) && !bytes[2].is_ascii_alphabetic()
    }
}

fn brands() -> Vec<(Key, Key)> {
    let pairs = BRANDS.lines().filter_map(|line| line.split_once(' '));
    let mut brands: Vec<(Key, Key)> = pairs.map(|(first, second)| (key(first), key(second))).collect();
    brands.sort_unstable();
    brands
}

/// Behind a keyword of two letters stands no third one, behind one of a single letter a blank or a dot and anything. No keyword has
/// an accent among its first three letters.
fn mark_prefix(lexicon: &mut Lexicon, key: Key) {
    let mark = |prefixes: &mut [u64], prefix: usize| prefixes[prefix >> 6] |= 1 << (prefix & 63);
    match [key as u8, (key >> 8) as u8, (key >> 16) as u8] {
        [first, 0, _] => {
            for (second, third) in [b' ', b'.'].into_iter().flat_map(|second| (0..32).map(move |third| (second, third)))
            {
                mark(&mut lexicon.prefixes, prefix([first, second, third]));
            }
        }
        [first, second, 0] => mark(&mut lexicon.short_prefixes, prefix([first, second, 0]) >> 5),
        three => mark(&mut lexicon.prefixes, prefix(three)),
    }
}

fn prefix(bytes: [u8; 3]) -> usize {
    bytes.iter().fold(0, |prefix, byte| prefix << 5 | usize::from(byte & 31))
}

fn hash(key: Key) -> usize {
    let mixed =
        (key as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((key >> 64) as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32) as usize
}

/// The key of a folded word of at most sixteen bytes.
pub(super) const fn key(word: &str) -> Key {
    let bytes = word.as_bytes();
    if bytes.len() > 16 {
        return 0;
    }
    let mut key = 0;
    let mut at = bytes.len();
    while at > 0 {
        at -= 1;
        key = key << 8 | bytes[at] as Key;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_word_is_known_and_sorted() {
        for (flags, list) in LISTS {
            for word in list.split_ascii_whitespace() {
                assert_eq!(lexicon().flags(key(word)) & flags, flags, "{word}");
            }
        }
        for (_, list) in &LISTS[..11] {
            let words: Vec<&str> = list.split_ascii_whitespace().collect();
            assert!(words.is_sorted(), "a list is not sorted");
            assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()) && word.len() <= 16));
        }
    }

    #[test]
    fn other_words_are_not() {
        for word in ["qwertz", "zzz", "silvaa", "silv", "joa", "x"] {
            assert_eq!(lexicon().flags(key(word)) & is::NAME, 0, "{word}");
        }
        assert_eq!(lexicon().flags(0), 0);
    }
}

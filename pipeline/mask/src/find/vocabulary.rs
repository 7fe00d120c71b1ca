//! The words that give a number a meaning, English and Portuguese, and how they are looked up.
//!
//! A word of up to sixteen bytes is one integer with the bit of the case set in every byte, which makes `Ã` and `ã` alike as
//! well as `A` and `a`; the table is filled when this is compiled. Knows nothing of places.

use std::ops::Range;

use super::kind::PiiKind as K;

/// Longer words are none of ours.
const WORD_BYTES_MAX: usize = 16;
/// Sets the bit by which small letters differ from capitals.
const SMALL: u128 = u128::from_ne_bytes([0x20; WORD_BYTES_MAX]);
/// Slots of the table: a power of two, three times the words at least.
const SLOTS: usize = 1024;

/// What words can be about: kinds, as bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Topic(u32);

impl Topic {
    pub(super) const NONE: Self = Self(0);
    /// Versions, chapters, figures: numbers with dots that are no addresses.
    pub(super) const NUMBERING: Self = Self(1 << 31);

    pub(super) const fn of(kind: K) -> Self {
        Self(1 << kind as u32)
    }

    pub(super) fn shares(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Words by what they are about.
const TOPICS: [(Topic, &[&str]); 15] = [
    (
        Topic::of(K::Phone),
        &[
            "phone",
            "phones",
            "tel",
            "telefone",
            "telefones",
            "telephone",
            "celular",
            "cel",
            "cell",
            "mobile",
            "fone",
            "whatsapp",
            "whats",
            "wpp",
            "zap",
            "call",
            "ligue",
            "ligar",
            "liga",
            "ligo",
            "ligou",
            "sms",
            "fax",
            "dial",
            "telegram",
            "contato",
            "contatos",
            "cellphone",
            "phonenumber",
            "ring",
            "telefonema",
            "telefono",
        ],
    ),
    (Topic::of(K::Cpf), &["cpf", "cpfs"]),
    (Topic::of(K::Cnpj), &["cnpj", "cnpjs"]),
    (Topic::of(K::Cep), &["cep", "ceps"]),
    (Topic::of(K::Rg), &["rg", "identidade"]),
    (Topic::of(K::PixKey), &["pix", "chave"]),
    (
        Topic::of(K::CreditCard),
        &[
            "card",
            "cards",
            "visa",
            "mastercard",
            "amex",
            "credit",
            "debit",
            "cartão",
            "cartao",
            "crédito",
            "credito",
            "débito",
            "debito",
            "elo",
            "hipercard",
            "cc",
        ],
    ),
    (Topic::of(K::Ssn), &["ssn", "ssns", "socialsecurity"]),
    (Topic::of(K::Itin), &["itin", "taxpayer"]),
    (Topic::of(K::IpAddress), &["ip", "ips", "ipv", "host", "server", "servidor", "gateway", "proxy", "subnet"]),
    (Topic::of(K::AwsSecretKey), &["secret", "secretkey", "secretaccesskey", "awssecretkey", "aws"]),
    (
        Topic::of(K::BirthDate),
        &[
            "born",
            "dob",
            "birth",
            "birthday",
            "birthdate",
            "bday",
            "nascimento",
            "nascido",
            "nascida",
            "nasceu",
            "nasci",
            "nasc",
            "dateofbirth",
            "dtnasc",
            "aniversário",
            "aniversario",
        ],
    ),
    (Topic::of(K::Passport), &["passport", "passports", "passaporte", "passaportes"]),
    (
        Topic::of(K::DriverLicence),
        &["cnh", "habilitação", "habilitacao", "motorista", "driverslicense", "driverslicence", "driverlicense"],
    ),
    (
        Topic::NUMBERING,
        &[
            "version",
            "versions",
            "versão",
            "versao",
            "release",
            "build",
            "firmware",
            "section",
            "seção",
            "secao",
            "chapter",
            "capítulo",
            "capitulo",
            "figure",
            "figura",
            "item",
            "driver",
            "kernel",
        ],
    ),
];

/// Expressions of two words. `driver's` is two words, the second of them `s`.
const PAIRS: [(&str, &str, K); 14] = [
    ("social", "security", K::Ssn),
    ("registro", "geral", K::Rg),
    ("código", "postal", K::Cep),
    ("codigo", "postal", K::Cep),
    ("o", "b", K::BirthDate),
    ("driver", "license", K::DriverLicence),
    ("driver", "licence", K::DriverLicence),
    ("drivers", "license", K::DriverLicence),
    ("drivers", "licence", K::DriverLicence),
    ("driving", "licence", K::DriverLicence),
    ("driving", "license", K::DriverLicence),
    ("s", "license", K::DriverLicence),
    ("s", "licence", K::DriverLicence),
    ("tax", "id", K::Itin),
];

/// A slot that no word took has the key 0, which is no word's.
static TABLE: [(u128, Topic); SLOTS] = table();

const fn table() -> [(u128, Topic); SLOTS] {
    let mut table = [(0, Topic::NONE); SLOTS];
    let mut group = 0;
    while group < TOPICS.len() {
        let (topic, words) = TOPICS[group];
        let mut word = 0;
        while word < words.len() {
            let key = key(words[word]);
            let mut slot = slot_of(key);
            while table[slot].0 != 0 {
                slot = (slot + 1) % SLOTS;
            }
            table[slot] = (key, topic);
            word += 1;
        }
        group += 1;
    }
    table
}

/// The keys of the pairs.
static PAIR_KEYS: [(u128, u128); PAIRS.len()] = pair_keys();

const fn pair_keys() -> [(u128, u128); PAIRS.len()] {
    let (mut keys, mut pair) = ([(0, 0); PAIRS.len()], 0);
    while pair < PAIRS.len() {
        keys[pair] = (key(PAIRS[pair].0), key(PAIRS[pair].1));
        pair += 1;
    }
    keys
}

const fn key(word: &str) -> u128 {
    let (bytes, mut key, mut at) = (word.as_bytes(), [0; WORD_BYTES_MAX], 0);
    while at < bytes.len() {
        key[at] = bytes[at] | 0x20;
        at += 1;
    }
    u128::from_le_bytes(key)
}

#[inline]
const fn slot_of(key: u128) -> usize {
    let mixed =
        (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ((key >> 64) as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    (mixed >> 54) as usize % SLOTS
}

/// For the last five bits of a first letter, the lengths of the words that begin with it, as bits; seconds of pairs included.
static LENGTHS: [u32; 32] = lengths();

const fn lengths() -> [u32; 32] {
    let mut lengths = [0; 32];
    let mut group = 0;
    while group < TOPICS.len() {
        let (_, words) = TOPICS[group];
        let mut word = 0;
        while word < words.len() {
            lengths[(words[word].as_bytes()[0] & 31) as usize] |= 1 << words[word].len();
            word += 1;
        }
        group += 1;
    }
    let mut pair = 0;
    while pair < PAIRS.len() {
        let (_, second, _) = PAIRS[pair];
        lengths[(second.as_bytes()[0] & 31) as usize] |= 1 << second.len();
        pair += 1;
    }
    lengths
}

/// Whether a word of some length may be one of ours by its first byte: a look that costs little.
#[inline]
pub(super) fn may_be_known(first: u8, length: usize) -> bool {
    length <= WORD_BYTES_MAX && LENGTHS[usize::from(first & 31)] >> length & 1 != 0
}

/// A short word without its case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Letters(u128);

impl Letters {
    /// The word at a place; `None` when it is too long to be one of ours.
    #[inline]
    pub(super) fn of(bytes: &[u8], place: &Range<usize>) -> Option<Self> {
        let length = place.len();
        if length > WORD_BYTES_MAX || length == 0 {
            return None;
        }
        let word = match bytes[place.start..].first_chunk::<WORD_BYTES_MAX>() {
            Some(chunk) => u128::from_le_bytes(*chunk),
            None => {
                let mut chunk = [0; WORD_BYTES_MAX];
                chunk[..length].copy_from_slice(&bytes[place.clone()]);
                u128::from_le_bytes(chunk)
            }
        };
        Some(Self((word | SMALL) & u128::MAX >> (8 * (WORD_BYTES_MAX - length))))
    }

    /// What the word is about by itself.
    #[inline]
    pub(super) fn topic(self) -> Topic {
        let mut slot = slot_of(self.0);
        while TABLE[slot].0 != self.0 && TABLE[slot].0 != 0 {
            slot = (slot + 1) % SLOTS;
        }
        TABLE[slot].1
    }

    /// What the word is about behind another one.
    pub(super) fn topic_behind(self, earlier: Self) -> Topic {
        let place = PAIR_KEYS.iter().position(|pair| *pair == (earlier.0, self.0));
        place.map_or(Topic::NONE, |place| Topic::of(PAIRS[place].2))
    }
}

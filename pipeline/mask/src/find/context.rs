//! The words around a place: a number next to `CPF`, `born` or `passport` means more than the number alone.
//!
//! A window reaches forty bytes to both sides and never out of the row; a word counts when it lies in it whole. Words are runs
//! of letters in any case, English and Portuguese. Words inside the labels that redaction leaves behind (`[RG]`) count for
//! nothing: what was found must not make its neighbours suspect the next time the text is read. Every byte is cut into words
//! at most once while a row is read from left to right.

use std::ops::Range;

use super::kind::PiiKind;

/// How far the window reaches, in bytes.
pub(super) const WINDOW_BYTES: usize = 40;
/// Longer words are none of ours.
const WORD_BYTES_MAX: usize = 16;
/// Longest label of redaction.
pub(super) const LABEL_BYTES_MAX: usize = 14;

/// What words can be about: kinds, as bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Topic(u32);

impl Topic {
    const NONE: Self = Self(0);
    /// Versions, chapters, figures: numbers with dots that are no addresses.
    pub(super) const NUMBERING: Self = Self(1 << 31);

    pub(super) fn of(kind: PiiKind) -> Self {
        Self(1 << kind as u32)
    }

    fn and(self, kind: PiiKind) -> Self {
        Self(self.0 | 1 << kind as u32)
    }

    fn shares(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

struct Word {
    start: usize,
    end: usize,
    topic: Topic,
}

/// The words of one row that were asked for so far.
#[derive(Default)]
pub(super) struct Context {
    words: Vec<Word>,
    /// The bytes that were cut into words.
    read: Option<Range<usize>>,
    /// The last word cut, for expressions of two words; none of ours if too long.
    previous: Option<(Range<usize>, Letters)>,
}

impl Context {
    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.read = None;
        self.previous = None;
    }

    /// How near a word of the topic stands to a place, from 0 (at the rim) to 1 (next to it). Behind counts half.
    pub(super) fn closeness(&mut self, bytes: &[u8], topic: Topic, place: &Range<usize>) -> Option<f32> {
        let window = place.start.saturating_sub(WINDOW_BYTES)..bytes.len().min(place.end + WINDOW_BYTES);
        self.read(bytes, &window);
        let inside = |word: &&Word| word.start >= window.start && word.end <= window.end && word.topic.shares(topic);
        let distance = |word: &Word| match word {
            word if word.end <= place.start => Some(place.start - word.end),
            word if word.start >= place.end => Some(2 * (word.start - place.end)),
            _ => None,
        };
        let nearest =
            self.words.iter().rev().take_while(|word| word.end > window.start).filter(inside).filter_map(distance);
        nearest.min().map(|distance| 1.0 - distance as f32 / (2 * WINDOW_BYTES) as f32)
    }

    /// Cuts what is not yet cut of a window.
    fn read(&mut self, bytes: &[u8], window: &Range<usize>) {
        let known = self.read.clone().filter(|read| read.start <= window.start && window.start <= read.end);
        let mut at = match known {
            Some(read) if read.end >= window.end => return,
            Some(read) => read.end,
            None => {
                self.clear();
                first_word(bytes, window.start)
            }
        };
        let from = self.read.as_ref().map_or(window.start, |read| read.start);
        while at < window.end {
            if bytes[at] == b'['
                && let Some(length) = label(&bytes[at..])
            {
                at += length;
                self.previous = None;
            } else if is_letter(bytes[at]) {
                let length = bytes[at..window.end].iter().take_while(|byte| is_letter(**byte)).count();
                if at + length == window.end && bytes.get(window.end).is_some_and(|byte| is_letter(*byte)) {
                    break;
                }
                self.word(bytes, at..at + length);
                at += length;
            } else {
                at += 1;
            }
        }
        // A word that the window cuts is read when a later window holds it whole.
        self.read = Some(from..at.max(from));
    }

    fn word(&mut self, bytes: &[u8], range: Range<usize>) {
        let Some(letters) = Letters::of(&bytes[range.clone()]) else {
            self.previous = None;
            return;
        };
        let alone = topic(letters.as_bytes());
        if alone != Topic::NONE {
            self.words.push(Word { start: range.start, end: range.end, topic: alone });
        } else if let Some((before, earlier)) = &self.previous {
            let together = topic_of_two(earlier.as_bytes(), letters.as_bytes());
            if together != Topic::NONE && range.start - before.end <= 4 {
                self.words.push(Word { start: before.start, end: range.end, topic: together });
            }
        }
        self.previous = Some((range, letters));
    }
}

/// Where cutting may begin at or after `from`: not inside a word, not inside a label.
fn first_word(bytes: &[u8], from: usize) -> usize {
    let reach = from.saturating_sub(LABEL_BYTES_MAX);
    let behind_label =
        (reach..from).filter(|at| bytes[*at] == b'[').filter_map(|at| Some(at + label(&bytes[at..])?)).max();
    if let Some(end) = behind_label.filter(|end| *end > from) {
        return end;
    }
    let inside = from > 0 && is_letter(bytes[from - 1]);
    let rest =
        if inside { bytes[from..].iter().take_while(|byte| is_letter(**byte)).take(WINDOW_BYTES).count() } else { 0 };
    from + rest
}

/// The length of the label of redaction that some bytes begin with.
pub(super) fn label(bytes: &[u8]) -> Option<usize> {
    let labels = PiiKind::ALL.iter().map(|kind| kind.replacement().as_bytes());
    labels.filter(|label| bytes.starts_with(label)).map(<[u8]>::len).max()
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80
}

/// A short word in lower case.
struct Letters {
    bytes: [u8; WORD_BYTES_MAX],
    length: usize,
}

impl Letters {
    fn of(word: &[u8]) -> Option<Self> {
        let mut bytes = [0; WORD_BYTES_MAX];
        bytes.get_mut(..word.len())?.copy_from_slice(word);
        for at in 0..word.len() {
            bytes[at].make_ascii_lowercase();
            // `Ã` is C3 83, `ã` is C3 A3, and so on for the letters of Latin-1.
            if at > 0 && bytes[at - 1] == 0xc3 && (0x80..=0x9e).contains(&bytes[at]) {
                bytes[at] |= 0x20;
            }
        }
        Some(Self { bytes, length: word.len() })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn topic(word: &[u8]) -> Topic {
    if word.len() < 2 {
        return Topic::NONE;
    }
    match std::str::from_utf8(word).unwrap_or_default() {
        "phone" | "phones" | "tel" | "telefone" | "telefones" | "telephone" | "celular" | "cel" | "cell" | "mobile"
        | "fone" | "whatsapp" | "whats" | "wpp" | "zap" | "call" | "ligue" | "ligar" | "liga" | "ligo" | "ligou"
        | "sms" | "fax" | "dial" | "telegram" | "contato" | "contatos" | "cellphone" | "phonenumber" | "ring" => {
            Topic::of(PiiKind::Phone)
        }
        "cpf" | "cpfs" => Topic::of(PiiKind::Cpf),
        "cnpj" | "cnpjs" => Topic::of(PiiKind::Cnpj),
        "cep" | "ceps" => Topic::of(PiiKind::Cep),
        "rg" | "identidade" => Topic::of(PiiKind::Rg),
        "pix" | "chave" => Topic::of(PiiKind::PixKey),
        "card" | "cards" | "visa" | "mastercard" | "amex" | "credit" | "debit" | "cartão" | "cartao" | "crédito"
        | "credito" | "débito" | "debito" | "elo" | "hipercard" | "cc" => Topic::of(PiiKind::CreditCard),
        "ssn" | "ssns" | "socialsecurity" => Topic::of(PiiKind::Ssn),
        "itin" | "taxpayer" => Topic::of(PiiKind::Itin),
        "ip" | "ips" | "ipv" | "host" | "server" | "servidor" | "gateway" | "proxy" | "subnet" => {
            Topic::of(PiiKind::IpAddress)
        }
        "mac" | "ethernet" | "bssid" => Topic::of(PiiKind::MacAddress),
        "secret" | "secretkey" | "secretaccesskey" | "awssecretkey" => Topic::of(PiiKind::AwsSecretKey),
        "aws" => Topic::of(PiiKind::AwsSecretKey).and(PiiKind::AwsAccessKey),
        "born" | "dob" | "birth" | "birthday" | "birthdate" | "bday" | "nascimento" | "nascido" | "nascida"
        | "nasceu" | "nasci" | "nasc" | "dateofbirth" | "dtnasc" | "aniversário" | "aniversario" => {
            Topic::of(PiiKind::BirthDate)
        }
        "passport" | "passports" | "passaporte" | "passaportes" => Topic::of(PiiKind::Passport),
        "cnh" | "habilitação" | "habilitacao" | "motorista" | "driverslicense" | "driverslicence" | "driverlicense" => {
            Topic::of(PiiKind::DriverLicence)
        }
        "version" | "versions" | "versão" | "versao" | "release" | "build" | "firmware" | "section" | "seção"
        | "secao" | "chapter" | "capítulo" | "capitulo" | "figure" | "figura" | "item" | "driver" | "kernel" => {
            Topic::NUMBERING
        }
        _ => Topic::NONE,
    }
}

fn topic_of_two(first: &[u8], second: &[u8]) -> Topic {
    let words = (std::str::from_utf8(first).unwrap_or_default(), std::str::from_utf8(second).unwrap_or_default());
    match words {
        ("social", "security") => Topic::of(PiiKind::Ssn),
        ("registro", "geral") => Topic::of(PiiKind::Rg),
        ("código" | "codigo", "postal") => Topic::of(PiiKind::Cep),
        ("o", "b") => Topic::of(PiiKind::BirthDate),
        // `driver's` is two words, the second of them `s`.
        ("driver" | "drivers" | "driving" | "s", "license" | "licence" | "lic") => Topic::of(PiiKind::DriverLicence),
        ("tax", "id" | "identification") => Topic::of(PiiKind::Itin),
        _ => Topic::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said about the `#` of a text.
    fn closeness(text: &str, kind: PiiKind) -> Option<f32> {
        let at = text.find('#').expect("a place");
        Context::default().closeness(text.as_bytes(), Topic::of(kind), &(at..at + 1))
    }

    #[test]
    fn whole_words_in_the_window_count() {
        let check = |text: &str, kind, expected| assert_eq!(closeness(text, kind).is_some(), expected, "{text}");
        check("CPF #", PiiKind::Cpf, true);
        check("cpf_number: #", PiiKind::Cpf, true);
        check("cpfs#", PiiKind::Cpf, true);
        check("xcpf #", PiiKind::Cpf, false);
        check("# is my CPF", PiiKind::Cpf, true);
        check("#", PiiKind::Cpf, false);
        check("[CPF] #", PiiKind::Cpf, false);
        check("[CPF: #", PiiKind::Cpf, true);
        check("# [AWS-SECRET]", PiiKind::AwsSecretKey, false);
        check("CARTÃO #", PiiKind::CreditCard, true);
        check("Social-Security no. #", PiiKind::Ssn, true);
        check("security #", PiiKind::Ssn, false);
        check("D.O.B. #", PiiKind::BirthDate, true);
        check("driver's license #", PiiKind::DriverLicence, true);
        check("software license #", PiiKind::DriverLicence, false);
        check(&format!("cpf{}#", " ".repeat(37)), PiiKind::Cpf, true);
        check(&format!("cpf{}#", " ".repeat(38)), PiiKind::Cpf, false);
        check(&format!("#{}cpf", " ".repeat(37)), PiiKind::Cpf, true);
        check(&format!("#{}cpf", " ".repeat(38)), PiiKind::Cpf, false);
    }

    #[test]
    fn nearer_is_surer_and_in_front_is_surer_than_behind() {
        let near = closeness("rg #", PiiKind::Rg).expect("a word");
        assert!(near > closeness("rg number is #", PiiKind::Rg).expect("a word"));
        assert!(near > closeness("# rg", PiiKind::Rg).expect("a word"));
    }
}

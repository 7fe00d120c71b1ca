//! Tokens, worked out a second time from their definition; shares nothing with `lakebed-mask`.
//!
//! Canonical form by class, a key per use and domain by HMAC, the first 16 bytes of a second HMAC in base32.

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, Mac};
use lakebed_contract::secret::Secret;
use sha2::Sha256;

/// Bytes of the HMAC that a token shows.
const TOKEN_BYTES: usize = 16;

/// Makes the tokens of one domain.
pub(super) struct Tokens {
    /// Whose spelling the values get.
    class: String,
    key: Secret<[u8; 32]>,
    version: u32,
}

impl Tokens {
    pub(super) fn new(master: &Secret<[u8; 32]>, version: u32, domain: &str, class: &str) -> Self {
        let class = if has_form(domain) { domain } else { class };
        Self { class: class.to_owned(), key: derived_key(master, "lakebed/v1/", domain), version }
    }

    /// The token of a value.
    pub(super) fn of(&self, value: &str) -> String {
        token(&self.key, self.version, &canonical(&self.class, value))
    }
}

/// The key of a domain for one use, which the prefix names.
pub(super) fn derived_key(master: &Secret<[u8; 32]>, prefix: &str, domain: &str) -> Secret<[u8; 32]> {
    Secret::new(hmac_sha256(master.expose(), &[prefix.as_bytes(), domain.as_bytes(), &[1]]))
}

fn hmac_sha256(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn token(key: &Secret<[u8; 32]>, version: u32, canonical: &str) -> String {
    let mac = hmac_sha256(key.expose(), &[canonical.as_bytes()]);
    format!("tok_{version}_{}", BASE32_NOPAD.encode(&mac[..TOKEN_BYTES]).to_ascii_lowercase())
}

/// Classes whose values have a spelling of their own, which they keep when another class joins them in their domain.
fn has_form(class: &str) -> bool {
    const NAMES: [&str; 2] = ["full_name", "address"];
    DIGITS.contains(&class)
        || COMPACT.contains(&class)
        || EXACT.contains(&class)
        || NAMES.contains(&class)
        || class == "email"
}

const DIGITS: [&str; 5] = ["cpf", "phone", "credit_card", "ssn", "itin"];
const COMPACT: [&str; 7] = ["cnpj", "postal_code", "rg", "iban", "mac_address", "passport", "driver_licence"];
const EXACT: [&str; 3] = ["aws_access_key", "aws_secret_key", "url_credentials"];

fn canonical(class: &str, text: &str) -> String {
    let words = || text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    // Without any digit or letter to keep, `n/a` and `-` would be one person: they are spelt as words.
    let or_words = |kept: String| if kept.is_empty() { words() } else { kept };
    match class {
        "email" => text.trim().to_lowercase(),
        _ if DIGITS.contains(&class) => or_words(text.chars().filter(char::is_ascii_digit).collect()),
        _ if COMPACT.contains(&class) => {
            or_words(text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_uppercase).collect())
        }
        _ if EXACT.contains(&class) => text.trim().to_owned(),
        _ => words(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master() -> Secret<[u8; 32]> {
        Secret::new(std::array::from_fn(|at| at as u8))
    }

    // python3 -c 'import hmac,base64;s="sha256";h=lambda k,m:hmac.new(k,m,s).digest();k=h(bytes(range(32)),b"lakebed/v1/email\x01");print(base64.b32encode(h(k,b"ana.lima@example.com")[:16]).decode().rstrip("=").lower())'
    #[test]
    fn tokens_equal_the_vectors_computed_by_python() {
        for (domain, version, canonical, expected) in [
            ("email", 1, "ana.lima@example.com", "tok_1_ohmg25nss3j3m2hnze7hs3aqhm"),
            ("cpf", 1, "52998224725", "tok_1_4jrxclssvpvvwnw6xluzg2ug5i"),
            ("full_name", 1, "ana lúcia de lima", "tok_1_yphyxinvg5stbpnhngd6ohjslm"),
            ("email", 1, "", "tok_1_ddrwhqu7hz537ylym6ut5llg6e"),
            ("phone", 3, "5511987654321", "tok_3_xfhichkrddr7a2cpwqc6jbespe"),
        ] {
            assert_eq!(token(&derived_key(&master(), "lakebed/v1/", domain), version, canonical), expected);
        }
    }

    #[test]
    fn canonical_forms_follow_the_class() {
        assert_eq!(canonical("email", "  Ana.Lima@Example.COM "), "ana.lima@example.com");
        assert_eq!(canonical("cpf", "529.982.247-25"), "52998224725");
        assert_eq!(canonical("phone", "+55 (11) 98765-4321"), "5511987654321");
        assert_eq!(canonical("full_name", " Ana  Lúcia\tde LIMA "), "ana lúcia de lima");
        assert_eq!(canonical("phone", " N/A "), "n/a");
        assert_eq!(canonical("cnpj", "- -"), "- -");
    }
}

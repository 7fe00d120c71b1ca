//! Whether a whole value is of a kind: what the classifier asks about the values of a column.
//!
//! The same detectors as in free text, told that the words they would need stand around. A value is of a kind when one
//! candidate of the kind covers all of it but spaces at its ends.

use super::dispatch::trigger;
use super::kind::{PiiKind, PiiKinds};
use super::row::Row;
use super::{Scanner, words};

/// Whether all of `text` is one value of `kind`.
pub fn is(kind: PiiKind, text: &str) -> bool {
    let text = text.trim();
    if text.is_empty() {
        return false;
    }
    let mut row = Row::new(PiiKinds::from_iter([kind]));
    row.enter(text);
    row.assume_context = true;
    if matches!(kind, PiiKind::Name | PiiKind::Address) {
        words::candidates(text, &mut row.found);
    } else {
        Scanner::new(PiiKinds::from_iter([kind])).sweep(text.as_bytes(), |at| trigger(&mut row, at));
    }
    row.found.iter().any(|found| found.kind == kind && found.start == 0 && found.end == text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_values_are_judged_without_words_around() {
        use PiiKind as K;
        let check = |kind: PiiKind, text: &str, expected: bool| assert_eq!(is(kind, text), expected, "{kind:?} {text}");
        check(K::Email, " ana@x.com ", true);
        check(K::Email, "ana@x.com, bia@x.com", false);
        check(K::Phone, "+55 (11) 91234-5678", true);
        check(K::Phone, "11912345678", true);
        check(K::Phone, "(212) 555-0143", true);
        check(K::Phone, "2125550143", true);
        check(K::Phone, "2004-2008", false);
        check(K::Phone, "20120315", false);
        check(K::Phone, "555-0143", true);
        check(K::Phone, "0044 20 7946 0958", true);
        check(K::Phone, "005511912345678", true);
        check(K::Cpf, "52998224725", true);
        check(K::Cpf, "52998224726", false);
        check(K::Cpf, "529 982 247 25", true);
        check(K::Cpf, "529-982-247-25", true);
        check(K::Cnpj, "11.222.333/0001-81", true);
        check(K::Cnpj, "12.ABC.345/01DE-35", true);
        check(K::Cnpj, "12ABC34501DE35", true);
        check(K::Cnpj, "12ABC34501DE36", false);
        check(K::Cep, "01310100", true);
        check(K::Cep, "00310100", false);
        check(K::Rg, "12.345.678-X", true);
        check(K::PixKey, "123e4567-e89b-42d3-a456-426614174000", true);
        check(K::PixKey, "123e4567-e89b-12d3-a456-426614174000", false);
        check(K::CreditCard, "4111 1111 1111 1111", true);
        check(K::CreditCard, "4111 1111 1111 1112", false);
        check(K::Iban, "GB82 WEST 1234 5698 7654 32", true);
        check(K::Iban, "GB83 WEST 1234 5698 7654 32", false);
        check(K::Ssn, "123456789", true);
        check(K::Ssn, "666456789", false);
        check(K::Itin, "912-70-1234", true);
        check(K::IpAddress, "10.0.0.1", true);
        check(K::IpAddress, "fe80::1", true);
        check(K::IpAddress, "1.2.3", false);
        check(K::MacAddress, "00:1a:2b:3c:4d:5e", true);
        check(K::UrlCredentials, "https://ana:secret@host/x", true);
        check(K::AwsAccessKey, "AKIAIOSFODNN7EXAMPLE", true);
        check(K::AwsSecretKey, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", true);
        check(K::BirthDate, "1984-05-06", true);
        check(K::BirthDate, "1984-02-30", false);
        check(K::Passport, "AB123456", true);
        check(K::DriverLicence, "D1234567", true);
        check(K::Cpf, "", false);
    }
}

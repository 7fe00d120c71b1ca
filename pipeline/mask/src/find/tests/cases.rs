//! Kind by kind: what is found, and the near misses that are not. `«»` marks what must be found.

use super::super::{PiiKind, PiiKinds, Scanner};

fn found(text: &str, kinds: PiiKinds) -> Vec<(PiiKind, String)> {
    let mut found = Vec::new();
    Scanner::new(kinds).scan(text, &mut found);
    found.iter().map(|finding| (finding.kind, text[finding.start..finding.end].to_owned())).collect()
}

/// Checks that a kind's scanner, and the one for all kinds but names and addresses, find in a text what is marked, as `kind`.
fn check(kind: PiiKind, marked: &str) {
    let text = marked.replace(['«', '»'], "");
    let expected: Vec<(PiiKind, String)> = marked
        .split('«')
        .skip(1)
        .map(|part| (kind, part.split('»').next().expect("a closing mark").to_owned()))
        .collect();
    assert_eq!(found(&text, PiiKinds::from_iter([kind])), expected, "{marked}");
    let shapes = PiiKinds::all().without(PiiKind::Name).without(PiiKind::Address);
    assert_eq!(found(&text, shapes), expected, "{marked} among all kinds");
}

fn check_all(kind: PiiKind, marked: &[&str]) {
    marked.iter().for_each(|marked| check(kind, marked));
}

/// Nothing of any shape is found.
fn check_nothing(texts: &[&str]) {
    let shapes = PiiKinds::all().without(PiiKind::Name).without(PiiKind::Address);
    for text in texts {
        assert_eq!(found(text, shapes), [], "{text}");
    }
}

#[test]
fn addresses_are_cut_out_of_prose() {
    check_all(
        PiiKind::Email,
        &[
            "write to «ana.lima+beer@mail.example.com».",
            "(«o'keefe@x.org»)",
            "'«ana@x.org»'",
            "<«ana_1@x-y.com.br»>,",
            "see...«ana@x.co»",
            "«joão@cervejação.com» é",
            "ask 联系«ana@x.com»谢谢",
            "«ANA@X.COM»",
            "a@b a@«b@c.de»",
            "«ana@x.com»-like",
            "«ana@xn--p1ai.xn--p1ai»!",
            "mailto:«52998224725@x.com»",
            "drank @ home",
            "4.5@10.0",
            "ana@localhost",
            "@x.com",
            "ana@",
        ],
    );
}

#[test]
fn only_whole_valid_cpfs_are_found() {
    check_all(
        PiiKind::Cpf,
        &[
            "cpf «529.982.247-25».",
            "cpf:«52998224725»;",
            "x«529.982.247-25»y",
            "first 123, then «11144477735»",
            "«529982247-25»",
            "«529-982-247-25»",
            "«529 982 247-25».",
            "cpf «529 982 247 25»,",
            "Contato: «11987654374»",
            "Me liga: «21912345692» valeu",
            "Contato: «12125550156»",
            "reach me via \"«21912345692»\"\n I'd call",
            "529 982 247 25",
            "529-982 247-25",
            "529.982.247 25",
            "529-982-247-26",
            "cpf 529 982 247 26",
            "1-529-982-247-25",
            "529 982 247-25-1",
            "x529-982-247-25",
            "529.982.247-26",
            "529.982.247-250",
            "1529.982.247-25",
            "52998224726",
            "152998224725",
            "529982247251",
            "111.111.111-11",
            "529.982.24725",
            "529.982",
            "0.52998224725",
            "abc52998224725",
            "id_52998224725",
            "",
        ],
    );
}

#[test]
fn cnpjs_in_both_forms_are_found() {
    check_all(
        PiiKind::Cnpj,
        &[
            "CNPJ «11.222.333/0001-81».",
            "«11222333/0001-81»",
            "«11222333000181»",
            "«12.ABC.345/01DE-35»",
            "cnpj «12ABC34501DE35»",
            "Contato: «00360305000104»",
            "11.222.333/0001-82",
            "11222333000182",
            "12.ABC.345/01DE-36",
            "12.abc.345/01de-35",
            "00.000.000/0000-00",
            "x12ABC34501DE35",
        ],
    );
}

#[test]
fn postal_codes_are_found() {
    check_all(
        PiiKind::Cep,
        &[
            "«01310-100» São Paulo",
            "CEP «01310100»",
            "CEP: «01.310-100»",
            "código postal «01310100»",
            "pedido 01310100",
            "00310-100",
            "01310-1000",
            "101310-100",
            "12-01310-100",
            "[CEP] 01310100",
        ],
    );
}

#[test]
fn identity_cards_need_their_name() {
    check_all(
        PiiKind::Rg,
        &[
            "RG «12.345.678-9»",
            "RG nº «12.345.678-X» SSP/SP",
            "identidade «123456789»",
            "registro geral: «1.234.567»",
            "12.345.678-9",
            "RG 12.345.678-95",
            "[RG] 12.345.678-9",
        ],
    );
}

#[test]
fn instant_payment_keys_need_their_name() {
    check_all(
        PiiKind::PixKey,
        &[
            "pix: «123e4567-e89b-42d3-a456-426614174000»",
            "chave aleatória «71CDF9BA-C695-4E3C-B010-ABB521A3F1BE»,",
            "123e4567-e89b-42d3-a456-426614174000",
            "pix 123e4567-e89b-12d3-a456-426614174000",
            "pix 123e4567-e89b-42d3-7456-426614174000",
            "pix 123e4567-e89b-42d3-a456-4266141740001",
        ],
    );
}

#[test]
fn cards_have_an_issuer_and_a_check_digit() {
    check_all(
        PiiKind::CreditCard,
        &[
            "«4111111111111111»",
            "paid with «4111 1111 1111 1111» 12/27",
            "«5555-5555-5555-4444»",
            "«378282246310005»",
            "«3782 822463 10005»",
            "«3056 930902 5904»",
            "card «6011111111111117»",
            "cartão «2223 0031 2200 3222»",
            "4111111111111112",
            "4111 1111-1111 1111",
            "9111111111111111",
            "41111111111111110000",
            "4006381333931",
            "1700000000000",
        ],
    );
}

#[test]
fn account_numbers_have_a_country_and_check_digits() {
    check_all(
        PiiKind::Iban,
        &[
            "IBAN «GB82 WEST 1234 5698 7654 32».",
            "«DE89370400440532013000»",
            "«BR1800360305000010009795493C1»",
            "«SD8811123456789012»",
            "«SO211000001001000100141»",
            "«VA59001123000012345678»",
            "«VG96VPVG0000012345678901»",
            "«XK05 1212 0123 4567 8906»",
            "«YE15CBYE0001018861234567891234»",
            "XK061212012345678906",
            "GB82 WEST 1234 5698 7654 33",
            "DE8937040044053201300",
            "XX82WEST12345698765432",
            "gb82west12345698765432",
        ],
    );
}

#[test]
fn us_numbers_follow_their_rules() {
    check_all(
        PiiKind::Ssn,
        &[
            "ssn «536-90-4399»",
            "«536-90-4399»",
            "Social Security: «536904399»",
            "ssn «536 90 4399»",
            "536904399",
            "000-90-4399",
            "666-90-4399",
            "536-00-4399",
            "536-90-0000",
            "536-90-43990",
            "1-536-90-4399",
        ],
    );
    check_all(
        PiiKind::Itin,
        &["«912-70-1234»", "ITIN «912701234»", "taxpayer id «999-99-1234»", "912-49-1234", "912-93-1234"],
    );
}

#[test]
fn machine_addresses_are_not_versions() {
    check_all(
        PiiKind::IpAddress,
        &[
            "from «192.168.10.20»:8080",
            "ip:«10.0.0.1»",
            "«203.0.113.9».",
            "net «10.0.0.0»/8",
            "«fe80::1ff:fe23:4567:890a»,",
            "«2001:db8:85a3::8a2e:370:7334»",
            "«2001:0db8:0000:0000:0000:8a2e:0370:7334».",
            "mapped «::ffff:10.1.2.3»",
            "1.2.3.4.5",
            "v1.2.3.4",
            "version 10.2.3.4",
            "section 4.3.2.1",
            "256.1.1.1",
            "01.2.3.4",
            "std::be::a1",
            "12:34:56",
            "a::b",
        ],
    );
    check_all(
        PiiKind::MacAddress,
        &[
            "mac «00:1a:2b:3c:4d:5e»",
            "«00-1A-2B-3C-4D-5E»",
            "00:1a:2b:3c:4d",
            "00:1a:2b:3c:4d:5e:6f",
            "00:00:00:00:00:00",
            "00:1a-2b:3c:4d:5e",
        ],
    );
}

#[test]
fn secrets_are_found() {
    check_all(
        PiiKind::UrlCredentials,
        &[
            "see «https://ana:s3cret@host.example/x?y=1».",
            "\"«postgres://app:p%40ss@db:5432/beer»\"",
            "«redis://:pw@10.0.0.1:6379»",
            "https://host/x:y@z",
            "https://ana@host",
            "ana:secret@host",
        ],
    );
    check_all(
        PiiKind::AwsAccessKey,
        &[
            "key «AKIAIOSFODNN7EXAMPLE».",
            "«ASIAIOSFODNNXEXAMPLE»",
            "AKIAIOSFODNN7EXAMPLEX",
            "XAKIAIOSFODNN7EXAMPLE",
            "AKIA",
        ],
    );
    check_all(
        PiiKind::AwsSecretKey,
        &[
            "aws_secret_access_key = «wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»",
            "digest wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "secret da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "secret wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEYx",
        ],
    );
}

#[test]
fn dates_of_birth_need_a_word() {
    check_all(
        PiiKind::BirthDate,
        &[
            "born «1984-05-06»",
            "DOB: «05/06/1984»",
            "date of birth «5/6/84»",
            "nascimento: «31/12/1984»",
            "nascido em «6 de maio de 1984»",
            "nascida a «1º de março de 1990»",
            "born on «May 6, 1984» in X",
            "born «6th of May 1984»",
            "dob «06-May-1984»",
            "data de nasc. «06.05.1984»",
            "birth_date=«1984-05-06»T00:00:00",
            "was born on «01/19/1955» in X",
            "Born on date: 05/06/12 on the cap",
            "the BORN-ON is 05/06/2012",
            "bottled 05/06/12, born in Ohio",
            "brewed 1984-05-06",
            "born 1984-02-30",
            "born 06/05/2084",
            "born 32/13/1984",
        ],
    );
}

#[test]
fn documents_need_their_name() {
    check_all(
        PiiKind::Passport,
        &["passport «C01234567»", "passaporte «AB123456»", "AB123456", "passport AB1234567890"],
    );
    check_all(
        PiiKind::DriverLicence,
        &[
            "driver's license «D1234567»",
            "CNH «62472927637»",
            "driving licence «F255-921-50-094-0»",
            "CNH 62472927638",
            "D1234567",
            "software license D1234567",
        ],
    );
}

#[test]
fn phone_numbers_are_found() {
    check_all(
        PiiKind::Phone,
        &[
            "call «+55 (11) 91234-5678»!",
            "call «(11) 91234-5678»,",
            "«(11)912345678»",
            "«(11) 3234-5678»",
            "«(011) 91234-5678»",
            "Call me «(11) 91999-2004»",
            "«(11) 91999-2004»",
            "«(11) 9 1999-2004»",
            "«11 91999-2004»",
            "call «(20) 98765-4321»",
            "«(20) 98765-4321»",
            "call («11912345678»)",
            "(«212-555-0143»)",
            "«0055 11 91234-5678»",
            "call «0055 11 91234-5678»",
            "«0044 20 7946 0958»",
            "tel «0044 20 7946 0958»",
            "tel «00 44 20 7946 0958».",
            "«001 212-555-0143»",
            "call «005511912345678»",
            "call «0012125550143»",
            "tel «00442079460958»",
            "call «555-0143».",
            "call («555-0143»)",
            "call «+44 20 555-0143»",
            "call «+55 (04) 92000-3000»",
            "«+55 (04) 92000-3000»",
            "«11 91234-5678»",
            "«55 11 91234-5678»",
            "tel «11912345678»",
            "zap «91234-5678»",
            "fone «3234-5678»",
            "«98765-4321»",
            "«+1 212-555-0143».",
            "«+1 (212) 555-0143»",
            "«1 (212) 555-0143»",
            "«(212) 555-0143»",
            "«212-555-0143»",
            "«212.555.0143»",
            "«212 555-0143»",
            "«1-800-555-0143»",
            "phone «2125550143»",
            "é«+5511912345678»",
            "«+44 (0)20 7946 0958» is British",
            "«+33 1 23 45 67 89»",
            "+1234567",
            "+1234567890123456",
            "2+12345678",
            "brewed (20) 2004-2008",
            "brewed (21) 2004-2008",
            "(11) 91234-56789",
            "4+ out of 5 (10) 9",
            "00 44 20 7946 0958",
            "005511912345678",
            "call 00 12 34",
            "tel 9222 0022 7333 8444",
            "555-0143",
            "call 911-0143",
            "call 155-0143",
            "I'd call the 20120315 batch",
            "brewed 11 2004-2008",
            "212-911-0143",
            "112-555-0143",
            "2125550143",
            "11912345678",
            "91234-5678",
            "90210-1234",
            "+",
        ],
    );
}

#[test]
fn near_misses_are_nothing() {
    check_nothing(&[
        "rated 4.5/5, then 3.75/5 and 10/10",
        "2024-02-29 12:34:56.789+00:00 and 2024-02-29T12:34:56Z",
        "order 1234567890 of 2011, batch #20240229-001",
        "R$ 1.234.567,89 or US$ 12,345.67",
        "version 1.2.3 of 2.10.14, build 20240229",
        "123e4567-e89b-42d3-a456-426614174000",
        "31415926535897932384626433832795028841971693993751",
        "1700000000000 1700000000",
        "ISBN 978-3-16-148410-0, EAN 4006381333931",
        "5.7% ABV, 12 oz, 1998–2004, 16:9",
        "[EMAIL] [PHONE] [CPF] [RG] [CEP] 12345678 [BIRTH-DATE] 1984-05-06",
    ]);
}

#[test]
fn the_surer_kind_wins_and_the_nearer_word() {
    let check = |text: &str, expected: &[(PiiKind, &str)]| {
        let shapes = PiiKinds::all().without(PiiKind::Name).without(PiiKind::Address);
        let expected: Vec<_> = expected.iter().map(|(kind, text)| (*kind, (*text).to_owned())).collect();
        assert_eq!(found(text, shapes), expected, "{text}");
    };
    check("52998224725@x.com", &[(PiiKind::Email, "52998224725@x.com")]);
    check("passport 536904399, ssn 536904398", &[(PiiKind::Passport, "536904399"), (PiiKind::Ssn, "536904398")]);
    check("https://ana:pw@x.com", &[(PiiKind::UrlCredentials, "https://ana:pw@x.com")]);
    check("CNH 62472927637", &[(PiiKind::DriverLicence, "62472927637")]);
}

//! The columns of the classifier's test: personal data with right check digits, and what is mistaken for it.
//!
//! One seed, always the same values. Check digits are computed here, from the issuers' rules, not by the detectors.

use lakebed_contract::ColumnType;
use lakebed_mask::{ColumnClass, PiiKind};
use rand::Rng;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

mod numbers;
mod words;

/// Rows of each column.
const ROWS: usize = 400;

/// What a column's class can be told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    ByValues,
    ByItsName,
}

/// A generated column.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) column_type: ColumnType,
    pub(super) class: Option<ColumnClass>,
    pub(super) told: Told,
    pub(super) values: Vec<String>,
}

type Value = fn(&mut ChaCha8Rng) -> String;

const TEXT: ColumnType = ColumnType::Text;
const BIGINT: ColumnType = ColumnType::Bigint;

/// All columns.
pub(super) fn columns() -> Vec<Column> {
    let mut rng = ChaCha8Rng::seed_from_u64(20_261_127);
    let mut columns = Vec::new();
    let mut add = |name, column_type, class, told, value: Value| {
        let values = (0..ROWS).map(|_| value(&mut rng)).collect();
        columns.push(Column { name, column_type, class, told, values });
    };
    for (name, column_type, kind, told, value) in personal() {
        add(name, column_type, Some(ColumnClass::Pii(kind)), told, value);
    }
    for (name, value) in FREE_TEXT {
        add(name, TEXT, Some(ColumnClass::FreeText), Told::ByValues, value);
    }
    for (name, column_type, value) in public() {
        add(name, column_type, None, Told::ByValues, value);
    }
    columns
}

fn personal() -> Vec<(&'static str, ColumnType, PiiKind, Told, Value)> {
    use PiiKind as K;
    use Told::{ByItsName, ByValues};
    vec![
        ("email", TEXT, K::Email, ByValues, words::email),
        ("e_mail", TEXT, K::Email, ByValues, |rng| words::email(rng).to_uppercase()),
        ("contatoEmail", TEXT, K::Email, ByValues, |rng| {
            if rng.random_bool(0.04) { "?".to_owned() } else { words::email(rng) }
        }),
        ("celular", TEXT, K::Phone, ByValues, |rng| digits_as(rng, "(1#) 9####-####")),
        ("phone_number", TEXT, K::Phone, ByValues, |rng| digits_as(rng, "(415) 555-01##")),
        ("fone", TEXT, K::Phone, ByValues, |rng| digits_as(rng, "+551198#######")),
        ("tel_residencial", TEXT, K::Phone, ByItsName, |rng| digits_as(rng, "119########")),
        ("mobile", BIGINT, K::Phone, ByItsName, |rng| digits_as(rng, "2197#######")),
        ("cpf", TEXT, K::Cpf, ByValues, |rng| numbers::punctuated(&numbers::cpf(rng), "###.###.###-##")),
        ("cpf_cliente", TEXT, K::Cpf, ByValues, numbers::cpf),
        ("nrCpf", BIGINT, K::Cpf, ByValues, |rng| numbers::cpf(rng).trim_start_matches('0').to_owned()),
        ("cnpj", TEXT, K::Cnpj, ByValues, |rng| numbers::punctuated(&numbers::cnpj(rng, false), "##.###.###/####-##")),
        ("cnpj_fornecedor", TEXT, K::Cnpj, ByValues, |rng| numbers::cnpj(rng, true)),
        ("cep", TEXT, K::Cep, ByValues, |rng| digits_as(rng, "0####-###").replacen('0', "8", 1)),
        ("zip_code", TEXT, K::Cep, ByItsName, |rng| digits_as(rng, "8#######")),
        ("rg", TEXT, K::Rg, ByValues, |rng| numbers::punctuated(&numbers::rg(rng), "##.###.###-#")),
        ("chave_pix", TEXT, K::PixKey, ByItsName, numbers::uuid),
        ("numero_cartao", TEXT, K::CreditCard, ByValues, |rng| {
            numbers::punctuated(&numbers::card(rng), "#### #### #### ####")
        }),
        ("card_number", TEXT, K::CreditCard, ByValues, numbers::card),
        ("iban", TEXT, K::Iban, ByValues, numbers::iban),
        ("ibanBeneficiario", TEXT, K::Iban, ByValues, |rng| numbers::in_fours(&numbers::iban(rng))),
        ("ssn", TEXT, K::Ssn, ByValues, |rng| numbers::punctuated(&numbers::ssn(rng), "###-##-####")),
        ("social_security_number", TEXT, K::Ssn, ByItsName, numbers::ssn),
        ("itin", TEXT, K::Itin, ByValues, |rng| digits_as(rng, "9##-7#-####")),
        ("ip_addr", TEXT, K::IpAddress, ByValues, |rng| numbers::octets(rng, 256)),
        ("client_ip", TEXT, K::IpAddress, ByValues, |rng| {
            format!("2001:db8::{:x}:{:x}", rng.random::<u16>(), rng.random::<u16>())
        }),
        ("mac", TEXT, K::MacAddress, ByValues, |rng| numbers::mac(rng, ':')),
        ("macAddress", TEXT, K::MacAddress, ByValues, |rng| numbers::mac(rng, '-').to_uppercase()),
        ("database_url", TEXT, K::UrlCredentials, ByValues, |rng| {
            format!("postgres://{}:{}@db.example.com/shop", one_of(rng, words::GIVEN).to_lowercase(), letters(rng, 9))
        }),
        ("access_key_id", TEXT, K::AwsAccessKey, ByValues, |rng| {
            format!("AKIA{}EXAMPLE", letters(rng, 9).to_uppercase())
        }),
        ("secret_access_key", TEXT, K::AwsSecretKey, ByValues, numbers::secret),
        ("dt_nasc", TEXT, K::BirthDate, ByItsName, |rng| date(rng, 1940..2006, "d/m/y")),
        ("date_of_birth", TEXT, K::BirthDate, ByItsName, |rng| date(rng, 1940..2006, "y-m-d")),
        ("birth_date", ColumnType::Date, K::BirthDate, ByItsName, |rng| date(rng, 1940..2006, "y-m-d")),
        ("passaporte", TEXT, K::Passport, ByItsName, |rng| digits_as(rng, "FX######")),
        ("passport_number", TEXT, K::Passport, ByItsName, |rng| digits_as(rng, "5########")),
        ("cnh", TEXT, K::DriverLicence, ByValues, numbers::cnh),
        ("drivers_license", TEXT, K::DriverLicence, ByItsName, |rng| digits_as(rng, "D#######")),
        ("nome", TEXT, K::Name, ByValues, |rng| {
            format!("{} {}", one_of(rng, words::GIVEN_PT), one_of(rng, words::FAMILY_PT))
        }),
        ("nome_completo", TEXT, K::Name, ByValues, |rng| {
            let (given, first, last) =
                (one_of(rng, words::GIVEN_PT), one_of(rng, words::FAMILY_PT), one_of(rng, words::FAMILY_PT));
            format!("{given} {first} da {last}")
        }),
        ("full_name", TEXT, K::Name, ByValues, |rng| {
            format!("{} {}", one_of(rng, words::GIVEN), one_of(rng, words::FAMILY))
        }),
        ("customer_name", TEXT, K::Name, ByValues, |rng| {
            format!("{} {}. {}", one_of(rng, words::GIVEN), letters(rng, 1).to_uppercase(), one_of(rng, words::FAMILY))
        }),
        ("sobrenome", TEXT, K::Name, ByItsName, |rng| one_of(rng, words::FAMILY_PT).to_owned()),
        ("endereco", TEXT, K::Address, ByValues, |rng| {
            format!("Rua {}, {}", one_of(rng, words::STREETS_PT), rng.random_range(1..3000))
        }),
        ("logradouro_entrega", TEXT, K::Address, ByValues, |rng| {
            format!(
                "Av. {}, {} - apto {}, Curitiba - PR",
                one_of(rng, words::STREETS_PT),
                rng.random_range(1..3000),
                rng.random_range(1..90)
            )
        }),
        ("shipping_address", TEXT, K::Address, ByValues, |rng| {
            format!("{} {} Street, Denver, CO 80202", rng.random_range(1..3000), one_of(rng, words::STREETS))
        }),
    ]
}

const FREE_TEXT: [(&str, Value); 4] = [
    ("comment", |rng| words::sentence(rng, words::OPINIONS)),
    ("observacao", |rng| words::sentence(rng, words::NOTES_PT)),
    ("mensagem", |rng| {
        if rng.random_bool(0.1) {
            format!("me liga no {}", digits_as(rng, "(11) 9####-####"))
        } else {
            words::sentence(rng, words::NOTES_PT)
        }
    }),
    ("contact", |rng| if rng.random_bool(0.5) { words::email(rng) } else { digits_as(rng, "+1 415 555 01##") }),
];

fn public() -> Vec<(&'static str, ColumnType, Value)> {
    let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
    vec![
        ("order_id", BIGINT, |rng| rng.random_range(1..2_000_000).to_string()),
        ("order_number", TEXT, |rng| digits_as(rng, "ORD-2026-######")),
        ("external_order", TEXT, |rng| digits_as(rng, "3###########")),
        ("invoice_key", TEXT, |rng| digits_as(rng, "3526##############5500100000####1000######")),
        ("price", decimal(8, 2), |rng| digits_as(rng, "1#.#0")),
        ("price_text", TEXT, |rng| digits_as(rng, "R$ 1.#84,#0")),
        ("quantity", ColumnType::Integer, |rng| rng.random_range(1..48).to_string()),
        ("rating", decimal(2, 1), |rng| digits_as(rng, "3.#")),
        ("rating_text", TEXT, |rng| format!("{}/5", rng.random_range(1..6))),
        ("abv", ColumnType::Double, |rng| digits_as(rng, "5.#")),
        ("is_active", ColumnType::Boolean, |rng| rng.random_bool(0.5).to_string()),
        ("email_verified", ColumnType::Boolean, |rng| rng.random_bool(0.5).to_string()),
        ("email_count", ColumnType::Integer, |rng| rng.random_range(0..99).to_string()),
        ("created_at", ColumnType::Timestamptz, |rng| date(rng, 2020..2027, "y-m-d")),
        ("shipped_on", ColumnType::Date, |rng| date(rng, 2020..2027, "y-m-d")),
        ("logged_at", TEXT, |rng| format!("{}T{}Z", date(rng, 2020..2027, "y-m-d"), digits_as(rng, "1#:2#:3#"))),
        ("best_before", TEXT, |rng| date(rng, 2026..2029, "d/m/y")),
        ("epoch_ms", BIGINT, |rng| digits_as(rng, "17937#########")),
        ("beer_name", TEXT, |rng| one_of(rng, words::BEERS).to_owned()),
        ("beer_style", TEXT, |rng| one_of(rng, words::STYLES).to_owned()),
        ("brewery_name", TEXT, |rng| one_of(rng, words::BREWERIES).to_owned()),
        ("city", TEXT, |rng| one_of(rng, words::CITIES).to_owned()),
        ("state", TEXT, |rng| one_of(rng, words::STATES).to_owned()),
        ("country", TEXT, |rng| one_of(rng, words::COUNTRIES).to_owned()),
        ("category", TEXT, |rng| one_of(rng, &["keg", "bottle", "can", "glass", "gift card"]).to_owned()),
        ("payment_status", TEXT, |rng| {
            one_of(rng, &["payment received, thank you very much", "payment failed, please try again later"]).to_owned()
        }),
        ("event_id", TEXT, numbers::uuid),
        ("ean", TEXT, numbers::ean),
        ("isbn", TEXT, |rng| numbers::punctuated(&numbers::ean(rng), "###-#-##-######-#")),
        ("tracking_code", TEXT, |rng| digits_as(rng, "LB#########BR")),
        ("parcel", TEXT, |rng| digits_as(rng, "1Z999AA1##########")),
        ("serial_number", TEXT, |rng| digits_as(rng, "21########")),
        ("asset_tag", TEXT, |rng| digits_as(rng, "1198#######")),
        ("part_number", TEXT, |rng| digits_as(rng, "55##-####-##")),
        ("batch", TEXT, |rng| format!("L{}-{}", digits_as(rng, "202610##"), rng.random_range(1..40))),
        ("app_version", TEXT, |rng| numbers::octets(rng, 20)),
        ("commit", TEXT, |rng| numbers::hexadecimal(rng, 40)),
        ("sha256", TEXT, |rng| numbers::hexadecimal(rng, 64)),
        ("imei", TEXT, numbers::imei),
        ("plate", TEXT, |rng| format!("{}{}", letters(rng, 3).to_uppercase(), digits_as(rng, "#C##"))),
        ("latitude", TEXT, |rng| digits_as(rng, "-23.######")),
        ("homepage", TEXT, |rng| {
            format!("https://www.{}.example.com/beers?page={}", letters(rng, 7), rng.random_range(1..90))
        }),
        ("username", TEXT, |rng| format!("{}{}", letters(rng, 6), rng.random_range(1..99))),
        ("file_name", TEXT, |rng| format!("export_{}.csv.gz", digits_as(rng, "2026-1#-1#"))),
        ("hostname", TEXT, |rng| format!("tap-{}.cellar.internal", rng.random_range(1..400))),
        ("currency", TEXT, |rng| one_of(rng, &["BRL", "USD", "EUR", "GBP"]).to_owned()),
        ("share", TEXT, |rng| digits_as(rng, "1#,# %")),
        ("sku", TEXT, |rng| digits_as(rng, "BR-#####-##")),
        ("recipe", TEXT, |rng| format!("{} {}", one_of(rng, words::STYLES), rng.random_range(1..40))),
    ]
}

fn one_of<'a>(rng: &mut ChaCha8Rng, words: &[&'a str]) -> &'a str {
    words.choose(rng).expect("a list of words is not empty")
}

fn letters(rng: &mut ChaCha8Rng, count: usize) -> String {
    (0..count).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
}

/// `pattern` with a digit for each `#`.
fn digits_as(rng: &mut ChaCha8Rng, pattern: &str) -> String {
    pattern
        .chars()
        .map(|letter| if letter == '#' { char::from(rng.random_range(b'0'..=b'9')) } else { letter })
        .collect()
}

fn date(rng: &mut ChaCha8Rng, years: std::ops::Range<u32>, pattern: &str) -> String {
    let (year, month, day) = (rng.random_range(years), rng.random_range(1..13), rng.random_range(1..29));
    pattern.replace('y', &year.to_string()).replace('m', &format!("{month:02}")).replace('d', &format!("{day:02}"))
}

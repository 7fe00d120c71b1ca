//! What a column's name says about its class, in English and Portuguese.
//!
//! A name is cut into lower-case words without accents (`dtNasc`, `DT_NASC` and `dt-nasc` are the same), and whole words are
//! compared: `recipe` holds no `ip`. Words that turn a name into something about personal data rather than personal data
//! (`email_count`, `card_brand`) and words for things (`beer_name`, `file_name`) take the claim back. Knows no values.

use crate::classify::ColumnClass;
use crate::find::PiiKind;

/// What the name claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) class: ColumnClass,
    /// Whether the name is as good for things as for people (`name`, `nome`): values have to agree.
    pub(super) vague: bool,
}

/// A column name that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) claim: Option<Claim>,
    /// Whether the name speaks of a thing, so that values which look like people need more support.
    pub(super) names_a_thing: bool,
}

/// Phrases of a kind, connectors left out. The longest phrase in a name wins; of equally long
/// ones the first.
const PHRASES: [(PiiKind, &str); 21] = [
    (PiiKind::Email, "email|e mail|mail|email address|endereco email|correio eletronico|email id"),
    (PiiKind::Cpf, "cpf|numero cpf|cpf cnpj"),
    (PiiKind::Cnpj, "cnpj|numero cnpj"),
    (PiiKind::Ssn, "ssn|social security|social security number|soc sec"),
    (PiiKind::Itin, "itin|individual taxpayer identification number"),
    (PiiKind::Iban, "iban"),
    (PiiKind::IpAddress, "ip|ipv|ip address|ip addr|remote addr|endereco ip|x forwarded for"),
    (PiiKind::MacAddress, "mac|mac address|mac addr|endereco mac|hwaddr|hardware address|bssid"),
    (PiiKind::UrlCredentials, "dsn|connection string|conn str|database url|db url|jdbc url|broker url|string conexao"),
    (PiiKind::AwsSecretKey, "secret access key|aws secret access key|aws secret|aws secret key|secret key"),
    (PiiKind::AwsAccessKey, "access key id|aws access key id|aws access key|aws key id|access key"),
    (PiiKind::PixKey, "pix|chave pix|pix key"),
    (
        PiiKind::CreditCard,
        "card number|credit card|credit card number|debit card|cc number|cc num|card pan|card no|pan|cartao|\
         numero cartao|num cartao|cartao credito",
    ),
    (
        PiiKind::BirthDate,
        "birth|birthdate|birthday|date birth|birth date|dob|born|born on|nascimento|nasc|dt nasc|dt nascimento|\
         data nasc|data nascimento|aniversario",
    ),
    (PiiKind::Passport, "passport|passport number|passaporte|numero passaporte"),
    (
        PiiKind::DriverLicence,
        "cnh|driver license|drivers license|driver s license|driver licence|drivers licence|driving licence|\
         driver id|dl number|habilitacao|carteira motorista|carteira habilitacao",
    ),
    (PiiKind::Rg, "rg|registro geral|identidade|carteira identidade"),
    (
        PiiKind::Phone,
        "phone|phone number|telephone|tel|telefone|fone|celular|cel|cell phone|mobile|mobile number|msisdn|\
         whatsapp|zap|fax|contact number|numero contato",
    ),
    (PiiKind::Cep, "cep|zip|zip code|postal code|post code|codigo postal"),
    (
        PiiKind::Address,
        "address|addr|endereco|logradouro|street|street name|street address|address line|rua|morada|residencia",
    ),
    (
        PiiKind::Name,
        "full name|first name|last name|middle name|given name|family name|maiden name|surname|sobrenome|\
         nome completo|primeiro nome|nome social|person name|customer name|client name|employee name|\
         contact name|holder name|owner name|recipient name|patient name|buyer name|billing name|shipping name|\
         mother name|father name|nome cliente|nome mae|nome pai|nome titular|nome contato|nome funcionario|\
         nome responsavel|cardholder|card holder|titular|destinatario|remetente|fname|lname",
    ),
];

/// Phrases of columns that people type into.
const FREE_TEXT: &str = "comment|comments|comentario|comentarios|observacao|observacoes|obs|notes|remarks|message|mensagem|feedback|\
    free text|texto livre|review text|body|bio|depoimento|reclamacao";

/// Phrases that name people and things alike.
const VAGUE: [&str; 3] = ["name", "nome", "display name"];

/// Words that make a name speak of a thing.
const THINGS: &str = "app arquivo banco bank bar beer brand brewery bucket campaign campo categoria category cerveja cervejaria \
    cidade city class color column coluna company country currency database db department device domain empresa \
    estado estilo event evento fantasia field file function group grupo hop host image item job login loja \
    lupulo malt malte marca metric module nick package pais plan plano process produto product profile project \
    pub queue razao region regiao role schema screen server service servidor shop state store stream style \
    table tag topic user usuario";

/// Words that make a name speak about personal data instead of holding it.
const ATTRIBUTES: &str = "app arquivo at bandeira brand browser cidade city consent cost count country created dominio domain enviado \
    error fee file flag format has hash idx index is len length masked md model optin os pais path pct percent \
    place price provider qtd quantity qty rate ratio score sent sha size status template tipo token total type \
    updated valid valido validity verificado verified version versao weight";

/// Connectors, left out so that `data_de_nascimento` is `data nascimento`.
const CONNECTORS: [&str; 8] = ["de", "do", "da", "dos", "das", "of", "the", "a"];

impl Header {
    /// Reads a column name.
    pub(super) fn read(name: &str) -> Self {
        let words = words(name);
        let names_a_thing = words.iter().any(|word| listed(THINGS, word));
        Self { claim: claim(&words, names_a_thing), names_a_thing }
    }
}

fn claim(words: &[String], names_a_thing: bool) -> Option<Claim> {
    let spoken = format!(" {} ", words.join(" "));
    let matches = |phrase: &str| spoken.contains(&format!(" {phrase} ")) || is_written_together(words, phrase);
    let kinds =
        PHRASES.iter().flat_map(|(kind, phrases)| phrases.split('|').map(|phrase| (ColumnClass::Pii(*kind), phrase)));
    let prose = FREE_TEXT.split('|').map(|phrase| (ColumnClass::FreeText, phrase));
    let vague = VAGUE.iter().map(|phrase| (ColumnClass::Pii(PiiKind::Name), *phrase));
    // The reverse makes `max_by_key`, which keeps the last of equals, keep the first of the list.
    let candidates: Vec<_> = kinds.chain(prose).chain(vague).filter(|(_, phrase)| matches(phrase)).collect();
    let (class, phrase) = candidates.into_iter().rev().max_by_key(|(_, phrase)| phrase.len())?;
    let is_vague = VAGUE.contains(&phrase);
    let in_phrase = |word: &str| phrase.split(' ').any(|part| part == word);
    let is_about = words.iter().any(|word| listed(ATTRIBUTES, word) && !in_phrase(word));
    let is_reference = words.last().is_some_and(|last| last == "id" && !in_phrase("id"))
        && matches!(class, ColumnClass::FreeText | ColumnClass::Pii(PiiKind::Name | PiiKind::Address | PiiKind::Phone));
    if is_about || is_reference || (is_vague && names_a_thing) {
        return None;
    }
    Some(Claim { class, vague: is_vague })
}

/// Whether a word is in a list of words.
fn listed(list: &str, word: &str) -> bool {
    list.split(' ').any(|listed| listed == word)
}

/// Whether one word is the phrase without its spaces: `fullname`, `datanascimento`.
fn is_written_together(words: &[String], phrase: &str) -> bool {
    phrase.contains(' ') && words.iter().any(|word| *word == phrase.replace(' ', ""))
}

/// The words of a name in lower case, without accents and connectors, cut at everything but letters and digits, at
/// `camelCase`, behind `ABBRbeviations`, and between letters and digits.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().filter(|letter| !('\u{300}'..='\u{36f}').contains(letter)).collect();
    let mut words: Vec<String> = vec![String::new()];
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| letters[before]);
        if before.is_some_and(|before| is_border(before, letter, &letters[at + 1..])) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (letter.is_alphanumeric(), words.last_mut()) {
            word.extend(letter.to_lowercase().map(without_accent));
        }
    }
    words.retain(|word| !word.is_empty() && !CONNECTORS.contains(&word.as_str()));
    words
}

fn is_border(before: char, letter: char, after: &[char]) -> bool {
    // One small letter behind capitals belongs to them: `IPv4`.
    let begins_word = after.len() >= 2 && after[..2].iter().all(|letter| letter.is_lowercase());
    !letter.is_alphanumeric()
        || !before.is_alphanumeric()
        || before.is_numeric() != letter.is_numeric()
        || (letter.is_uppercase() && (before.is_lowercase() || begins_word))
}

/// The plain letter of a lower-case Portuguese or Spanish one.
fn without_accent(letter: char) -> char {
    match letter {
        'á' | 'à' | 'â' | 'ã' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_into_words() {
        let check = |name: &str, expected: &[&str]| assert_eq!(words(name), expected, "{name}");
        check("dt_nasc", &["dt", "nasc"]);
        check("dtNasc", &["dt", "nasc"]);
        check("CPFCliente", &["cpf", "cliente"]);
        check("Endereço de E-mail", &["endereco", "e", "mail"]);
        check("ENDERE\u{43}\u{327}O", &["endereco"]);
        check("phone2", &["phone", "2"]);
        check("data_de_nascimento", &["data", "nascimento"]);
        check("__", &[]);
        check("", &[]);
    }

    #[test]
    fn names_of_personal_data_claim_their_kind() {
        let check = |kind: PiiKind, names: &[&str]| {
            for name in names {
                let claim = Header::read(name).claim.map(|claim| claim.class);
                assert_eq!(claim, Some(ColumnClass::Pii(kind)), "{name}");
            }
        };
        check(PiiKind::Email, &["email", "e_mail", "customerEmail", "EMAIL_ADDRESS", "emailaddress", "endereco_email"]);
        check(PiiKind::BirthDate, &["birth_date", "nascimento", "dt_nasc", "DataNascimento", "dob", "date_of_birth"]);
        check(PiiKind::Phone, &["tel", "celular", "fone", "phone_1", "telefoneContato", "mobile_number"]);
        check(PiiKind::Cpf, &["cpf_cliente", "CPF", "nrCpf"]);
        check(PiiKind::Cep, &["cep", "zip_code", "postalCode", "cepEntrega"]);
        check(PiiKind::CreditCard, &["cartao", "card_number", "creditCardNumber", "num_cartao"]);
        check(PiiKind::Name, &["nome", "sobrenome", "full_name", "fullname", "nomeDaMae", "lastName", "customer_name"]);
        check(PiiKind::Address, &["endereco", "logradouro", "street_name", "shipping_address", "addr1"]);
        check(PiiKind::IpAddress, &["ip", "ip_addr", "clientIp", "IPv4", "remote_addr", "ip_address"]);
        check(PiiKind::MacAddress, &["mac", "mac_addr", "macAddress"]);
        check(PiiKind::AwsSecretKey, &["secret_access_key", "awsSecretAccessKey"]);
        check(PiiKind::AwsAccessKey, &["access_key_id", "awsAccessKeyId"]);
        check(PiiKind::Passport, &["passaporte", "passport_no"]);
        check(PiiKind::DriverLicence, &["cnh", "drivers_licence", "driver_license_number"]);
        check(PiiKind::Rg, &["rg", "numero_rg"]);
        check(PiiKind::Ssn, &["ssn", "social_security_number"]);
        check(PiiKind::Iban, &["iban"]);
        check(PiiKind::PixKey, &["chave_pix", "pixKey"]);
        assert_eq!(Header::read("comentário").claim.map(|claim| claim.class), Some(ColumnClass::FreeText));
    }

    #[test]
    fn names_of_things_claim_nothing() {
        for name in [
            "beer_name",
            "brewery_name",
            "file_name",
            "username",
            "user_name",
            "hostname",
            "profile_name",
            "nome_cerveja",
            "recipe",
            "order_number",
            "email_count",
            "email_verified",
            "card_brand",
            "phone_type",
            "address_id",
            "birth_city",
            "pixel",
            "description",
            "telemetry",
            "macro",
            "urgency",
            "cpf_hash",
            "review_overall",
            "col_17",
            "campo3",
            "zip_file",
            "nome_fantasia",
            "state",
            "city",
            "organ",
            "shipment",
            "span",
            "mac_os",
            "phone_model",
            "updated_at",
        ] {
            assert_eq!(Header::read(name).claim, None, "{name}");
        }
    }

    #[test]
    fn a_bare_name_is_vague() {
        for (name, vague) in [("name", true), ("nome", true), ("full_name", false), ("email", false)] {
            assert_eq!(Header::read(name).claim.map(|claim| claim.vague), Some(vague), "{name}");
        }
    }
}

//! Tables of hits and near-misses in both languages, properties over any text, and the comparison with the slow
//! implementation of the name rules.

use proptest::prelude::*;

use super::super::kind::{Finding, PiiKind};
use super::{candidates, oracle};

fn found(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    candidates(text, &mut findings);
    findings
}

/// Checks what is found in each text: the texts of the findings of a kind, with `|` between.
fn check(kind: PiiKind, table: &[(&str, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(text, expected)| {
            let hits: Vec<&str> =
                found(text).iter().filter(|hit| hit.kind == kind).map(|hit| &text[hit.start..hit.end]).collect();
            (hits.join("|") != *expected).then(|| format!("{text:?}: found {hits:?}, expected {expected:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Checks that nothing is found.
fn check_nothing(texts: &[&str]) {
    check(PiiKind::Name, &texts.iter().map(|text| (*text, "")).collect::<Vec<_>>());
    check(PiiKind::Address, &texts.iter().map(|text| (*text, "")).collect::<Vec<_>>());
}

#[test]
fn names_in_english() {
    check(
        PiiKind::Name,
        &[
            ("Contact John Smith for details.", "John Smith"),
            ("Sarah Connor called yesterday", "Sarah Connor"),
            ("I met Mary-Anne O'Brien at the tasting.", "Mary-Anne O'Brien"),
            ("Regards,\nMichael", "Michael"),
            ("my name is john smith and I ordered", "john smith"),
            ("My name is Xiomara Quetzal.", "Xiomara Quetzal"),
            ("Dr. Smith prescribed water", "Smith"),
            ("Miss Smith poured it", "Smith"),
            ("thanks to Mr. William T. Harrison Jr. for the tour", "William T. Harrison Jr"),
            ("Dear Jennifer, your order", "Jennifer"),
            ("Hi Thomas!", "Thomas"),
            ("ask for Robert at the counter", "Robert"),
            ("DAVID JOHNSON, 3 bottles", "DAVID JOHNSON"),
            ("shipped to Emily Grzybowska on Monday", "Emily Grzybowska"),
            ("Smith, John A. was here", "Smith, John A"),
            ("John Smith's review", "John Smith"),
            ("April Johnson and Mark Wood came", "April Johnson|Mark Wood"),
            ("Customer name: Priya Nair", "Priya Nair"),
            ("{\"name\": \"Carlos Mendez\", \"abv\": 5}", "Carlos Mendez"),
            ("My friend Kevin loved it", "Kevin"),
            ("“Jane Doe-Miller” said", "Jane Doe-Miller"),
            ("Signed by Laura", "Laura"),
            ("Barack Obama visited", ""),
        ],
    );
}

#[test]
fn names_in_portuguese() {
    check(
        PiiKind::Name,
        &[
            ("Falei com João da Silva ontem.", "João da Silva"),
            ("JOÃO DA SILVA comprou", "JOÃO DA SILVA"),
            ("meu nome é maria aparecida dos santos", "maria aparecida dos santos"),
            ("Meu nome é Thayssa Wolkmer", "Thayssa Wolkmer"),
            ("O Sr. Carlos Eduardo Pereira Neto ligou", "Carlos Eduardo Pereira Neto"),
            ("a dra. ana paula atendeu", "ana paula"),
            ("Atenciosamente,\nFernanda", "Fernanda"),
            ("Obrigado, Rodrigo!", "Rodrigo"),
            ("a Juliana disse que sim", "Juliana"),
            ("me chamo Pedro", "Pedro"),
            ("Assinado: José Carlos de Oliveira", "José Carlos de Oliveira"),
            ("cliente Luiz Felipe Souza e Silva reclamou", "Luiz Felipe Souza e Silva"),
            ("Maria Souza e João Lima vieram", "Maria Souza|João Lima"),
            ("Silva, João comprou", "Silva, João"),
            ("Nome completo: Antônio Carlos Jobim", "Antônio Carlos Jobim"),
            ("A entrega foi feita por Wanderlúcia dos Santos.", "Wanderlúcia dos Santos"),
            ("Dona Lourdes", "Lourdes"),
            ("Joa\u{303}o Pereira", "Joa\u{303}o Pereira"),
        ],
    );
}

#[test]
fn addresses_in_portuguese() {
    check(
        PiiKind::Address,
        &[
            (
                "Moro na Rua das Flores, 123, apto 45 - Centro, São Paulo - SP, 01234-567.",
                "Rua das Flores, 123, apto 45 - Centro, São Paulo - SP",
            ),
            ("Entregar na Av. Paulista, 1578", "Av. Paulista, 1578"),
            ("Av Brasil 500 bloco B", "Av Brasil 500 bloco B"),
            ("R. Augusta nº 99", "R. Augusta nº 99"),
            ("Rua 25 de Março, 1000", "Rua 25 de Março, 1000"),
            ("rua das laranjeiras, 45", "rua das laranjeiras, 45"),
            ("Travessa Dr. João Mendes, n. 12, casa 2", "Travessa Dr. João Mendes, n. 12, casa 2"),
            ("Rodovia BR-101, km 45", "Rodovia BR-101, km 45"),
            ("Praça da Sé, s/n - Sé", "Praça da Sé, s/n - Sé"),
            ("Alameda Santos 1.234, Jardim Paulista", "Alameda Santos 1.234, Jardim Paulista"),
            ("Estrada do Coco, 77, Salvador/BA", "Estrada do Coco, 77, Salvador/BA"),
            ("endereço: RUA SETE DE SETEMBRO 10", "RUA SETE DE SETEMBRO 10"),
            ("Caixa Postal 1234", "Caixa Postal 1234"),
            ("Rua 15, nº 22, quadra 3, lote 8", "Rua 15, nº 22, quadra 3, lote 8"),
        ],
    );
}

#[test]
fn addresses_in_english() {
    check(
        PiiKind::Address,
        &[
            (
                "Ship to 1250 N Maple Ave, Apt 4, Portland, OR 97201 please",
                "1250 N Maple Ave, Apt 4, Portland, OR 97201",
            ),
            ("123 Main St", "123 Main St"),
            ("I live at 42 Oak Street.", "42 Oak Street"),
            ("221B Baker Street, London", "221B Baker Street, London"),
            ("5 Star Ave", "5 Star Ave"),
            ("700 5th Avenue NW, Seattle, WA", "700 5th Avenue NW, Seattle, WA"),
            ("PO Box 123, Springfield, IL 62701", "PO Box 123, Springfield, IL 62701"),
            ("P.O. Box 77", "P.O. Box 77"),
            ("88 Martin Luther King Jr. Blvd, Suite 210", "88 Martin Luther King Jr. Blvd, Suite 210"),
            ("send it to 99 elm street", "99 elm street"),
            ("4500 Highway 61", "4500 Highway 61"),
            ("10 Downing Street, London SW1A 2AA", "10 Downing Street, London SW1A 2AA"),
            ("123 Main St. Springfield, IL 62701", "123 Main St. Springfield, IL 62701"),
            ("16 O'Connell Rd", "16 O'Connell Rd"),
            ("9 Park Place", "9 Park Place"),
        ],
    );
}

#[test]
fn near_misses_in_english() {
    check_nothing(&[
        "Samuel Adams Boston Lager is better than Sierra Nevada Pale Ale.",
        "Dogfish Head 90 Minute IPA, Franziskaner Weissbier, Paulaner Salvator, Goose Island",
        "Jackson Hole, Santa Rosa and Anderson Valley are places",
        "Victoria Bitter. Arthur Guinness Stout.",
        "Baker Brewing Company, Thomas Hooker Brewery, Miller Inc.",
        "Edmund Fitzgerald Porter pours black.",
        "April was cold. May I ask? Will it age? Grace aside, Mark my words.",
        "Don't. Bill's paid. Amber color, Ruby red, Rose gold.",
        "12 oz bottle",
        "St. Bernardus Abt 12",
        "Road 2 Ruin Double IPA",
        "on Main Street",
        "a 10 minute drive",
        "Pours a hazy 5 way split",
        "3 Floyds Zombie Dust",
        "Great Lakes Brewing Co.",
        "Beer name: Old Rasputin",
        "brewery name is Russian River",
        "Kate's favourite",
        "user John_Smith or john.smith@example.com wrote",
        "www.example.com/John/Smith",
        "New York, Los Angeles, St. Louis, South Carolina, Salt Lake City",
        "American Pale Ale, Belgian Strong Dark Ale, Imperial Stout",
        "Washington University, Kennedy Airport, Lincoln Park, St. Patrick's Day",
        "in 2012 Great Britain won",
        "8 Wired Tall Poppy",
        "Dr. Pepper float",
        "12 Great St. Patrick's",
        "The name of the beer is Hop Stoopid",
        "I miss Zombie Dust.",
        "aged in Elijah Craig barrels",
        "aged in Evan Williams barrels",
        "with a Basil Hayden finish",
        "a splash of George Dickel",
        "John Courage Amber",
        "like Charles Wells Bombardier",
        "an Alexander Keith's IPA",
        "some Edmund Fitzgerald",
        "a 45 min drive",
        "about 30 mins drive",
        "a 2 hr drive, then a 90 sec walk",
        "the 12 km road and the 5 mi loop",
        "a 4 lane highway",
        "down the 2 lane road",
        "got it via Trade 2 weeks ago",
    ]);
}

#[test]
fn kinds_of_street_that_are_other_words_need_a_mark() {
    check(
        PiiKind::Address,
        &[
            ("Got it via Trade 2 weeks ago", ""),
            ("chegou via Sedex 10", ""),
            ("I met Al Smith 2 years ago", ""),
            ("Via Anhanguera, 200", "Via Anhanguera, 200"),
            ("Al. Santos 1234", "Al. Santos 1234"),
            ("al Santos nº 1234", "al Santos nº 1234"),
            ("R. Augusta 99", "R. Augusta 99"),
            ("R Augusta, 99", "R Augusta, 99"),
        ],
    );
}

#[test]
fn near_misses_in_portuguese() {
    check_nothing(&[
        "Rua sem nome",
        "na rua há 10 anos",
        "a rua",
        "Av.",
        "Rua, 10",
        "a avenida é longa, 20 metros",
        "Cervejaria Bohemia, Eisenbahn, Baden Baden, Colorado Appia",
        "São Paulo, Porto Alegre, Santa Catarina, Rio de Janeiro",
        "Hospital João Paulo",
        "Universidade Maria Antônia",
        "Padaria São José Ltda",
        "Pereira Souza Ltda",
        "Segunda, Terça, Janeiro e Março",
        "Cerveja muito boa. Gostei do aroma. Recomendo!",
        "nome da cerveja: Dama Bier",
        "Vitória foi difícil",
        "copo de 300 ml, 5 reais",
        "Pedido 123, nota 10",
        "caixa com 12 garrafas",
        "via correio 12",
        "al 5",
        "Natal e Páscoa",
    ]);
}

#[test]
fn titles_are_scored_above_strangers() {
    let score = |text: &str| found(text)[0].score;
    assert!(score("met John Smith") > score("met John Grzybowska"));
    assert!(score("met John Grzybowska") >= super::names::SCORE_MIN);
    assert!(score("1250 Maple Ave, Portland, OR 97201") > score("1250 Maple Ave"));
}

/// Texts that are likely to come near the rules.
fn likely() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "João", "Maria", "John", "Smith", "Silva", "Santos", "Mark", "Wood", "Amber", "April", "Xyloph", "MARIA", "SOUZA",
            "da", "dos", "de", "la", "e", "A.", "B", "Jr.", "Neto", "O'Brien", "Ana-Clara", "Brewing", "Porter", "Valley", "Ltda",
            "Porto", "London", "the", "The", "said", "Maria's", "Don't", "Rosa", "José", "Adams", "Samuel", "Park",
        ]).prop_map(str::to_owned),
        2 => prop::sample::select(vec![
            "Rua", "Av.", "R.", "rua", "nº", "123", "12B", "s/n", "km", "apto", "bloco", "SP", "01234-567", "CEP", "Street", "St",
            "Ave", "N", "5th", "Highway", "Apt", "#4", "PO", "Box", "OR", "97201", "Dr.", "Sr.", "my name is", "nome:", "Caixa",
            "Postal", "P.", "O.", "Centro", "-", "–", "/", "&",
        ]).prop_map(str::to_owned),
        1 => "[ -~áÉõÇ“’😀\u{303}\u{A0}\n]{0,4}",
    ];
    prop::collection::vec((piece, prop::sample::select(vec![" ", " ", " ", ", ", "", "\n", ". ", "-"])), 0..14)
        .prop_map(|pieces| pieces.into_iter().flat_map(|(piece, gap)| [piece, gap.to_owned()]).collect())
}

fn holds(text: &str) {
    let mut last = 0;
    for finding in found(text) {
        assert!(finding.start >= last && finding.end > finding.start, "findings overlap or are empty in {text:?}");
        let hit = text.get(finding.start..finding.end).expect("on character boundaries");
        assert!(hit.starts_with(char::is_alphanumeric), "{hit:?} in {text:?}");
        let is_mark = |letter: char| ('\u{300}'..'\u{370}').contains(&letter);
        assert!(hit.ends_with(|end: char| end.is_alphanumeric() || is_mark(end)), "{hit:?} in {text:?}");
        assert!((super::names::SCORE_MIN..=1.0).contains(&finding.score));
        last = finding.end;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_accepted(text: String) {
        holds(&text);
    }

    #[test]
    fn likely_text_is_accepted(text in likely()) {
        holds(&text);
    }

    #[test]
    fn names_are_those_of_the_slow_implementation(words in prop::collection::vec(prop::sample::select(oracle::WORDS), 1..10)) {
        // In the middle of a sentence, with no word around that speaks for or against a name.
        let text = format!("zq {} zq", words.join(" "));
        let fast: Vec<(usize, usize)> = found(&text).iter().map(|hit| (hit.start, hit.end)).collect();
        prop_assert_eq!(fast, oracle::names(&text), "{}", text);
    }
}

/// The small form of the measurement: a wrong answer is a failure, whatever the time.
#[test]
fn a_large_text_gives_what_its_pieces_give() {
    let piece = "The brewer poured a hazy IPA for João da Silva at 12 Oak Street, then left for Denver. Nice aroma, 5.5% abv.\n";
    let text = piece.repeat(500);
    let findings = found(&text);
    assert_eq!(findings.len(), 2 * 500);
    for (index, pair) in findings.chunks(2).enumerate() {
        let offset = index * piece.len();
        assert_eq!(&piece[pair[0].start - offset..pair[0].end - offset], "João da Silva");
        assert_eq!(&piece[pair[1].start - offset..pair[1].end - offset], "12 Oak Street");
    }
}

//! Lists of words: people, streets, beers, places, and what customers write.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::one_of;

pub(super) const GIVEN: &[&str] = &[
    "Amelia",
    "Benjamin",
    "Clara",
    "Daniel",
    "Eleanor",
    "Frederick",
    "Georgia",
    "Harold",
    "Irene",
    "James",
    "Karen",
    "Louis",
    "Martha",
    "Nicholas",
    "Pamela",
    "Quentin",
    "Rebecca",
    "Stephen",
    "Theresa",
    "Victor",
    "William",
    "Yvonne",
    "Zachary",
    "Anne",
];
pub(super) const FAMILY: &[&str] = &[
    "Anderson",
    "Baker",
    "Collins",
    "Davies",
    "Edwards",
    "Fisher",
    "Graham",
    "Howard",
    "Ingram",
    "Johnson",
    "Kelly",
    "Lewis",
    "Miller",
    "Norris",
    "Owens",
    "Phillips",
    "Richardson",
    "Sanders",
    "Turner",
    "Underwood",
    "Vance",
    "Wilson",
    "York",
    "Ward",
];
pub(super) const GIVEN_PT: &[&str] = &[
    "Alice", "Bernardo", "Cláudia", "Davi", "Estela", "Flávio", "Giovana", "Heitor", "Inês", "Joaquim", "Karina",
    "Lorena", "Manuela", "Nelson", "Olívia", "Paula", "Rogério", "Silvana", "Tadeu", "Úrsula", "Valéria", "William",
    "Yasmin", "Zélia",
];
pub(super) const FAMILY_PT: &[&str] = &[
    "Almeida",
    "Barros",
    "Castro",
    "Domingues",
    "Esteves",
    "Fernandes",
    "Garcia",
    "Henriques",
    "Jardim",
    "Leal",
    "Maia",
    "Neves",
    "Ornelas",
    "Pires",
    "Ramos",
    "Soares",
    "Tavares",
    "Uchoa",
    "Vieira",
    "Abreu",
    "Bueno",
    "Camargo",
    "Dantas",
    "Furtado",
];
pub(super) const STREETS: &[&str] =
    &["Oak", "Hill", "Mill", "Second", "Water", "Park", "Walnut", "Union", "Spring", "High"];
pub(super) const STREETS_PT: &[&str] = &[
    "das Hortênsias",
    "Goiás",
    "Senador Dantas",
    "do Porto",
    "Frei Caneca",
    "Duque de Caxias",
    "dos Ipês",
    "Quinze de Maio",
];
pub(super) const BEERS: &[&str] = &[
    "Old Rasputin",
    "Two Hearted Ale",
    "Heady Topper",
    "Pliny the Elder",
    "Fat Tire",
    "Dead Guy Ale",
    "Duvel",
    "Orval",
    "Westmalle Tripel",
    "Rochefort 10",
    "La Chouffe",
    "Punk IPA",
    "Dale's Pale Ale",
    "Hop Rocket",
    "Samuel Adams Boston Lager",
    "Sculpin",
    "Arrogant Bastard",
    "Celebration",
    "Edmund Fitzgerald Porter",
    "Ten FIDY",
    "Milk Stout Nitro",
    "Saison Dupont",
    "Guinness Draught",
    "London Pride",
    "Appia",
    "Colorado Indica",
    "Rubra Flor",
    "Weiss",
    "Black Metal",
    "Oat Cream IPA",
];
pub(super) const STYLES: &[&str] = &[
    "American IPA",
    "Imperial Stout",
    "Hefeweizen",
    "Pilsner",
    "Saison",
    "Berliner Weisse",
    "Barleywine",
    "Amber Lager",
    "English Bitter",
    "Fruit Beer",
    "Belgian Tripel",
    "Porter",
];
pub(super) const BREWERIES: &[&str] = &[
    "Stone Brewing",
    "Sierra Nevada Brewing Co.",
    "Anderson Valley Brewing Company",
    "Russian River",
    "Bell's Brewery",
    "Cervejaria Colorado",
    "Great Lakes Brewing",
    "Brasserie d'Orval",
    "New Belgium",
    "Founders",
    "Cervejaria Bamberg",
    "Dogfish Head",
    "Fuller's",
    "Boulevard Brewing",
    "Cigar City",
    "Odell",
    "Harpoon",
    "Deschutes Brewery",
];
pub(super) const CITIES: &[&str] = &[
    "Curitiba",
    "Belo Horizonte",
    "São Paulo",
    "Porto Alegre",
    "Recife",
    "Blumenau",
    "Petrópolis",
    "Denver",
    "Portland",
    "San Diego",
    "Boston",
    "Chicago",
    "Asheville",
    "Munich",
    "Salvador",
    "Ribeirão Preto",
    "Grand Rapids",
    "Santos",
];
pub(super) const STATES: &[&str] =
    &["PR", "MG", "SP", "RS", "PE", "SC", "RJ", "CO", "OR", "CA", "MA", "Illinois", "North Carolina"];
pub(super) const COUNTRIES: &[&str] =
    &["Brazil", "Brasil", "United States", "Germany", "Belgium", "Portugal", "Ireland"];

/// Three parts of a review.
pub(super) const OPINIONS: [&[&str]; 3] = [
    &[
        "pours a deep amber",
        "clear gold in the glass",
        "black as night",
        "hazy and pale",
        "thin brown head",
        "smells of pine",
    ],
    &[
        "with toasted malt up front",
        "and a firm bitter finish",
        "but far too sweet for me",
        "with notes of coffee and smoke",
    ],
    &[
        "would buy it again.",
        "not my favourite.",
        "a solid beer for the money.",
        "drink it fresh!",
        "better on draught.",
    ],
];
/// Three parts of a note at an order.
pub(super) const NOTES_PT: [&[&str]; 3] = [
    &["cliente pediu para", "favor", "o entregador deve", "combinado com a loja para", "é preciso"],
    &["deixar a caixa na portaria", "ligar antes de subir", "trocar o barril vazio", "conferir a temperatura do chope"],
    &["ainda hoje.", "depois das seis.", "sem falta.", "na próxima semana.", "quando der."],
];

pub(super) fn sentence(rng: &mut ChaCha8Rng, parts: [&[&str]; 3]) -> String {
    parts.map(|part| one_of(rng, part)).join(" ")
}

pub(super) fn email(rng: &mut ChaCha8Rng) -> String {
    let (given, family) = (one_of(rng, GIVEN).to_lowercase(), one_of(rng, FAMILY).to_lowercase());
    format!("{given}.{family}{}@example.com", rng.random_range(1..999))
}

//! Pieces of text that are personal data, nearly so, or stand around it.

use proptest::prelude::*;

use super::forms::{digits, luhn};

fn with_check_digits(nine: u32, formatted: bool) -> String {
    let mut digits = digits(&format!("{nine:09}"));
    for length in [9, 10] {
        let sum: u32 = digits.iter().zip((2..=length + 1).rev()).map(|(digit, weight)| digit * weight).sum();
        digits.push(if sum % 11 < 2 { 0 } else { 11 - sum % 11 });
    }
    let text: String = digits.iter().map(u32::to_string).collect();
    if formatted { format!("{}.{}.{}-{}", &text[..3], &text[3..6], &text[6..9], &text[9..]) } else { text }
}

fn with_luhn(digits: &str) -> String {
    (0..10).map(|check| format!("{digits}{check}")).find(|number| luhn(number)).expect("one of ten")
}

pub(super) fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "11.222.333/0001-81",
        "11222333/0001-81",
        "11222333000181",
        "11222333000182",
        "12.ABC.345/01DE-35",
        "12ABC34501DE35",
        "12ABC34501DE36",
        "01310-100",
        "01310100",
        "01.310-100",
        "123e4567-e89b-42d3-a456-426614174000",
        "71CDF9BA-C695-4E3C-B010-ABB521A3F1BE",
        "123e4567-e89b-12d3-a456-426614174000",
        "4111 1111 1111 1111",
        "5555-5555-5555-4444",
        "3782 822463 10005",
        "3056 930902 5904",
        "378282246310005",
        "4006381333931",
        "4111 1111-1111 1111",
        "GB82 WEST 1234 5698 7654 32",
        "GB82WEST12345698765432",
        "DE89370400440532013000",
        "NO93 8601 1117 947",
        "GB83WEST12345698765432",
        "BR1800360305000010009795493C1",
        "536-90-4399",
        "536 90 4399",
        "666-90-4399",
        "912-70-1234",
        "912-49-1234",
        "912701234",
        "529-982-247-25",
        "529 982 247-25",
        "529 982 247 25",
        "529.982.247 25",
        "00:1a:2b:3c:4d:5e",
        "A0:B1:C2:D3:E4:F5",
        "aa:bb:cc:dd:ee:1f",
        "00:1a:2b:3c:4d",
        "00:1a:2b:3c:4d:5e:6f",
        "00:00:00:00:00:00",
        "00-1A-2B-3C-4D-5E",
        "00-1a-2b-3c-4d",
        "00-00-00-00-00-00",
        "5e",
        "::",
        "192.168.10.20",
        "1.2.3.4.5",
        "256.1.1.1",
        "10.0.0.01",
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "AKIA",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AB123456",
        "C01234567",
        "123456789",
        "[CPF]",
        "[AWS-SECRET]",
        "[CEP]",
        "[PIX]",
    ]);
    let words = prop::sample::select(vec![
        "cpf",
        "CPF: ",
        "cnpj",
        "CEP ",
        "ceps",
        "Código postal ",
        "pix ",
        "chave",
        "card ",
        "VISA",
        "ssn ",
        "social security ",
        "ITIN ",
        "secret ",
        "aws_",
        "passport ",
        "passaporte",
        "ip ",
        "host:",
        "version ",
        "section ",
        " malte e lúpulo à parte",
    ]);
    prop_oneof![
        4 => fixed.prop_map(str::to_owned),
        3 => words.prop_map(str::to_owned),
        2 => (0u32..=999_999_999, any::<bool>()).prop_map(|(nine, formatted)| with_check_digits(nine, formatted)),
        1 => "4[0-9]{11}([0-9]{3})?".prop_map(|digits| with_luhn(&digits)),
        1 => "[0-9]{1,20}",
        4 => "[ .,:;/@+()_$\n-]{1,2}",
        1 => "[a-zA-Zé🍺]{1,6}",
        1 => " {10,45}",
    ]
}

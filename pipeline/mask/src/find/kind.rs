//! The kinds of personal data that are looked for, and what a hit is.
//!
//! Names are Amazon Comprehend's where it has one (`PiiEntityType` of its API), ours where it has none. Knows the names, not
//! how anything is found.

/// A kind of personal data or secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PiiKind {
    /// E-mail address.
    Email,
    /// Phone number: Brazil, United States, or E.164.
    Phone,
    /// Brazilian taxpayer number of a person, check digits right.
    Cpf,
    /// Brazilian taxpayer number of a company, numeric or alphanumeric form, check digits right.
    Cnpj,
    /// Brazilian postal code.
    Cep,
    /// Brazilian identity card number, in context.
    Rg,
    /// Random key of the Brazilian instant payment system, in context.
    PixKey,
    /// Payment card number, check digit right.
    CreditCard,
    /// International bank account number, check digits right.
    Iban,
    /// US social security number.
    Ssn,
    /// US individual taxpayer number.
    Itin,
    /// IPv4 or IPv6 address.
    IpAddress,
    /// MAC address.
    MacAddress,
    /// URL with credentials in it.
    UrlCredentials,
    /// AWS access key id.
    AwsAccessKey,
    /// AWS secret access key, in context.
    AwsSecretKey,
    /// Date of birth, in context.
    BirthDate,
    /// Passport number, in context.
    Passport,
    /// Driver's licence number, in context.
    DriverLicence,
    /// Name of a person.
    Name,
    /// Street address.
    Address,
}

impl PiiKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 21] = [
        Self::Email,
        Self::Phone,
        Self::Cpf,
        Self::Cnpj,
        Self::Cep,
        Self::Rg,
        Self::PixKey,
        Self::CreditCard,
        Self::Iban,
        Self::Ssn,
        Self::Itin,
        Self::IpAddress,
        Self::MacAddress,
        Self::UrlCredentials,
        Self::AwsAccessKey,
        Self::AwsSecretKey,
        Self::BirthDate,
        Self::Passport,
        Self::DriverLicence,
        Self::Name,
        Self::Address,
    ];

    /// The name of the kind, as Comprehend spells it where it has the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "EMAIL",
            Self::Phone => "PHONE",
            Self::Cpf => "BR_CPF",
            Self::Cnpj => "BR_CNPJ",
            Self::Cep => "BR_CEP",
            Self::Rg => "BR_RG",
            Self::PixKey => "BR_PIX_KEY",
            Self::CreditCard => "CREDIT_DEBIT_NUMBER",
            Self::Iban => "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
            Self::Ssn => "SSN",
            Self::Itin => "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER",
            Self::IpAddress => "IP_ADDRESS",
            Self::MacAddress => "MAC_ADDRESS",
            Self::UrlCredentials => "URL",
            Self::AwsAccessKey => "AWS_ACCESS_KEY",
            Self::AwsSecretKey => "AWS_SECRET_KEY",
            Self::BirthDate => "DATE_OF_BIRTH",
            Self::Passport => "PASSPORT_NUMBER",
            Self::DriverLicence => "DRIVER_ID",
            Self::Name => "NAME",
            Self::Address => "ADDRESS",
        }
    }

    /// The class of contracts and policies.
    pub fn class(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Cpf => "cpf",
            Self::Cnpj => "cnpj",
            Self::Cep => "postal_code",
            Self::Rg => "rg",
            Self::PixKey => "pix_key",
            Self::CreditCard => "credit_card",
            Self::Iban => "iban",
            Self::Ssn => "ssn",
            Self::Itin => "itin",
            Self::IpAddress => "ip_address",
            Self::MacAddress => "mac_address",
            Self::UrlCredentials => "url_credentials",
            Self::AwsAccessKey => "aws_access_key",
            Self::AwsSecretKey => "aws_secret_key",
            Self::BirthDate => "birth_date",
            Self::Passport => "passport",
            Self::DriverLicence => "driver_licence",
            Self::Name => "full_name",
            Self::Address => "address",
        }
    }

    /// What stands in its place in redacted text.
    pub fn replacement(self) -> &'static str {
        match self {
            Self::Email => "[EMAIL]",
            Self::Phone => "[PHONE]",
            Self::Cpf => "[CPF]",
            Self::Cnpj => "[CNPJ]",
            Self::Cep => "[CEP]",
            Self::Rg => "[RG]",
            Self::PixKey => "[PIX]",
            Self::CreditCard => "[CARD]",
            Self::Iban => "[IBAN]",
            Self::Ssn => "[SSN]",
            Self::Itin => "[ITIN]",
            Self::IpAddress => "[IP]",
            Self::MacAddress => "[MAC]",
            Self::UrlCredentials => "[URL]",
            Self::AwsAccessKey => "[AWS-KEY]",
            Self::AwsSecretKey => "[AWS-SECRET]",
            Self::BirthDate => "[BIRTH-DATE]",
            Self::Passport => "[PASSPORT]",
            Self::DriverLicence => "[LICENCE]",
            Self::Name => "[NAME]",
            Self::Address => "[ADDRESS]",
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PiiKinds(u32);

impl PiiKinds {
    /// None.
    pub const NONE: Self = Self(0);

    /// All.
    pub fn all() -> Self {
        PiiKind::ALL.into_iter().collect()
    }

    /// Whether a kind is in the set.
    #[inline]
    pub fn contains(self, kind: PiiKind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    /// The set without a kind.
    #[must_use]
    pub fn without(self, kind: PiiKind) -> Self {
        Self(self.0 & !(1 << kind as u32))
    }
}

impl FromIterator<PiiKind> for PiiKinds {
    fn from_iter<I: IntoIterator<Item = PiiKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | 1 << kind as u32))
    }
}

/// Where personal data stands in a text. Holds no text itself, so it may be shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// What it is.
    pub kind: PiiKind,
    /// Byte offset of its first byte; on a character boundary.
    pub start: usize,
    /// Byte offset behind its last byte; on a character boundary.
    pub end: usize,
    /// How sure, from 0 to 1, as Comprehend's `Score`.
    pub score: f32,
}
